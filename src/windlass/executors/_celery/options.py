"""Celery's own options: they are passed on, whatever they are, unless they look like a slip."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ...ports import Call

_IN_METADATA = "celery"
_OURS = {
    "app", "redis", "name", "slots", "grace", "lease", "patience", "start_timeout", "max_bytes",
    "keep", "codec",
}  # fmt: skip
_CELERYS = {
    "queue", "routing_key", "exchange", "priority", "countdown", "eta", "expires", "expiration",
    "headers", "serializer", "compression", "delivery_mode", "mandatory", "immediate", "timeout",
    "confirm_timeout", "content_type", "content_encoding", "declare", "time_limit",
    "soft_time_limit", "reply_to", "link", "link_error", "group_id", "group_index", "root_id",
    "parent_id", "router", "route_name", "retries", "retry_policy", "chord", "chain", "task_type",
}  # fmt: skip
_ALIKE = 0.8


def refuse_slips(options: Iterable[str], where: str) -> None:
    """Raise TypeError if one is not known and looks like one that is.

    Any other may mean something to the broker, as ``MessageGroupId`` does to SQS.
    """
    known = _CELERYS | _OURS
    for name in options:
        if name not in known and (meant := get_close_matches(name, known, 1, _ALIKE)):
            raise TypeError(f"{where} has no option {name!r}. Did you mean {meant[0]!r}?")


def options_in(metadata: Mapping[str, Any], call: Call) -> dict[str, Any]:
    """Celery's own options that a task's metadata name."""
    own = metadata.get(_IN_METADATA, {})
    where = f"metadata[{_IN_METADATA!r}] of {call.name}"
    if not isinstance(own, dict) or not all(isinstance(name, str) for name in own):
        raise TypeError(
            f"{where} takes a dict of Celery's options, such as {{'queue': 'gpu'}}, not {own!r}"
        )
    refuse_slips(own, where)
    return own

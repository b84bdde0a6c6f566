"""Options as people write them, read: refused with the remedy, or turned into fields of a Spec."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .._core.flow import Gate, require_gate_name
from .._core.policies import NO_RETRY
from .._core.states import TaskPriority
from .._numbers import require_count, require_seconds

if TYPE_CHECKING:
    from .._core.spec import Spec


def translate(changes: dict[str, Any], spec: Spec) -> None:
    """Turn options as people write them into fields of Spec, in place."""
    for name in ("name", "type", "description", "executor"):
        if not isinstance(text := changes.get(name, ""), str):
            raise TypeError(f"{name}= takes a text, not {text!r}")
    for name, read in _READERS.items():
        if name in changes:
            changes[name] = read(changes[name])
    if not isinstance(owner := changes.get("owner"), str | None):
        raise TypeError(f"owner= takes a text, not {owner!r}")
    if "max_retries" in changes or "retry_delay" in changes:
        if "retry" in changes:
            raise TypeError("give either retry=Retry(...), or max_retries= and retry_delay=")
        old = spec.retry
        retries = require_count("max_retries", changes.pop("max_retries", old.retries))
        delay = require_seconds("retry_delay", changes.pop("retry_delay", old.delay), zero=True)
        changes["retry"] = dataclasses.replace(old, retries=retries, delay=delay)
    if changes.get("retry", ...) is None:
        changes["retry"] = NO_RETRY


def _tags(tags: Any) -> frozenset[str]:
    if isinstance(tags, str):
        raise TypeError(f"tags= takes several tags, not one text: write tags=[{tags!r}]")
    if not isinstance(tags, Iterable):
        raise TypeError(f"tags= takes several texts, not {tags!r}")
    several: frozenset[Any] = frozenset(tags)
    if not all(isinstance(tag, str) for tag in several):
        raise TypeError(f"tags= takes texts, not {tags!r}")
    return several


def _metadata(metadata: Any) -> dict[str, Any]:
    if not isinstance(metadata, Mapping):
        raise TypeError(f"metadata= takes a dict, not {metadata!r}")
    return dict(metadata)


def _gates(gates: Any) -> tuple[tuple[str, int], ...]:
    if isinstance(gates, str):
        gates = [gates]
    if not isinstance(gates, Iterable):
        raise TypeError(f"gates= takes names, or a dict of names and weights, not {gates!r}")
    named: list[tuple[Any, Any]]
    named = [*gates.items()] if isinstance(gates, Mapping) else [(name, 1) for name in gates]
    weights: dict[str, Any] = {}
    for name, weight in named:
        if isinstance(name, Gate):
            raise TypeError(
                f"a task names its gates, gates=[{name.name!r}], and the manager is given them: "
                f"TaskManager(gates=[Gate({name.name!r}, ...)])"
            )
        require_gate_name(name)
        if name in weights:
            raise ValueError(
                f"gates= names {name!r} twice; for two of its slots, write gates={{{name!r}: 2}}"
            )
        weights[name] = weight
        require_count(f"the weight at the gate {name!r}", weight, least=1)
    return tuple(sorted(weights.items()))


_READERS: dict[str, Callable[[Any], Any]] = {
    "priority": TaskPriority.named,
    "tags": _tags,
    "metadata": _metadata,
    "gates": _gates,
}

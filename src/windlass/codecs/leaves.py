"""The small types of the standard library: each as a tag and something msgpack has.

The tags stand in stored bytes. They are never given to another meaning.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ..errors import SerializationError
from .forms import type_name
from .refusal import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

_MICROSECOND = timedelta(microseconds=1)
# So that a name in stored bytes finds time zones, and nothing else that could be loaded.
_ZONE_NAME = re.compile(r"[A-Za-z0-9_+\-]+(/[A-Za-z0-9_+\-]+)*")


class Leaf(NamedTuple):
    """How the values of one type, which contain no others, are stored."""

    tag: int
    kind: type
    apart: Callable[[Any], Any]
    together: Callable[[Any], Any]


def _int_apart(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)


def _int_together(data: bytes) -> int:
    return int.from_bytes(data, "little", signed=True)


def _delta_apart(value: timedelta) -> tuple[int, int, int]:
    return value.days, value.seconds, value.microseconds


def _zone_apart(zone: tzinfo | None) -> Any:
    """None, the name of a zone, or a fixed offset in microseconds with its name, if it has one."""
    kind = type(zone)
    if zone is None:
        return None
    if isinstance(zone, ZoneInfo) and kind is ZoneInfo and zone.key:
        return zone.key
    if isinstance(zone, timezone) and kind is timezone:
        offset, *name = cast("Any", zone).__getinitargs__()
        return [offset // _MICROSECOND, *name]
    raise Refused(
        f"has a time zone of type {type_name(kind)}, which has no name to find it by: use "
        "zoneinfo.ZoneInfo or datetime.timezone"
    )


def _zone_together(stored: Any) -> tzinfo | None:
    if stored is None:
        return None
    if isinstance(stored, list):
        offset, *name = stored
        return timezone(timedelta(microseconds=offset), *name)
    if _ZONE_NAME.fullmatch(stored) is None:
        raise ValueError(f"{stored!r} names no time zone")
    try:
        return ZoneInfo(stored)
    except ZoneInfoNotFoundError:
        raise SerializationError(
            f"the time zone {stored!r} was stored, and this system does not know it: install tzdata"
        ) from None


def _time_apart(value: time | datetime) -> tuple[Any, ...]:
    return value.replace(tzinfo=None).isoformat(), value.fold, _zone_apart(value.tzinfo)


def _time_together(stored: Any) -> time:
    text, fold, zone = stored
    return time.fromisoformat(text).replace(fold=fold, tzinfo=_zone_together(zone))


def _datetime_together(stored: Any) -> datetime:
    text, fold, zone = stored
    return datetime.fromisoformat(text).replace(fold=fold, tzinfo=_zone_together(zone))


def _uuid_together(data: bytes) -> UUID:
    return UUID(bytes=data)


LEAVES = (
    Leaf(16, int, _int_apart, _int_together),  # one of more than 64 bits
    Leaf(17, date, date.isoformat, date.fromisoformat),
    Leaf(18, time, _time_apart, _time_together),
    Leaf(19, datetime, _time_apart, _datetime_together),
    Leaf(20, timedelta, _delta_apart, lambda parts: timedelta(*parts)),
    Leaf(21, timezone, _zone_apart, _zone_together),
    Leaf(22, ZoneInfo, _zone_apart, _zone_together),
    Leaf(23, Decimal, str, Decimal),
    Leaf(24, UUID, lambda value: value.bytes, _uuid_together),
    Leaf(25, type(Path()), str, Path),
    Leaf(26, PurePosixPath, str, PurePosixPath),
    Leaf(27, PureWindowsPath, str, PureWindowsPath),
)
LEAF_OF = {leaf.kind: leaf for leaf in LEAVES}
TOGETHER = {leaf.tag: leaf.together for leaf in LEAVES}

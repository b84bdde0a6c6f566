"""Times, sizes and durations, as people write and read them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from datetime import datetime

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw]?)")
_KIB = 1024


def seconds_of(text: str) -> float:
    """What ``90``, ``30s``, ``15m``, ``12h``, ``7d`` and ``2w`` mean."""
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None:
        raise typer.BadParameter(f"{text!r} is no duration: write 90, 30s, 15m, 12h, 7d or 2w")
    return float(match[1]) * _SECONDS[match[2] or "s"]


def lasting(seconds: float) -> str:
    """A duration in the unit that suits it."""
    if seconds < 10:  # noqa: PLR2004  # where a digit more is worth its place
        return f"{seconds:.2f} s"
    for unit, length, most in (("s", 1, 120), ("m", 60, 120), ("h", 3_600, 48)):
        if seconds < most * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"


def ago(when: datetime, now: datetime) -> str:
    """How long ago something was."""
    seconds = (now - when).total_seconds()
    return f"{lasting(seconds)} ago" if seconds >= 1 else "just now"


def at(when: datetime) -> str:
    """A moment on the clock on the wall."""
    return f"{when.astimezone():%Y-%m-%d %H:%M:%S}"


def size(count: int) -> str:
    """A number of bytes."""
    value, units = float(count), ["bytes", "KiB", "MiB", "GiB", "TiB"]
    while value >= _KIB and len(units) > 1:
        value /= _KIB
        units.pop(0)
    return f"{value:,.0f} bytes" if units[0] == "bytes" else f"{value:,.1f} {units[0]}"

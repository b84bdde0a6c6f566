"""Checks of the numbers people pass, with the message they should see."""

from __future__ import annotations

import math


def require_seconds(name: str, value: object, *, zero: bool = False) -> float:
    """``value`` as seconds: a finite number above zero (or zero, where that means "at once")."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} is a number of seconds, not {value!r}")
    if not math.isfinite(value) or value < 0 or (value == 0 and not zero):
        floor = "zero or more" if zero else "more than zero"
        hint = "" if zero else "; leave it out (None) for no limit"
        raise ValueError(f"{name} must be {floor} seconds, not {value!r}{hint}")
    return float(value)


def require_count(name: str, value: object, *, least: int = 0) -> int:
    """``value`` as a whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is a whole number, not {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, not {value!r}")
    return value

"""Checks of the numbers people pass, with the message they should see."""

from __future__ import annotations

import math

NO_LIMIT = "; leave it out (None) for no limit"


def require_seconds(name: str, value: object, *, zero: bool = False, hint: str = NO_LIMIT) -> float:
    """``value`` as seconds: a finite number above zero (or zero, where that means "at once")."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} is a number of seconds, not {value!r}")
    if not math.isfinite(value) or value < 0 or (value == 0 and not zero):
        floor = "zero or more" if zero else "more than zero"
        remedy = "" if zero else hint
        raise ValueError(f"{name} must be {floor} seconds, not {value!r}{remedy}")
    return float(value)


def require_count(name: str, value: object, *, least: int = 0) -> int:
    """``value`` as a whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is a whole number, not {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, not {value!r}")
    return value


def require_share(name: str, value: object) -> float:
    """``value`` as a share between 0 and 1: what is beyond is brought back to them."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} takes a number from 0 to 1, not {value!r}")
    if math.isnan(value):
        raise ValueError(f"{name} takes a number from 0 to 1, not nan")
    return min(1.0, max(0.0, float(value)))

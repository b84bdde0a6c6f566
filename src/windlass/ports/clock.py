"""What tells the time."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Tells the time: wall and monotonic time together, so that no two readings disagree."""

    def now(self) -> float:
        """Monotonic seconds."""
        ...

    def wall(self) -> float:
        """Seconds since the epoch."""
        ...

"""The one place that reads the time."""

from __future__ import annotations

import time


class SystemClock:
    """The system's clocks. Monotonic time measures, wall time is for people and for ``at=``."""

    now = staticmethod(time.monotonic)
    wall = staticmethod(time.time)

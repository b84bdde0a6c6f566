"""The clock on the wall, which all lives share, and which somebody may set at any time.

Monotonic times mean nothing to the next process, so what is stored is what the wall says. Whoever
reads that after the clock was set is wrong by as much: that much doubt the laws have to leave.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .world import World


class Wall:
    """See the module. It shows the time of the world until it is set for the first time."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._ahead = 0.0
        self._settings: list[tuple[float, float, float]] = []
        """When it was set, what it showed just before, and by how much it was set."""

    @property
    def time(self) -> float:
        """What it shows."""
        return self._world.now + self._ahead

    def set_by(self, seconds: float) -> None:
        """Set it: ahead, or back."""
        self._settings.append((self._world.now, self.time, seconds))
        self._ahead += seconds

    def ahead_since(self, when: float) -> float:
        """By how much it was set ahead since then, all in all."""
        return sum(max(0.0, by) for at, _, by in self._settings if at >= when)

    def back_since(self, when: float) -> float:
        """By how much it was set back since then, all in all."""
        return sum(max(0.0, -by) for at, _, by in self._settings if at >= when)

    def latest_since(self, when: float) -> float:
        """The latest that it has shown since then."""
        return max([self.time, *(shown for at, shown, _ in self._settings if at >= when)])

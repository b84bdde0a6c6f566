"""How long ended tasks are remembered: by age and by number, whichever is reached first."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from .task import Task

# Forgetting by age may be late by this share, so that a quiet manager wakes for many at once.
_SLACK = 0.02


class Retention:
    """Ended tasks in the order they ended."""

    __slots__ = ("_ended", "_held_up", "append", "count", "seconds")

    def __init__(self, seconds: float | None, count: int | None) -> None:
        self.seconds = seconds
        self.count = count
        self._ended: deque[Task] = deque()
        self._held_up = False
        self.append = self._ended.append
        """Remembers a task that has just ended; no method of ours, which would cost a call more."""

    def __len__(self) -> int:
        return len(self._ended)

    def due(self, now: float) -> bool:
        """Whether there is anything to take out."""
        ended = self._ended
        if not ended:
            return False
        too_many = self.count is not None and len(ended) > self.count
        return too_many or (self.seconds is not None and ended[0].ended_at + self.seconds <= now)

    def pop_old(self, now: float, may_go: Callable[[Task], bool] | None = None) -> list[Task]:
        """Take out what is older than ``seconds``, or more than ``count``.

        One that must not go holds up all that ended after it.
        """
        old: list[Task] = []
        ended = self._ended
        self._held_up = False
        while self.due(now):
            if may_go is not None and not may_go(ended[0]):
                self._held_up = True
                break
            old.append(ended.popleft())
        return old

    def pop_ended_before(
        self, when: float, wanted: Callable[[Task], bool] | None = None, keep: int = 0
    ) -> list[Task]:
        """Take out what ended at ``when`` or earlier and is ``wanted``, but for ``keep``."""
        old: list[Task] = []
        while self._ended and self._ended[0].ended_at <= when:
            old.append(self._ended.popleft())
        if wanted is None:
            return old
        fitting = [task for task in old if wanted(task)]
        gone = dict.fromkeys(fitting[: max(0, len(fitting) - keep)])
        self._ended.extendleft(task for task in reversed(old) if task not in gone)
        return [*gone]

    def next(self) -> float | None:
        """When there is something to take out next, by age."""
        if self.seconds is None or self._held_up or not self._ended:
            return None
        return self._ended[0].ended_at + self.seconds * (1 + _SLACK)

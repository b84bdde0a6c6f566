"""Who is next: the tasks of one executor that could start now.

Guarantees:

- The highest level goes first; within a level, who has waited longest (first in, first out).
- Waiting raises a task one level per ``age_every`` seconds, at most to HIGH: nothing starves
  behind HIGH, and nothing delays CRITICAL.
- ``push`` and ``pop`` are O(1), whatever the length and however old the tasks.

Ageing moves nothing. In a deque per priority the head has waited longest, so its raised level is
the highest of that deque, and comparing four heads finds the winner. (One heap of tuples costs
1.7 µs a task; four deques 0.1.)

A task that is cancelled while it queues keeps its place as a dead entry, told by its status, and
is dropped when it comes up; a queue that is mostly dead is swept.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, TypeAlias

from .states import PENDING, TaskPriority

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .task import Task

HIGH = int(TaskPriority.HIGH)

Rank: TypeAlias = tuple[int, float]
"""A task's level, raised by age, and minus the time it joined: the greater goes first."""

_FEW = 64


class ReadyQueue:
    """The ready tasks of one executor; see the module."""

    __slots__ = ("_age_every", "_dead", "_levels", "size")

    def __init__(self, age_every: float | None) -> None:
        self._levels: tuple[deque[Task], ...] = tuple(deque() for _ in TaskPriority)
        self._age_every = age_every
        self.size = 0
        """How many tasks are in line; an attribute, because it is asked all the time."""
        self._dead = 0

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Task]:
        """The tasks in the order they would go if nobody aged: most urgent first."""
        for level in reversed(self._levels):
            yield from (task for task in level if task.status is PENDING)

    def sizes(self) -> dict[TaskPriority, int]:
        """How many tasks of each priority wait."""
        return {
            priority: sum(1 for task in self._levels[priority] if task.status is PENDING)
            for priority in TaskPriority
        }

    def push(self, task: Task) -> None:
        """Put ``task`` at the end of its line."""
        task.queued = True
        self.size += 1
        self._levels[task.spec.priority].append(task)

    def bury(self, task: Task) -> None:
        """Note that ``task``, which queues here, will not start: it is PENDING no more."""
        task.queued = False
        self.size -= 1
        self._dead += 1
        if self._dead > self.size + _FEW:
            for level in self._levels:
                alive = [entry for entry in level if entry.status is PENDING]
                level.clear()
                level.extend(alive)
            self._dead = 0

    def urgency(self, now: float) -> Rank | None:
        """How urgent the next task is, to compare with other queues; None if there is none."""
        front = self._front(now)
        return front[0] if front is not None else None

    def pop(self, now: float) -> Task | None:
        """Take out the next task."""
        front = self._front(now)
        if front is None:
            return None
        task = front[1].popleft()
        task.queued = False
        self.size -= 1
        return task

    def pop_many(self, count: int, now: float) -> list[Task]:
        """Take out the next ``count`` tasks, or as many as there are."""
        taken: list[Task] = []
        lines = [line for line in self._levels if line]
        if len(lines) == 1:  # one priority only, the usual case: nothing to compare
            line = lines[0]
            while line and len(taken) < count:
                task = line.popleft()
                if task.status is PENDING:
                    task.queued = False
                    taken.append(task)
                else:
                    self._dead -= 1
            self.size -= len(taken)
            return taken
        while len(taken) < count and (next_task := self.pop(now)) is not None:
            taken.append(next_task)
        return taken

    def _front(self, now: float) -> tuple[Rank, deque[Task]] | None:
        """The most urgent head, as its rank and its line."""
        best: tuple[Rank, deque[Task]] | None = None
        for level, line in enumerate(self._levels):
            while line and line[0].status is not PENDING:
                line.popleft()
                self._dead -= 1
            if line:
                joined = line[0].queued_at
                rank = (self._aged(level, now - joined), -joined)
                # ``>=``: among equals the higher priority goes first.
                if best is None or rank >= best[0]:
                    best = (rank, line)
        return best

    def _aged(self, level: int, waited: float) -> int:
        if level >= HIGH or self._age_every is None:
            return level
        return min(HIGH, level + int(waited / self._age_every))

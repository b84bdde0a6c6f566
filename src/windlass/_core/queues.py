"""Who is next: the tasks of one executor, or at one gate, that wait for their turn.

Guarantees:

- The highest level goes first; within a level, who has waited longest (first in, first out), or,
  where tasks have owners, whoever's owner has least (see ``owners``).
- Waiting raises a task one level per ``age_every`` seconds, at most to HIGH: nothing starves
  behind HIGH, and nothing delays CRITICAL.
- ``push`` and ``pop`` are O(1), whatever the length and however old the tasks; with owners, and for
  those that come back, O(log n).

Ageing moves nothing. In a deque per priority the head has waited longest, so its raised level is
the highest of that deque, and comparing four heads finds the winner. (One heap of tuples costs
1.7 µs a task; four deques 0.1.)

A task that is cancelled while it queues keeps its place as a dead entry, told by its status, and
is dropped when it comes up; a queue that is mostly dead is swept.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, TypeAlias

from .levels import Level
from .states import PENDING, TaskPriority

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .task import Task

HIGH = int(TaskPriority.HIGH)

Rank: TypeAlias = tuple[int, float]
"""A task's level, raised by age, and minus the time it joined: the greater goes first."""

_FEW = 64


class ReadyQueue:
    """Tasks that wait for their turn; see the module."""

    __slots__ = (
        "_age_every",
        "_buried",
        "_held",
        "_levels",
        "_lines",
        "_owned",
        "fair",
        "mixed",
        "size",
    )

    def __init__(self, age_every: float | None) -> None:
        self._lines: tuple[deque[Task], ...] = tuple(deque() for _ in TaskPriority)
        self._levels: tuple[Level, ...] = ()  # over the lines, once they are needed
        self._age_every = age_every
        self.size = 0
        """How many tasks are in line; an attribute, because it is asked all the time."""
        self._buried = 0
        self.mixed = False
        """Whether tasks must be taken one by one, because some have gates, owners or a past."""
        self.fair = False
        """Whether some of them have owners, so that who is next hangs on what these have."""
        self._held: dict[str, int] = {}  # how much each owner has of what is waited for here
        self._owned = 0  # the sum of that

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Task]:
        """The tasks in the order they would go if nobody aged or had owners: most urgent first."""
        for priority in reversed(TaskPriority):
            waiting = self._levels[priority] if self._levels else self._lines[priority]
            alive = [task for task in waiting if task.status is PENDING]
            yield from sorted(alive, key=_joined) if self.mixed else alive

    def sizes(self) -> dict[TaskPriority, int]:
        """How many tasks of each priority wait."""
        sizes = dict.fromkeys(TaskPriority, 0)
        for task in self:
            sizes[task.spec.priority] += 1
        return sizes

    def push(self, task: Task) -> None:
        """Put ``task``, which has neither gate nor owner, at the end of its line."""
        task.queued = True
        self.size += 1
        self._lines[task.spec.priority].append(task)

    def put(self, task: Task, *, back: bool = False) -> None:
        """Put ``task``, whatever it is, where it belongs, ``back`` if it was here before."""
        if not self._levels:
            self._levels = tuple(Level(line, self._held) for line in self._lines)
        self.mixed = True
        self.fair |= task.spec.owner is not None
        task.queued = True
        self.size += 1
        self._levels[task.spec.priority].add(task, back=back)

    def bury(self, task: Task) -> None:
        """Note that ``task``, which queues here, will not start: it is PENDING no more."""
        task.queued = False
        self.size -= 1
        self._buried += 1
        if self._buried > self.size + _FEW:
            self._buried = 0
            for line in self._lines:
                alive = [entry for entry in line if entry.status is PENDING]
                line.clear()
                line.extend(alive)
            for level in self._levels:
                level.sweep()

    def hold(self, owner: str, change: int) -> None:
        """``owner`` has so much more, or less, of what is waited for here."""
        self._owned += change
        self._held[owner] = self._held.get(owner, 0) + change
        if not self._held[owner]:
            del self._held[owner]
        for level in self._levels:
            level.rank(owner)

    def share(self, owner: str | None, taken: int) -> int:
        """How much ``owner`` has of what is waited for here, of which ``taken`` is."""
        return taken - self._owned if owner is None else self._held.get(owner, 0)

    def rank(self, task: Task, now: float) -> Rank:
        """How urgent ``task`` is, to compare with others."""
        return rank(task, self._age_every, now)

    def urgency(self, now: float, taken: int = 0) -> Rank | None:
        """How urgent the next task is, to compare with other queues; None if there is none."""
        head = self.head(now, taken)
        return self.rank(head, now) if head is not None else None

    def head(self, now: float, taken: int = 0) -> Task | None:
        """The next task; ``taken`` is how much of what is waited for is, by whomever."""
        front = self._front(now, taken)
        return front[0] if front is not None else None

    def precedes(self, task: Task, now: float, taken: int, *, back: bool) -> bool:
        """Whether the next one here, or one of its own owner, goes before ``task``.

        What comes ``back`` goes before its equals, what is new goes after them.
        """
        head = self.head(now, taken)
        if head is None:
            return False
        theirs, mine = self.rank(head, now), self.rank(task, now)
        if theirs > mine or (theirs == mine and not back):
            return True
        kin = self._levels[task.spec.priority].first(task.spec.owner)
        return kin is not None and (kin.queued_at, back) <= (task.queued_at, False)

    def pop(self, now: float, taken: int = 0) -> Task | None:
        """Take out the next task."""
        front = self._front(now, taken)
        if front is None:
            return None
        task, priority = front
        if self.mixed:
            self._levels[priority].pop(taken - self._owned)
        else:
            self._lines[priority].popleft()
        task.queued = False
        self.size -= 1
        if not self.size:
            self.mixed = self.fair = False
        return task

    def remove(self, task: Task) -> None:
        """Take out ``task``, which was ``put`` here, before its turn; O(n)."""
        self._levels[task.spec.priority].remove(task)
        task.queued = False
        self.size -= 1

    def spare(self, task: Task) -> None:
        """``task``, which has just been taken out, got nowhere: its owner has not had its turn."""
        self._levels[task.spec.priority].spare(task.spec.owner)

    def pop_many(self, count: int, now: float) -> list[Task]:
        """Take out the next ``count`` tasks of a queue that is not ``mixed``, or all there are."""
        taken: list[Task] = []
        lines = [line for line in self._lines if line]
        if len(lines) == 1:  # one priority only, the usual case: nothing to compare
            line = lines[0]
            while line and len(taken) < count:
                task = line.popleft()
                if task.status is PENDING:
                    task.queued = False
                    taken.append(task)
            self.size -= len(taken)
            return taken
        while len(taken) < count and (next_task := self.pop(now)) is not None:
            taken.append(next_task)
        return taken

    def _front(self, now: float, taken: int = 0) -> tuple[Task, int] | None:
        """The most urgent head, and its priority."""
        fronts: list[tuple[Task, int]] = []
        for priority, line in enumerate(self._lines):
            head: Task | None
            if self.mixed:
                level = self._levels[priority]
                head = level.head(taken - self._owned) if level else None
            else:
                while line and line[0].status is not PENDING:
                    line.popleft()
                head = line[0] if line else None
            if head is not None:
                fronts.append((head, priority))
        if len(fronts) > 1:  # among equals the higher priority goes first
            return max(fronts, key=lambda front: (self.rank(front[0], now), front[1]))
        return fronts[0] if fronts else None


def rank(task: Task, age_every: float | None, now: float) -> Rank:
    """How urgent ``task`` is, if waiting raises it one level every so many seconds."""
    level, joined = int(task.spec.priority), task.queued_at
    if level < HIGH and age_every is not None:
        level = min(HIGH, level + int((now - joined) / age_every))
    return level, -joined


def _joined(task: Task) -> float:
    return task.queued_at

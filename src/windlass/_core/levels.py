"""One priority's tasks where there is more to them than their order: owners, or a past.

Most queues never need this: tasks without owner or gate stand in a plain deque. A ``Level`` is laid
over that deque when the first other task comes.

Guarantees:

- Who has least of what is waited for goes first; between equals, who has not had a turn for
  longest. Tasks without owner share one turn. Within an owner, first in, first out.
- Whoever got nowhere, because a gate turned its task away, has not had its turn (``spare``).
- A task that comes back, because a gate did not let it through after all, stands where it would if
  it had never left.
- All of it in O(log n), n being the owners, or the tasks that came back.
"""

from __future__ import annotations

from collections import deque
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, TypeAlias

from .states import PENDING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .task import Task

Key: TypeAlias = tuple[int, int, str]
"""(what an owner has, when it last had a turn, its name): the least goes first."""

_FEW = 64


class Line:
    """First in, first out, by when tasks joined; what comes back goes where it was."""

    __slots__ = ("_back", "_new", "_serial")

    def __init__(self, new: deque[Task]) -> None:
        self._new = new
        self._back: list[tuple[float, int, Task]] = []
        self._serial = 0

    def __bool__(self) -> bool:
        return bool(self._new or self._back)

    def __iter__(self) -> Iterator[Task]:
        yield from (task for _, _, task in sorted(self._back))  # before their equals
        yield from self._new

    def add(self, task: Task, *, back: bool) -> None:
        """Put ``task`` in by the time it joined; one that comes ``back`` before its equals."""
        new = self._new
        if not (back or (new and task.queued_at < new[-1].queued_at)):
            new.append(task)
        else:
            self._serial += 1
            heappush(self._back, (task.queued_at, self._serial, task))

    def head(self) -> Task | None:
        """The first, or None."""
        new, back = self._new, self._back
        while new and new[0].status is not PENDING:
            new.popleft()
        while back and back[0][2].status is not PENDING:
            heappop(back)
        if back and (not new or back[0][0] <= new[0].queued_at):
            return back[0][2]
        return new[0] if new else None

    def pop(self, head: Task) -> None:
        """Take out the ``head``, just looked at."""
        if self._back and self._back[0][2] is head:
            heappop(self._back)
        else:
            self._new.popleft()

    def remove(self, task: Task) -> None:
        """Take ``task`` out from wherever it stands; O(n)."""
        if task in self._new:
            self._new.remove(task)
        else:
            self._back = [entry for entry in self._back if entry[2] is not task]
            heapify(self._back)

    def sweep(self) -> None:
        """Drop the dead."""
        alive = [task for task in self._new if task.status is PENDING]
        self._new.clear()
        self._new.extend(alive)
        self._back = [entry for entry in self._back if entry[2].status is PENDING]
        heapify(self._back)


class Level:
    """The tasks of one priority; see the module."""

    __slots__ = ("_heap", "_held", "_last", "_lines", "_nobodys", "_turn", "_turns")

    def __init__(self, nobodys: deque[Task], held: Mapping[str, int]) -> None:
        self._nobodys = Line(nobodys)
        self._held = held
        self._lines: dict[str, Line] = {}
        self._turns: dict[str, int] = {}
        """When each owner last had a turn, and, for "", those without owner."""
        self._turn = 0
        self._last = 0  # the turn before, of whoever has just had one
        self._heap: list[Key] = []

    def __bool__(self) -> bool:
        """Whether there is anything in here, dead or alive."""
        return bool(self._nobodys or self._lines)

    def __iter__(self) -> Iterator[Task]:
        yield from self._nobodys
        for line in self._lines.values():
            yield from line

    def add(self, task: Task, *, back: bool) -> None:
        """Put ``task`` in by its owner and the time it joined."""
        owner = task.spec.owner
        if owner is None:
            self._nobodys.add(task, back=back)
            return
        line = self._lines.get(owner)
        if line is None:
            line = self._lines[owner] = Line(deque())
            # Like everybody who had a turn just now: a stream of new owners starves nobody.
            self._turns[owner] = self._turn
            self.rank(owner)
        line.add(task, back=back)

    def rank(self, owner: str) -> None:
        """What ``owner`` has, or its turn, has changed: place it anew."""
        if owner not in self._lines:
            return
        heappush(self._heap, self._key(owner))
        if len(self._heap) > 2 * len(self._lines) + _FEW:
            self._heap = [self._key(name) for name in self._lines]
            heapify(self._heap)

    def head(self, unowned: int) -> Task | None:
        """The next task, if those without owner have ``unowned`` of what is waited for."""
        if not self._lines:
            return self._nobodys.head()
        return self._next(unowned)[1].head()

    def pop(self, unowned: int) -> Task:
        """Take that out."""
        owner, line = self._next(unowned)
        head = line.head()
        assert head is not None
        line.pop(head)
        self._last = self._turns.get(owner or "", 0)
        self._turn += 1
        self._turns[owner or ""] = self._turn
        if owner is not None:
            self.rank(owner)
        return head

    def spare(self, owner: str | None) -> None:
        """What was taken out last is of ``owner``, and got nowhere: that was no turn."""
        self._turns[owner or ""] = self._last
        if owner is not None:
            self.rank(owner)

    def remove(self, task: Task) -> None:
        """Take ``task`` out before its turn; O(n)."""
        owner = task.spec.owner
        (self._nobodys if owner is None else self._lines[owner]).remove(task)

    def first(self, owner: str | None) -> Task | None:
        """The first task of ``owner``, whosever turn it is."""
        line = self._nobodys if owner is None else self._lines.get(owner)
        return line.head() if line is not None else None

    def sweep(self) -> None:
        """Drop the dead."""
        for line in (self._nobodys, *self._lines.values()):
            line.sweep()

    def _key(self, owner: str) -> Key:
        return self._held.get(owner, 0), self._turns[owner], owner

    def _next(self, unowned: int) -> tuple[str | None, Line]:
        """Whose turn it is, and their line."""
        heap = self._heap
        while heap:
            owner = heap[0][2]
            line = self._lines.get(owner)
            if line is not None and heap[0] == self._key(owner):
                if line.head() is not None:
                    break
                del self._lines[owner], self._turns[owner]
            heappop(heap)
        if not heap:
            return None, self._nobodys
        mine = (unowned, self._turns.get("", 0))
        if mine <= heap[0][:2] and self._nobodys.head() is not None:
            return None, self._nobodys
        owner = heap[0][2]
        return owner, self._lines[owner]

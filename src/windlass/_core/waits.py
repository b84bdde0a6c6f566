"""Tasks that wait for tasks: lending slots, and telling the circles that would never end.

A task that waits lends its slot (never its gates), so what it waits for can run even when the
limit is one. When its last wait is over it wants a slot again and goes first in line for it.

A wait is refused if it closes a circle: if what is waited for depends on, or itself waits for, the
waiter, or can never pass a gate because of what the waiter, and others who are stuck with it, hold
there. Which also holds for the executors where a waiter would block the only thread there is.
"""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from typing import TYPE_CHECKING

from ..errors import DeadlockError
from .graph import find_path
from .states import PENDING, RUNNING, TERMINAL, WAITING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .pools import Pool, Slots
    from .task import Task


class Waits:
    """Who waits for whom right now; see the module."""

    __slots__ = ("_returning", "_slots", "_targets", "lent")

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._targets: dict[Task, list[Sequence[Task]]] = {}
        """What each waiter waits for: one sequence per wait that is on."""
        self.lent: set[Task] = set()
        self._returning: deque[Task] = deque()

    def __len__(self) -> int:
        return len(self.lent)

    def holds_slot(self, task: Task) -> bool:
        """Whether the running ``task`` has its slot, or has lent it."""
        return task not in self.lent

    def begin(self, waiter: Task, targets: Sequence[Task], run: int | None = None) -> None:
        """``waiter`` waits for ``targets`` from now on; raises DeadlockError if it must not.

        Nothing happens if it, or that run of it, is not running: an attempt that was given up may
        go on and wait, but has no slot to lend.
        """
        if waiter.status is not RUNNING or (run is not None and run != waiter.run):
            return
        pool = self._slots.pools[waiter.spec.executor]
        self._refuse_circles(waiter, targets)
        if waiter not in self.lent:
            self._refuse_executor(waiter, targets, pool)
            self.lent.add(waiter)
            self._slots.turnstiles.lend(waiter, 1)
            pool.waiting += 1
            self._slots.release(waiter)
        elif waiter in self._returning:
            # It wanted its slot back for an earlier wait; with this one it lends it again.
            self._returning.remove(waiter)
        self._targets.setdefault(waiter, []).append(targets)
        if self._slots.turnstiles.all:
            self._tell_gates(targets)

    def end(self, waiter: Task, targets: Sequence[Task]) -> bool:
        """``waiter`` waits for ``targets``, the same object, no more. True: it may go on at once.

        Otherwise it is in line for a slot and comes out of ``grant`` when it has one.
        """
        waits = self._targets.get(waiter)
        if waits is None:  # it ended while it waited; whatever is left of it may unwind
            return True
        waits[:] = [wait for wait in waits if wait is not targets]
        if waits:  # other waits of the same task are still on, and its slot stays lent
            return True
        del self._targets[waiter]
        self._returning.append(waiter)
        return False

    def grant(self) -> list[Task]:
        """Give free slots to the tasks whose waits are over, in the order they ended."""
        granted: list[Task] = []
        kept: deque[Task] = deque()
        while self._returning:
            waiter = self._returning.popleft()
            pool = self._slots.pools[waiter.spec.executor]
            if self._slots.room(pool) > 0:
                self._slots.acquire(waiter)
                self._settle(waiter, pool)
                granted.append(waiter)
            else:
                kept.append(waiter)
        self._returning = kept
        return granted

    def forget(self, task: Task) -> None:
        """``task``, whose slot is lent, has ended: it has none to give back."""
        self._targets.pop(task, None)
        if task in self._returning:
            self._returning.remove(task)
        self._settle(task, self._slots.pools[task.spec.executor])

    def of(self, task: Task) -> list[Task]:
        """What ``task`` waits for."""
        return [target for wait in self._targets.get(task, ()) for target in wait]

    def is_over(self, task: Task) -> bool:
        """Whether all waits of ``task`` are over, and it is in line for a slot."""
        return task in self._returning

    def _settle(self, waiter: Task, pool: Pool) -> None:
        self.lent.discard(waiter)
        self._slots.turnstiles.lend(waiter, -1)
        pool.waiting -= 1

    def _refuse_executor(self, waiter: Task, targets: Sequence[Task], pool: Pool) -> None:
        if pool.waiting < pool.traits.max_waiting:
            return
        path = [waiter.spec.name, *(target.spec.name for target in targets[:1])]
        if pool.traits.max_waiting:
            raise DeadlockError(
                f"{waiter.label} cannot wait: {pool.waiting} tasks of the {pool.name!r} executor "
                "already do, which is its limit. Make the other task a dependency "
                "(submit(f, handle.output)), or wait in a coroutine",
                waiter.id,
                {"path": path},
            )
        raise DeadlockError(
            f"{waiter.label} runs on the {pool.name!r} executor, where a task cannot wait for "
            "another. Make it a dependency instead: submit(f, handle.output)",
            waiter.id,
            {"path": path},
        )

    def _refuse_circles(self, waiter: Task, targets: Sequence[Task]) -> None:
        path = find_path(targets, waiter, self._blocked_by)
        if path is None and self._slots.turnstiles.all:
            path = self._stuck_at_gates(waiter, targets)
        if path is not None:
            names = [waiter.spec.name]
            for before, task in pairwise([waiter, *path]):
                gate = self._gate_between(before, task)
                names += [f"gate {gate}", task.spec.name] if gate else [task.spec.name]
            raise DeadlockError(
                f"{waiter.label} waits in a circle: " + " -> ".join(names),
                waiter.id,
                {"path": names},
            )

    def _blocked_by(self, task: Task) -> Sequence[Task]:
        if task.status is WAITING:
            return [other for other in task.dependencies if other.status not in TERMINAL]
        return self.of(task) if task.status is RUNNING else ()

    def _gate_between(self, task: Task, holder: Task) -> str | None:
        """The gate that keeps ``task`` waiting for ``holder``, if it is that."""
        if not _has_gates_ahead(task) or holder in task.dependencies:
            return None
        gates = (gate for gate, _ in self._slots.turnstiles.of(task))
        return next((gate.name for gate in gates if (holder, holder.run) in gate.holders), None)

    def _stuck_at_gates(self, waiter: Task, targets: Sequence[Task]) -> list[Task] | None:
        """A way from ``targets`` back to ``waiter`` through held gates, if there is no way out.

        That a holder waits is not enough: others may leave, and make room. So everybody who could
        be stuck is taken to be, and let off who is not, until nobody is let off any more.
        """
        stuck = {waiter, *targets}
        line = list(stuck)
        while line:
            new = [task for task in self._perhaps_blocked_by(line.pop()) if task not in stuck]
            stuck.update(new)
            line += new
        while True:
            free = [
                task for task in stuck if task is not waiter and not self._is_stuck(task, stuck)
            ]
            if not free:
                break
            stuck.difference_update(free)
        return find_path(
            [target for target in targets if target in stuck],
            waiter,
            lambda task: [other for other in self._perhaps_blocked_by(task) if other in stuck],
        )

    def _perhaps_blocked_by(self, task: Task) -> list[Task]:
        """What ``task`` waits for, and who holds what it needs."""
        behind = list(self._blocked_by(task))
        if _has_gates_ahead(task):
            for gate, _ in self._slots.turnstiles.of(task):
                behind += [holder for holder, _ in gate.holders]
        return behind

    def _is_stuck(self, task: Task, stuck: set[Task]) -> bool:
        """Whether ``task`` cannot go on if all of ``stuck`` cannot."""
        if any(other in stuck for other in self._blocked_by(task)):
            return True
        if not _has_gates_ahead(task):
            return False
        for gate, weight in self._slots.turnstiles.of(task):
            kept = sum(held for (holder, _), held in gate.holders.items() if holder in stuck)
            if not gate.fits(weight, kept):
                return True
        return False

    def _tell_gates(self, targets: Sequence[Task]) -> None:
        """All that ``targets`` wait for is waited for now, directly or not."""
        seen, line = set(targets), list(targets)
        while line:
            task = line.pop()
            if task.spec.gates and task.status not in TERMINAL:
                self._slots.turnstiles.want(task)
            new = [other for other in self._blocked_by(task) if other not in seen]
            seen.update(new)
            line += new


def _has_gates_ahead(task: Task) -> bool:
    """Whether ``task`` has yet to pass its gates; what was handed over has, though PENDING."""
    return task.status in {PENDING, WAITING} and not task.run_is_open

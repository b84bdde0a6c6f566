"""How tasks end, what that does to those that wait for them, and how they are forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .books import Books
from .fates import doom, turned_away
from .graph import shares_fate
from .outcome import Err
from .states import COMPLETED, FAILED, PENDING, RUNNING, TERMINAL, WAITING

if TYPE_CHECKING:
    from collections.abc import Callable

    from .outcome import Outcome
    from .states import TaskStatus
    from .task import Task
    from .timers import Purpose

_PURPOSES: tuple[Purpose, ...] = ("due", "timeout", "total_timeout", "expires", "grace")


class Endings(Books):
    """The ends of tasks; see the module."""

    def _finish(
        self, task: Task, status: TaskStatus, outcome: Outcome, now: float, cause: str
    ) -> None:
        """End a task, whose slot (if it had one) has been given back."""
        ran, queued = task.status is RUNNING, task.queued
        entered = ran or self._recall(task, now)
        if ran:
            error = outcome.error if isinstance(outcome, Err) else None
            self._remember_attempt(task, now, cause, error)
        self._move(task, status, now, cause)
        if task.spec.gates and not entered and self.turnstiles.forget(task, now):
            queued = False  # it was in line at a gate, and is not any more
        if queued:
            self._pool(task).queue.bury(task)
        self.by_hand.discard(task)
        task.outcome = outcome
        task.ended_at = now
        self._after_end(task, now)

    def _shed(self, now: float) -> None:
        """Fail the tasks that would rather fail than wait for an open gate."""
        doomed = self.turnstiles.doomed
        while doomed:
            task, gate = doomed.popleft()
            if task.status is PENDING and gate.circuit is not None:
                gate.refused += 1
                verdict = turned_away(task, gate.name, gate.circuit.until - now)
                self._finish(task, FAILED, verdict, now, f"gate {gate.name} is open")

    def _after_end(self, task: Task, now: float) -> None:
        self.retention.append(task)
        if self.children:
            self.children.pop(task, None)
        if task.spec.timed or task.due or task.notes is not None:
            for purpose in _PURPOSES:
                self.timers.discard((task, purpose))
            self.calendar.discard(task)
        if task.dependents is not None:
            self._tell_dependents(task, now)

    # -- whom it concerns --------------------------------------------------------------------

    def _tell_dependents(self, task: Task, now: float) -> None:
        dependents = task.dependents or ()
        if task.status is COMPLETED:
            task.dependents = None
            for dependent in dependents:
                if dependent.status is WAITING:
                    dependent.missing -= 1
                    if not dependent.missing:
                        self._make_ready(dependent, now)
            return
        for dependent in dependents:
            if dependent.status is not WAITING:
                continue
            if shares_fate(dependent, task):
                self._doomed.append((dependent, task))
            else:
                dependent.missing -= 1
                if not dependent.missing:
                    self._make_ready(dependent, now)
        self._fall(now)

    def _make_ready(self, task: Task, now: float) -> None:
        """Nothing is left of what ``task`` waited for."""
        spec, moves = task.spec, self._moves
        pool = self.slots.pools[spec.executor]
        if (
            not spec.plain
            or moves.moved
            or task.notes
            or task.held
            or task.due
            or pool.traits.manual
        ):
            self._move(task, PENDING, now, "dependencies done")
            self._line_up(task, now)
            return
        # As in ``_admit``: most have nothing special about them, and every edge leads here.
        task.status = PENDING
        self.counts[WAITING] -= 1
        self.counts[PENDING] += 1
        moves.readied.append(task)
        task.queued_at = now
        pool.queue.push(task)

    def _fall(self, now: float) -> None:
        """End the doomed, and whom they doom, with a list instead of recursion."""
        if self._falling:
            return
        self._falling = True
        while self._doomed:
            task, dependency = self._doomed.popleft()
            if task.status not in TERMINAL:
                status, outcome, cause = doom(task, dependency)
                self._finish(task, status, outcome, now, cause)
        self._falling = False

    # -- what has ended ----------------------------------------------------------------------

    def remember(self, task: Task) -> None:
        """Take in a task that has ended long ago, for those who ask about it."""
        self.tasks[task.id] = task
        self.counts[task.status] += 1
        self.retention.append(task)
        if task.notes is not None and task.notes.key is not None:
            self.keys.setdefault(task.notes.key, task)

    def forget_old(self, now: float, may_go: Callable[[Task], bool] | None = None) -> list[Task]:
        """Forget the tasks that ended too long ago, or are too many; returns them."""
        return [task for task in self.retention.pop_old(now, may_go) if self.forget(task)]

    def forget(self, task: Task) -> bool:
        """Forget an ended task; False if it was forgotten, or renewed by a retry."""
        task.dependencies = ()  # or the past would hold on to its own past, without end
        if self.tasks.get(task.id) is not task:
            return False
        del self.tasks[task.id]
        self.counts[task.status] -= 1
        key = task.notes.key if task.notes is not None else None
        if key is not None and self.keys.get(key) is task:
            del self.keys[key]
        return True

"""One task's way through the engine: from being taken in to its end, step by step.

Every step is a small method named after what happens. The inputs that set a task in motion, and
the outputs by which anybody learns of it, are in ``engine``; how it ends is in ``endings``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .endings import Endings
from .fates import TIMEOUT, TOTAL_TIMEOUT, timed_out
from .graph import link
from .outcome import Again, Cancelled, Err, Ok, Unbegun
from .states import CANCELLED, COMPLETED, FAILED, PENDING, RUNNING, TERMINAL, WAITING
from .task import INTERRUPTED, SNOOZED, UNBEGUN

if TYPE_CHECKING:
    from .outcome import Outcome
    from .states import TaskStatus
    from .task import Notes, Task
    from .timers import Purpose

BENEFIT_SECONDS = 10.0
"""How long it is not too late for what an earlier life handed over: it may have begun meanwhile."""


class Lifecycle(Endings):
    """The moves of single tasks; see the module."""

    # -- being taken in ----------------------------------------------------------------------

    def _admit(self, task: Task, before: TaskStatus | None, now: float, cause: str) -> None:
        self.tasks[task.id] = task
        doomed_by = None
        if task.dependencies:
            if self._holds and not task.held:
                self._release_all([other for other in task.dependencies if other.held], now)
            doomed_by = link(task)
            if task.missing or doomed_by is not None:
                task.status = WAITING
        spec, status, pool = task.spec, task.status, self.slots.pools[task.spec.executor]
        self.counts[status] += 1
        if (
            spec.plain
            and before is None
            and doomed_by is None
            and not (task.notes or task.held or task.due or pool.traits.manual)
        ):
            # Nothing special about it, as about most tasks.
            if status is PENDING:
                self._moves.submitted.append(task)
                pool.queue.push(task)
                return
            if cause == "submitted":
                self._moves.waiting.append(task)
                return
        if spec.gates:
            self.turnstiles.expect(task)
        if task.notes is not None:
            self._enter_in_books(task, task.notes)
        self._holds |= task.held
        self._moves.moved.append((task, before, status, now, task.attempt, cause))
        if spec.timed:
            self._limit(task, now, anew=before is not None)
        if doomed_by is not None:
            self._doomed.append((task, doomed_by))
            self._fall(now)
        elif status is PENDING:
            self._line_up(task, now)

    def _limit(self, task: Task, now: float, *, anew: bool) -> None:
        """Set until when a task that is taken in must end and start; ``anew``: it was retried."""
        spec = task.spec
        if spec.total_timeout is not None:
            self.timers.set((task, "total_timeout"), task.created_at + spec.total_timeout)
        if spec.expires is not None and (anew or not task.started_at):
            too_late = task.created_at + spec.expires
            if task.run and not anew:
                too_late = max(too_late, now + BENEFIT_SECONDS)
            self.timers.set((task, "expires"), too_late)

    def _enter_in_books(self, task: Task, notes: Notes) -> None:
        if notes.key is not None:
            self.keys[notes.key] = task
        parent = notes.parent
        if parent is not None and parent.status not in TERMINAL:
            self.children.setdefault(parent, []).append(task)

    # -- running -----------------------------------------------------------------------------

    def _start(self, task: Task, now: float) -> None:
        task.status = RUNNING
        task.run += 1
        task.started_at = now
        if task.spec.timed:
            self._set_alarms(task, now)

    def _hand_over(self, taken: list[Task]) -> list[Task]:
        """Claim those of ``taken`` whose start will be reported; the others, which start now."""
        starting: list[Task] = []
        for task in taken:
            if self._pool(task).traits.reports_start:
                task.run += 1
                self.claimed[task] = ""
            else:
                starting.append(task)
        return starting

    def _set_alarms(self, task: Task, now: float, *, starts: bool = True) -> None:
        spec = task.spec
        self.timers.discard((task, "expires"))
        if starts and spec.timeout is not None:
            self.timers.set((task, "timeout"), now + spec.timeout)

    def _finish_well(self, task: Task, outcome: Ok, now: float) -> None:
        """A run has returned: tell the policies that ask how it went, and give all back."""
        if self.tide is not None:
            self.tide.took(now - task.started_at)
        if task.spec.gates:
            self.turnstiles.judge(task, None, now)
        self._vacate(task, now)
        self._move(task, COMPLETED, now, "returned")
        task.outcome, task.ended_at = outcome, now
        self._after_end(task, now)

    def _ended_without_result(self, task: Task, outcome: Outcome, now: float) -> None:
        if type(outcome) is Err:
            self._failed(task, outcome, now, "crashed" if outcome.crashed else "failed")
        elif type(outcome) is Again:
            self._put_off(task, outcome.delay, now)
        elif type(outcome) is Unbegun:
            self._resume_line(task, now)
        else:
            assert isinstance(outcome, Cancelled)
            self._vacate(task, now)
            self._finish(task, CANCELLED, outcome, now, outcome.cause)

    def _stop(self, task: Task, why: str, now: float) -> None:
        """Begin to end the attempt of a RUNNING task, for a timeout or because it is cancelled."""
        before = self._ending.get(task)
        if before is None:
            self._ending[task] = why
            traits = self._pool(task).traits
            if not traits.manual:
                self.stops.append((task, task.run))
            if traits.grace > 0:
                self.timers.set((task, "grace"), now + traits.grace)
            else:
                self._close(task, now, left=not traits.lingers)
        elif before in {TIMEOUT, INTERRUPTED} and why not in {TIMEOUT, INTERRUPTED}:
            # Whoever cancels a task that is just timing out does not want it retried.
            self._ending[task] = why

    def _close(self, task: Task, now: float, *, left: bool) -> None:
        """End a stopped attempt; ``left`` tells whether its function has really returned."""
        why = self._ending.pop(task)
        self.timers.discard((task, "grace"))
        if not left:
            self.lingering[task.id] = task.run
        if why == TIMEOUT:
            self._failed(task, timed_out(task, why), now, "timed out", left=left)
            return
        self._vacate(task, now, left=left)
        if why == INTERRUPTED:
            self._remember_attempt(task, now, INTERRUPTED, None)
            task.noted.given_back += 1
            self._back_to_pending(task, 0.0, now, INTERRUPTED)
            return
        if why == TOTAL_TIMEOUT:
            self._finish(task, FAILED, timed_out(task, why), now, "timed out")
        else:
            self._finish(task, CANCELLED, Cancelled(why), now, why)

    def _finish_late(self, task: Task, outcome: Ok, now: float) -> None:
        """An attempt that was being interrupted has returned all the same: so much the better."""
        del self._ending[task]
        self.timers.discard((task, "grace"))
        self._finish_well(task, outcome, now)

    def _late(self, task: Task, run: int, now: float) -> None:
        """A report that changes nothing, except that a lingering attempt has now left."""
        self.stale_reports += 1
        if task.spec.gates:
            self.turnstiles.leave(task, run, now)
        if self.lingering.get(task.id) == run:
            del self.lingering[task.id]
            current = self.tasks.get(task.id)
            waits = current is not None and current.status is PENDING and not current.queued
            if current is not None and waits and current not in self.claimed:
                # It may be due since a moment ago; were the timer left, it would queue twice.
                self.timers.discard((current, "due"))
                self._line_up(current, now)

    def _failed(self, task: Task, outcome: Err, now: float, how: str, *, left: bool = True) -> None:
        """An attempt is over without a result: again, or the end."""
        spec, notes = task.spec, task.noted
        if self.tide is not None:
            self.tide.took(now - task.started_at)
        if spec.gates:
            self.turnstiles.judge(task, outcome.error, now)
        self._vacate(task, now, left=left)
        if outcome.crashed:
            notes.crashes += 1
            again, wait = spec.on_crash == "retry" and notes.crashes < spec.max_crashes, 0.0
        else:
            notes.failures += 1
            again = spec.retry.again(notes.failures, outcome.error)
            wait = spec.retry.wait(notes.failures, outcome.luck)
        if again:
            self._remember_attempt(task, now, how, outcome.error)
            self._back_to_pending(task, wait, now, f"{how}, retry in {wait:.1f} s")
        else:
            self._finish(task, FAILED, outcome, now, how)

    def _put_off(self, task: Task, delay: float, now: float) -> None:
        self._vacate(task, now)
        self._remember_attempt(task, now, SNOOZED, None)
        task.noted.given_back += 1
        self._back_to_pending(task, delay, now, f"snoozed for {delay:.1f} s")

    def _resume_line(self, task: Task, now: float) -> None:
        """A run has not begun after all: it spent nothing, and its task has not lost its place."""
        self._ending.pop(task, None)
        self.timers.discard((task, "grace"))
        self._vacate(task, now)
        self._remember_attempt(task, now, UNBEGUN, None)
        notes, expires = task.noted, task.spec.expires
        notes.given_back += 1
        if not notes.began:
            task.started_at = 0.0
            if expires is not None:
                self.timers.set((task, "expires"), task.created_at + expires)
        self._back_to_pending(task, 0.0, now, UNBEGUN, back=True)

    def _back_to_pending(
        self, task: Task, wait: float, now: float, cause: str, *, back: bool = False
    ) -> None:
        if task.spec.timed:
            self.timers.discard((task, "timeout"))
        self._move(task, PENDING, now, cause)
        notes = task.noted
        notes.progress, notes.message = None, ""
        task.due = now + wait
        if task.spec.gates:
            self.turnstiles.expect(task)
        self._line_up(task, now, back=back)

    # -- time --------------------------------------------------------------------------------

    def _ring(self, task: Task, purpose: Purpose, now: float) -> None:
        """Do what was to be done now; ended tasks have no timers."""
        if purpose == "due":
            self._line_up(task, now)
        elif purpose == "timeout":
            self._stop(task, TIMEOUT, now)
        elif purpose == "grace":
            self._close(task, now, left=False)
        elif purpose == "expires":
            self._finish(task, CANCELLED, Cancelled("expired"), now, "expired")
        elif task.status is RUNNING:
            self._stop(task, TOTAL_TIMEOUT, now)
        else:
            self._finish(task, FAILED, timed_out(task, TOTAL_TIMEOUT), now, "timed out")

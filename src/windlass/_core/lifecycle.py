"""One task's way through the engine: from being taken in to its end, step by step.

Every step is a small method named after what happens. The inputs that set a task in motion, and
the outputs by which anybody learns of it, are in ``engine``.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from .change import Moves
from .fates import (
    TIMEOUT,
    TOTAL_TIMEOUT,
    doom,
    story,
    timed_out,
    turned_away,
)
from .flow import Adaptive
from .graph import link, shares_fate
from .meters import Tide
from .outcome import Cancelled, Err, Ok
from .pools import Pool, Slots
from .retention import Retention
from .states import (
    CANCELLED,
    COMPLETED,
    FAILED,
    PENDING,
    RUNNING,
    TERMINAL,
    TRANSITIONS,
    WAITING,
    TaskStatus,
)
from .task import INTERRUPTED, SNOOZED, UNBEGUN, Attempt, Notes, Task
from .timers import Purpose, Timers
from .turnstile import Turnstile
from .turnstiles import Turnstiles
from .waits import Waits

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .outcome import Outcome

BENEFIT_SECONDS = 10.0
"""How long it is not too late for what an earlier life handed over: it may have begun meanwhile."""

_PURPOSES: tuple[Purpose, ...] = ("due", "timeout", "total_timeout", "expires", "grace")


class Lifecycle:
    """The engine's state, and the moves of single tasks; see the module."""

    def __init__(
        self,
        limit: int | Adaptive,
        age_every: float | None,
        keep_seconds: float | None,
        keep_count: int | None,
    ) -> None:
        self.tasks: dict[str, Task] = {}
        self.keys: dict[str, Task] = {}
        self.counts: dict[TaskStatus, int] = dict.fromkeys(TaskStatus, 0)
        self.age_every = age_every
        self.turnstiles = Turnstiles(self._put_back, self._ring_at, self._has_slot)
        self.tide = Tide(limit) if isinstance(limit, Adaptive) else None
        most = limit.min if isinstance(limit, Adaptive) else limit
        self.slots = Slots(most, {}, self.turnstiles)
        self.waits = Waits(self.slots)
        self.timers = Timers[tuple[Task, Purpose]]()  # in monotonic time
        self.calendar = Timers[Task]()  # in wall time, for ``at=``: a jump of the clock moves it
        self.alarms = Timers[Turnstile]()  # of gates, in monotonic time
        self.retention = Retention(keep_seconds, keep_count)
        self.children: dict[Task, list[Task]] = {}
        self.lingering: dict[str, int] = {}  # task id -> the run that is over but goes on
        self.by_hand: set[Task] = set()  # external tasks that somebody may start
        # PENDING, and handed over: their start is to be reported. With what holds it up, if known.
        self.claimed: dict[Task, str] = {}
        self._ending: dict[Task, str] = {}  # stopped attempts -> why, until they end
        self.stops: list[tuple[Task, int]] = []
        self._moves = Moves()
        """What has happened since the last drain."""
        self.stale_reports = 0
        self._holds = False
        """Whether any task was ever held."""
        self._doomed: deque[tuple[Task, Task]] = deque()
        self._falling = False

    def _move(self, task: Task, after: TaskStatus, now: float, cause: str) -> None:
        """Fire one transition. Every move but the three written out on the hot path comes here."""
        before = task.status
        if after not in TRANSITIONS[before]:
            raise AssertionError(f"{before} -> {after} is not in the table; {story(task)}")
        task.status = after
        self.counts[before] -= 1
        self.counts[after] += 1
        self._moves.moved.append((task, before, after, now, task.attempt, cause))

    # -- waiting to run ----------------------------------------------------------------------

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

    def _line_up(self, task: Task, now: float, *, back: bool = False) -> None:
        """Queue a PENDING task, where it was if it comes ``back``, or have it queued when due."""
        if task.held:
            return
        if task.due > now:
            self.timers.set((task, "due"), task.due)
            return
        if task.notes is not None and task.notes.due_at is not None:
            self.calendar.set(task, task.notes.due_at)
            return
        if self.lingering and task.id in self.lingering and not task.spec.retry.overlap:
            return  # until the last attempt has left
        pool = self.slots.pools[task.spec.executor]
        if pool.traits.manual:
            self.by_hand.add(task)
            return
        if not back:
            task.queued_at = now
        if not (back or task.spec.gates or task.spec.owner):
            pool.queue.push(task)
        elif not self.turnstiles.shelter(task, now):
            pool.queue.put(task, back=back)

    def _put_back(self, task: Task) -> None:
        """A gate calls ``task``, which comes before all that have joined since it was parked."""
        self._pool(task).queue.put(task, back=True)

    def _has_slot(self, executor: str) -> bool:
        return self.slots.room(self.slots.pools[executor]) > 0

    def _ring_at(self, gate: Turnstile, when: float) -> None:
        self.alarms.set(gate, when)

    def _release_all(self, tasks: Iterable[Task], now: float) -> None:
        """Let held tasks, and the held tasks they depend on, run when they can.

        So what is not held never depends on what is, and nothing waits for ever on a task that
        nobody started.
        """
        line = list(tasks)
        while line:
            task = line.pop()
            if task.held and task.status not in TERMINAL:
                task.held = False
                line.extend(task.dependencies)
                if task.status is PENDING:
                    self._line_up(task, now)

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

    def _recall(self, task: Task, now: float) -> bool:
        """Give back what a claimed task holds, and have it stopped; False if it is not claimed."""
        if self.claimed.pop(task, None) is None:
            return False
        self.stops.append((task, task.run))
        self._vacate(task, now)
        task.noted.given_back += 1
        return True

    def _set_alarms(self, task: Task, now: float, *, starts: bool = True) -> None:
        spec = task.spec
        self.timers.discard((task, "expires"))
        if starts and spec.timeout is not None:
            self.timers.set((task, "timeout"), now + spec.timeout)

    def _vacate(self, task: Task, now: float, *, left: bool = True) -> None:
        """Give back the slot of a RUNNING task, unless it has lent it, and its gates if it left."""
        if self.waits.lent and task in self.waits.lent:
            self.waits.forget(task)
        else:
            self.slots.release(task)
        if task.spec.gates:
            if left:
                self.turnstiles.leave(task, task.run, now)
            else:
                self.turnstiles.linger(task, now)

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
        if all(past.ended == UNBEGUN for past in notes.attempts):
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

    def _remember_attempt(
        self, task: Task, now: float, how: str, error: BaseException | None
    ) -> None:
        task.noted.attempts.append(Attempt(task.attempt, task.started_at, now, how, error))

    # -- ending ------------------------------------------------------------------------------

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

    def _pool(self, task: Task) -> Pool:
        return self.slots.pools[task.spec.executor]

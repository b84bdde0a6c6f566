"""The laws: a naive account of what may happen, compared with the engine after every step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._core.fates import TIMEOUT
from ..._core.flow import Adaptive
from ..._core.lifecycle import BENEFIT_SECONDS
from ..._core.outcome import Again, Cancelled, Err, Ok, Unbegun
from ..._core.states import (
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
from ..._core.task import INTERRUPTED, UNBEGUN
from .lives import Life, may_run, snapshot
from .plans import Broken, Fatal

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from ..._core.change import Transition
    from ..._core.outcome import Outcome
    from ..._core.task import Task
    from ..._core.timers import Purpose
    from .world import Attempt, World


class Laws:
    """See the module."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._engine = world.engine
        self._lives: dict[Task, Life] = {}
        self._over: list[Life] = []
        self._folded: dict[str, TaskStatus] = {}
        self.walls: list[float] = [world.wall]

    # -- what the world tells ----------------------------------------------------------------

    def born(self, task: Task) -> None:
        """``task`` was taken in."""
        self._lives[task] = Life(task, self._world.now, len(self.walls) - 1)
        if task.notes is not None and task.notes.parent in self._lives:
            self._lives[task.notes.parent].children.append(task)
        if not task.held:
            for dependency in task.dependencies:
                self.released(dependency)

    def released(self, task: Task) -> None:
        """``task``, and the held tasks before it, may run."""
        life = self._lives[task]
        if life.held and task.status not in TERMINAL:
            life.held = False
            for dependency in life.dependencies:
                self.released(dependency)

    def forgotten(self, task: Task) -> None:
        """``task`` is no longer remembered."""
        if task.status not in TERMINAL:
            raise Broken(f"{task} was forgotten before its end")
        del self._folded[task.id]

    def reopened(self, tasks: Mapping[Task, Task], crashed: Collection[Task]) -> None:
        """Another engine has taken in what had not ended: ``tasks``, by what they were before."""
        self._engine = self._world.engine
        self._folded.clear()
        patient_until = self._world.now + BENEFIT_SECONDS
        for task in tasks:
            life = self._lives.pop(task)
            life.go_on(tasks, crashed=task in crashed, patient_until=patient_until)
            self._lives[life.task] = life

    def children(self, task: Task) -> list[Task]:
        """The tasks that were submitted by ``task``."""
        return self._lives[task].children

    def dependencies(self, task: Task) -> tuple[Task, ...]:
        """What ``task`` was to follow, also when it has been forgotten."""
        return self._lives[task].dependencies

    def is_back(self, task: Task) -> bool:
        """Whether ``task`` is in line again, after a run that never began."""
        return self._lives[task].back

    def over(self) -> list[Task]:
        """All tasks that have ended, in that order."""
        return [life.task for life in self._over]

    def accepted(self, attempt: Attempt, outcome: Outcome, stopped: str | None) -> None:
        """The first report of a run that was on has been settled."""
        task = attempt.task
        late = isinstance(outcome, Ok) and stopped == INTERRUPTED  # so much the better
        early = isinstance(outcome, Unbegun) and stopped == TIMEOUT  # its time had not begun
        if stopped is not None and not (late or early):
            good = not attempt.current and task.outcome is not outcome
        elif isinstance(outcome, Ok):
            good = task.status is COMPLETED and task.outcome is outcome
        elif isinstance(outcome, Cancelled):
            good = task.status is CANCELLED and task.outcome is outcome
        elif isinstance(outcome, Again):
            good = task.status is PENDING and task.due == self._world.now + outcome.delay
        elif task.status is PENDING:
            good = task.noted.attempts[-1].error is outcome.error
        else:
            good = task.status is FAILED and task.outcome is outcome
        if not good:
            raise Broken(f"run {attempt.number} reported {outcome}, and now: {task}")

    # -- what the engine says ----------------------------------------------------------------

    def check(self, transitions: Sequence[Transition]) -> None:
        """Follow what is said to have happened, and compare everything with where things stand."""
        for transition in transitions:
            self._follow(*transition)
        for task in self._world.handed_over:
            self._may_start(self._lives[task])
        self._recount()
        for life in self._over:
            if snapshot(life.task) != life.ended:
                raise Broken(f"{life.task} has changed after its end")

    def _follow(
        self,
        task: Task,
        before: TaskStatus | None,
        after: TaskStatus,
        when: float,
        attempt: int,
        cause: str,
    ) -> None:
        move = f"{task.id}: {before} -> {after} ({cause})"
        if after not in TRANSITIONS[before]:
            raise Broken(f"{move} is not in the table")
        if self._folded.get(task.id) is not before:
            raise Broken(f"{move}, but it was {self._folded.get(task.id)}")
        life = self._lives[task]
        expected = life.born if cause == "submitted" else self._world.now
        if when != expected or not cause:
            raise Broken(f"{move} at {when} instead of {expected}")
        self._folded[task.id] = after
        if after is RUNNING:
            self._started(life)
        elif before in {PENDING, WAITING, RUNNING}:
            may = self._good_end if before is RUNNING else self._may_move
            if not may(life, after, cause):
                raise Broken(f"{move}, and there is no reason for it")
        if attempt != life.spent:
            raise Broken(f"{move} as attempt {attempt}, not {life.spent}")
        if after in TERMINAL:
            life.ended = snapshot(task)
            self._over.append(life)

    def _started(self, life: Life) -> None:
        if not self._world.traits(life.task).reports_start:
            self._may_start(life)  # else it was to be so when it was handed over
        life.starts(self._world.now)

    def _may_start(self, life: Life) -> None:
        task, world = life.task, self._world
        life.run += 1
        life.joined, life.back = task.queued_at, False
        if task.run != life.run:
            raise Broken(f"{task} starts as run {task.run}, which is run {life.run}")
        if life.held or task.due > world.now:
            raise Broken(f"{task} started although it is {'held' if life.held else 'not due'}")
        if life.at is not None and max(self.walls[life.seen_walls :]) < life.at:
            raise Broken(f"{task} started before its at=")
        if not may_run(life):
            raise Broken(f"{task} started before its dependencies: {life.dependencies}")
        if not self._world.traits(task).manual:
            # What a person starts may have run out of time since the engine last looked.
            total = task.spec.total_timeout
            late = not life.began and life.expires_at <= world.now
            if late or (total and life.born + total <= world.now):
                raise Broken(f"{task} started too late")
        for other in world.on:
            behind = other.task.id == task.id and other.number != life.run
            if behind and not task.spec.retry.overlap and self._goes_on(other):
                raise Broken(f"{task} started while its run {other.number} goes on")

    def _goes_on(self, attempt: Attempt) -> bool:
        """Whether the function of an attempt that has not reported may still be running."""
        return not self._world.has_left(attempt.task, attempt.number)

    def is_limited(self, attempt: Attempt) -> bool:
        """Whether an attempt that is on must end by itself, some time."""
        spec = attempt.task.spec
        if spec.total_timeout is not None:
            return True
        if attempt.running:
            return spec.timeout is not None
        return spec.expires is not None and not self._lives[attempt.task].began

    def _good_end(self, life: Life, after: TaskStatus, cause: str) -> bool:
        """Whether a run may end like this."""
        reports = self._world.attempts[life.task.id, life.run].reported
        reported = reports[0] if reports else None
        outcome = life.task.outcome
        if after is COMPLETED:
            ours = isinstance(outcome, Ok) and outcome.value == (life.task.id, life.run)
            return ours and outcome is reported
        if after is CANCELLED:
            return isinstance(reported, Cancelled) or life.task in self._world.cancelled
        how = cause.partition(",")[0]
        if how in {INTERRUPTED, UNBEGUN} or how.startswith("snoozed"):
            return self._good_return(life, how, reported)
        if how == "timed out":
            return self._good_timeout(life, after)
        if not isinstance(reported, Err):
            return False
        if how == "crashed":
            life.crashes += 1
            spent = life.crashes >= life.task.spec.max_crashes
        else:
            life.failures += 1
            spent = life.failures > life.task.spec.retry.retries
            spent = spent or isinstance(reported.error, Fatal)
        return reported.crashed == (how == "crashed") and spent == (after is FAILED)

    def _good_return(self, life: Life, how: str, reported: Outcome | None) -> bool:
        """Whether a run may end without having spent an attempt."""
        life.spent -= 1
        if how == UNBEGUN:
            life.comes_back()
            return isinstance(reported, Unbegun) and life.task.queued_at == life.joined
        asked = (life.task, life.run) in self._world.interrupted
        return asked if how == INTERRUPTED else type(reported) is Again

    def _good_timeout(self, life: Life, after: TaskStatus) -> bool:
        spec, now = life.task.spec, self._world.now
        total = spec.total_timeout
        if after is FAILED and total is not None and life.born + total <= now:
            return True
        life.failures += 1
        spent = life.failures > spec.retry.retries
        in_time = spec.timeout is None or now < life.started + spec.timeout
        return not in_time and spent == (after is FAILED)

    def _may_move(self, life: Life, after: TaskStatus, cause: str) -> bool:
        """Whether a task that has not run may go to ``after``."""
        task, spec, now = life.task, life.task.spec, self._world.now
        if after is PENDING:
            return may_run(life)
        picky = spec.run_if != "all_done"
        if picky and any(other.status is after for other in life.dependencies):
            return True
        if after is FAILED:
            if cause.startswith("gate "):
                return isinstance(task.outcome, Err) and spec.when_open == "fail"
            if cause == "crashed":
                return life.crashes >= spec.max_crashes
            total = spec.total_timeout
            return cause == "timed out" and total is not None and life.born + total <= now
        expired = life.expires_at <= now
        return task in self._world.cancelled or (cause == "expired" and expired)

    # -- where things stand ------------------------------------------------------------------

    def queued(self) -> dict[str, list[Task]]:
        """Who is queued with each executor; each once, and as many as the queue says."""
        found: dict[str, list[Task]] = {}
        for name, pool in self._engine.slots.pools.items():
            queued = found[name] = list(pool.queue) if len(pool.queue) else []
            if len(queued) != len(pool.queue) or len(set(queued)) != len(queued):
                raise Broken(f"{name} has {len(pool.queue)} queued, which are {queued}")
        return found

    def _recount(self) -> None:
        engine = self._engine
        counts = dict.fromkeys(TaskStatus, 0)
        taken = dict.fromkeys(engine.slots.pools, 0)
        waiting = dict.fromkeys(engine.slots.pools, 0)
        in_queue = {task for tasks in self.queued().values() for task in tasks}
        timers = 0
        for task in engine.tasks.values():
            counts[task.status] += 1
            if self._folded.get(task.id) is not task.status:
                raise Broken(f"{task} is said to be {self._folded.get(task.id)}")
            if task.status in TERMINAL:
                continue
            if task.held != self._lives[task].held:
                raise Broken(f"{task} takes itself for held: {task.held}")
            self._check_attempts(task)
            timers += self._check_timers(task)
            if task.status is PENDING:
                self._check_pending(task, in_queue)
                taken[task.spec.executor] += self._world.is_claimed(task)
            elif task.status is WAITING:
                self._check_waiting(task)
            else:
                (waiting if task in self._world.lent else taken)[task.spec.executor] += 1
        if counts != engine.counts or len(self._folded) != len(engine.tasks):
            raise Broken(f"counted {engine.counts}, but there are {counts}")
        if timers != len(engine.timers):
            raise Broken(f"{len(engine.timers)} timers are set, of which {timers} mean anything")
        if any(parent.status in TERMINAL for parent in engine.children):
            raise Broken(f"children are kept of what has ended: {list(engine.children)}")
        self._check_slots(taken, waiting)

    def _check_attempts(self, task: Task) -> None:
        """What people are told of its attempts is how many it has had, and may come to."""
        life, claimed = self._lives[task], self._world.is_claimed(task)
        on = claimed or task.status is RUNNING
        told = (task.attempt, task.run_is_open, task.most_attempts)
        left = max(0, task.spec.retry.retries - life.failures)
        number = life.spent + claimed
        if told != (number, on, number + (not on) + left):
            raise Broken(f"{task} tells of its attempts {told}; {number}, on: {on}, left: {left}")

    def _check_slots(self, taken: dict[str, int], waiting: dict[str, int]) -> None:
        slots = self._engine.slots
        for name, pool in slots.pools.items():
            if (pool.taken, pool.waiting) != (taken[name], waiting[name]):
                raise Broken(
                    f"{name} counts {pool.taken} taken and {pool.waiting} lent, "
                    f"but it is {taken[name]} and {waiting[name]}"
                )
            if not 0 <= pool.taken <= pool.traits.slots:
                raise Broken(f"{pool.taken} of {pool.traits.slots} slots of {name} are taken")
        local = sum(taken[name] for name, pool in slots.pools.items() if pool.traits.local)
        adaptive = isinstance(self._world.setting.limit, Adaptive)
        if local != slots.running or (local > slots.limit and not adaptive):
            raise Broken(f"{local} run and {slots.running} are counted, of {slots.limit}")

    def _check_timers(self, task: Task) -> int:
        """How many timers are set for ``task``, which has not ended."""
        timers, spec, status = self._engine.timers, task.spec, task.status
        stopped = self._engine.ending(task) is not None
        timeout = (task, "timeout") in timers
        total = (task, "total_timeout") in timers
        expires = (task, "expires") in timers
        grace = (task, "grace") in timers
        due = (task, "due") in timers
        running = status is RUNNING
        expects = spec.expires is not None and not self._lives[task].began
        good = (
            (timeout == (running and spec.timeout is not None) or (stopped and not timeout))
            and (total == (spec.total_timeout is not None) or (stopped and not total))
            and grace == stopped <= running
            and expires == expects
            and (not due or status is PENDING)
        )
        if not good:
            raise Broken(f"the timers of {task} are wrong")
        return timeout + total + expires + grace + due

    def _check_pending(self, task: Task, in_queue: set[Task]) -> None:
        """A pending task stands in exactly one place, from where it will go on."""
        engine = self._engine
        due: tuple[Task, Purpose] = (task, "due")
        parked = task.notes is not None and task.notes.parked is not None
        doomed = any(task is other for other, _ in engine.turnstiles.doomed)
        claimed = self._world.is_claimed(task)
        if claimed != (task in engine.claimed):
            raise Broken(f"{task} {'waits' if claimed else 'does not wait'} for a worker")
        places = [
            task.held,
            due in engine.timers,
            task in engine.calendar,
            task in engine.by_hand,
            task in in_queue,
            claimed,
            parked,
            doomed and not parked and task not in in_queue,
        ]
        if task.queued != (task in in_queue or parked):
            raise Broken(f"{task} takes itself for queued: {task.queued}")
        behind = task.id in engine.lingering and not task.spec.retry.overlap
        if sum(places) != 1 and not (behind and not any(places)):
            raise Broken(f"{task} stands in {sum(places)} places: {places}")

    def _check_waiting(self, task: Task) -> None:
        open_ones = [other for other in task.dependencies if other.status not in TERMINAL]
        if task.missing != len(open_ones) or not open_ones:
            raise Broken(f"{task} waits for {task.missing}, but open are {open_ones}")
        if not task.held and any(other.held for other in open_ones):
            raise Broken(f"{task} waits for a held task that nobody will release")

    def punctual(self) -> None:
        """Once the engine has been told the time, nothing is overdue."""
        engine, now = self._engine, self._world.now
        for due, time in ((engine.timers.next(), now), (engine.calendar.next(), self._world.wall)):
            if due is not None and due <= time:
                raise Broken(f"something was to happen at {due}, and it is {time}")

    def stopped(self) -> None:
        """Right after a turn of the pump, runs that are over have been told to stop."""
        for attempt in self._world.on:
            if not (attempt.current or attempt.stopped or self._world.traits(attempt.task).manual):
                raise Broken(f"run {attempt.number} of {attempt.task} goes on, and nobody stops it")

    def nothing_left(self) -> None:
        """At the very end nothing of what went on is kept."""
        engine = self._engine
        left = {
            "timers": len(engine.timers),
            "calendar": len(engine.calendar),
            "queued": sum(len(pool.queue) for pool in engine.slots.pools.values()),
            "taken": sum(pool.taken for pool in engine.slots.pools.values()),
            "running": engine.slots.running,
            "waits": len(engine.waits),
            "lingering": len(engine.lingering),
            "by hand": len(engine.by_hand),
            "claimed": len(engine.claimed),
            "children": len(engine.children),
            "stops": len(engine.take_stops()),
            **self._world.doors.nothing_left(),
        }
        if any(left.values()) or not engine.is_quiet():
            raise Broken(f"left over at the end: {left}")

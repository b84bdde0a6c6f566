"""The engine: every decision about every task, as one pure state machine.

Theory of operation
-------------------
Inputs are method calls. ``add`` and ``cancel`` say what people want, ``settle`` what executors
report, ``advance`` that time has passed. Each may fire transitions, which pile up in order until
``drain`` takes them out; that is how anybody learns of anything. ``take`` hands out the tasks to
start now, and ``take_stops`` the attempts to be stopped. What an executor only hands on, to a queue
far away, is *claimed* until ``begin``: it has its slot and its run, and is PENDING all the same.

One attempt goes through here like this::

    add ──▶ _line_up ──▶ queue ──take──▶ RUNNING ──settle──▶ _finish ──▶ dependents
               ▲                            │  └─ timeout, cancel ─▶ _stop ─▶ _close ─┘
               └──────── retry, snooze ─────┘

Four rules keep it honest:

- A report counts only for the run it names, while that run is on. Late, duplicate and forged
  reports fall through (``settle``).
- A stopped attempt ends when its executor says so, or when its ``grace`` is over, whichever is
  first. An attempt that goes on behind its task's back *lingers*: a retry waits until it has left.
- A slot is taken in ``take``, given back in ``_vacate``, and lent by ``Waits``;
  nowhere else.
- Nothing recurses along the graph: a chain of a million tasks may fail at once.

Here is where inputs come in and outputs are pulled out. The steps of a single task are in
``lifecycle``, how tasks end in ``endings``, and all that is known, and what is next, in ``books``.

The caller holds a lock around every call and passes the time. See ``docs/design.md`` for the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from ..errors import DuplicateTaskError, InvalidTaskStateError, QueueFullError
from .change import Moves
from .fates import TIMEOUT, story
from .flow import Adaptive
from .graph import in_order, shares_fate
from .lifecycle import Lifecycle
from .meters import Tide
from .outcome import Cancelled, Err, Ok, Unbegun
from .pools import Pool, Traits
from .states import CANCELLED, COMPLETED, FAILED, PENDING, RUNNING, TERMINAL
from .task import INTERRUPTED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from .flow import Gate
    from .meters import Load
    from .outcome import Outcome
    from .task import Task

Report: TypeAlias = "tuple[Task, int, Outcome]"
"""(task, run, how that run ended)"""


class Engine(Lifecycle):
    """All tasks of one manager; see the module."""

    def __init__(
        self,
        executors: Mapping[str, Traits],
        *,
        limit: int | Adaptive = 100,
        max_pending: int = 1_000_000,
        age_every: float | None = 60.0,
        keep_seconds: float | None = 3600.0,
        keep_count: int | None = 100_000,
    ) -> None:
        super().__init__(limit, age_every, keep_seconds, keep_count)
        self.max_pending = max_pending
        self.paused = False
        self.stores_first = False
        """Whether what is taken is stored before it starts; ``under_way`` tells when that is."""
        self._hands_over = False
        for name, traits in executors.items():
            self.add_executor(name, traits)

    # -- what people ask for -----------------------------------------------------------------

    def add_executor(self, name: str, traits: Traits) -> None:
        """Let tasks name the executor ``name`` from now on."""
        self.slots.pools[name] = Pool(name, traits, self.age_every)
        self._hands_over |= traits.reports_start

    def add(self, task: Task, now: float) -> None:
        """Take in a new task. Raises DuplicateTaskError or QueueFullError and changes nothing."""
        if task.id in self.tasks:
            raise DuplicateTaskError(f"there already is a task with the id {task.id!r}", task.id)
        # Who remembers few tasks need not count how many of them wait.
        if len(self.tasks) >= self.max_pending and self.backlog >= self.max_pending:
            raise QueueFullError(
                f"{self.backlog} tasks are waiting, which is max_pending. Use `await "
                "manager.enqueue(...)`, which waits for room, or raise max_pending=",
                task.id,
            )
        if task.spec.gates:
            self.turnstiles.refuse([task])
        self._admit(task, None, now, "submitted")

    def add_all(self, tasks: Sequence[Task], now: float) -> None:
        """Take in all of ``tasks``, each after what it depends on, or none of them."""
        seen: set[str] = set()
        for task in tasks:
            if task.id in self.tasks or task.id in seen:
                raise DuplicateTaskError(
                    f"there already is a task with the id {task.id!r}", task.id
                )
            seen.add(task.id)
        if self.backlog + len(tasks) > self.max_pending:
            raise QueueFullError(
                f"{self.backlog} tasks are waiting and {len(tasks)} more do not fit: max_pending "
                f"is {self.max_pending}. Submit fewer at once, or raise max_pending="
            )
        self.turnstiles.refuse(tasks)
        for task in tasks:
            self._admit(task, None, now, "submitted")

    def release(self, task: Task, now: float) -> None:
        """Let a held task, and the held tasks it depends on, run when they can."""
        self._release_all([task], now)

    def cancel(self, task: Task, now: float, cause: str = "asked") -> bool:
        """Cancel a task, and with it its children and what depends on it. False: it had ended."""
        if task.status in TERMINAL:
            return False
        line = [(task, cause)]
        while line:
            cancelled, why = line.pop()
            if cancelled.status in TERMINAL:
                continue
            by_parent = f"its parent {cancelled.label} was cancelled"
            line.extend((child, by_parent) for child in self.children.get(cancelled, ()))
            if cancelled.status is RUNNING:
                self._stop(cancelled, why, now)
            else:
                self._finish(cancelled, CANCELLED, Cancelled(why), now, why)
        return True

    def interrupt(self, task: Task, now: float) -> None:
        """End the attempt of a running task without spending it: it is PENDING again then."""
        if task.status is RUNNING:
            self._stop(task, INTERRUPTED, now)
        elif self._recall(task, now):
            if task.spec.gates:
                self.turnstiles.expect(task)
            self._line_up(task, now)

    def restore(self, task: Task, now: float, verdict: Err | None = None) -> None:
        """Take in a task of an earlier life of the program, after what it depends on.

        With a ``verdict`` it does not live on: it crashed once too often, for instance.
        """
        task.queued_at = now  # they are in line in this order, whatever else there is about them
        if task.started_at:
            task.noted.began = True
        self._admit(task, None, now, "recovered")
        if verdict is not None and task.status not in TERMINAL:
            cause = "crashed" if verdict.crashed else "cannot run"
            self._finish(task, FAILED, verdict, now, cause)

    def take_back(self, task: Task, verdict: Err, now: float) -> None:
        """End a task that has never begun, whatever it may seem: it could not be stored."""
        if task.status is RUNNING:
            self._vacate(task, now)
        if task.status not in TERMINAL:
            self._finish(task, FAILED, verdict, now, "not stored")
        key = task.notes.key if task.notes is not None else None
        if key is not None and self.keys.get(key) is task:
            del self.keys[key]  # the same work may be asked for again

    def retry(
        self,
        task: Task,
        now: float,
        renew: Callable[[Task], Task],
        *,
        downstream: bool = False,
    ) -> list[Task]:
        """Give a failed or cancelled task, and if asked what fell with it, another run.

        ``renew`` makes the new task of an old one. Returns the new tasks, the asked one first,
        each after those it depends on.
        """
        if not self._is_over(task):
            raise InvalidTaskStateError(
                f"only a task that failed or was cancelled can be retried; {story(task)}",
                task.id,
            )
        fallen = {task.id: task}
        line = [task] if downstream else []
        while line:
            old = line.pop()
            for other in old.dependents or ():
                if other.id not in fallen and shares_fate(other, old) and self._is_over(other):
                    fallen[other.id] = other
                    line.append(other)
        # Each after what it depends on, or it would share the fate of the old one at once.
        edges = {
            old.id: [other.id for other in old.dependencies if other.id in fallen]
            for old in fallen.values()
        }
        return [self._renew(fallen[id], renew, now) for id in in_order(edges)]

    def start_by_hand(self, task: Task, now: float) -> bool:
        """Start an external task; False if it waits, runs or has ended."""
        if task not in self.by_hand:
            return False
        self.by_hand.discard(task)
        if task.spec.gates:
            self.turnstiles.forget(task, now)  # who does it by hand passes them by hand
        self.slots.acquire(task)
        self._start(task, now)
        self.counts[PENDING] -= 1
        self.counts[RUNNING] += 1
        self._moves.moved.append((task, PENDING, RUNNING, now, task.attempt, "started"))
        return True

    def begin(self, task: Task, run: int, now: float) -> bool:
        """A task that was handed over has begun; False if that run of it is not claimed."""
        if task not in self.claimed or task.run != run:
            return False
        del self.claimed[task]
        task.started_at = now
        self._move(task, RUNNING, now, "started")
        if task.spec.timed:
            self._set_alarms(task, now)
        return True

    def held_up(self, task: Task, run: int, why: str) -> bool:
        """Note what keeps a task that was handed over; False if that run of it is not claimed."""
        if task not in self.claimed or task.run != run:
            return False
        self.claimed[task] = why
        return True

    def progress(self, task: Task, fraction: float, message: str, run: int | None = None) -> bool:
        """Note how far a running task is; False if it, or that run of it, is not running."""
        if task.status is not RUNNING or (run is not None and run != task.run):
            return False
        notes = task.noted
        notes.progress, notes.message = min(1.0, max(0.0, fraction)), message
        return True

    def _is_over(self, task: Task) -> bool:
        return task.status in {FAILED, CANCELLED} and self.tasks.get(task.id) is task

    def _renew(self, old: Task, renew: Callable[[Task], Task], now: float) -> Task:
        new = renew(old)
        new.run = old.run
        new.dependencies = tuple(self.tasks.get(other.id, other) for other in old.dependencies)
        # A later retry downstream finds here what fell with the old one; what still waits for other
        # tasks has been told of its end, and must not be told again.
        new.dependents = [other for other in old.dependents or () if other.status in TERMINAL]
        if old.notes is not None:
            notes = new.noted
            notes.key, notes.parent = old.notes.key, old.notes.parent
            notes.given_back = old.notes.given_back
            notes.checkpoint, notes.steps = old.notes.checkpoint, old.notes.steps
            notes.log = old.notes.log  # one for all its runs
            notes.attempts = old.notes.attempts.copy()  # what has ended stays as it ended
        self.counts[old.status] -= 1
        self._admit(new, old.status, now, "explicit retry")
        return new

    def set_limit(self, limit: int | Adaptive) -> None:
        """Change how many tasks run at once; those that run are not disturbed."""
        self.tide = Tide(limit) if isinstance(limit, Adaptive) else None
        self.slots.limit = limit.min if isinstance(limit, Adaptive) else limit

    def add_gate(self, gate: Gate, now: float) -> None:
        """Let tasks name ``gate`` from now on."""
        self.turnstiles.add(gate, self.age_every, now)

    def set_slots(self, executor: str, slots: int) -> None:
        """Change how many tasks an executor can run at once; running ones are not disturbed."""
        self.slots.pools[executor].slots = slots

    # -- what the world reports --------------------------------------------------------------

    def settle(self, reports: Iterable[Report], now: float) -> None:
        """Take in how attempts ended."""
        ending, slots, returned = self._ending, self.slots, self._moves.returned
        pools, remember, completed = slots.pools, self.retention.append, 0
        special = self.tide is not None or bool(self.waits.lent or self.children)
        for task, run, outcome in reports:
            if task.run != run or (
                # What ends without a word about its beginning begins here.
                task.status is not RUNNING and not self.begin(task, run, now)
            ):
                self._late(task, run, now)
            elif ending and task in ending:
                if type(outcome) is Ok and ending[task] == INTERRUPTED:
                    self._finish_late(task, outcome, now)
                elif type(outcome) is Unbegun and ending[task] == TIMEOUT:
                    self._resume_line(task, now)
                else:
                    self._close(task, now, left=True)
            elif type(outcome) is Ok:
                spec = task.spec
                pool = pools[spec.executor]
                if special or not spec.plain or task.notes or task.due or pool.apart:
                    self._finish_well(task, outcome, now)
                    continue
                # The common end, written out: this is the path a hundred thousand tasks take.
                pool.taken -= 1
                if pool.traits.local:
                    slots.running -= 1
                task.status = COMPLETED
                task.outcome = outcome
                task.ended_at = now
                completed += 1
                returned.append(task)
                remember(task)
                if task.dependents is not None:
                    self._tell_dependents(task, now)
            else:
                self._ended_without_result(task, outcome, now)
        self.counts[RUNNING] -= completed
        self.counts[COMPLETED] += completed

    def advance(self, now: float, wall: float) -> None:
        """Let everything happen that was to happen by now."""
        if self.timers.any:
            for task, purpose in self.timers.pop_due(now):
                self._ring(task, purpose, now)
        if self.calendar.any:
            for task in self.calendar.pop_due(wall):
                task.noted.due_at = None
                self._line_up(task, now)
        if self.alarms.any:
            for gate in self.alarms.pop_due(now):
                self.turnstiles.ring(gate, now)

    def look(self, load: Load, now: float) -> None:
        """Let the limits that find themselves do so, by how busy the machine is."""
        if self.tide is not None and now >= self.tide.due:
            self.slots.limit = self.tide.look(load, now)
        self.turnstiles.look(load, now)

    def abandon(self, task: Task, now: float) -> None:
        """End a stopped attempt without waiting for its executor: there is none any more."""
        if task in self._ending:
            self._close(task, now, left=True)

    # -- what is to be done ------------------------------------------------------------------

    def take(self, now: float) -> list[Task]:
        """The tasks to start now, already RUNNING, or claimed if their start will be reported.

        The drain must come before any other input.
        """
        if self.turnstiles.doomed:
            self._shed(now)
        if self.paused:
            return []
        waiting = self.counts[PENDING] or self.turnstiles.heeded
        taken = self.slots.pick(now) if waiting else []
        while self.turnstiles.doomed:
            self._shed(now)
            taken += self.slots.pick(now)
        if self.tide is not None:
            self.tide.used(self.slots.running)
        if not taken:
            return taken
        starting = self._hand_over(taken) if self._hands_over else taken
        for task in starting:
            task.status = RUNNING
            task.run += 1
            task.started_at = now
            if task.spec.timed:
                self._set_alarms(task, now, starts=not self.stores_first)
        self.counts[PENDING] -= len(starting)
        self.counts[RUNNING] += len(starting)
        self._moves.started += starting
        return taken

    def under_way(self, task: Task, run: int, now: float) -> None:
        """A run was stored, which may have taken a while, and starts: so does its timeout."""
        if task.status is RUNNING and task.run == run and task not in self._ending:
            self._set_alarms(task, now)

    def take_resumed(self) -> list[Task]:
        """The tasks whose waits are over and which have a slot again: they may go on."""
        return self.waits.grant()

    def take_stops(self) -> list[tuple[Task, int]]:
        """The (task, run) pairs whose executors are to stop them."""
        stops, self.stops = self.stops, []
        return stops

    def drain(self) -> Moves:
        """What has happened since the last drain."""
        moves, self._moves = self._moves, Moves()
        if self.turnstiles.moves:
            moves.circuits, self.turnstiles.moves = self.turnstiles.moves, []
        return moves

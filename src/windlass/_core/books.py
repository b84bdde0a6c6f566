"""What an engine keeps: its tasks, where each of them stands, and the lines they wait in.

Four rooms, one above the other, each a class: the books; ``endings``, where tasks end and others
with them; ``lifecycle``, how a task comes to run, and what becomes of its attempts; and
``engine``, where people and executors come in.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from .change import Moves
from .fates import story
from .flow import Adaptive
from .meters import Tide
from .pools import Pool, Slots
from .retention import Retention
from .states import PENDING, RUNNING, TERMINAL, TRANSITIONS, WAITING, TaskStatus
from .task import UNBEGUN, Attempt, Task
from .timers import Purpose, Timers
from .turnstile import Turnstile
from .turnstiles import Turnstiles
from .waits import Waits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Books:
    """The engine's state; see the module."""

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
        """Fire one transition. All but those written out on the hot path come here."""
        before = task.status
        if after not in TRANSITIONS[before]:
            raise AssertionError(f"{before} -> {after} is not in the table; {story(task)}")
        task.status = after
        self.counts[before] -= 1
        self.counts[after] += 1
        self._moves.moved.append((task, before, after, now, task.attempt, cause))

    def _pool(self, task: Task) -> Pool:
        return self.slots.pools[task.spec.executor]

    # -- waiting to run ----------------------------------------------------------------------

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
        elif not self.turnstiles.shelter(task, now, back=back):
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

    # -- giving back -------------------------------------------------------------------------

    def _recall(self, task: Task, now: float) -> bool:
        """Give back what a claimed task holds, and have it stopped; False if it is not claimed."""
        if self.claimed.pop(task, None) is None:
            return False
        self.stops.append((task, task.run))
        self._vacate(task, now)
        task.noted.given_back += 1
        return True

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

    def _remember_attempt(
        self, task: Task, now: float, how: str, error: BaseException | None
    ) -> None:
        notes = task.noted
        notes.attempts.append(Attempt(task.attempt, task.started_at, now, how, error))
        notes.began |= how != UNBEGUN

    # -- where things stand ------------------------------------------------------------------

    @property
    def backlog(self) -> int:
        """How many tasks have not started yet."""
        return self.counts[PENDING] + self.counts[WAITING]

    @property
    def unfinished(self) -> int:
        """How many tasks have not ended yet."""
        return self.counts[PENDING] + self.counts[WAITING] + self.counts[RUNNING]

    def is_quiet(self, running: int = 0, keeps: Callable[[Task], bool] | None = None) -> bool:
        """Whether nothing more will happen by itself, but for so many running tasks.

        What is left then is held, or waits for something held, or is due later and would keep
        if the manager closed, as ``keeps`` tells.
        """
        due = [task for task, purpose in self.timers if purpose == "due"] + [*self.calendar]
        return not (
            self.counts[RUNNING] > running
            or self.by_hand
            or self.claimed
            or not all(keeps is not None and keeps(task) for task in due)
            or self.turnstiles.parked
            or any(pool.queue.size and pool.traits.slots for pool in self.slots.pools.values())
            or any(self._awaits_leaving(id) for id in self.lingering)
        )

    def _awaits_leaving(self, task_id: str) -> bool:
        task = self.tasks.get(task_id)
        return task is not None and task.status is PENDING

    def ending(self, task: Task) -> str | None:
        """Why a running task is being stopped, if it is."""
        return self._ending.get(task)

    # -- what is next ------------------------------------------------------------------------

    @property
    def has_timers(self) -> bool:
        """Whether ``next_deadline`` may have changed; to be asked before it is worked out."""
        return self.timers.any or self.calendar.any or self.alarms.any or self.adapts

    @property
    def adapts(self) -> bool:
        """Whether some limit is to find itself."""
        return self.tide is not None or self.turnstiles.adapts

    @property
    def next_look(self) -> float | None:
        """When ``look`` is to be called: while something runs, if a limit is to find itself."""
        if not self.adapts or not self.counts[RUNNING]:
            return None
        tides = [self.tide, *(gate.tide for gate in self.turnstiles.all.values())]
        return min((tide.due for tide in tides if tide is not None), default=None)

    def next_deadline(self, now: float, wall: float) -> float | None:
        """When ``advance`` or ``forget_old`` has something to do next, in monotonic time."""
        deadline = self.retention.next()
        if (when := self.next_look) is not None:
            deadline = when if deadline is None else min(deadline, when)
        if self.timers.any and (when := self.timers.next()) is not None:
            deadline = when if deadline is None else min(deadline, when)
        if self.alarms.any and (when := self.alarms.next()) is not None:
            deadline = when if deadline is None else min(deadline, when)
        if self.calendar.any and (moment := self.calendar.next()) is not None:
            when = now + moment - wall
            deadline = when if deadline is None else min(deadline, when)
        return deadline

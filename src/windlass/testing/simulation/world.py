"""The world around the engine: a clock, the attempts that are on, and the one turn of the pump."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from ..._core.engine import Engine
from ..._core.explain import explain
from ..._core.meters import Load
from ..._core.outcome import Cancelled, Ok
from ..._core.states import PENDING, RUNNING, TERMINAL, WAITING
from ..._core.task import Task
from .doors import Doors
from .laws import Laws
from .order import Before
from .plans import TAKE_BACK, Broken, Plan, Setting

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from ..._core.change import Transition
    from ..._core.outcome import Outcome
    from ..._core.pools import Traits
    from ..._core.turnstiles import CircuitMove

_ROUNDS = 2_000  # of winding down; a history needs a few dozen
_LOOKS = 10  # from its least, a limit is at its most after that


class Attempt:
    """One run of a task as its executor knows it: it goes on until it reports."""

    __slots__ = (
        "begun", "claimed", "given_back", "heard", "lost", "number", "reported", "stopped", "task",
        "waits",
    )  # fmt: skip

    def __init__(self, task: Task, *, claimed: bool = False) -> None:
        self.task = task
        self.number = task.run
        self.begun = False  # it has been heard from
        self.claimed = claimed  # it was handed over, and the engine has not heard that it began
        self.given_back = False  # the engine has interrupted it before that
        self.stopped = False
        self.lost = False
        self.heard = False  # the engine has been told that it is over
        self.reported: list[Outcome] = []
        self.waits: list[tuple[Task, ...]] = []

    @property
    def current(self) -> bool:
        """Whether the engine still takes this for the run of its task."""
        return self.running or self.waits_elsewhere

    @property
    def can_be_taken_back(self) -> bool:
        """Whether it may yet turn out that it never began."""
        ahead = self.task.spec.executor in TAKE_BACK
        return ahead and not (self.begun or self.lost or self.reported)

    @property
    def running(self) -> bool:
        """Whether its task is running, and this is its run."""
        return self.task.run == self.number and self.task.status is RUNNING

    @property
    def waits_elsewhere(self) -> bool:
        """Whether its task has been handed over, and waits for a worker to begin it."""
        on = self.task.run == self.number and self.task.status is PENDING
        return on and self.claimed and not self.given_back


class World:
    """See the module. Steps act on it; ``laws`` looks on."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.now = 1_000.0
        self.offset = 1_000_000.0  # wall time, less the monotonic time
        self.epoch = self.now
        self.wall_epoch = self.wall
        self.engine = self._engine()
        self.tasks: dict[str, Task] = {}  # the latest task of each name, remembered or not
        self.plans: dict[str, Plan] = {}
        self.attempts: dict[tuple[str, int], Attempt] = {}
        self.on: dict[Attempt, None] = {}  # those that have not reported
        self.inbox: list[tuple[Attempt, Task, int, Outcome]] = []
        self.lent: dict[Task, Attempt] = {}  # who waits, or wants its slot back
        self.returning: list[Task] = []
        self.cancelled: set[Task] = set()  # asked for, by whatever way
        self.interrupted: set[tuple[Task, int]] = set()
        self.advanced = (self.now, self.wall)
        self.turned = False
        """Whether this step was a turn of the pump."""
        self.handed_over: list[Task] = []
        """What has started in this step, and begins later."""
        self.fresh: list[Transition] = []
        self.circuits: Sequence[CircuitMove] = ()
        self.laws = Laws(self)
        self.doors = Doors(self)

    def _engine(self) -> Engine:
        setting = self.setting
        engine = Engine(
            setting.traits(),
            limit=setting.limit,
            max_pending=setting.max_pending,
            age_every=setting.age_every,
            keep_seconds=setting.keep_seconds,
            keep_count=setting.keep_count,
        )
        for gate in setting.gates:
            engine.add_gate(gate, self.now)
        return engine

    def reopen(self, tasks: Mapping[Task, Task], crashed: Collection[Task]) -> None:
        """Have another engine; ``tasks`` tells what has become of each task, for all to follow."""
        self.engine = self._engine()
        self.tasks = {name: tasks.get(task, task) for name, task in self.tasks.items()}
        for attempt in self.attempts.values():  # their reports may come all the same
            attempt.task = tasks.get(attempt.task, attempt.task)
            attempt.heard = attempt.given_back = True
        for left in self.on, self.inbox, self.lent, self.returning:
            left.clear()
        self.laws.reopened(tasks, crashed)
        self.doors = Doors(self)

    @property
    def wall(self) -> float:
        """The time on the wall."""
        return self.now + self.offset

    def traits(self, task: Task) -> Traits:
        """What the executor of ``task`` can do."""
        return self.engine.slots.pools[task.spec.executor].traits

    def make(self, plan: Plan, known: Mapping[str, Task]) -> Task:
        """A new task after ``plan``; ``known`` are the tasks that it may name."""
        task = Task(plan.name, plan.spec(), self.now)
        task.dependencies = tuple(known[name] for name in plan.after)
        task.held = plan.held
        if plan.delay:
            task.due = self.now + plan.delay
        if plan.at is not None:
            task.noted.due_at = self.wall_epoch + plan.at
        if plan.parent is not None:
            task.noted.parent = known[plan.parent]
        if plan.key is not None:
            task.noted.key = plan.key
        return task

    def enter(self, plan: Plan, task: Task) -> None:
        """Note that the engine has taken ``task`` in."""
        self.tasks[plan.name] = task
        self.plans[plan.name] = plan
        self.laws.born(task)

    def begin(self, task: Task) -> None:
        """Let the executor of ``task`` begin the run that the engine has just started."""
        attempt = Attempt(task, claimed=self.traits(task).reports_start)
        self.attempts[task.id, task.run] = attempt
        self.on[attempt] = None
        if attempt.claimed:
            self.handed_over.append(task)

    def is_claimed(self, task: Task) -> bool:
        """Whether ``task`` was handed over and has not begun, as far as the engine has heard."""
        attempt = self.attempts.get((task.id, task.run))
        return attempt is not None and attempt.task is task and attempt.waits_elsewhere

    def awaited(self, task: Task) -> list[Task]:
        """What must end before ``task`` can, gates aside."""
        if task.status is WAITING:
            return [other for other in task.dependencies if other.status not in TERMINAL]
        if task.status is RUNNING and task in self.lent:
            return [other for wait in self.lent[task].waits for other in wait]
        return []

    def has_left(self, task: Task, run: int) -> bool:
        """Whether the function of that run is over for certain: it has said so, or was killed.

        Or taken back before it began, as far as was known then.
        """
        attempt, traits = self.attempts[task.id, run], self.traits(task)
        killed = attempt.claimed or not (traits.grace or traits.lingers)
        return attempt.heard or (killed and not attempt.current)

    def never_began(self, task: Task, run: int) -> bool:
        """Whether that run was handed over, and taken back before it was heard of."""
        return self.attempts[task.id, run].claimed

    def look(self) -> None:
        """Take out what the engine says has happened."""
        self._let_go()
        moves = self.engine.drain()
        self.fresh, self.circuits = list(moves), moves.circuits

    def told(self) -> Iterator[str]:
        """What has happened in this step, in words."""
        for task, before, after, _, attempt, cause in self.fresh:
            yield f"{task.id}: {before or 'new'} -> {after}, attempt {attempt} ({cause})"

    def close(self) -> None:
        """There is nothing to leave behind."""

    def check(self) -> None:
        """Compare everything with what the laws say."""
        self.laws.check(self.fresh)
        if self.doors:
            self.doors.check(self.fresh, self.circuits)
            if self.turned:
                self.doors.settled()
        self.turned = False
        self.handed_over.clear()

    # -- the turn of the pump ----------------------------------------------------------------

    def turn(self) -> None:
        """What a pump does: settle, advance, resume, take, stop."""
        engine = self.engine
        self._settle()
        self.advanced = (self.now, self.wall)
        engine.advance(self.now, self.wall)
        self.laws.punctual()
        self.laws.walls.append(self.wall)
        self._resume()
        before = Before(self)
        taken = engine.take(self.now)
        before.judge(taken)
        for task in taken:
            self.begin(task)
        for task, run in engine.take_stops():
            self.attempts[task.id, run].stopped = True
        self.laws.stopped()
        self.turned = True

    def _settle(self) -> None:
        inbox, self.inbox = self.inbox, []
        first = [
            (attempt, outcome, self.engine.ending(task))
            for attempt, task, run, outcome in inbox
            if run == attempt.number and attempt.current and outcome is attempt.reported[0]
        ]
        self.engine.settle([(task, run, outcome) for _, task, run, outcome in inbox], self.now)
        for attempt, _, run, _ in inbox:
            attempt.heard |= run == attempt.number
        for attempt, outcome, stopped in first:
            attempt.claimed = False  # what has ended had begun
            self.laws.accepted(attempt, outcome, stopped)

    def _resume(self) -> None:
        """Waiters whose waits are over get the free slots in the order in which they ended."""
        self._let_go()
        slots = self.engine.slots
        expected: list[Task] = []
        running, taken = slots.running, {name: pool.taken for name, pool in slots.pools.items()}
        for task in self.returning:
            pool = slots.pools[task.spec.executor]
            if taken[pool.name] < pool.slots and (not pool.traits.local or running < slots.limit):
                taken[pool.name] += 1
                running += pool.traits.local
                expected.append(task)
        granted = self.engine.take_resumed()
        if granted != expected:
            raise Broken(f"slots were given back to {granted}, but it was the turn of {expected}")
        for task in granted:
            self.returning.remove(task)
            del self.lent[task]

    def _let_go(self) -> None:
        """A run that has ended has no slot to get back."""
        for task in [task for task, attempt in self.lent.items() if not attempt.current]:
            del self.lent[task]
            if task in self.returning:
                self.returning.remove(task)

    # -- the end -----------------------------------------------------------------------------

    def wind_down(self) -> None:
        """Bring everything to its end, and see that nothing is left over."""
        self.engine.paused = False
        for name, pool in self.engine.slots.pools.items():
            self.engine.set_slots(name, pool.traits.slots)
        self._run_dry()
        self._only_waits_for_people()
        for attempt in [attempt for attempt in self.on if attempt.current]:
            # Lost, without a limit of time, or waiting for what nobody will do.
            self.cancel(attempt.task)
        self._run_dry()
        for task in list(self.engine.tasks.values()):
            self.release(task)
        while self.engine.unfinished:
            unfinished = self.engine.unfinished
            by_hand = sorted(self.engine.by_hand, key=lambda task: task.id)
            for task in by_hand:
                self.engine.start_by_hand(task, self.now)
                self.begin(task)
            self._run_dry()
            if not (by_hand or self.engine.by_hand) and unfinished == self.engine.unfinished:
                left = [task for task in self.engine.tasks.values() if task.status not in TERMINAL]
                raise Broken(f"never ended: {left}")
        self.laws.nothing_left()

    def _run_dry(self) -> None:
        """Let time pass, and every attempt end that is not lost, until nothing happens any more."""
        idle_looks = 0
        for _ in range(_ROUNDS):
            moved = self._end_attempts()
            waiting = len(self.lent)
            self.turn()
            self.look()
            moved |= bool(self.handed_over)
            self.check()
            if moved or self.fresh or len(self.lent) != waiting:
                idle_looks = 0
                continue
            look = self.engine.next_look
            if look is not None and idle_looks < _LOOKS:
                idle_looks += 1
                self.now = max(self.now, look)
                self.engine.look(Load(), self.now)
                continue
            deadline = self._next_deadline()
            if deadline is None:
                return
            # To the next 64th: sums of tenths would leave wall and monotonic time a hair apart.
            self.now = max(self.now, ceil(deadline * 64) / 64)
        raise Broken("it never comes to rest")

    def _next_deadline(self) -> float | None:
        """When something is to happen, but for looks and forgetting."""
        engine = self.engine
        moment = engine.calendar.next()
        calendar = None if moment is None else moment - self.offset
        all_due = (engine.timers.next(), engine.alarms.next(), calendar)
        due = min((when for when in all_due if when is not None), default=None)
        told = engine.next_deadline(self.now, self.wall)
        if due is not None and (told is None or told > due + 1e-6):
            raise Broken(f"something is to happen at {due}, but the engine says {told}")
        return due

    def _end_attempts(self) -> bool:
        moved = False
        for attempt in list(self.on):
            task = attempt.task
            if attempt.stopped or not attempt.current:
                self.report(attempt, Cancelled("stopped"))
            elif task in self.lent:
                moved |= self._end_waits(attempt)
                continue
            elif not attempt.lost:
                self.report(attempt, Ok((task.id, attempt.number)))
            else:
                continue
            moved = True
        return moved

    def _end_waits(self, attempt: Attempt) -> bool:
        over = [wait for wait in attempt.waits if all(target.status in TERMINAL for target in wait)]
        for wait in over:
            self.end_wait(attempt, wait)
        return bool(over)

    def end_wait(self, attempt: Attempt, wait: tuple[Task, ...]) -> None:
        """One of the waits of an attempt is over."""
        task = attempt.task
        attempt.waits = [other for other in attempt.waits if other is not wait]
        on = self.lent.get(task) is attempt
        may_go_on = self.engine.waits.end(task, wait)
        if on and not attempt.waits:
            self.returning.append(task)
        if may_go_on == (on and not attempt.waits):
            raise Broken(f"{task} {'may' if may_go_on else 'must not'} go on without a slot")

    def report(self, attempt: Attempt, outcome: Outcome) -> None:
        """The executor reports how ``attempt`` ended; the pump will see it in its next turn."""
        attempt.reported.append(outcome)
        self.on.pop(attempt, None)
        self.inbox.append((attempt, attempt.task, attempt.number, outcome))

    def release(self, task: Task) -> None:
        """Somebody has ``task`` executed."""
        self.laws.released(task)
        self.engine.release(task, self.now)

    def cancel(self, task: Task) -> bool:
        """Somebody cancels ``task``, and with it its children that have not ended."""
        line = [task]
        while line:
            asked = line.pop()
            if asked.status not in TERMINAL:
                self.cancelled.add(asked)
                line += self.laws.children(asked)
        return self.engine.cancel(task, self.now)

    def _only_waits_for_people(self) -> None:
        """What has not ended is held, external or lost, or waits for something that is."""
        lost = [attempt.task for attempt in self.on if attempt.current]
        for attempt in [attempt for attempt in self.on if attempt.current]:
            task = attempt.task
            if not attempt.lost and task not in self.lent:
                raise Broken(f"{task} was never told that it ended")
            if self.laws.is_limited(attempt):
                raise Broken(f"{task} has run for ever in spite of its timeout")
        for task in self.engine.tasks.values():
            if task.status not in TERMINAL and not explain(self.engine, task, self.now, self.wall):
                raise Broken(f"nobody can say why {task} has not ended")
            if task.status is not PENDING or self.is_claimed(task):
                continue
            if not (task.held or task in self.engine.by_hand):
                starved = self.engine.slots.room(self.engine.slots.pools[task.spec.executor]) <= 0
                if not (lost and (starved or self.doors.kept_by(task, lost))):
                    raise Broken(f"{task} could have run and did not")

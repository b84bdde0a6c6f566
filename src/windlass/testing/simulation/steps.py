"""What can happen in a history: each step is a plain value that acts on a World.

A step that makes no sense where it stands (its task is not there, its run is not on) does nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from ..._core.outcome import Again, Cancelled, Err, Ok, Outcome
from ..._core.states import COMPLETED, TERMINAL
from ...errors import DeadlockError, DuplicateTaskError, InvalidTaskStateError, QueueFullError
from .plans import Broken, Fatal, Flop, Plan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..._core.task import Task
    from .world import World

How: TypeAlias = Literal["ok", "error", "fatal", "crash", "snooze", "cancelled"]


class Submit(NamedTuple):
    """Somebody submits one task, or several in one go."""

    plans: tuple[Plan, ...]

    def do(self, world: World) -> None:
        """Take the tasks in, or see them refused."""
        engine = world.engine
        made: list[tuple[Plan, Task]] = []
        known = dict(world.tasks)
        for plan in self.plans:
            named = (*plan.after, plan.parent) if plan.parent is not None else plan.after
            if plan.executor not in engine.slots.pools or not all(name in known for name in named):
                continue
            if not all(name in engine.turnstiles.all for name, _ in plan.gates):
                continue
            if plan.name in world.tasks and plan.name not in engine.tasks:
                continue  # forgotten; its runs may still go on under this name
            task = known[plan.name] = world.make(plan, known)
            made.append((plan, task))
        tasks = [task for _, task in made]
        taken = len({plan.name for plan, _ in made}) < len(made)
        taken = taken or any(plan.name in engine.tasks for plan, _ in made)
        full = engine.backlog + len(made) > engine.max_pending
        heavy, crowded = world.doors.refuse(tasks)
        reasons = {DuplicateTaskError: taken, QueueFullError: full or crowded, ValueError: heavy}
        try:
            if len(tasks) == 1:
                engine.add(tasks[0], world.now)
            else:
                engine.add_all(tasks, world.now)
        except (DuplicateTaskError, QueueFullError, ValueError) as error:
            if not any(isinstance(error, kind) and why for kind, why in reasons.items()):
                raise Broken(f"refused without a reason: {error}") from error
            return
        if any(reasons.values()):
            raise Broken(f"{tasks} should have been refused")
        for plan, task in made:
            world.enter(plan, task)

    def simpler(self) -> Iterator[Submit]:
        """With less asked."""
        plans = self.plans
        if len(plans) > 1:
            for number in range(len(plans)):
                yield Submit(plans[:number] + plans[number + 1 :])
        for number, plan in enumerate(plans):
            for simpler in plan.simpler():
                yield Submit((*plans[:number], simpler, *plans[number + 1 :]))

    def __str__(self) -> str:
        return "submit " + "; ".join(map(str, self.plans))


class Pass(NamedTuple):
    """Time passes; nobody looks yet."""

    seconds: float

    def do(self, world: World) -> None:
        """Move both clocks."""
        world.now += self.seconds

    def __str__(self) -> str:
        return f"{self.seconds} s pass"


class Jump(NamedTuple):
    """Somebody sets the clock on the wall."""

    seconds: float

    def do(self, world: World) -> None:
        """Move wall time alone."""
        world.offset += self.seconds

    def __str__(self) -> str:
        return f"the wall clock jumps by {self.seconds} s"


class Turn(NamedTuple):
    """The pump turns once."""

    def do(self, world: World) -> None:
        """Take in reports and time, start and stop."""
        world.turn()

    def __str__(self) -> str:
        return "the pump turns"


class Report(NamedTuple):
    """An executor reports how a run ended, for the first time or once more."""

    name: str
    run: int
    how: How
    number: float = 0.0
    """The luck of a retry, or the delay of a snooze."""

    def do(self, world: World) -> None:
        """Put the report into the inbox."""
        attempt = world.attempts.get((self.name, self.run))
        if attempt is None or (attempt.lost and not attempt.stopped and attempt.current):
            return
        world.report(attempt, self._outcome(world.tasks[self.name].id))

    def _outcome(self, id: str) -> Outcome:
        if self.how == "ok":
            return Ok((id, self.run))
        if self.how == "snooze":
            return Again(self.number)
        if self.how == "cancelled":
            return Cancelled("gave up")
        error = (Fatal if self.how == "fatal" else Flop)(id, self.run)
        return Err(error, crashed=self.how == "crash", luck=self.number)

    def __str__(self) -> str:
        return f"run {self.run} of {self.name} reports {self.how}"


class Forge(NamedTuple):
    """A report comes in for a run that has not begun."""

    name: str

    def do(self, world: World) -> None:
        """Settle it at once; nothing may come of it."""
        task = world.tasks.get(self.name)
        if task is not None:
            world.engine.settle([(task, task.run + 1, Ok("forged"))], world.now)

    def __str__(self) -> str:
        return f"a report of a future run of {self.name} is forged"


class Lose(NamedTuple):
    """The result of a run will never come."""

    name: str
    run: int

    def do(self, world: World) -> None:
        """Only stopping it will end it."""
        attempt = world.attempts.get((self.name, self.run))
        if attempt is not None and not attempt.reported:
            attempt.lost = True

    def __str__(self) -> str:
        return f"the result of run {self.run} of {self.name} is lost"


class Cancel(NamedTuple):
    """Somebody cancels a task."""

    name: str

    def do(self, world: World) -> None:
        """Cancel it; it, and its children, end or are being stopped."""
        task = world.tasks.get(self.name)
        if task is None:
            return
        over = task.status in TERMINAL
        if world.cancel(task) == over:
            raise Broken(f"cancelling {task} said {over}")
        for struck in [task, *([] if over else world.laws.children(task))]:
            if struck.status not in TERMINAL and world.engine.ending(struck) is None:
                raise Broken(f"{struck} was not cancelled")

    def __str__(self) -> str:
        return f"cancel {self.name}"


class Release(NamedTuple):
    """Somebody has a held task executed."""

    name: str

    def do(self, world: World) -> None:
        """Release it and the held tasks before it."""
        if self.name in world.tasks:
            world.release(world.tasks[self.name])

    def __str__(self) -> str:
        return f"release {self.name}"


class Retry(NamedTuple):
    """Somebody gives an ended task another run."""

    name: str
    downstream: bool = False

    def do(self, world: World) -> None:
        """Renew it; refused unless it failed or was cancelled, and is remembered."""
        old = world.tasks.get(self.name)
        if old is None:
            return
        over = old.status in TERMINAL and old.status is not COMPLETED
        possible = over and world.engine.tasks.get(old.id) is old
        least, most = self._fallen(world, old, later=True), self._fallen(world, old, later=False)

        def renew(task: Task) -> Task:
            plan = world.plans[task.id]._replace(after=(), held=False, at=None)
            return world.make(plan, world.tasks)

        try:
            new = world.engine.retry(old, world.now, renew, downstream=self.downstream)
        except InvalidTaskStateError as error:
            if possible:
                raise Broken(f"refused without a reason: {error}") from error
            return
        renewed = {task.id for task in new}
        if not (possible and new[0].id == old.id and least <= renewed <= most):
            raise Broken(f"retrying {old} renewed {new}, not {least} to {most}")
        for task in new:
            world.enter(world.plans[task.id], task)

    def _fallen(self, world: World, old: Task, *, later: bool) -> set[str]:
        """What is to be renewed; ``later``: of that only what ended after what it depends on."""
        over = world.laws.over()
        fallen = [old]
        for task in fallen if self.downstream and old in over else ():
            for other in over:
                fell_with = [
                    life
                    for life in world.laws.dependencies(other)
                    if life.id == task.id
                    and life in over
                    and not (later and over.index(other) < over.index(life))
                ]
                current = world.engine.tasks.get(other.id) is other
                current = current and other.status is not COMPLETED and other not in fallen
                if fell_with and current and other.spec.run_if != "all_done":
                    fallen.append(other)
        return {task.id for task in fallen}

    def __str__(self) -> str:
        return f"retry {self.name}" + (" and what fell with it" if self.downstream else "")


class StartByHand(NamedTuple):
    """Somebody starts an external task."""

    name: str

    def do(self, world: World) -> None:
        """Start it, if it may be started."""
        task = world.tasks.get(self.name)
        if task is not None and world.engine.start_by_hand(task, world.now):
            world.begin(task)

    def __str__(self) -> str:
        return f"start {self.name} by hand"


class Progress(NamedTuple):
    """A run tells how far it is."""

    name: str
    run: int

    def do(self, world: World) -> None:
        """Only the run that is on is heard."""
        attempt = world.attempts.get((self.name, self.run))
        if attempt is not None:
            running, attempt.begun = attempt.running, True
            if world.engine.progress(attempt.task, 0.5, "half", self.run) != running:
                raise Broken(f"progress of run {self.run} of {attempt.task}: {not running}")

    def __str__(self) -> str:
        return f"run {self.run} of {self.name} is half done"


class Wait(NamedTuple):
    """A run waits for other tasks from now on."""

    name: str
    run: int
    targets: tuple[str, ...]

    def do(self, world: World) -> None:
        """Lend its slot, or be refused because it would wait in a circle."""
        attempt = world.attempts.get((self.name, self.run))
        targets = tuple(world.tasks[name] for name in self.targets if name in world.tasks)
        if attempt is None or attempt.reported or not targets:
            return
        task, running = attempt.task, attempt.running
        pool = world.engine.slots.pools[task.spec.executor]
        full = task not in world.lent and pool.waiting >= pool.traits.max_waiting
        refuse = running and (full or any(_leads_to(world, task, other) for other in targets))
        may_refuse = refuse
        if running and not refuse and world.doors and world.doors.stuck(task, targets, held=True):
            # Where they would be stuck without it as well, either answer is as good.
            may_refuse, refuse = True, not world.doors.stuck(task, targets, held=False)
        try:
            world.engine.waits.begin(task, targets, self.run)
        except DeadlockError as error:
            if not may_refuse:
                raise Broken(f"refused without a reason: {error}") from error
            return
        if refuse:
            raise Broken(f"{task} should not wait for {targets}")
        if running:
            attempt.waits.append(targets)
            if task in world.returning:
                world.returning.remove(task)
            world.lent[task] = attempt
            world.doors.waits(task, self.run)

    def __str__(self) -> str:
        return f"run {self.run} of {self.name} waits for {', '.join(self.targets)}"


class EndWait(NamedTuple):
    """The oldest wait of a run is over, for whatever reason; it may have ended long ago."""

    name: str
    run: int

    def do(self, world: World) -> None:
        """Get in line for a slot, if that was the last wait."""
        attempt = world.attempts.get((self.name, self.run))
        if attempt is not None and attempt.waits:
            world.end_wait(attempt, attempt.waits[0])

    def __str__(self) -> str:
        return f"run {self.run} of {self.name} waits no more"


class Pause(NamedTuple):
    """The manager is paused, or resumed."""

    on: bool

    def do(self, world: World) -> None:
        """Start nothing more, or go on."""
        world.engine.paused = self.on

    def __str__(self) -> str:
        return "pause" if self.on else "resume"


class Resize(NamedTuple):
    """An executor can run fewer tasks at once from now on, or more again."""

    executor: str
    slots: int

    def do(self, world: World) -> None:
        """Change its slots; what runs is not disturbed."""
        pool = world.engine.slots.pools.get(self.executor)
        if pool is not None and not pool.traits.manual:
            world.engine.set_slots(self.executor, min(self.slots, pool.traits.slots))

    def __str__(self) -> str:
        return f"{self.executor} has {self.slots} slots"


class ForgetOld(NamedTuple):
    """The manager lets go of tasks that ended long ago."""

    def do(self, world: World) -> None:
        """Forget; what is left is young and few enough."""
        engine, now = world.engine, world.now
        ended = [task for task in engine.tasks.values() if task.status in TERMINAL]
        for task in engine.forget_old(now):
            world.laws.forgotten(task)
            ended.remove(task)
        seconds, count = world.setting.keep_seconds, world.setting.keep_count
        too_old = [task for task in ended if seconds is not None and task.ended_at + seconds <= now]
        if too_old or (count is not None and len(ended) > count):
            raise Broken(f"{ended} are still remembered")

    def __str__(self) -> str:
        return "forget the old"


def _leads_to(world: World, goal: Task, task: Task) -> bool:
    """Whether ``task`` is ``goal``, or can only end after it, as far as one can see."""
    if task is goal:
        return True
    return any(_leads_to(world, goal, other) for other in world.awaited(task))

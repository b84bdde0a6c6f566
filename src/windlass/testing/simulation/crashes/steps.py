"""What can happen in a history of crashes; each step is a plain value that acts on a World.

Like those of the engine's histories, a step that makes no sense where it stands does nothing.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from ...._core.outcome import Cancelled, Err, Ok
from ...._core.states import COMPLETED, TERMINAL
from ...._runtime.handle import TaskHandle
from ...._runtime.stored_job import StoredJob
from ....errors import TaskError
from ..plans import Broken, Fatal, Flop
from .verdicts import token

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...._core.outcome import Outcome
    from ...._runtime.durable import Role
    from ...._runtime.job import Job
    from ...._runtime.run import Run
    from .disk import Mood
    from .forgetting import Cleaning
    from .life import Life
    from .plans import Order, Version
    from .world import World

How: TypeAlias = Literal["ok", "error", "fatal", "crash", "interrupted"]
Asked: TypeAlias = Literal["cancel", "release", "retry", "retry downstream"]
Doing: TypeAlias = Literal["turn", "commit", "look", "attend", "close"]

SILENCE = 11.0


class Open(NamedTuple):
    """A process opens the store."""

    life: str
    versions: tuple[tuple[str, Version], ...] = ()
    role: Role = "any"

    def do(self, world: World) -> None:
        """It leads, or follows."""
        if self.life not in world.lives:
            world.open(self.life, dict(self.versions), self.role)

    def __str__(self) -> str:
        odd = "".join(f", {name} is {how}" for name, how in self.versions if how != "usual")
        return f"{self.life} opens" + (f" as {self.role}" if self.role != "any" else "") + odd


class Die(NamedTuple):
    """A process is killed: now, or at one of its next writes, before it or after it."""

    life: str
    writes: int = 0
    after: bool = False

    def do(self, world: World) -> None:
        """Nothing is left of it."""
        life = world.life(self.life)
        if life is None:
            return
        if self.writes:
            life.wire.writes_left, life.wire.dies_after = self.writes, self.after
        else:
            life.die()

    def __str__(self) -> str:
        if not self.writes:
            return f"{self.life} is killed"
        when = "after" if self.after else "before"
        return f"{self.life} will be killed {when} its write number {self.writes} from now"


class Do(NamedTuple):
    """A process does what one of its threads has to do, or closes."""

    life: str
    what: Doing

    def do(self, world: World) -> None:
        """It does."""
        if (life := world.life(self.life)) is not None:
            life.do(getattr(life, self.what))

    def __str__(self) -> str:
        return f"{self.life}: {self.what}"


class Submit(NamedTuple):
    """Somebody submits one task, or several at once."""

    life: str
    orders: tuple[Order, ...]

    def do(self, world: World) -> None:
        """Take them in, or refuse them; what is safe is noted when that is said."""
        if (life := world.life(self.life)) is not None:
            life.do(lambda: self._submit(life))

    def _submit(self, life: Life) -> None:
        account = life.world.account
        made: dict[str, Job] = {}
        orders = [order for order in self.orders if _made(life, order, made)]
        for order in orders:
            account.asked(life, order.name, order)
        try:
            handles = life.runtime.submit_jobs([*made.values()])
        except TaskError as error:
            account.news.append(str(error))
            return
        for handle in handles:
            watch(life, handle)

    def simpler(self) -> Iterator[Submit]:
        """With less asked."""
        orders = self.orders
        if len(orders) > 1:
            for number in range(len(orders)):
                yield self._replace(orders=orders[:number] + orders[number + 1 :])
        for number, order in enumerate(orders):
            for simpler in order.simpler():
                yield self._replace(orders=(*orders[:number], simpler, *orders[number + 1 :]))

    def __str__(self) -> str:
        return f"{self.life}: submit " + "; ".join(map(str, self.orders))


def _made(life: Life, order: Order, made: dict[str, Job]) -> bool:
    """Whether a job can be made of ``order`` here; then it is among those ``made``."""
    runtime, world = life.runtime, life.world
    recipe = order.recipe(life.program, world.epoch)
    if order.name in world.account.orders or order.name in made or recipe is None:
        return False
    try:
        after = [made.get(name) or runtime.find(name) for name in order.after]
        handles: list[TaskHandle[Any]] = [
            TaskHandle(job, runtime) for job in after if job is not None
        ]
        args = tuple(handles) if order.with_results else ()
        recipe.shape.check(args, {})
        if None not in after:
            job = runtime.job(recipe, args, {}, id=order.name, after=handles)
            made[order.name], job.held = job, order.held
    except (TaskError, TypeError):
        pass  # nobody knows what it depends on any more, or this version does not take that
    return order.name in made


class Child(NamedTuple):
    """A run submits a child."""

    life: str
    parent: str
    order: Order

    def do(self, world: World) -> None:
        """It carries its parent's id."""
        life = world.life(self.life)
        run = life.run_of(self.parent) if life is not None else None
        if life is None or run is None or not life.leads:
            return
        recipe = self.order.recipe(life.program, world.epoch)
        if recipe is not None and self.order.name not in world.account.orders:
            life.do(lambda: self._submit(life, run, recipe))

    def _submit(self, life: Life, run: Run, recipe: Any) -> None:
        life.world.account.asked(life, self.order.name, self.order, self.parent)
        try:
            job = life.runtime.job(recipe, (), {}, id=self.order.name)
            job.noted.parent = run.job
            watch(life, life.runtime.submit_job(job))
        except TaskError as error:
            life.world.account.news.append(str(error))

    def __str__(self) -> str:
        return f"{self.life}: {self.parent} submits its child {self.order}"


class Report(NamedTuple):
    """A run ends."""

    life: str
    name: str
    how: How

    def do(self, world: World) -> None:
        """The executor reports it."""
        life = world.life(self.life)
        run = life.run_of(self.name) if life is not None else None
        if life is None or run is None:
            return
        key = run.job.id, run.number
        how: How = "interrupted" if key in life.stopped else self.how
        world.account.reported(life, *key, how)
        life.do(lambda: life.report(key, _outcome(how, key)))

    def __str__(self) -> str:
        return f"{self.life}: {self.name} ends: {self.how}"


def _outcome(how: How, key: tuple[str, int]) -> Outcome:
    if how == "ok":
        return Ok(token(*key))
    if how == "interrupted":
        return Cancelled("stopped")
    return Err((Fatal if how == "fatal" else Flop)(*key), crashed=how == "crash")


class Echo(NamedTuple):
    """An earlier run of a task reports once more that it has returned."""

    life: str
    name: str

    def do(self, world: World) -> None:
        """Nothing may come of it."""
        life = world.life(self.life)
        run = life.past.get(self.name) if life is not None else None
        if life is not None and run is not None:
            life.do(lambda: life.runtime.pump.report(run, Ok(token(self.name, run.number))))

    def __str__(self) -> str:
        return f"{self.life}: an earlier run of {self.name} ends once more"


class Keep(NamedTuple):
    """A run has done a step, or leaves a checkpoint where no step is named."""

    life: str
    name: str
    step: str = ""

    def do(self, world: World) -> None:
        """What was kept before must be there."""
        life = world.life(self.life)
        run = life.run_of(self.name) if life is not None else None
        if life is not None and run is not None:
            life.do(lambda: self._step(life, run) if self.step else self._checkpoint(life, run))

    def _step(self, life: Life, run: Run) -> None:
        kept, known = life.world.account.kept[run.job.id], run.known_step(self.step)
        if known is not None:
            return
        value = [run.number, self.step]
        promise = run.keep_step(self.step, value)
        if promise is not None:
            promise.when_there(partial(kept.setdefault, self.step, value))

    def _checkpoint(self, life: Life, run: Run) -> None:
        id, safe = run.job.id, life.world.account.checkpoints
        number = (run.restored or 0) + 1
        run.checkpoint(number)
        life.runtime.flush().when_there(partial(safe.__setitem__, id, number))

    def __str__(self) -> str:
        return f"{self.life}: {self.name} " + (
            f"does step {self.step}" if self.step else "leaves a checkpoint"
        )


class Ask(NamedTuple):
    """Somebody cancels, releases or retries a task."""

    life: str
    name: str
    what: Asked

    def do(self, world: World) -> None:
        """Have it done here, or leave a request."""
        life = world.life(self.life)
        if life is not None and self.name in world.account.orders:
            life.do(lambda: self._ask(life))

    def _ask(self, life: Life) -> None:
        runtime, account = life.runtime, life.world.account
        job = runtime.find(self.name)
        if not isinstance(job, StoredJob) or not life.runtime.accepting:
            return
        if self.what == "cancel":
            account.cancels.add(self.name)
            runtime.cancel(job)
        elif self.what == "release":
            account.released.add(self.name)
            runtime.release(job)
        else:
            downstream = self.what != "retry"
            fallen = account.orders if downstream else [self.name]
            account.retries.update(list(fallen))
            try:
                handle = runtime.retry(job, downstream=downstream)
                watch(life, handle)
                runtime.find(self.name)  # which reads in the store how it had ended before
                if runtime.follower is not None and handle.done():
                    raise Broken(f"{life.name} took how {self.name} had ended for its new end")
            except TaskError as error:
                account.news.append(str(error))

    def __str__(self) -> str:
        return f"{self.life}: {self.what} {self.name}"


class PostAgain(NamedTuple):
    """A client that does not know whether its request has come leaves it once more."""

    number: int

    def do(self, world: World) -> None:
        """The same words, another number."""
        request = world.account.requests.get(self.number)
        life = next((life for life in world.lives.values() if life.alive), None)
        if request is not None and life is not None:
            life.do(lambda: world.disk.mood == "well" and life.wire.post([request]))

    def __str__(self) -> str:
        return f"request {self.number} is left once more"


class Forget(NamedTuple):
    """Somebody has no use for a task any more."""

    life: str
    name: str

    def do(self, world: World) -> None:
        """It goes if it has ended, and nothing needs it."""
        life = world.life(self.life)
        if life is not None and self.name in world.account.orders:
            life.do(lambda: self._forget(life))

    def _forget(self, life: Life) -> None:
        job = life.runtime.find(self.name)
        if job is not None and life.runtime.accepting:
            life.world.account.unwanted.add(self.name)
            life.runtime.forget(job)

    def __str__(self) -> str:
        return f"{self.life}: forget {self.name}"


class Clean(NamedTuple):
    """Somebody cleans up."""

    life: str
    wish: Cleaning

    def do(self, world: World) -> None:
        """What is old goes."""
        if (life := world.life(self.life)) is not None and life.runtime.accepting:
            world.account.cleanings.append(self.wish)
            older_than, keep, only_completed = self.wish
            statuses = {COMPLETED} if only_completed else TERMINAL
            life.do(lambda: life.runtime.cleanup(older_than, statuses, keep))

    def __str__(self) -> str:
        return f"{self.life}: forget by {self.wish}"


class TakeOver(NamedTuple):
    """Nothing is heard of the leader for a while, and a follower takes the lead."""

    life: str

    def do(self, world: World) -> None:
        """The old leader lives on, and knows nothing."""
        life, holder = world.life(self.life), world.disk.holder
        if life is None or holder is None or holder is life:
            return
        holder.frozen = True
        life.do(life.attend)
        world.now += SILENCE
        if life.alive:
            life.do(life.attend)
        holder.frozen = False

    def __str__(self) -> str:
        return f"nothing is heard of the leader for {SILENCE} s, and {self.life} looks"


class Weather(NamedTuple):
    """The disk is full, or somebody else writes to the file for a while, or all is well again."""

    mood: Mood

    def do(self, world: World) -> None:
        """Every write meets it."""
        world.disk.mood = self.mood

    def __str__(self) -> str:
        return f"the disk is {self.mood}"


class SetClock(NamedTuple):
    """Somebody sets the clock on the wall."""

    seconds: float

    def do(self, world: World) -> None:
        """For all."""
        world.wall.set_by(self.seconds)

    def __str__(self) -> str:
        return f"the clock on the wall is set by {self.seconds} s"


class Pass(NamedTuple):
    """Time passes."""

    seconds: float

    def do(self, world: World) -> None:
        """For all."""
        world.now += self.seconds

    def __str__(self) -> str:
        return f"{self.seconds} s pass"


def watch(life: Life, handle: TaskHandle[Any]) -> None:
    """Note when somebody is told that the task is safe, and when that it has ended."""
    account, stored = life.world.account, handle.stored

    def safe(_: object) -> None:
        with suppress(TaskError):
            account.acknowledge(life, stored.result().id)

    if not stored._watch(safe):  # noqa: SLF001  # what a waiter does, without one
        safe(None)
    handle._watch(partial(account.told, life))  # noqa: SLF001  # likewise
    life.handles.append(handle)

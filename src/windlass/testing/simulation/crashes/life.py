"""One process: everything real, but for threads, time, and what its executors run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from ...._core.change import Change
from ...._core.flow import Gate
from ...._core.outcome import Cancelled
from ...._core.states import TERMINAL
from ...._runtime.bus import BUFFER, Buffer
from ...._runtime.doors import Doors
from ...._runtime.durable import Durable, Role
from ...._runtime.keeping import Keep
from ...._runtime.runtime import Runtime
from ....errors import StoreError
from .disk import Lock, PowerCut, Wire
from .plans import CODEC, EXECUTORS, GATE, Program

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ...._core.outcome import Outcome
    from ...._core.pools import Traits
    from ...._runtime.follower import Follower
    from ...._runtime.handle import TaskHandle
    from ...._runtime.journal import Journal
    from ...._runtime.run import Run
    from ...._runtime.stored_job import StoredJob
    from ....ports import Call
    from .plans import Version
    from .world import World

_ROUNDS = 100


class Life:
    """See the module. It is opened right away, and may die of that."""

    def __init__(
        self, world: World, name: str, versions: Mapping[str, Version], role: Role = "any"
    ) -> None:
        self.world = world
        self.name = name
        self.role: Role = role
        self.alive = True
        self.frozen = False
        self.drained = False
        """Whether its engine has done nothing since the last turn of the pump."""
        self.turned = world.now
        """When the last one was."""
        self.clock = LifeClock(world)
        self.program = Program(versions)
        self.runs: dict[tuple[str, int], Run] = {}
        """The runs that are on."""
        self.past: dict[str, Run] = {}
        """Of each task the last run that has ended here."""
        self.handles: list[TaskHandle[Any]] = []
        """Those that somebody in it waits for."""
        self.stopped: set[tuple[str, int]] = set()
        self._follower: Follower | None = None
        self.wire = Wire(self, world.disk, world.account)
        self.runtime = self._made()
        self._posted: list[Callable[[], Any]] = []
        try:
            self._open()
        except (StoreError, PowerCut):
            self.die()

    def _made(self) -> Runtime:
        setting = self.world.setting
        hands: dict[str, Any] = {name: Hands(self, traits) for name, traits in EXECUTORS.items()}
        runtime = Runtime(
            hands,
            self.clock,
            lambda recipe: recipe,
            limit=setting.limit,
            age_every=None,
            keep_seconds=None,
            keep_count=setting.keep_count,
        )
        store, lock = cast("Any", self.wire), Lock(self, self.world.disk)
        keep = setting.keep if self.role != "errand" else Keep(None, None, None, None)
        self.durable = Durable(
            runtime, store, CODEC, self.program, lock, keep, role=self.role, threads=False
        )
        runtime.keep_in(self.durable)
        runtime._prefix = f"{self.name}-"  # noqa: SLF001  # usually it is random
        runtime.add_gate(Gate(GATE, slots=1))
        runtime.bus.add(cast("Any", Ear(lambda heard: self.world.account.heard(self, heard))))
        return runtime

    def _open(self) -> None:
        self.doors = Doors(self.runtime, None, own_loop=True)
        self.durable.open()
        self.runtime.home = cast("Any", Home(self._posted))
        self.runtime.accepting = True
        self.turn()

    @property
    def journal(self) -> Journal | None:
        """While it leads."""
        return self.runtime.journal if self.runtime.follower is None else None

    @property
    def leads(self) -> bool:
        """Whether it takes itself for the leader."""
        return self.alive and self.journal is not None

    # -- what its threads would do -------------------------------------------------------------

    def do(self, what: Callable[[], Any]) -> Any:
        """Do something in this process, which may die of it, or have to close afterwards."""
        self.drained = self.drained if what == self.commit else what == self.turn
        try:
            result = what()
            while self._posted and self.alive:
                self._posted.pop(0)()
        except PowerCut:
            self.die()
            return None
        if self.runtime.home is None:
            self.die()
        return result

    def turn(self) -> None:
        """The pump turns."""
        self.turned = self.world.now
        self.runtime.pump.turn()
        self.world.account.turned(self)

    def commit(self) -> None:
        """The journal tries once."""
        if self.journal is not None:
            self.journal.commit()

    def look(self) -> None:
        """The leader looks for requests."""
        desk = self.journal.desk if self.journal is not None else None
        if desk is None:
            return
        try:
            desk.beat()
            desk.look()
            self.durable.sweeper.look(self.clock.now())
        except StoreError:
            pass  # as its thread does, it tries again next time

    def attend(self) -> None:
        """A follower does its round, and the leader knows that there is one."""
        self._follower = self.runtime.follower or self._follower
        holder = self.world.disk.holder
        if self._follower is None:
            return
        if holder is not None and holder.journal is not None and holder.journal.desk is not None:
            holder.journal.desk.greet(1)
        if self._follower.attend([0]) is None:
            self._follower = None  # which leads, and has done all that it was asked for before

    # -- what its executors do -----------------------------------------------------------------

    def run_of(self, name: str) -> Run | None:
        """The run of a task that is on in this process."""
        return next((run for (id, _), run in self.runs.items() if id == name), None)

    def started(self, run: Run) -> None:
        """An executor is given a run."""
        self.world.account.started(self, run)
        self.runs[run.job.id, run.number] = run

    def report(self, key: tuple[str, int], outcome: Outcome) -> None:
        """A run ends."""
        run = self.past[key[0]] = self.runs.pop(key)
        self.stopped.discard(key)
        self.runtime.pump.report(run, outcome)

    # -- the end -------------------------------------------------------------------------------

    def die(self) -> None:
        """Nothing is left of it but what it has written."""
        self.alive = False
        self.runs.clear()
        if self.world.disk.holder is self:
            self.world.disk.holder = None
        self.wire.close()

    def close(self) -> None:
        """Close in order: what runs is interrupted, what was decided is written."""
        runtime = self.runtime
        runtime.accepting = False
        self.world.account.closing(self)
        self.doors._cancel_rest()  # noqa: SLF001  # what its caller awaits are our rounds here
        for _ in range(_ROUNDS):
            for key in list(self.runs):
                self.world.account.reported(self, *key, "interrupted")
                self.report(key, Cancelled("closing"))
            self.turn()
            journal = self.journal
            if not self._busy() and (journal is None or journal.idle or journal.sick):
                break
            self.commit()
        self.doors._let_go()  # noqa: SLF001  # as above
        self.die()

    def _busy(self) -> bool:
        return any(task.status == "running" for task in self.runtime.engine.tasks.values())

    def unfinished(self) -> list[StoredJob]:
        """The jobs that its engine knows and that have not ended."""
        tasks = self.runtime.engine.tasks.values()
        return [cast("StoredJob", task) for task in tasks if task.status not in TERMINAL]


class LifeClock:
    """Monotonic time that means nothing outside of the process, and that on the wall."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._began = world.now - 64.0

    def now(self) -> float:
        """Since a while before the process began."""
        return self._world.now - self._began

    def truly(self, moment: float) -> float:
        """When that was, in the time of all."""
        return moment + self._began

    def wall(self) -> float:
        """On the wall."""
        return self._world.wall.time


class Home:
    """In place of the way onto the manager's loop: there is none, and nobody is elsewhere."""

    loop = None
    thread = 0

    def __init__(self, posted: list[Callable[[], Any]]) -> None:
        self._posted = posted

    def here(self) -> bool:
        """Always."""
        return True

    def post(self, call: Callable[[], Any]) -> bool:
        """Have it called after this step."""
        self._posted.append(call)
        return True


class Hands:
    """An executor that runs nothing, and remembers what it was given."""

    capacity: int

    def __init__(self, life: Life, traits: Traits) -> None:
        self._life = life
        self.traits = traits
        self.capacity = traits.slots

    def open(self, *_: Any) -> None:
        """There is nothing to open."""

    def close(self) -> None:
        """Nor to close."""

    def figures(self) -> dict[str, int]:
        """None."""
        return {}

    def why_not(self, _function: Any) -> None:
        """It runs everything."""

    def start(self, calls: Sequence[Call]) -> None:
        """Take them."""
        for call in calls:
            self._life.started(cast("Run", call))

    def stop(self, call: Call) -> None:
        """It is told that it is to end."""
        key = call.task_id, call.number
        if key not in self._life.runs:
            return
        if self.traits.grace:
            self._life.stopped.add(key)
        else:
            self._life.report(key, Cancelled("killed"))


class Ear:
    """Hears on the bus, at once, everything that is announced."""

    def __init__(self, heard: Callable[[Sequence[Change]], None]) -> None:
        self.buffer = Buffer(BUFFER)
        self._heard = heard

    def wants_all(self) -> bool:
        """Everything."""
        return True

    def wake(self) -> None:
        """There is something to hear."""
        self._heard([heard for heard in self.buffer.drain() if isinstance(heard, Change)])

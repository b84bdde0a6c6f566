"""A world to test tasks in: the real engine in memory, in virtual time, with seeded faults.

Nothing in it is an imitation. It is the real manager with its real engine, pump and executors; the
clock is a virtual one, the executors are wrapped in something that makes faults happen, and
everything that happens is written down.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeAlias

from .._core.change import Change, Gap, GateChange
from .._core.meters import Load
from .._runtime.bus import Subscription
from .._runtime.clock import SystemClock
from .._runtime.handle import describe
from .._runtime.openings import Listener
from ..manager import TaskManager
from .faults import NO_FAULTS, Faults
from .tampering import TamperedExecutor
from .virtual_time import PATIENCE, VirtualClock, VirtualLoop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence

    from .._runtime.bus import Heard
    from .._runtime.run import Run
    from .._runtime.runtime import Runtime
    from .faults import Fate

    Scenario: TypeAlias = Callable[..., Any]

_MUCH = 1_000_000_000


class Event(NamedTuple):
    """A change, and when it happened."""

    elapsed: float
    """In seconds of virtual time since the world began."""
    change: Change | GateChange


class World:
    """The real manager in virtual time, with seeded faults, where everything is written down.

    ``run`` a scenario in it, or open managers in it; one event loop at a time.

    Args:
        seed: what the faults, and the jitter of retries, are drawn from.
        faults: what happens to how many of the attempts.
        start: the date that the wall clock starts at; by default it is the present one.
        patience: for how many real seconds the virtual clock waits for work in threads and
            processes before it goes on at the pace of the real one.
        settings: of the managers that are made in it, as of ``TaskManager(...)``.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        faults: Faults = NO_FAULTS,
        start: datetime | float | None = None,
        patience: float = PATIENCE,
        **settings: Any,
    ) -> None:
        self.seed = seed
        self.faults = faults
        self.clock = VirtualClock(start.timestamp() if isinstance(start, datetime) else start)
        self.events: list[Event] = []
        self._settings = {"watchdog": None, **settings}
        self._patience = patience
        self._runtimes: list[Runtime] = []
        self._loop: VirtualLoop | None = None
        self._plain_thread: int | None = None
        self._naps = 0
        self._listeners: list[Listener] = []

    def __repr__(self) -> str:
        return f"<World, seed {self.seed}, {self.elapsed:.3f} s on>"

    # -- time ----------------------------------------------------------------------------------

    @property
    def elapsed(self) -> float:
        """Seconds of virtual time since the world began."""
        return self.clock.elapsed

    @property
    def now(self) -> datetime:
        """What the wall clock shows, in UTC."""
        return datetime.fromtimestamp(self.clock.wall(), UTC)

    @now.setter
    def now(self, moment: datetime) -> None:
        self.clock.set_wall(moment.timestamp())

    def advance(self, seconds: float) -> Awaitable[None]:
        """Let so much time pass, even while threads or processes are at work.

        ``await`` it on the event loop; in plain code it has passed when this returns. Sleeping
        does the same, but waits for what is at work.
        """
        loop = self._loop
        if loop is None or not loop.is_running():
            self.clock.advance(seconds)
            return _Passed()
        passing = self._pass(loop, seconds)
        if asyncio._get_running_loop() is not None:
            return passing
        asyncio.run_coroutine_threadsafe(passing, loop).result()
        return _Passed()

    def at(self, seconds: float, callback: Callable[..., object], *args: Any) -> None:
        """Call ``callback(*args)`` on the event loop when so many seconds have elapsed in all."""
        loop = self._loop
        if loop is None:
            raise RuntimeError("at() needs an event loop: use it in the scenario")
        when = loop.time() + seconds - self.elapsed
        loop.call_soon_threadsafe(loop.call_at, when, callback, *args)

    @contextmanager
    def hold(self) -> Generator[None, None, None]:
        """Really wait, in here, for what the world knows nothing of: a subprocess, a server."""
        if self._loop is None:
            raise RuntimeError("hold() needs an event loop: use it in the scenario")
        with self._loop.hold():
            yield

    # -- running -------------------------------------------------------------------------------

    def run(self, scenario: Scenario, /, **settings: Any) -> Any:
        """Call ``scenario`` with an open manager, and return what it returns.

        A coroutine function runs on an event loop in virtual time, along with the manager; a plain
        function runs in this thread, with the manager on a loop of its own.
        """
        with self:
            if not inspect.iscoroutinefunction(scenario):
                with self.manager(**settings) as manager:
                    return scenario(manager)

            async def main() -> Any:
                async with self.manager(**settings) as manager:
                    return await scenario(manager)

            with asyncio.Runner(loop_factory=self.new_loop) as runner:
                return runner.run(main())

    def manager(self, **settings: Any) -> TaskManager:
        """A manager that lives in this world; ``settings`` as of ``TaskManager(...)``."""
        self._move_in()
        given: dict[str, Any] = {"clock": self.clock, **self._settings, **settings}
        manager = TaskManager(**given)
        self._adopt(manager)
        return manager

    def new_loop(self) -> VirtualLoop:
        """A new event loop in this world's time."""
        self._plain_thread = None
        self._loop = VirtualLoop(self.clock)
        self._loop.wait_for(self._outside, self._patience)
        return self._loop

    def __enter__(self) -> Self:
        """Take in every manager that opens from now on, by whatever code."""
        self._listeners.append(Listener(self._opening))
        return self

    def __exit__(self, *error: object) -> None:
        self._listeners.pop().cancel()

    # -- what happened -------------------------------------------------------------------------

    @property
    def history(self) -> list[Change]:
        """Every change of every task so far."""
        return [event.change for event in self.events if isinstance(event.change, Change)]

    def story(self, last: int | None = None) -> str:
        """The history in lines, for people; only the ``last`` so many if told so."""
        events = self.events[-last:] if last else self.events
        skipped = len(self.events) - len(events)
        lines = [f"({skipped} changes before that)"] if skipped else []
        for elapsed, change in events:
            if isinstance(change, GateChange):
                lines.append(
                    f"{elapsed:12.3f} s  gate {change.gate} {change.after}: {change.cause}"
                )
                continue
            before = "" if change.before is None else f"{change.before} -> "
            error = f" ({describe(change.error)})" if change.error is not None else ""
            what = f"{before}{change.after}: {change.cause}{error}"
            lines.append(f"{elapsed:12.3f} s  {change.name} [{change.task_id}] {what}")
        return "\n".join(lines)

    # -- how it is done ------------------------------------------------------------------------

    def _opening(self, manager: Any) -> None:
        """Somebody's manager is about to open; is it here, and on this loop?"""
        self._move_in()
        running = asyncio._get_running_loop()
        if running is None or running is self._loop:
            self._adopt(manager)

    def _move_in(self) -> None:
        """If a virtual loop is running that somebody else has made, be in its time from now on."""
        loop = asyncio._get_running_loop()
        if isinstance(loop, VirtualLoop) and loop is not self._loop:
            loop.clock.set_wall(self.clock.wall())
            loop.wait_for(self._outside, self._patience)
            self.clock, self._loop, self._plain_thread = loop.clock, loop, None

    def _adopt(self, manager: TaskManager) -> None:
        runtime = manager._runtime
        if runtime in self._runtimes or not (
            runtime.clock is self.clock or isinstance(runtime.clock, SystemClock)
        ):
            return
        runtime.clock = self.clock
        runtime.read_load = Load  # this machine's has no place in a history that is to be repeated
        # Ids are random, so that no two managers share any; here they are to be the same each time.
        runtime._prefix = f"w{len(self._runtimes) + 1}-"  # noqa: SLF001
        for name, executor in runtime.executors.items():
            runtime.executors[name] = TamperedExecutor(executor, self._fate_of, self._poke)
        runtime.asleep = _Asleep(self._nap)
        runtime.bus.add(_Recorder(runtime, self._record))
        manager._doors.new_loop = self._new_plain_loop  # noqa: SLF001
        self._runtimes.append(runtime)

    def _new_plain_loop(self) -> VirtualLoop:
        """The loop behind plain code, which opens its manager in this thread."""
        loop = self.new_loop()
        self._plain_thread = threading.get_ident()
        return loop

    def _outside(self) -> Iterator[object]:
        """Everything that goes on outside of the event loop."""
        places = [
            (runtime, executor)
            for runtime in self._runtimes
            if runtime.home is not None
            for executor in runtime.executors.values()
            if isinstance(executor, TamperedExecutor)
        ]
        for runtime, executor in places:
            yield from executor.at_work(runtime.asleep)
        thread = self._plain_thread
        if thread is not None and not any(thread in runtime.asleep for runtime in self._runtimes):
            yield "plain code", self._naps
        # Turns come last: it is in a turn that work ends and that threads are woken, so whoever
        # was at work or awake after he was looked at is found here.
        for runtime, executor in places:
            yield from tuple(executor.turns)
            if runtime.pump.turning:
                yield "a turn"

    def _nap(self) -> None:
        """A thread has gone to sleep, perhaps the last that held the clock."""
        self._naps += 1
        self._poke()

    async def _pass(self, loop: VirtualLoop, seconds: float) -> None:
        # Plain code that waits for this is asleep. It is on the loop that it wakes up, or time
        # would go on before it is.
        thread, self._plain_thread = self._plain_thread, None
        loop.push(seconds)
        try:
            await asyncio.sleep(seconds)
        finally:
            self._plain_thread = thread

    def _poke(self) -> None:
        if self._loop is not None:
            self._loop.poke()

    def _fate_of(self, run: Run) -> Fate:
        spec = run.job.spec
        timed = spec.timeout is not None or spec.total_timeout is not None
        return self.faults.fate(self.seed, run.task_id, run.name, run.number, timed=timed)

    def _record(self, changes: Sequence[Heard], wall_ahead: float) -> None:
        began = self.clock.now() - self.elapsed
        for change in changes:
            assert not isinstance(change, Gap)  # the buffer has no bound that matters
            # Wall-clock times, counted from 1970, are good for a few tenths of a microsecond.
            self.events.append(Event(round(change.at - wall_ahead - began, 6), change))


class _Passed:
    """What there is to await of time that has passed already."""

    def __await__(self) -> Generator[None, None, None]:
        yield from ()


class _Asleep(set[object]):
    """The threads that are asleep, and the event loop is told when one more is."""

    def __init__(self, told: Callable[[], None]) -> None:
        super().__init__()
        self._told = told

    def add(self, sleeper: object) -> None:
        super().add(sleeper)
        self._told()


class _Recorder(Subscription):
    """Hears of changes at once, in the pump's own turn; other subscribers have a thread for it."""

    def __init__(self, runtime: Runtime, record: Callable[[Sequence[Heard], float], None]) -> None:
        super().__init__(runtime.bus, list, lambda: True, _MUCH)
        self._runtime = runtime
        self._record = record

    def wake(self) -> None:
        clock = self._runtime.clock
        self._record(self.buffer.drain(), clock.wall() - clock.now())

    def deliver(self) -> None:
        """It has been."""

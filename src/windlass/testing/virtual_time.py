"""Virtual time: a clock that stands still while there is something to do, and then jumps.

Theory of operation
-------------------
An event loop sleeps when nothing is ready: it asks its selector to wait until the next timer. That
is the one place where time passes, so it is the one place to change. A ``VirtualLoop`` puts
the clock to the time of that timer and goes on at once. A retry in an hour, a timeout, a long
``asyncio.sleep`` all happen in their order, as soon as everything before them is over.

What goes on outside of the loop, in a thread or a process, takes real time, and the loop cannot see
from within that it is about to be called. So whoever has such work *holds* the clock: the world
does for calls that are with an executor that is not on the loop, the loop for ``run_in_executor``,
anybody else by ``VirtualLoop.hold``. While the clock is held, the loop really waits:

- For ``patience`` real seconds the clock stands still. Work that is shorter takes no time at all,
  so what happens, and when, does not depend on the machine.
- After that the clock goes at the pace of the real one. So it is never ahead of the real time that
  a piece of work has had: no timeout strikes too early, and a thread that hangs runs into its own
  as it would in life. ``VirtualLoop.push`` is for those who do not want to wait for that.

Rejected: a clock that never moves while it is held (a thread that hangs would hang the test), one
that always runs at the real pace then (no two runs would be alike), and jumping after so many
seconds without an event, as trio does (a slow machine would run into timeouts).
"""

from __future__ import annotations

import asyncio
import selectors
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, TypeVarTuple

from .._runtime.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from concurrent.futures import Executor

    Events: TypeAlias = list[tuple[selectors.SelectorKey, int]]
    Select: TypeAlias = Callable[[float | None], Events]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

PATIENCE = 5.0
_REAL = SystemClock()
# Monotonic time does not start at 0 in life either, and 0.0 means "never" in more than one program.
_START = 1000.0


class VirtualClock:
    """A clock that goes only when it is told to. It is a ``Clock``.

    ``wall`` is the wall-clock time to start at, in seconds since the epoch; by default it is the
    real one, so that ``datetime.now()`` in the code under test is not in another age.
    """

    def __init__(self, wall: float | None = None) -> None:
        self._now = _START
        self._wall_ahead = (_REAL.wall() if wall is None else wall) - _START

    def __repr__(self) -> str:
        return f"<VirtualClock, {self.elapsed:.3f} s on>"

    @property
    def elapsed(self) -> float:
        """Seconds since it was made."""
        return self._now - _START

    def now(self) -> float:
        """Monotonic seconds."""
        return self._now

    def wall(self) -> float:
        """Seconds since the epoch."""
        return self._now + self._wall_ahead

    def advance(self, seconds: float) -> None:
        """Let time pass, which wakes nobody: on a running loop, sleep instead."""
        if not seconds >= 0:
            raise ValueError(f"time does not go back: advance() by {seconds!r} seconds")
        self._now += seconds

    def set_wall(self, wall: float) -> None:
        """Set the wall clock, as an administrator or a time server would; ``now()`` stays."""
        self._wall_ahead = wall - self._now


def _nothing() -> Iterable[object]:
    return ()


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time: where another one sleeps, it jumps.

    The class serves as a ``loop_factory``.
    """

    def __init__(self, clock: VirtualClock | None = None) -> None:
        self.clock = clock = clock or VirtualClock()
        self._outside: Callable[[], Iterable[object]] = _nothing
        self._patience = PATIENCE
        self._holds: set[object] = set()
        self._held_since: dict[object, float] = {}
        self._pushed_to = clock.now()
        super().__init__(_Selector(self._wait))
        # A timer is due if it is within so many seconds from now. The system's nanosecond is lost
        # in the rounding when a float says "in a year", and the timer would never be due.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        """The virtual clock's time."""
        return self.clock.now()

    def wait_for(self, outside: Callable[[], Iterable[object]], patience: float = PATIENCE) -> None:
        """Hold the clock while ``outside()`` names anything: what goes on outside of the loop."""
        self._outside = outside
        self._patience = patience

    @contextmanager
    def hold(self) -> Generator[None, None, None]:
        """Really wait, in here, for what the loop knows nothing of: a subprocess, a server."""
        held = object()
        self._holds.add(held)
        try:
            yield
        finally:
            self._holds.discard(held)
            self.poke()

    def push(self, seconds: float) -> None:
        """Let the clock jump for so long, even while it is held; callable from any thread."""
        self._pushed_to = max(self._pushed_to, self.clock.now() + seconds)
        self.poke()

    def poke(self) -> None:
        """Have the loop look again whether the clock is held; callable from any thread."""
        if self.is_running():
            self.call_soon_threadsafe(_looked)

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """As ever, and the clock is held meanwhile."""
        future = super().run_in_executor(executor, func, *args)
        self._holds.add(future)
        future.add_done_callback(self._holds.discard)
        return future

    async def shutdown_default_executor(self, *timeout: Any, **by_name: Any) -> None:
        """As ever, and the clock is held meanwhile."""
        with self.hold():
            await super().shutdown_default_executor(*timeout, **by_name)

    # -- the one place where time passes -------------------------------------------------------

    def _wait(self, timeout: float | None, select: Select) -> Events:
        """Wait for events, until the next timer that is ``timeout`` seconds off."""
        if timeout is None or timeout <= 0:
            return select(timeout)
        real, since = _REAL.now(), self._held_since
        held = {work: since.get(work, real) for work in (*self._holds, *self._outside())}
        self._held_since = held
        # In this order: work wakes the loop before it ends, so if it is over, that is to be seen.
        events = select(0)
        if events:
            return events
        now = self.clock.now()
        if self._pushed_to > now:
            self.clock.advance(min(timeout, self._pushed_to - now))
            return events
        if not held:
            self.clock.advance(timeout)
            return events
        free = min(held.values()) + self._patience - real
        if free > 0:
            return select(free)
        events = select(timeout)
        self.clock.advance(min(timeout, _REAL.now() - real))
        return events


def _looked() -> None:
    """It is enough that the loop was woken."""


class _Selector(selectors.DefaultSelector):
    """A selector that leaves the waiting to somebody else."""

    def __init__(self, wait: Callable[[float | None, Select], Events]) -> None:
        super().__init__()
        self._wait = wait

    def select(self, timeout: float | None = None) -> Events:
        return self._wait(timeout, super().select)

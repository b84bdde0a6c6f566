"""What a runtime consists of: the engine and its lock, and everything that is plugged into them."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import sys
import threading
from typing import TYPE_CHECKING, Any, cast

from .._core.engine import Engine
from .._core.flow import Adaptive
from .._core.pools import Traits
from ..errors import (
    ManagerClosedError,
)
from .bus import Bus
from .load import read_load, require_psutil
from .lobby import Lobby
from .log_lines import LogBook
from .portal import Portal
from .pump import Pump
from .stored_job import EXTERNAL, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .._core.flow import Gate
    from .._core.meters import Load
    from .._core.task import Task
    from ..errors import StoreError
    from ..ports import Clock, Executor
    from .durable import Durable
    from .follower import Follower
    from .journal import Journal
    from .recipe import Recipe
    from .runtime import Runtime

logger = logging.getLogger("windlass")

# The wall clock was set, or has drifted, if it is so many seconds away from where it was.
_CLOCK_WAS_SET = 0.01

BY_HAND = Traits(slots=sys.maxsize, local=False, manual=True)

_get_running_loop = asyncio._get_running_loop


class Parts:
    """See the module; made as a ``Runtime``."""

    def __init__(
        self,
        executors: Mapping[str, Executor],
        clock: Clock,
        recipe_of: Callable[[Any], Recipe],
        **limits: Any,
    ) -> None:
        self.executors = dict(executors)
        self.clock = clock
        self.recipe_of = recipe_of
        self.lock = threading.Lock()
        self.watch_lock = threading.Lock()  # for promises, which the engine knows nothing of
        traits = {name: executor.traits for name, executor in executors.items()}
        none = Traits(slots=0, local=False)
        self._settings: dict[str, Any] = {
            "executors": {**traits, EXTERNAL: BY_HAND, UNKNOWN: none},
            **limits,
        }
        self.engine = Engine(**self._settings)
        self.durable: Durable | None = None
        self.follower: Follower | None = None
        """While another process leads."""
        self.journal: Journal | None = None
        self.read_load: Callable[[], Load] = read_load
        me = self.me = cast("Runtime", self)
        """This, to whoever is handed the whole."""
        self.pump = Pump(me)
        self.bus = Bus()
        self.around: list[Callable[..., Any]] = []
        self.resumptions: dict[Task, Callable[[], None]] = {}
        self.attendants: list[Callable[[], bool]] = []
        self.lobby = Lobby(me)
        self.log_book = LogBook(self.lock)
        self.asleep: set[object] = set()
        """The runs, and the threads of plain code, that are blocked in one of our waits."""
        self.accepting = False
        self.give_up: Callable[[], Any] = bool
        """Closes at once, writing nothing."""
        self.home: Portal | None = None
        """The way onto the manager's own loop, while it is open."""
        self._portals: dict[asyncio.AbstractEventLoop, Portal] = {}
        self._wall_offset = 0.0
        self._prefix = os.urandom(3).hex() + "-"
        self._serial = itertools.count(1)

    def wall_offset(self) -> float:
        """What turns the engine's times into wall times: the same until the wall clock is set.

        The two clocks are never read at the very same moment, and a task was created only once.
        """
        return self.offset_at(self.clock.now(), self.clock.wall())

    def offset_at(self, now: float, wall: float) -> float:
        """The same, from two times that were just read."""
        offset = wall - now
        if not -_CLOCK_WAS_SET <= offset - self._wall_offset <= _CLOCK_WAS_SET:
            self._wall_offset = offset
        return self._wall_offset

    def loop_here(self) -> asyncio.AbstractEventLoop | None:
        """The event loop that runs in this thread; None also for the manager's own."""
        # Comparing threads first saves a system call per task on Python 3.11.
        return None if self.home is not None and self.home.here() else _get_running_loop()

    def portal(self, loop: asyncio.AbstractEventLoop) -> Portal:
        """The way onto ``loop``, which runs in this thread."""
        portal = self._portals.get(loop)
        if portal is None:
            for other in [other for other in self._portals if other.is_closed()]:
                del self._portals[other]
            portal = self._portals[loop] = Portal(loop, threading.get_ident())
        return portal

    def home_loop(self) -> asyncio.AbstractEventLoop:
        """The manager's own loop."""
        if self.home is None:
            raise closed_error()
        return self.home.loop

    def require_loop(self) -> None:
        """Raise if the loop that everything happens on was closed under us: no wait would end."""
        if self.home is not None and self.home.loop.is_closed():
            raise ManagerClosedError(
                "the event loop that the manager was opened on is closed, and nothing goes on. "
                "Leave the manager first, with `async with` or `await manager.shutdown()`"
            )

    def measure_capacity(self) -> None:
        """Tell the engine how much each executor can do now; with the lock held."""
        for name, executor in self.executors.items():
            self.engine.set_slots(name, executor.capacity)

    def begin_anew(self) -> None:
        """Forget everything: what there is, is in the store."""
        with self.lock:
            gates = [gate.policy for gate in self.engine.turnstiles.all.values()]
            old, self.engine = self.engine, Engine(**self._settings)
            self.engine.paused, self.engine.tide = old.paused, old.tide
            self.engine.stores_first = old.stores_first
            self.engine.slots.limit = old.slots.limit
            for gate in gates:
                self.engine.add_gate(gate, self.clock.now())

    def set_paused(self, *, paused: bool) -> None:
        """Stop or resume starting tasks."""
        with self.lock:
            self.engine.paused = paused
        self.pump.wake()

    def set_limit(self, limit: int | Adaptive) -> None:
        """Change how many tasks run at once."""
        with self.lock:
            self.engine.set_limit(limit)
        self.pump.wake()

    def add_gate(self, gate: Gate) -> None:
        """Let tasks name ``gate`` from now on."""
        if isinstance(gate.slots, Adaptive):
            require_psutil(gate.slots)
        with self.lock:
            self.engine.add_gate(gate, self.clock.now())

    def keep_in(self, durable: Durable) -> None:
        """Keep tasks in a store from now on."""
        self.durable = durable
        self.engine.stores_first = True
        # Unlike a random one, this sorts by time: an index of a file grows at its end.
        self._prefix = f"{int(self.clock.wall() * 1000):x}{os.urandom(2).hex()}-"

    def on_fenced(self, error: StoreError) -> None:
        """Another process leads: nothing of ours counts any more."""
        self.accepting = False
        if self.home is not None:
            self.home.post(self.give_up)


def closed_error() -> ManagerClosedError:
    """What to say to those who come too early or too late."""
    return ManagerClosedError(
        "the manager is not open: use `with TaskManager() as tm` or `async with`, or call start()"
    )

"""The bus: who hears of changes, and how a slow or broken listener harms nobody.

Subscribers share one observer thread; each has a bounded buffer and is called with batches, in
order. ``changes()`` is the same buffer read by a coroutine. A reader that falls behind loses the
oldest changes and is told how many by a ``Gap``. With nobody listening, publishing costs a
look at an empty list.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, TypeAlias

from .._core.change import Change, Gap, GateChange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from .._core.change import Moves, Transition
    from .runtime import Runtime

logger = logging.getLogger("windlass")

Heard: TypeAlias = Change | GateChange | Gap
BUFFER = 10_000


def _always() -> bool:
    return True


class Buffer:
    """The changes one listener has not seen yet; the oldest give way when it is full."""

    __slots__ = ("_items", "_limit", "_missed", "dropped")

    def __init__(self, limit: int) -> None:
        self._items: deque[Heard] = deque()
        self._limit = limit
        self._missed = 0
        self.dropped = 0

    def extend(self, changes: Sequence[Heard]) -> None:
        """Add ``changes``."""
        self._items.extend(changes)
        while len(self._items) > self._limit:
            self._items.popleft()
            self._missed += 1
            self.dropped += 1

    def drain(self) -> list[Heard]:
        """Take out everything, led by a Gap if something is missing."""
        gap: list[Heard] = [Gap(self._missed)] if self._missed else []
        self._missed = 0
        taken = gap + list(self._items)
        self._items.clear()
        return taken


class Subscription:
    """A callback on the observer thread; ``cancel`` it to hear no more."""

    def __init__(
        self,
        bus: Bus,
        callback: Callable[[Sequence[Heard]], Any],
        wants_all: Callable[[], bool],
        limit: int,
    ) -> None:
        self._bus = bus
        self._callback = callback
        self.wants_all = wants_all
        self.buffer = Buffer(limit)
        self.failures = 0

    def cancel(self) -> None:
        """Hear no more."""
        self._bus.remove(self)

    def wake(self) -> None:
        """There is something in the buffer: see to it that it is delivered."""
        self._bus.wake_observer()

    def deliver(self) -> None:
        """Hand over what has come, on the observer thread."""
        with self._bus.lock:
            batch = self.buffer.drain()
        if not batch:
            return
        try:
            self._callback(batch)
        except BaseException:  # were it SystemExit, the others would have no thread any more
            self.failures += 1
            logger.exception(
                "a subscriber raised and lost %d changes; it stays subscribed", len(batch)
            )


class Reader:
    """An async iterator over changes."""

    wants_all = staticmethod(_always)

    def __init__(self, bus: Bus, runtime: Runtime, limit: int) -> None:
        self._bus = bus
        self._runtime = runtime
        self.buffer = Buffer(limit)
        self._wake: Callable[[], None] | None = None
        self._over = False

    def wake(self) -> None:
        """There is something in the buffer."""
        if self._wake is not None:
            self._wake()

    def end(self) -> None:
        """There will be no more."""
        self._over = True
        self.wake()

    async def read(self) -> AsyncIterator[Heard]:
        """Yield changes as they come, until the manager closes."""
        loop = asyncio.get_running_loop()
        portal = self._runtime.portal(loop)
        try:
            while True:
                future = loop.create_future()
                self._wake = lambda future=future: portal.resolve(future)
                with self._bus.lock:
                    batch = self.buffer.drain()
                for heard in batch:
                    yield heard
                if not batch:
                    if self._over:
                        return
                    await future
        finally:
            self._bus.remove(self)


class Bus:
    """See the module."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._listeners: list[Subscription | Reader] = []
        self._work = threading.Event()
        self._thread: threading.Thread | None = None
        self._closing = False

    @property
    def dropped(self) -> int:
        """How many changes listeners were too slow for."""
        return sum(listener.buffer.dropped for listener in self._listeners)

    def subscribe(
        self,
        callback: Callable[[Sequence[Heard]], Any],
        *,
        wants_all: Callable[[], bool] = _always,
        limit: int = BUFFER,
    ) -> Subscription:
        """Call ``callback`` with batches of changes from now on.

        While ``wants_all`` says no, it hears only of what is noteworthy: of failures, retries and
        cancellations. The log wants no more most of the time, and to be left alone is free.
        """
        subscription = Subscription(self, callback, wants_all, limit)
        self.add(subscription)
        return subscription

    def reader(self, runtime: Runtime, limit: int = BUFFER) -> Reader:
        """A reader of changes from now on."""
        reader = Reader(self, runtime, limit)
        self.add(reader)
        return reader

    def add(self, listener: Subscription | Reader) -> None:
        """Let ``listener`` hear of every change from now on."""
        with self.lock:
            self._listeners = [*self._listeners, listener]

    def remove(self, listener: Subscription | Reader) -> None:
        """Let ``listener`` hear no more."""
        with self.lock:
            self._listeners = [other for other in self._listeners if other is not listener]

    def publish(self, moves: Moves, noteworthy: Sequence[Transition], wall_offset: float) -> None:
        """Tell everybody who wants to know."""
        for listener in self._listeners:
            wanted: Moves | Sequence[Transition] = moves if listener.wants_all() else noteworthy
            if wanted or moves.circuits:
                changes: list[Change | GateChange] = [
                    Change.of(move, wall_offset) for move in wanted
                ]
                changes += [GateChange.of(move, wall_offset) for move in moves.circuits]
                with self.lock:
                    listener.buffer.extend(changes)
                listener.wake()

    def tell(self, changes: Sequence[Heard]) -> None:
        """Tell everybody of changes that happened in another process."""
        for listener in self._listeners:
            if listener.wants_all():
                with self.lock:
                    listener.buffer.extend(changes)
                listener.wake()

    def wake_observer(self) -> None:
        """Have the observer thread look at the buffers; it is started when first needed."""
        if self._thread is None:
            self._closing = False
            self._thread = threading.Thread(
                target=self._observe, name="windlass-observer", daemon=True
            )
            self._thread.start()
        self._work.set()

    def _observe(self) -> None:
        while True:
            self._work.wait()
            self._work.clear()
            with self.lock:
                listeners = self._listeners
            for listener in listeners:
                if isinstance(listener, Subscription):
                    listener.deliver()
            if self._closing and not self._work.is_set():
                return

    def close(self, patience: float) -> None:
        """End readers, and deliver what subscribers have not heard yet; they stay subscribed."""
        with self.lock:
            readers = [listener for listener in self._listeners if isinstance(listener, Reader)]
        for reader in readers:
            reader.end()
        thread, self._thread = self._thread, None
        if thread is not None:
            self._closing = True
            self._work.set()
            if thread is not threading.current_thread():
                thread.join(patience)

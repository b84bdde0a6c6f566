"""What listens is opened and closed like a manager: by ``async with``, ``with`` or by hand."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol, Self

from .. import ManagerClosedError, TaskHandle, TaskManager, Wait, task

if TYPE_CHECKING:
    from .server import Server


class Work(Protocol):
    """What listens, without its doors. Both methods run on one event loop of their own."""

    server: Server
    name: str

    async def begin(self) -> None:
        """Get ready, or raise what is wrong."""

    async def serve(self) -> None:
        """Listen until ``server.stopping`` is set, and then let what has begun come to its end."""


class Listener:
    """Listens for messages from ``start`` to ``stop``, and makes tasks of them.

    Open it within the block of its manager: with ``async with``, in plain code with ``with``, or by
    ``start()`` and ``stop()``. It lives on a thread of its own, so nothing that blocks an event
    loop makes it look dead to others.
    """

    def __init__(self, manager: TaskManager, work: Work) -> None:
        self._manager = manager
        self._work = work
        # Reading is a task as well: of a manager with a loop of its own, whose waits are the waits.
        self._own = TaskManager(own_loop=True, watchdog=None)
        self._serving: TaskHandle[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop_asked = False

    def __repr__(self) -> str:
        return f"<Listener {self._work.name}{', open' if self.is_open else ''}>"

    @property
    def is_open(self) -> bool:
        """Whether it listens."""
        return self._serving is not None and not self._serving.done()

    def start(self) -> Wait[None]:
        """Begin to listen; the wait raises what is wrong: no server, a wrong password."""
        if self._own.is_open:
            raise RuntimeError(f"{self!r} was started before; it can be again after stop()")
        if not self._manager.is_open:
            raise ManagerClosedError(
                f"{self._work.name} needs an open manager: open the listener within its block, "
                "`async with TaskManager() as tm, listen(tm, ...):`"
            )
        self._loop, self._stop_asked = None, False
        self._own.start()
        return self._own.submit(task(self._begin, name=self._work.name, durable=False))

    def stop(self, *, wait: bool = True) -> Wait[None]:
        """Read no more, and wait for what is in flight; ``wait=False`` leaves it to others."""
        self._stop_asked = True
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._work.server.stopping.set)
        return self._own.shutdown(wait=wait)

    def join(self) -> Wait[None]:
        """Wait until somebody stops it."""
        if self._serving is None:
            raise RuntimeError(f"{self!r} does not listen yet: open it by `async with` or start()")
        return self._serving

    async def _begin(self) -> None:
        self._work.server.stopping = asyncio.Event()  # they belong to one loop
        self._loop = asyncio.get_running_loop()
        try:
            await self._work.begin()
        except BaseException:
            self._own.stop()
            raise
        if self._stop_asked:  # before there was anything to tell of it
            self._work.server.stopping.set()
        self._serving = self._own.submit(task(self._serve, name=self._work.name, durable=False))

    async def _serve(self) -> None:
        await self._work.serve()

    async def __aenter__(self) -> Self:
        starting = self.start()
        try:
            await starting
        except asyncio.CancelledError:
            await self.stop(wait=False)
            raise
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        stopping = self.stop(wait=error is None)
        try:
            await stopping
        except asyncio.CancelledError:
            await self.stop(wait=False)
            raise

    def __enter__(self) -> Self:
        if asyncio._get_running_loop() is not None:
            raise RuntimeError("in a running event loop, use `async with` to listen")
        self.start().result()
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        try:
            self.stop(wait=error is None).result()
        except KeyboardInterrupt:
            self.stop(wait=False).result()
            raise

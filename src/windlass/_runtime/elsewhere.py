"""An awaitable that a thread has awaited on an event loop, be it somebody else's."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..executors.closing import WhenClosed, bury, post

if TYPE_CHECKING:
    from collections.abc import Awaitable


class Elsewhere:
    """On its way once made; ``closed`` is what its error says if the loop is or gets closed."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, awaitable: Awaitable[Any], closed: str
    ) -> None:
        self._loop = loop
        self._awaitable = awaitable
        self._closed = closed
        self._end: Future[Any] = Future()
        self._task: asyncio.Task[Any] | None = None
        self._when_closed: WhenClosed
        post(loop, self._begin, self._lost)

    def result(self) -> Any:
        """Wait for it, in the thread. Raises what it raises, and CancelledError if cancelled."""
        return self._end.result()

    def cancel(self) -> None:
        """Wait for it no longer; from any thread."""
        if self._end.cancel():
            with suppress(RuntimeError):  # it is closed
                self._loop.call_soon_threadsafe(self._cancel)

    # -- on the loop -----------------------------------------------------------------------------

    def _begin(self) -> None:
        self._task = self._loop.create_task(self._awaited())
        self._when_closed = WhenClosed(self._loop, self._lost)
        self._task.add_done_callback(self._over)

    async def _awaited(self) -> tuple[Any, BaseException | None]:
        try:
            return await self._awaitable, None
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001  # it is the task's, not the loop's
            return None, error

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _over(self, task: asyncio.Task[tuple[Any, BaseException | None]]) -> None:
        self._when_closed.forget()
        if task.cancelled():
            self._never_begun()
            self._end.cancel()
            return
        result, error = task.result()
        with suppress(InvalidStateError):  # it was cancelled: nobody waits
            if error is not None:
                self._end.set_exception(error)
            else:
                self._end.set_result(result)

    def _lost(self) -> None:
        """The loop was closed before this was over."""
        if self._task is not None:
            bury(self._task)
        self._never_begun()
        with suppress(InvalidStateError):
            self._end.set_exception(RuntimeError(self._closed))

    def _never_begun(self) -> None:
        """Close what may never have been awaited, or Python would warn of that."""
        getattr(self._awaitable, "close", int)()

"""Portals: how anything reaches an event loop from wherever it is.

Waking a loop from another thread costs a system call, so it is done once per batch: what comes
while a wake-up is under way goes along with it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


_MOMENT = 0.2


logger = logging.getLogger("windlass")


class Portal:
    """The way onto one event loop."""

    __slots__ = ("_calls", "_scheduled", "loop", "thread")

    def __init__(self, loop: asyncio.AbstractEventLoop, thread: int) -> None:
        self.loop = loop
        self.thread = thread
        self._calls: deque[Callable[[], Any]] = deque()
        self._scheduled = False

    def here(self) -> bool:
        """Whether this is the loop's own thread."""
        return threading.get_ident() == self.thread

    def post(self, call: Callable[[], Any]) -> bool:
        """Have ``call`` called on the loop soon, from any thread. False: the loop is closed."""
        self._calls.append(call)
        if self._scheduled:
            return not self.loop.is_closed()
        self._scheduled = True
        try:
            self.loop.call_soon_threadsafe(self._run)
        except BaseException as error:
            self._scheduled = False
            if not isinstance(error, RuntimeError):
                raise  # by Ctrl-C: the next one is to schedule it
            return False
        return True

    def resolve(self, future: asyncio.Future[None]) -> None:
        """Wake whoever awaits ``future`` on this loop; harmless if nobody does any more."""
        if threading.get_ident() == self.thread:
            if not future.done():
                future.set_result(None)
        else:
            self.post(lambda: _wake(future))

    def _run(self) -> None:
        self._scheduled = False
        calls = self._calls
        for _ in range(len(calls)):
            calls.popleft()()


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class LoopThread:
    """An event loop of our own on a daemon thread: the engine room of ``with TaskManager()``."""

    def __init__(self, name: str, new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self.loop = new_loop()
        self._then: Callable[[], None] | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def ident(self) -> int:
        """The thread's identity."""
        ident = self._thread.ident
        assert ident is not None
        return ident

    def stop(self, then: Callable[[], None]) -> None:
        """Stop and close the loop; ``then`` is called, on its thread, as the last thing."""
        self._then = then
        self.loop.call_soon_threadsafe(self.loop.stop)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            while self._then is None:
                try:
                    self.loop.run_forever()
                except (SystemExit, KeyboardInterrupt) as error:
                    # asyncio lets these through when one of its tasks raises them. Whoever awaits
                    # that task gets them as well; the loop belongs to many and goes on.
                    logger.error(  # noqa: TRY400  # no traceback leads to that task
                        "%r in a task of asyncio's on the manager's loop", error
                    )
        finally:
            self._end_what_is_left()
            self.loop.close()
            if self._then is not None:
                self._then()

    def _end_what_is_left(self) -> None:
        """Cancel what still runs on the loop; what will not end in a moment is left where it is."""
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        if left:
            _, stubborn = self.loop.run_until_complete(asyncio.wait(left, timeout=_MOMENT))
            for task in stubborn:
                # It swallowed every cancellation; a complaint by asyncio would help nobody.
                setattr(task, "_log_destroy_pending", False)  # noqa: B010  # asyncio's own switch
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())

"""What becomes of work that is given to somebody else's event loop, should that loop be closed.

asyncio tells nobody: a loop that is closed forgets what it was to call, and what waits in it waits
for ever. But what it forgets is freed, and that can be seen.
"""

from __future__ import annotations

import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

# Never to go off. It wakes nobody: asyncio sleeps for a day at most, whatever its timers say.
_FAR = 365 * 86400.0


def post(
    loop: asyncio.AbstractEventLoop,
    callback: Callable[[], object],
    dropped: Callable[[], object],
) -> None:
    """Have ``callback`` called on ``loop``, or ``dropped`` if it is closed first; on any thread."""
    letter = _Letter(callback, dropped)
    try:
        loop.call_soon_threadsafe(letter)
    except RuntimeError:
        letter.drop()
    else:
        if loop.is_closed():  # between its own look at that and its taking the letter in
            letter.drop()


class _Letter:
    """Either called or dropped, and only once."""

    def __init__(self, callback: Callable[[], object], dropped: Callable[[], object]) -> None:
        self._callback = callback
        self._dropped: Callable[[], object] | None = dropped

    def __call__(self) -> None:
        self._dropped = None
        self._callback()

    def drop(self) -> None:
        dropped, self._dropped = self._dropped, None
        if dropped is not None:
            dropped()

    __del__ = drop


def bury(task: asyncio.Task[Any]) -> None:
    """End ``task``, whose loop is closed: its coroutine is closed, which never goes on.

    asyncio would log that a pending task was destroyed. It is told where its result was wanted.
    """
    setattr(task, "_log_destroy_pending", False)  # noqa: B010  # not among the public names
    with suppress(RuntimeError):  # a clean-up in it that awaits something cannot be waited for
        task.get_coro().close()


class WhenClosed:
    """Calls ``callback``, once, when ``loop`` is closed, on the thread that closes it.

    Made and forgotten on the loop's own thread.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
        self._sentry = weakref.ref(_Sentry(loop, callback))

    def forget(self) -> None:
        """Do not call it any more."""
        sentry = self._sentry()
        if sentry is not None:
            sentry.dismiss()


class _Sentry:
    """Stays among the timers of its loop and nowhere else, and only ``close()`` clears those."""

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
        self._loop = loop
        self._callback: Callable[[], object] | None = callback
        self()

    def __call__(self) -> None:
        """Take its place; anew if the time should come, as it does where time is virtual."""
        self._timer = weakref.ref(self._loop.call_later(_FAR, self))

    def dismiss(self) -> None:
        self._callback = None
        timer = self._timer()
        if timer is not None:
            timer.cancel()

    def __del__(self) -> None:
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()

"""How a thread sleeps until it is woken, and how anybody can know that it does."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from .current import current_run

if TYPE_CHECKING:
    from .runtime import Runtime

_AT_A_STRETCH = 1.0
"""How long the main thread sleeps at most before it looks whether there was a signal.

One that comes while it sleeps wakes it. One that comes in the moment before would be heard of only
when it is woken, which may be never: the first Ctrl-C would do nothing.
"""


class Nap:
    """One sleep of this thread. ``wake`` may come first: then it does not sleep at all.

    While it sleeps, ``runtime.asleep`` holds its run or, in plain code, the thread's identity. It
    is taken out by whoever wakes it: nobody ever takes a thread for asleep that was called.
    """

    __slots__ = ("_called", "_runtime", "_sleeper")

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._sleeper: object = current_run() or threading.get_ident()
        self._called = threading.Lock()
        self._called.acquire()

    def wake(self, _: object = None) -> None:
        """End it; callable from any thread."""
        with self._runtime.watch_lock:
            self._runtime.asleep.discard(self._sleeper)
            self._called.release()

    def sleep(self, timeout: float | None = None) -> bool:
        """Sleep until woken, but at most ``timeout`` seconds; False if that was over first."""
        with self._runtime.watch_lock:
            if self._called.locked():
                self._runtime.asleep.add(self._sleeper)
        try:
            if timeout is not None:
                return self._called.acquire(timeout=min(timeout, threading.TIMEOUT_MAX))
            stretch = _AT_A_STRETCH if threading.current_thread() is threading.main_thread() else -1
            while not self._called.acquire(timeout=stretch):
                pass
            return True
        finally:
            self._runtime.asleep.discard(self._sleeper)

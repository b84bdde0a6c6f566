"""What Ctrl-C means while tasks run.

The first lets running tasks finish: the managers are paused, and as soon as nothing runs any more
the program is interrupted, as it would have been at once without us; what was queued is cancelled
by its own manager on the way out. A second does not wait for that. A third breaks in wherever the
program is, as python's own does.

Interrupting means KeyboardInterrupt in plain code. On an event loop the task that opened a manager
is cancelled, cleans up in order, and KeyboardInterrupt comes out of the loop after it: what
``asyncio.run`` does by itself where no other handler is in its place.
"""

from __future__ import annotations

import _thread
import asyncio
import signal
import threading
import weakref
from typing import TYPE_CHECKING, Any, Self

from windlass import StoreError

if TYPE_CHECKING:
    from windlass import TaskManager

    from .tally import Tally


class Interrupts:
    """Ctrl-C on the main thread, from ``__enter__`` to ``__exit__``; see the module.

    The handler may find the main thread in the middle of anything, with any lock in its hands. So
    it only counts and interrupts; what needs locks is left to ``tend``, on another thread.
    """

    def __init__(self, tally: Tally) -> None:
        self.presses = 0
        self.notice = ""
        """What to tell people about it."""
        self._tally = tally
        self._openers: list[weakref.ref[asyncio.Task[Any]]] = []
        self._installed = False
        self._drained = False

    def __enter__(self) -> Self:
        # A job in the background ignores it, and goes on doing so.
        self._installed = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._installed:
            signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        if self._installed and signal.getsignal(signal.SIGINT) == self._on_signal:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def watch(self, manager: TaskManager) -> None:
        """A manager opens in this thread: if in a coroutine, that is what to interrupt."""
        if asyncio._get_running_loop() is None:
            return
        opener = asyncio.current_task()
        if opener is not None:
            alive = [ref for ref in self._openers if (task := ref()) and not task.done()]
            self._openers = [*alive, weakref.ref(opener)]

    def tend(self) -> None:
        """Do what a Ctrl-C asked for; called every now and then, not on the main thread."""
        if self.presses != 1 or self._drained:
            return
        managers = self._tally.managers()
        for manager in managers:
            manager.pause()
        busy = sum(_busy(manager) for manager in managers)
        self.notice = f"Ctrl-C: {busy} still running, no more are started. Ctrl-C again cancels."
        if not busy:
            self._drained = True
            _signal_main_thread()

    def _on_signal(self, *_: object) -> None:
        if self.presses == 1 and self._drained:
            pass  # our own, from ``tend``
        else:
            self.presses += 1
            if self.presses == 1:
                return
        if self.presses > 2:  # noqa: PLR2004  # the third
            raise KeyboardInterrupt
        self.presses = 2
        self.notice = "Ctrl-C: everything is cancelled."
        self._interrupt()

    def _interrupt(self) -> None:
        loop = asyncio._get_running_loop()
        if loop is None:
            raise KeyboardInterrupt
        openers = [
            task
            for ref in self._openers
            if (task := ref()) and not task.done() and task.get_loop() is loop
        ]
        for opener in openers:
            loop.call_soon_threadsafe(_cancel, opener)
        if not openers:
            loop.call_soon_threadsafe(_break_out)


def _busy(manager: TaskManager) -> int:
    """How many tasks run and do not merely wait for others, which may never start."""
    try:
        return sum(pool.taken for pool in manager.get_metrics().executors.values())
    except StoreError:  # another process leads its file, so none of them runs here
        return 0


def _signal_main_thread() -> None:
    if hasattr(signal, "pthread_kill"):
        # A real one also ends a wait in which the main thread blocks.
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        _thread.interrupt_main()


def _cancel(opener: asyncio.Task[Any]) -> None:
    opener.add_done_callback(_break_out)
    opener.cancel("Ctrl-C")


def _break_out(opener: asyncio.Task[Any] | None = None) -> None:
    if opener is None or opener.cancelled():
        raise KeyboardInterrupt

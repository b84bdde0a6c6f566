"""The watchdog: notices when something blocks the event loop, and names it.

A thread of its own asks the loop for a sign of life. If none comes in time, the loop's thread is in
the middle of something, and its stack tells what: the frame in which an attempt is stepped names
the task, and the innermost frame of the user's own code names file and line. Looking at the stack
costs nothing while nothing blocks.
"""

from __future__ import annotations

import logging
import sys
import threading
from typing import TYPE_CHECKING

from .._core.states import RUNNING
from .invoke import WAYS_IN

if TYPE_CHECKING:
    import asyncio
    from types import FrameType

    from .runtime import Runtime

logger = logging.getLogger("windlass")


class Watchdog:
    """Watches one loop; see the module."""

    def __init__(
        self, runtime: Runtime, loop: asyncio.AbstractEventLoop, thread: int, seconds: float
    ) -> None:
        self._runtime = runtime
        self._loop = loop
        self._watched = thread
        self._seconds = seconds
        self._stopped = threading.Event()
        self._alive = threading.Event()
        threading.Thread(target=self._watch, name="windlass-watchdog", daemon=True).start()

    def stop(self) -> None:
        """Watch no more."""
        self._stopped.set()
        self._alive.set()

    def _watch(self) -> None:
        while not self._stopped.wait(self._seconds):
            if not self._runtime.engine.counts[RUNNING]:
                continue  # nobody to blame
            self._alive.clear()
            try:
                self._loop.call_soon_threadsafe(self._alive.set)
            except RuntimeError:
                return  # the loop is closed
            if not self._alive.wait(self._seconds):
                self._report()
                self._alive.wait()  # one report per blockage

    def _report(self) -> None:
        frame = sys._current_frames().get(self._watched)
        if frame is None or self._stopped.is_set():
            return
        task, place = _blame(frame)
        who = f"task {task}" if task else "something that is not a task"
        logger.warning(
            "%s blocks the event loop for more than %.1f s, at %s; nothing else runs there "
            "meanwhile. Make it a plain function (it gets a thread), or await instead of blocking",
            who,
            self._seconds,
            place,
        )


def _blame(frame: FrameType) -> tuple[str | None, str]:
    """Which task a stack belongs to, and where in the user's code it is."""
    innermost = frame
    place: FrameType | None = None
    current: FrameType | None = frame
    while current is not None:
        if current.f_code in WAYS_IN:
            label = current.f_locals["run"].job.label
            chosen = place or innermost
            return (
                label,
                f"{chosen.f_code.co_filename}:{chosen.f_lineno} in {chosen.f_code.co_name}",
            )
        if place is None and not _is_library(current.f_code.co_filename):
            place = current
        current = current.f_back
    chosen = place or innermost
    return None, f"{chosen.f_code.co_filename}:{chosen.f_lineno} in {chosen.f_code.co_name}"


def _is_library(filename: str) -> bool:
    # Not every name in angle brackets: what was typed at a prompt is the user's own code, too.
    return filename.startswith((_STDLIB, _OURS, "<frozen ")) or "site-packages" in filename


_STDLIB = threading.__file__.rpartition("/")[0]
_OURS = __file__.rpartition("/_runtime/")[0]

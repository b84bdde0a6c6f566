"""Opening and closing: how a runtime comes to an event loop, and how it leaves it in order.

Closing goes through stages: wait for what is due (unless told not to), cancel what is left, wait
for running tasks to clean up, let go of the executors. A task may close its own manager: it is
not waited for, and the last stages happen when it has ended.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING

from .._core.states import FAILED, PENDING, RUNNING, WAITING
from .current import current_run
from .portal import LoopThread, Portal
from .run import Run
from .wait import Promise
from .watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable

    from .job import Job
    from .runtime import Runtime

logger = logging.getLogger("windlass")

CLOSED = "the manager was closed"
_OBSERVERS_PATIENCE = 2.0


class Doors:
    """Opens and closes one runtime; see the module."""

    def __init__(self, runtime: Runtime, watchdog_seconds: float | None) -> None:
        self._runtime = runtime
        self._watchdog_seconds = watchdog_seconds
        self.new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
        """Makes the loop that plain code has none of."""
        self._watchdog: Watchdog | None = None
        self._loop_thread: LoopThread | None = None
        self._closing: asyncio.Task[None] | None = None
        self._closed: Promise[None] | None = None
        self._hurry: Promise[None] | None = None

    # -- opening -------------------------------------------------------------------------------

    def open(self) -> Promise[None]:
        """Open on the running loop, or without one on a loop and a thread of our own."""
        runtime = self._runtime
        opened: Promise[None] = Promise(runtime, "opening of the manager")
        if runtime.home is not None:
            if runtime.home.loop.is_closed():
                self._abandon_loop()
            else:
                opened.keep(None)
                return opened
        loop = asyncio._get_running_loop()
        if loop is not None:
            runtime.home = runtime.portal(loop)
            self._open_here(loop, threading.get_ident())
        else:
            self._loop_thread = LoopThread("windlass-loop", self.new_loop)
            runtime.home = Portal(self._loop_thread.loop, self._loop_thread.ident)
            ready = threading.Event()

            def open_there() -> None:
                assert self._loop_thread is not None
                self._open_here(self._loop_thread.loop, self._loop_thread.ident)
                ready.set()

            runtime.home.post(open_there)
            ready.wait()
        opened.keep(None)
        return opened

    def _open_here(self, loop: asyncio.AbstractEventLoop, thread: int) -> None:
        runtime = self._runtime
        for executor in runtime.executors.values():
            executor.open(loop, runtime.pump.report, runtime.pump.turn_now)
        runtime.accepting = True
        runtime.pump.attach(loop, thread)
        if self._watchdog_seconds is not None:
            self._watchdog = Watchdog(runtime, loop, thread, self._watchdog_seconds)

    def _abandon_loop(self) -> None:
        """The loop we lived on was closed under us, by an ``asyncio.run`` that ended, say."""
        logger.warning(
            "the event loop was closed before its manager; unfinished tasks are cancelled"
        )
        self._cancel_rest(())
        runtime = self._runtime
        with runtime.lock:
            for task in list(runtime.engine.tasks.values()):
                runtime.engine.abandon(task, runtime.clock.now())
        self._let_go()

    # -- closing -------------------------------------------------------------------------------

    def close(self, *, wait: bool, timeout: float | None) -> Promise[None]:
        """Close in order; a second call that does not wait hurries the first one on."""
        runtime = self._runtime
        if runtime.home is None:
            closed: Promise[None] = Promise(runtime, "closing of the manager")
            closed.keep(None)
            return closed
        caller = _calling_job(runtime)
        mine = self._closed
        if mine is None:
            mine = self._closed = Promise(runtime, "closing of the manager")
            self._hurry = Promise(runtime, "hurry")

            def begin() -> None:
                loop = asyncio.get_running_loop()
                self._closing = loop.create_task(
                    self._close(mine, caller, wait=wait, timeout=timeout), name="windlass-closing"
                )

            if runtime.home.here():
                begin()
            else:
                runtime.home.post(begin)
        elif not wait and self._hurry is not None:
            self._hurry.keep(None)
        return mine

    async def _close(
        self, closed: Promise[None], caller: Job | None, *, wait: bool, timeout: float | None
    ) -> None:
        runtime, hurry = self._runtime, self._hurry
        apart = (caller,) if caller is not None else ()
        try:
            if wait and hurry is not None:
                quiet = self.when(lambda: self.is_quiet(apart), "quiet")
                await _first_of(quiet, hurry, timeout)
            runtime.accepting = False
            self._cancel_rest(apart)
            await self.when(lambda: not self._running(apart), "clean-up")
            if apart:
                closed.keep(None)
                await self.when(lambda: not self._running(()), "clean-up")
            self._let_go()
        except BaseException as error:
            closed.break_(error)
            raise
        finally:
            self._closed = self._closing = self._hurry = None
        if self._loop_thread is None:
            closed.keep(None)
        else:
            # Closed is closed: whoever waits goes on when the loop and its thread are gone.
            thread, self._loop_thread = self._loop_thread, None
            thread.stop(then=lambda: closed.keep(None))

    def _cancel_rest(self, apart: tuple[Job, ...]) -> None:
        runtime = self._runtime
        with runtime.lock:
            now = runtime.clock.now()
            for task in list(runtime.engine.tasks.values()):
                if task.status in {PENDING, WAITING, RUNNING} and task not in apart:
                    runtime.engine.cancel(task, now, CLOSED)
        runtime.pump.wake()

    def _let_go(self) -> None:
        runtime = self._runtime
        if self._watchdog is not None:
            self._watchdog.stop()
            self._watchdog = None
        runtime.accepting = False
        runtime.pump.turn()
        for name, executor in runtime.executors.items():
            executor.close()
            left_behind: list[str] = getattr(executor, "left_behind", list)()
            if left_behind:
                logger.warning(
                    "closed while %d stopped functions still run on %r: %s",
                    len(left_behind),
                    name,
                    ", ".join(left_behind[:10]),
                )
        runtime.pump.detach()
        runtime.home = None
        with runtime.lock:
            failed = [task for task in runtime.engine.tasks.values() if task.status is FAILED]
        runtime.note_forgotten(failed)
        runtime.bus.close(_OBSERVERS_PATIENCE)

    # -- states of the whole -------------------------------------------------------------------

    def when(self, condition: Callable[[], bool], what: str) -> Promise[None]:
        """A wait for ``condition``, which is asked after every turn of the pump."""
        promise: Promise[None] = Promise(self._runtime, what)

        def ask() -> bool:
            if promise.done() or condition():
                promise.keep(None)
                return True
            return False

        self._runtime.add_attendant(ask)
        return promise

    def is_quiet(self, apart: tuple[Job, ...]) -> bool:
        """Whether everything that was released has ended, but for the tasks ``apart``."""
        runtime = self._runtime
        with runtime.lock:
            ignored = sum(1 for job in apart if job.status is RUNNING)
            return runtime.engine.is_quiet(ignored)

    def _running(self, apart: tuple[Job, ...]) -> bool:
        with self._runtime.lock:
            ignored = sum(1 for job in apart if job.status is RUNNING)
            return self._runtime.engine.counts[RUNNING] > ignored


def _calling_job(runtime: Runtime) -> Job | None:
    run = current_run()
    return run.job if isinstance(run, Run) and run.runtime is runtime else None


async def _first_of(quiet: Promise[None], hurry: Promise[None], timeout: float | None) -> None:
    either = asyncio.Event()
    loop = asyncio.get_running_loop()

    def wake(_: object) -> None:
        loop.call_soon_threadsafe(either.set)

    waiting = [promise._watch(wake) for promise in (quiet, hurry)]
    if all(waiting):
        try:
            await asyncio.wait_for(either.wait(), timeout)
        except TimeoutError:
            pass
    for promise in (quiet, hurry):
        promise._unwatch(wake)

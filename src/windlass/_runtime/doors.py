"""Opening and closing: how a runtime comes to an event loop, and how it leaves it in order.

Closing goes through stages: wait for what is due (unless told not to), cancel what is left, wait
for running tasks to clean up, let go of the executors. A task may close its own manager: it is
not waited for, and the last stages happen when it has ended.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING

from .._core.states import FAILED, RUNNING, TERMINAL
from ..errors import ManagerClosedError
from .current import current_run
from .portal import LoopThread, Portal
from .run import Run
from .stored_job import StoredJob
from .wait import Promise
from .watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from .._core.task import Task
    from ..ports import Executor
    from .job import Job
    from .runtime import Runtime

logger = logging.getLogger("windlass")

CLOSED = "the manager was closed"
_OBSERVERS_PATIENCE = 2.0


class Doors:
    """Opens and closes one runtime; see the module."""

    def __init__(self, runtime: Runtime, watchdog_seconds: float | None, *, own_loop: bool) -> None:
        self._runtime = runtime
        runtime.give_up = self._give_up
        self._own_loop = own_loop
        self._watchdog_seconds = watchdog_seconds
        self.new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
        """Makes the loop that plain code has none of."""
        self._watchdog: Watchdog | None = None
        self._loop_thread: LoopThread | None = None
        self._closing: asyncio.Task[None] | None = None
        self._closed: Promise[None] | None = None
        self._hurry: Promise[None] | None = None
        self._closers: dict[Job, Promise[None]] = {}
        """The tasks that close their own manager, which are not waited for."""
        self._was_paused = False
        self._joiners: list[Job] = []
        """The tasks that wait for everything but themselves."""

    # -- opening -------------------------------------------------------------------------------

    def open(self) -> Promise[None]:
        """Open on the running loop, or without one on a loop and a thread of our own."""
        runtime = self._runtime
        opened: Promise[None] = Promise(runtime, "opening of the manager")
        if self._closed is not None:
            raise ManagerClosedError("the manager is closing: wait for that, then open it again")
        if runtime.home is not None:
            if runtime.home.loop.is_closed():
                self._abandon_loop()
            else:
                opened.keep(None)
                return opened
        loop = asyncio._get_running_loop()
        if loop is not None and not self._own_loop:
            self._open_on(runtime.portal(loop), loop, threading.get_ident(), opened)
            if opened.done():
                opened._value()
            return opened
        thread = LoopThread("windlass-loop", self.new_loop)
        home = Portal(thread.loop, thread.ident)

        self._loop_thread = thread
        there: Promise[None] = Promise(runtime, "opening of the manager")
        home.post(lambda: self._open_on(home, thread.loop, thread.ident, there))
        there._block(None)  # a moment, even for a running loop: whoever opened may submit
        try:
            there._value()
        except BaseException as error:
            self._loop_thread = None
            thread.stop(then=partial(opened.break_, error))
            raise
        opened.keep(None)
        return opened

    def _open_on(
        self, home: Portal, loop: asyncio.AbstractEventLoop, ident: int, opened: Promise[None]
    ) -> None:
        """Open on ``loop``, whose thread this is; with a store, once it has been read."""
        durable = self._runtime.durable

        def go_on() -> None:
            try:
                self._open_here(home, loop, ident)
            except BaseException as error:  # noqa: BLE001  # it is raised where it was asked for
                if durable is not None:
                    durable.close()
                opened.break_(error)
            else:
                opened.keep(None)

        if durable is None:
            go_on()
            return

        def read() -> None:
            try:
                durable.open()
            except BaseException as error:  # noqa: BLE001  # as above
                opened.break_(error)
            else:
                home.post(go_on)

        threading.Thread(target=read, name="windlass-recovery", daemon=True).start()

    def _open_here(self, home: Portal, loop: asyncio.AbstractEventLoop, thread: int) -> None:
        runtime = self._runtime
        opened: list[Executor] = []
        try:
            for executor in runtime.executors.values():
                executor.open(loop, runtime.pump.report, runtime.pump.turn_now)
                opened.append(executor)
        except BaseException:
            for executor in opened:
                executor.close()
            raise
        fill_ins = [getattr(executor, "fill_in", None) for executor in opened]
        runtime.pump.fill_ins = [fill_in for fill_in in fill_ins if fill_in is not None]
        runtime.home = home
        runtime.accepting = True
        runtime.pump.attach(loop, thread)
        if self._watchdog_seconds is not None:
            self._watchdog = Watchdog(runtime, loop, thread, self._watchdog_seconds)

    def _abandon_loop(self) -> None:
        """The loop we lived on was closed under us, by an ``asyncio.run`` that ended, say."""
        logger.warning(
            "the event loop was closed before its manager; unfinished tasks are cancelled"
        )
        self._cancel_rest()
        runtime = self._runtime
        with runtime.lock:
            for task in list(runtime.engine.tasks.values()):
                runtime.engine.abandon(task, runtime.clock.now())
        self._let_go()

    def _give_up(self) -> None:
        """Another process leads: stop all work at once, and announce nothing more."""
        if self._runtime.home is None:
            return
        logger.error(
            "another process has taken over the file: this manager is closed, and its unfinished "
            "tasks go on over there"
        )
        self._let_go()
        if self._loop_thread is not None:
            thread, self._loop_thread = self._loop_thread, None
            thread.stop(then=lambda: None)

    # -- closing -------------------------------------------------------------------------------

    def close(self, *, wait: bool, timeout: float | None) -> Promise[None]:
        """Close in order; a second call that does not wait hurries the first one on."""
        runtime = self._runtime
        closed: Promise[None] = Promise(runtime, "closing of the manager")
        home = runtime.home
        if home is not None and home.loop.is_closed():
            self._abandon_loop()
        caller = _calling_job(runtime)
        with runtime.watch_lock:
            home, going = runtime.home, self._closed  # one that ends now is not to be begun again
            first = going is None and home is not None
            if first:
                self._closed, self._hurry = closed, Promise(runtime, "hurry")
            closed, hurry = self._closed or closed, self._hurry
            told = closed
            if caller is not None and home is not None:
                told = self._closers.setdefault(caller, Promise(runtime, "closing of the manager"))
        if home is None:
            if going is None:
                closed.keep(None)
            return closed  # or it is in its last moments
        assert hurry is not None
        if self._closing is None:  # Ctrl-C may have come to the first call before it was here
            home.post(lambda: self._begin_to_close(closed, hurry))
        if first and wait and runtime.engine.paused and not self.is_quiet(()):
            logger.warning(
                "closing waits for tasks that cannot start, because the manager is paused: "
                "call resume(), or stop() to cancel them"
            )
        if not wait:
            hurry.keep(None)
        elif timeout is not None:
            home.post(lambda: home.loop.call_later(timeout, self._hurry_on, hurry))
        runtime.pump.wake()  # whoever waits for quiet is to look again
        return told

    def _hurry_on(self, hurry: Promise[None]) -> None:
        hurry.keep(None)
        self._runtime.pump.wake()

    def _begin_to_close(self, closed: Promise[None], hurry: Promise[None]) -> None:
        if self._closing is not None or self._closed is not closed:
            return  # it has begun, or is over
        # In a context of its own, or closing would pass for a part of the task that asked for it.
        self._closing = asyncio.get_running_loop().create_task(
            self._close(closed, hurry), name="windlass-closing", context=Context()
        )

    async def _close(self, closed: Promise[None], hurry: Promise[None]) -> None:
        runtime = self._runtime
        try:
            await self.when(lambda: hurry.done() or self.is_quiet(self._closers), "quiet")
            runtime.accepting = False
            self._cancel_rest()
            await self.when(lambda: not self._running(self._closers), "clean-up")
            await self.when(self._all_gone, "clean-up")
            journal = runtime.journal
            if journal is not None:  # nobody waits for a disk that is full, perhaps for days
                await self.when(lambda: journal.idle or journal.sick is not None, "storing")
            self._let_go()
            thread, self._loop_thread = self._loop_thread, None
        except BaseException as error:
            closed.break_(error)
            raise
        finally:
            with runtime.watch_lock:
                self._closed = self._closing = self._hurry = None
                self._closers = {}
        if thread is None:
            closed.keep(None)
        else:
            # Closed is closed: whoever waits goes on when the loop and its thread are gone.
            thread.stop(then=lambda: closed.keep(None))

    def _all_gone(self) -> bool:
        """Whether the last task has ended; those that close their own manager are told to go."""
        for told in list(self._closers.values()):
            told.keep(None)
        return not self._running(())

    def _cancel_rest(self) -> None:
        runtime = self._runtime
        with runtime.lock:
            now, engine = runtime.clock.now(), runtime.engine
            for task in list(engine.tasks.values()):
                if task.status in TERMINAL or task in self._closers:
                    continue
                if isinstance(task, StoredJob):
                    engine.interrupt(task, now)  # it goes on when the file is opened again
                else:
                    engine.cancel(task, now, CLOSED)
            if runtime.durable is not None:
                self._was_paused, engine.paused = engine.paused, True
        runtime.pump.wake()

    def _let_go(self) -> None:
        runtime = self._runtime
        if self._watchdog is not None:
            self._watchdog.stop()
            self._watchdog = None
        runtime.accepting, runtime.pump.closing = False, True
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
        if runtime.durable is not None:
            runtime.durable.close()
            runtime.pump.turn()  # what was written last is announced
            runtime.engine.paused = self._was_paused
        runtime.pump.detach()
        runtime.home = None
        self._release_waiters()
        with runtime.lock:
            failed = [task for task in runtime.engine.tasks.values() if task.status is FAILED]
        runtime.note_forgotten(failed)
        runtime.bus.close(_OBSERVERS_PATIENCE)

    def _release_waiters(self) -> None:
        """Whoever waits for a task that is kept in the file is told that it will not end here."""
        runtime = self._runtime
        if runtime.durable is None:
            return
        # Those of a follower are not in its engine.
        for job in dict.fromkeys([*runtime.jobs(lambda _: True), *runtime.durable.all_mine()]):
            if job.outcome is not None and job.told:
                continue
            watcher, job.watcher = job.watcher, None
            if watcher is not None:
                watcher(job)

    # -- states of the whole -------------------------------------------------------------------

    def when(self, condition: Callable[[], bool], what: str) -> Promise[None]:
        """A wait for ``condition``, which is asked after every turn of the pump."""
        promise: Promise[None] = Promise(self._runtime, what)
        if self._runtime.home is None:  # nothing will happen any more
            promise.keep(None)
            return promise

        def ask() -> bool:
            if promise.done() or condition():
                promise.keep(None)
                return True
            return False

        self._runtime.add_attendant(ask)
        return promise

    def join(self) -> Promise[None]:
        """A wait for everything that was released, but for the task that asks.

        Tasks that do nothing but wait for all the others are not waited for by one another.
        """
        caller = _calling_job(self._runtime)
        if caller is None:
            return self.when(lambda: self.is_quiet((), _is_for_later), "join")
        self._joiners.append(caller)
        holds_slot = self._runtime.engine.waits.holds_slot

        def others_ended() -> bool:
            waiting = [job for job in self._joiners if job is caller or not holds_slot(job)]
            if not self.is_quiet(waiting, _is_for_later):
                return False
            self._joiners.remove(caller)
            return True

        return self.when(others_ended, "join")

    def is_quiet(self, apart: Collection[Job], keeps: Callable[[Task], bool] | None = None) -> bool:
        """Whether everything that was released has ended, but for the tasks ``apart``.

        What is due later and ``keeps`` does not count: all that is in a file, if nothing else is
        said.
        """
        runtime = self._runtime
        if runtime.lobby:
            return False
        if runtime.journal is not None and not runtime.journal.idle:
            return False
        if runtime.follower is not None and not runtime.follower.is_quiet:
            return False
        with runtime.lock:
            return runtime.engine.is_quiet(_count_running(apart), keeps or _keeps)

    def _running(self, apart: Collection[Job]) -> bool:
        with self._runtime.lock:
            return self._runtime.engine.counts[RUNNING] > _count_running(apart)


def _calling_job(runtime: Runtime) -> Job | None:
    run = current_run()
    return run.job if isinstance(run, Run) and run.runtime is runtime else None


def _count_running(jobs: Collection[Job]) -> int:
    return len({job for job in jobs if job.status is RUNNING})


def _keeps(task: Task) -> bool:
    """Whether a task that is due later waits in a file, and not for its manager to close."""
    return isinstance(task, StoredJob)


def _is_for_later(task: Task) -> bool:
    """Whether a task is for another day: one that was begun, and is to be tried again, is not."""
    return isinstance(task, StoredJob) and not task.run

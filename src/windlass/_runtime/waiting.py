"""Waiting: for tasks, for their storing, and for a state of the whole."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, cast

from .._core.outcome import Lost, Ok
from .._core.states import RUNNING
from ..errors import StoreError
from .elsewhere import Elsewhere
from .handle import TaskHandle, error_of
from .nested import NestedWait
from .parts import Parts, closed_error
from .run import Run
from .stored_job import NEVER_STORED, StoredJob
from .wait import Promise

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .current import Link
    from .job import Job

logger = logging.getLogger("windlass")


class Waiting(Parts):
    """See the module; a part of ``Runtime``."""

    def watch(self, job: Job, callback: Callable[[Any], None]) -> bool:
        """Have ``callback`` called when ``job`` has ended; False if it has."""
        with self.lock:
            if (job.outcome is not None or self.home is None) and self.is_over(job):
                return False
            job.watch(callback)
            return True

    def is_over(self, job: Job) -> bool:
        """Whether there is nothing to wait for: it has ended, or it is kept in a closed file."""
        ended = job.outcome is not None and job.told
        return ended or (self.home is None and self.durable is not None)

    def unwatch(self, job: Job, callback: Callable[[Any], None]) -> None:
        """Forget ``callback``."""
        with self.lock:
            job.unwatch(callback)

    def begin_wait(self, waiter: Link | None, targets: Sequence[Job] | None) -> NestedWait | None:
        """If a task of ours is about to wait, lend its slot; DeadlockError if it must not."""
        if targets is None or not isinstance(waiter, Run) or waiter.runtime is not self:
            return None
        job = waiter.job
        with self.lock:
            if job.status is not RUNNING or job.run != waiter.number:
                return None  # it has been given up: it holds no slot and keeps nobody waiting
            self.engine.waits.begin(job, targets)
            # An earlier wait of the same task may be over and in line for the slot that this one
            # lends again: it goes on without one, as it does when others are on at its end.
            go_on = self.resumptions.pop(job, None)
        if go_on is not None:
            go_on()
        self.pump.wake()
        return NestedWait(self.me, job, targets)

    def value_for(self, handle: TaskHandle[Any]) -> Any:
        """What takes the place of a handle among the arguments: its result, or its error."""
        job = handle._job
        outcome = job.outcome
        if type(outcome) is not Ok:  # perhaps it was retried, or read from the file again
            job = cast("Job", self.engine.tasks.get(job.id, job))
            outcome = job.outcome
        if type(outcome) is Ok:
            return outcome.value if type(handle) is TaskHandle else handle._pick(outcome.value)
        job.looked = True
        error = error_of(job)
        if type(outcome) is Lost and error is not None:
            raise error  # it completed, and is not one of the failures that run_if asks for
        return error

    def await_on_loop(self, run: Run, awaitable: Any) -> Any:
        """Have what a function in a thread returned awaited on the loop it belongs to."""
        closed = f"{run.job.label} was submitted on an event loop that is closed now"
        awaited = Elsewhere(run.loop or self.home_loop(), awaitable, closed)
        run.when_stopped(awaited.cancel)
        try:
            return awaited.result()
        except CancelledError:
            raise asyncio.CancelledError from None

    def attend(self) -> None:
        """Ask those who wait for a state of the whole whether it has come; after every turn."""
        with self.watch_lock:
            asking = list(self.attendants)
        satisfied = {asks for asks in asking if asks()}
        if satisfied:
            with self.watch_lock:
                self.attendants = [asks for asks in self.attendants if asks not in satisfied]

    def add_attendant(self, asks: Callable[[], bool]) -> None:
        """Have ``asks`` called after every turn until it returns True."""
        with self.watch_lock:
            self.attendants.append(asks)
        self.pump.wake()

    def flush(self, *, handled: bool = False) -> Promise[None]:
        """A wait until everything that was said so far is on disk."""
        stored: Promise[None] = Promise(self.me, "an answer" if handled else "storing")
        if self.follower is not None:
            self.follower.flush(stored, handled=handled)
            return stored
        if self.journal is None or self.home is None:
            stored.keep(None)
            return stored
        with self.lock:
            self.journal.upcoming.promises.append(stored)
        self.pump.wake()
        return stored

    def shrink_file(self) -> Promise[None]:
        """A wait until the store has given back what it does not need."""
        shrunk: Promise[None] = Promise(self.me, "shrinking of the file")
        durable = self.durable

        def shrink() -> None:
            try:
                if durable is not None:
                    durable.store.shrink()
            except StoreError as error:
                shrunk.break_(error)
            else:
                shrunk.keep(None)

        threading.Thread(target=shrink, name="windlass-shrink", daemon=True).start()
        return shrunk

    def stored(self, handle: TaskHandle[Any]) -> Promise[Any]:
        """A wait until the task of ``handle`` is on disk; StoreError if it never is."""
        promise: Promise[Any] = Promise(self.me, f"storing of {handle._job.label}")
        self.keep_when_stored(promise, handle)
        return promise

    def keep_when_stored(self, promise: Promise[Any], handle: TaskHandle[Any]) -> None:
        """Keep ``promise`` with ``handle`` when its task is on disk, or break it if it never is."""
        if self.durable is None or not isinstance(handle._job, StoredJob):
            promise.keep(handle)  # it lives in memory: there is nothing to wait for
            return
        safe, job = self.flush(), handle._job

        def told(_: Any) -> None:
            if getattr(job, "seq", 0) == NEVER_STORED:
                promise.break_(error_of(job) or closed_error())
            elif safe.done() or (job.outcome is not None and job.told):
                promise.keep(handle)
            else:
                text = "the manager closed before that. Submit it again to one that is open"
                promise.break_(StoreError(f"{job.label} was not stored: {text}", job.id))

        # One that could not be stored has ended for that, while the rest still waits for the disk.
        if not (self.watch(job, told) and safe._watch(told)):
            told(job)

"""One attempt of one task, on its way through an executor and back.

To the executor it is a ``Call``; to ``current_task()`` it is the link to the
manager. It names the run it belongs to, so that whatever it says later counts for that run only.
"""

from __future__ import annotations

from contextvars import Context
from typing import TYPE_CHECKING, Any

from .._core.outcome import Again, Cancelled, Ok
from .._core.policies import NO_RETRY
from .._core.states import RUNNING
from .arguments import filled, results_in
from .current import stopping_error
from .invoke import begin, call
from .log_lines import said_in
from .parcel import TaskParcel
from .stored_job import StoredJob

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from logging import LogRecord

    from .._core.outcome import Outcome
    from .cleanups import Cleanups
    from .job import Job
    from .runtime import Runtime
    from .wait import Promise

_NO_KEYWORDS: dict[str, Any] = {}
_PAUSE = 1.0
"""So long it takes a loop to close; if it goes on after all, so do the tasks of a file."""


class Run:
    """See the module."""

    __slots__ = ("cancel_elsewhere", "cleanups", "job", "loop", "number", "place", "runtime")

    def __init__(self, job: Job, runtime: Runtime) -> None:
        self.job = job
        self.runtime = runtime
        self.number = job.run
        self.loop = job.loop
        self.cleanups: Cleanups | None = None
        self.cancel_elsewhere: Callable[[], Any] | None = None
        """Cancels what a function in a thread is having awaited, on its own loop or another."""
        self.place: Any = None
        """For the executor: where it runs this call."""

    def __repr__(self) -> str:
        return f"<run {self.number} of {self.job.label}>"

    # -- as a Call -----------------------------------------------------------------------------

    @property
    def task_id(self) -> str:
        return self.job.id

    @property
    def name(self) -> str:
        return self.job.spec.name

    begin = begin

    def run(self) -> Outcome:
        outcome = self.context().run(
            call, self, self.function, self.arguments, self.around, self._await_on_loop
        )
        if self.cleanups is not None:
            self.note_cleanup_errors(self.cleanups.errors)
        return outcome

    def begun(self) -> None:
        """Take in that it was handed over and has begun."""
        runtime = self.runtime
        with runtime.lock:
            runtime.engine.begin(self.job, self.number, runtime.clock.now())
        runtime.pump.wake()

    def held_up(self, why: str) -> None:
        """Take in why nobody begins it, where people look: with the task, and in its log."""
        runtime = self.runtime
        with runtime.lock:
            is_news = runtime.engine.held_up(self.job, self.number, why)
        if is_news:
            self.keep_line(("WARNING", "windlass", why))

    def shut_down(self) -> Outcome:
        if isinstance(self.job, StoredJob):
            return Again(_PAUSE)
        return Cancelled("its event loop was shut down")

    def interrupt(self) -> None:
        if self.cancel_elsewhere is not None:
            self.cancel_elsewhere()

    def parcel(self) -> TaskParcel:
        args, kwargs = self.arguments()
        job = self.job
        return TaskParcel(
            job.id,
            job.spec.name,
            self.attempt,
            dict(job.spec.metadata),
            self.restored,
            job.recipe.portable,
            args,
            kwargs,
            tuple(self.around),
        )

    def heard(self, kind: str, payload: Any) -> Any:
        if (take := _MESSAGES.get(kind)) is None:
            raise ValueError(f"a worker sent a message of an unknown kind: {kind!r}")
        return take(self, payload)

    @property
    def is_on(self) -> bool:
        """Whether this attempt runs, or was handed over to be begun."""
        job = self.job
        return job.run == self.number and (
            job.status is RUNNING or job in self.runtime.engine.claimed
        )

    @property
    def last_lines(self) -> list[str]:
        return self.runtime.log_book.last(self.job)

    # -- as a Link -----------------------------------------------------------------------------

    @property
    def attempt(self) -> int:
        return self.job.attempt

    @property
    def metadata(self) -> Mapping[str, Any]:
        return self.job.spec.metadata

    @property
    def restored(self) -> Any:
        if self.runtime.durable is not None:
            self.runtime.durable.restore_what_was_kept(self.job)
        return self.job.notes.checkpoint if self.job.notes is not None else None

    def stopping(self) -> str | None:
        job = self.job
        if job.run == self.number and job.status is RUNNING:
            return self.runtime.engine.ending(job)
        return "its time was over" if job.outcome is None else "it has ended"

    def when_stopped(self, callback: Callable[[], Any]) -> None:
        self.cancel_elsewhere = callback
        if self.stopping() is not None:
            callback()

    def progress(self, fraction: float, message: str) -> None:
        with self.runtime.lock:
            self.runtime.engine.progress(self.job, fraction, message, self.number)

    def log(self, record: LogRecord) -> None:
        if self.runtime.log_book.most:
            self.keep_line(said_in(record))

    def keep_line(self, said: tuple[str, str, str]) -> None:
        """Keep what was said in the log, here or in a worker."""
        runtime, book = self.runtime, self.runtime.log_book
        if book.most:
            book.hear(self.job, runtime.clock.wall(), said)
            if book.readers:
                runtime.pump.wake()
            if runtime.durable is not None:
                runtime.durable.listen()

    def checkpoint(self, value: Any) -> None:
        runtime = self.runtime
        with runtime.lock:
            if self.job.run == self.number:
                self.job.noted.checkpoint = value
                if runtime.durable is not None:
                    runtime.durable.keep_checkpoint(self.job, value)
        if runtime.durable is not None:
            runtime.pump.wake()

    def known_step(self, name: str) -> tuple[Any] | None:
        if self.runtime.durable is not None:
            self.runtime.durable.restore_what_was_kept(self.job)
        notes = self.job.notes
        return (notes.steps[name],) if notes is not None and name in notes.steps else None

    def keep_step(self, name: str, value: Any) -> Promise[None] | None:
        runtime = self.runtime
        with runtime.lock:
            if self.job.run != self.number:
                return None  # this attempt was given up, and the next one does its own steps
            if runtime.durable is not None:
                runtime.durable.keep_step(self.job, name, value)
            self.job.noted.steps[name] = value
        return runtime.flush() if runtime.durable is not None else None

    def submit(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        job = self.job
        current = job.status is RUNNING and job.run == self.number
        if not current and not isinstance(job.outcome, Ok):
            raise stopping_error(self, self.stopping() or "it has ended")
        return self.runtime.submit_child(job, func, args, kwargs)

    # -- for the invocation --------------------------------------------------------------------

    @property
    def function(self) -> Callable[..., Any]:
        return self.job.recipe.function

    @property
    def around(self) -> Sequence[Callable[..., Any]]:
        return self.runtime.around

    def context(self) -> Context:
        """The context to run in: the submitter's, or a copy where there are to be more attempts."""
        context = self.job.context
        if context is None:
            return Context()
        only = self.number == 1 and self.job.spec.retry is NO_RETRY
        return context if only else context.copy()

    def arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments, with the results of other tasks filled in."""
        job = self.job
        if not job.dependencies:
            return job.args, job.kwargs or _NO_KEYWORDS
        if not job.kwargs and (results := results_in(job.args)) is not None:
            return results, _NO_KEYWORDS
        return filled(job.args, job.kwargs or _NO_KEYWORDS, self.runtime.value_for)

    def note_cleanup_errors(self, errors: list[BaseException]) -> None:
        """Keep and log what went wrong while cleaning up."""
        if errors:
            self.runtime.note_cleanup_errors(self.job, errors)

    def _await_on_loop(self, awaitable: Any) -> Any:
        return self.runtime.await_on_loop(self, awaitable)


_MESSAGES: dict[str, Callable[[Run, Any], Any]] = {
    "started": lambda run, _: run.begun(),
    "held up": lambda run, why: run.held_up(why),
    "progress": lambda run, said: run.progress(*said),
    "log": lambda run, said: run.keep_line(said),
    "checkpoint": lambda run, value: run.checkpoint(value),
    "cleanup": lambda run, errors: run.note_cleanup_errors(errors),
    "known step": lambda run, name: run.known_step(name),
    "step": lambda run, step: run.keep_step(*step),  # a Later: the reply may wait for the disk
    "submit": lambda run, child: run.submit(*child).id,
}

"""Handles: your reference to a task, and the placeholder for its result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar, cast

from .._core.outcome import Cancelled, Err, Lost, Ok
from ..errors import (
    ManagerClosedError,
    SerializationError,
    TaskCancellationError,
    TaskCrashedError,
    TaskError,
    TaskExecutionError,
)
from .wait import Wait

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from concurrent.futures import Future

    from .._core.change import Change
    from .._core.info import TaskInfo
    from .._core.outcome import Outcome
    from .._core.states import TaskStatus
    from .job import Job
    from .log_lines import LogLine
    from .runtime import Runtime

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class TaskHandle(Wait[R_co]):
    """A task that was submitted. ``await`` it for the result, or pass it to another task.

    Waiting raises a ``TaskError`` if the task failed or was cancelled. A handle
    stays as it was settled, even if the task is retried by hand afterwards: that is a new handle.
    """

    __slots__ = ("_job",)

    def __init__(self, job: Job, runtime: Runtime) -> None:
        self._job = job
        self._runtime = runtime

    def __repr__(self) -> str:
        return f"<TaskHandle {self._job.label} {self._job.status}>"

    @property
    def id(self) -> str:
        """The task's id."""
        return self._job.id

    @property
    def name(self) -> str:
        """The task's name."""
        return self._job.spec.name

    @property
    def status(self) -> TaskStatus:
        """Where the task stands."""
        return self._job.status

    @property
    def info(self) -> TaskInfo:
        """All there is to know about the task right now."""
        return self._runtime.info(self._job)

    @property
    def progress(self) -> float:
        """How far the task is, from 0 to 1, as it says itself."""
        return self.info.progress

    @property
    def ended_by(self) -> str | None:
        """How the task ended; None while it has not.

        ``returned``, ``raised``, ``timeout``, ``crash``, ``dependency``, or what cancelled it.
        """
        return ended_by(self._job.outcome)

    @property
    def stored(self) -> Wait[TaskHandle[R_co]]:
        """A wait until the task is on disk; without a file, there is nothing to wait for."""
        return self._runtime.stored(self)

    @property
    def output(self) -> R_co:
        """Stands for the result, to be passed to other tasks; there is nothing to touch yet."""
        return cast("R_co", Output(self))

    def as_future(self) -> Future[R_co]:
        """The task as a ``concurrent.futures.Future``, for what waits for those."""
        from .futures import follow  # noqa: PLC0415  # concurrent.futures is slow to import

        return follow(self)

    def done(self) -> bool:
        """Whether the task has ended."""
        return self._job.outcome is not None and self._job.told

    def exception(self) -> TaskError | None:
        """The error of a task that failed or was cancelled, without raising it; None otherwise."""
        self._runtime.look_at(self._job)
        return error_of(self._job)

    def cancel(self) -> bool:
        """Cancel the task; False if it had ended."""
        return self._runtime.cancel(self._job)

    async def changes(self, since: int = 0) -> AsyncIterator[Change]:
        """The task's changes, from the first on and then as they come, until it has ended.

        ``since`` leaves out so many: whoever has seen three, in this process or an earlier one,
        goes on with ``changes(since=3)``.
        """
        seen = since
        async for record in self._runtime.records_of(self._job):
            for change in record[seen:]:
                yield change
            seen = max(seen, len(record))

    async def log(self, since: int = 0) -> AsyncIterator[LogLine]:
        """What the task has said in the log, from the first line kept and then as it comes.

        It ends when the task has ended. ``since`` is the ``number`` of the last line that is known
        already, from this process or an earlier one.
        """
        async for lines in self._runtime.lines_of(self._job, since):
            for line in lines:
                yield line

    def explain(self) -> str:
        """Why the task is not running, or how it ended."""
        return self._runtime.explain(self._job)

    def _value(self) -> R_co:
        job = self._job
        outcome = job.outcome
        if type(outcome) is Ok and job.told:
            return self._pick(outcome.value)
        self._runtime.look_at(job)
        raise why_none(job)

    def _pick(self, value: Any) -> R_co:
        """This handle's part of the task's result: all of it, usually."""
        mine: R_co = value  # said like this because ``cast`` is a call
        return mine

    def _watch(self, callback: Callable[[Any], None]) -> bool:
        return self._runtime.watch(self._job, callback)

    def _unwatch(self, callback: Callable[[Any], None]) -> None:
        self._runtime.unwatch(self._job, callback)

    def _targets(self) -> Sequence[Job]:
        return (self._job,)


def error_of(job: Job) -> TaskError | None:
    """The error to show for a task that failed or was cancelled: a new one each time.

    One exception object raised in several places would collect all their tracebacks.
    """
    outcome = job.outcome
    if isinstance(outcome, Cancelled):
        message = f"{job.label} was cancelled: {outcome.cause}"
        return TaskCancellationError(message, job.id, {"cause": outcome.cause})
    if isinstance(outcome, Lost):
        return SerializationError(
            f"{job.label} completed, but its result could not be stored: {outcome.value}", job.id
        )
    if not isinstance(outcome, Err):
        return None
    if not outcome.raised:
        return cast("TaskError", outcome.error)
    attempts = f" (attempt {job.attempt})" if job.attempt > 1 else ""
    message = f"{job.label} failed{attempts}: {describe(outcome.error)}"
    return TaskExecutionError.wrapping(outcome.error, message, job.id, outcome.traceback)


def why_none(job: Job) -> TaskError:
    """Why there is no result of a job that nobody waits for any more."""
    error = error_of(job) if job.told else None
    return error or ManagerClosedError(
        f"the manager was closed before {job.label} ended; it is kept in the file, and goes on "
        "when that is opened again",
        job.id,
    )


def describe(error: BaseException) -> str:
    """An exception in a line, even if its ``__str__`` raises."""
    if isinstance(error, TaskExecutionError):
        # It went through tasks that waited for one another; the first one tells it all.
        while isinstance(error.original_error, TaskExecutionError):
            error = error.original_error
        return error.message
    try:
        text = str(error)
    except Exception:  # noqa: BLE001  # it is somebody else's code
        text = "(its __str__ raised)"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def ended_by(outcome: Outcome | None) -> str | None:
    """One word for how a task ended."""
    if outcome is None:
        return None
    if isinstance(outcome, Ok):
        return "returned"
    if isinstance(outcome, Cancelled):
        return outcome.cause
    assert isinstance(outcome, Err)
    if outcome.raised:
        return "raised"
    if isinstance(outcome.error, TaskCrashedError):
        return "crash"
    return {"TaskTimeoutError": "timeout", "TaskDependencyError": "dependency"}.get(
        type(outcome.error).__name__, "raised"
    )


class Output(Generic[R]):
    """Stands for a result that is not there yet. It can be passed on; touching it is refused."""

    __slots__ = ("_windlass_handle",)

    _windlass_handle: TaskHandle[R]

    def __init__(self, handle: TaskHandle[R]) -> None:
        object.__setattr__(self, "_windlass_handle", handle)

    def __repr__(self) -> str:
        return f"<output of {self._windlass_handle._job.label}>"

    def __copy__(self) -> Output[R]:
        return self

    def __deepcopy__(self, _: Any) -> Output[R]:
        return self

    def _windlass_untouchable(self, *_: object, **__: object) -> NoReturn:
        job = self._windlass_handle._job
        raise TypeError(
            f"the result of {job.label} is not there yet: an .output can only be passed as an "
            "argument to another task. `await` the handle to have the result here"
        )

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__") and name.endswith("__"):  # let copy and pickle ask politely
            raise AttributeError(name)
        self._windlass_untouchable()

    __hash__ = object.__hash__


_BINARY = (
    "add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "divmod", "pow",
    "lshift", "rshift", "and", "or", "xor",
)  # fmt: skip
_OTHERS = (
    "eq", "ne", "lt", "le", "gt", "ge", "neg", "pos", "invert", "abs", "round",
    "bool", "int", "float", "complex", "index", "str", "bytes", "format",
    "len", "iter", "next", "reversed", "contains", "getitem", "setitem", "delitem",
    "call", "setattr", "delattr", "enter", "exit", "await", "aiter", "anext", "aenter", "aexit",
)  # fmt: skip
for _name in (*_BINARY, *(f"r{operator}" for operator in _BINARY), *_OTHERS):
    setattr(Output, f"__{_name}__", Output._windlass_untouchable)

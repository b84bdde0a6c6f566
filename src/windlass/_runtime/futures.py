"""The manager as a ``concurrent.futures.Executor``, for code that already takes one."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from .._core.outcome import Err, Ok
from .._core.states import RUNNING
from .handle import error_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from .handle import TaskHandle
    from .job import Job
    from .runtime import Runtime

P = ParamSpec("P")
R = TypeVar("R")


class ManagerExecutor(Executor):
    """See ``TaskManager.as_executor``. Shutting it down leaves the manager open."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._open: set[TaskFuture] = set()
        self._closed = False

    def submit(self, fn: Callable[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> Future[Any]:
        """Submit a task; its future raises what the function raised."""
        if self._closed:
            raise RuntimeError("cannot submit after shutdown")
        handle = self._runtime.submit(self._runtime.recipe_of(fn), args, kwargs)
        future = follow(handle)
        self._open.add(future)
        future.add_done_callback(self._open.discard)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002  # concurrent.futures says so
        """Take no more, and wait for what was submitted here."""
        self._closed = True
        for future in list(self._open):
            if cancel_futures:
                future.cancel()
        if wait:
            for future in list(self._open):
                future.exception() if not future.cancelled() else None


def follow(handle: TaskHandle[Any]) -> TaskFuture:
    """A future that ends as the task does."""
    future = TaskFuture(handle)
    if not handle._watch(future.ended):
        future.ended(handle._job)
    return future


class TaskFuture(Future[Any]):
    """A future that follows a task."""

    def __init__(self, handle: TaskHandle[Any]) -> None:
        super().__init__()
        self._handle = handle

    def running(self) -> bool:
        return self._handle.status is RUNNING

    def cancel(self) -> bool:
        """Cancel the task unless it runs already, as the protocol says."""
        if self.running():
            return False
        return super().cancel() and (self._handle.cancel() or True)

    def ended(self, job: Job) -> None:
        """Take over how the task ended."""
        job.looked = True
        if not self.set_running_or_notify_cancel():
            return
        outcome = job.outcome
        if type(outcome) is Ok:
            self.set_result(outcome.value)
        elif isinstance(outcome, Err):
            self.set_exception(outcome.error)
        else:
            self.set_exception(error_of(job))

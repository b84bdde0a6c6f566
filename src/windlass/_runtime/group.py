"""Groups: tasks that belong together. Leaving waits for all; one failure cancels the rest."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar, overload

from .._core.states import FAILED
from ..errors import InvalidTaskStateError, TaskDependencyError, TaskError
from .combined import Gathering
from .handle import TaskHandle, error_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from .chunks import Handles
    from .job import Job
    from .runtime import Runtime

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class TaskGroup:
    """Tasks that belong together; made by ``manager.group()``.

    For ``async with`` and, in plain code, ``with``. Leaving the block waits for all members.

    A member that fails for good (its retries come first) cancels the others, and leaving raises an
    ExceptionGroup of the failures that caused it: not of those that only followed from them.
    """

    def __init__(
        self,
        runtime: Runtime,
        name: str,
        submit: Callable[..., TaskHandle[Any]],
        map_: Callable[..., Handles[Any]],
    ) -> None:
        self._runtime = runtime
        self._submit = submit
        self._map = map_
        self._name = name
        self._handles: list[TaskHandle[Any]] = []
        self._over: str | None = None
        self._refusals: list[InvalidTaskStateError] = []

    def __repr__(self) -> str:
        return f"<group {self._name} of {len(self._handles)} tasks>"

    @property
    def handles(self) -> tuple[TaskHandle[Any], ...]:
        """The members, in the order they were submitted."""
        return tuple(self._handles)

    @overload
    def submit(
        self, func: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> TaskHandle[R]: ...
    @overload
    def submit(
        self, func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> TaskHandle[R]: ...
    def submit(self, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> TaskHandle[Any]:
        """Submit a task as a member of the group."""
        self._refuse_if_over()
        handle = self._submit(func, *args, **kwargs)
        self._handles.append(handle)
        self._mind(handle)
        return handle

    @overload
    def map(
        self,
        func: Callable[[T], Awaitable[R]],
        iterable: Iterable[T],
        /,
        *,
        chunksize: int | None = None,
    ) -> Handles[R]: ...
    @overload
    def map(
        self, func: Callable[[T], R], iterable: Iterable[T], /, *, chunksize: int | None = None
    ) -> Handles[R]: ...
    @overload
    def map(
        self,
        func: Callable[..., Awaitable[R]],
        first: Iterable[Any],
        second: Iterable[Any],
        /,
        *more: Iterable[Any],
        chunksize: int | None = None,
    ) -> Handles[R]: ...
    @overload
    def map(
        self,
        func: Callable[..., R],
        first: Iterable[Any],
        second: Iterable[Any],
        /,
        *more: Iterable[Any],
        chunksize: int | None = None,
    ) -> Handles[R]: ...
    def map(
        self, func: Callable[..., Any], /, *iterables: Iterable[Any], chunksize: int | None = None
    ) -> Handles[Any]:
        """Submit a task per item, as members of the group; see ``TaskManager.map``."""
        self._refuse_if_over()
        handles = self._map(func, *iterables, chunksize=chunksize)
        self._handles.extend(handles)
        for member in handles._tasks:
            self._mind(member)
        return handles

    def cancel(self, cause: str | None = None) -> None:
        """Cancel all members that have not ended."""
        for handle in list(self._handles):
            if not handle.done():
                self._runtime.cancel(handle._job, cause or f"its group {self._name} was cancelled")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is not None:
            self.cancel(f"the body of its group {self._name} raised {type(error).__name__}")
        try:
            await self._all_ended()
        except BaseException:
            # Cancelled while it waited: the members must not outlive the block.
            self.cancel()
            await self._all_ended()
            raise
        self._conclude(error)

    def __enter__(self) -> Self:
        if asyncio._get_running_loop() is not None:
            raise RuntimeError("in a running event loop, use `async with manager.group()`")
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is not None:
            self.cancel(f"the body of its group {self._name} raised {type(error).__name__}")
        try:
            self._all_ended().result()
        except BaseException:
            self.cancel()
            self._all_ended().result()
            raise
        self._conclude(error)

    def _refuse_if_over(self) -> None:
        if self._over is not None:
            refusal = InvalidTaskStateError(
                f"the group {self._name} takes no more tasks: {self._over}"
            )
            self._refusals.append(refusal)
            raise refusal

    def _mind(self, member: TaskHandle[Any]) -> None:
        """Hear of a new member's end."""
        if self._over is not None:  # since it was asked, in another thread
            self._runtime.cancel(member._job, f"its group {self._name} is over: {self._over}")
        if not member._watch(self._member_ended):
            self._member_ended(member._job)

    def _member_ended(self, job: Job) -> None:
        if job.status is FAILED and self._over is None:
            self._over = f"{job.label} failed"
            self.cancel(f"{job.label}, of the same group {self._name}, failed")

    def _all_ended(self) -> Gathering[Any]:
        return Gathering(self._runtime, list(self._handles), return_errors=True)

    def _conclude(self, error: BaseException | None) -> None:
        """Raise what is to be raised on leaving; every member has ended."""
        self._over = self._over or "it was left"
        causes: list[TaskError] = []
        for job in {handle._job: None for handle in self._handles}:  # a chunk has many handles
            job.looked = True
            if job.status is FAILED:
                failure = error_of(job)
                if failure is not None and not self._only_followed(job, failure):
                    causes.append(failure)
        if error is not None and not (causes and self._followed(error)):
            for cause in causes:
                error.add_note(f"in the group {self._name}: {cause}")
            return  # the body's own error goes on its way
        if causes:
            count = f"{len(causes)} task{'s' if len(causes) > 1 else ''}"
            raise ExceptionGroup(f"{count} of the group {self._name} failed", causes) from error

    def _followed(self, error: BaseException) -> bool:
        """Whether the body raised what a member's failure led to."""
        members = {handle.id for handle in self._handles}
        return error in self._refusals or getattr(error, "task_id", None) in members

    def _only_followed(self, job: Job, failure: TaskError) -> bool:
        """Whether a member failed because another one did."""
        if not isinstance(failure, TaskDependencyError):
            return False
        members = {handle.id for handle in self._handles}
        before = (other.id for other in job.dependencies if other.status is FAILED)
        return failure.details.get("root") in members or not members.isdisjoint(before)

"""Waiting for several tasks: all of them, or each as it ends."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from .._core.outcome import Ok
from ..errors import TaskNotFoundError
from .handle import TaskHandle, why_none
from .wait import Wait

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from .job import Job
    from .runtime import Runtime

R = TypeVar("R")


def require_handles(runtime: Runtime, handles: Sequence[Any], usage: str) -> None:
    """Refuse, in words, what is no handle of this manager."""
    # By their few kinds: to ask for each of them costs as much as all else that gather() does.
    kinds = {kind for kind in set(map(type, handles)) if issubclass(kind, TaskHandle)}
    for handle in handles:
        if type(handle) not in kinds:
            hint = ", but a wait of its own: `await` it" if isinstance(handle, Wait) else ""
            raise TypeError(f"{usage}, and {handle!r} is not a handle{hint}")
        if handle._runtime is not runtime:
            raise TaskNotFoundError(f"{handle!r} belongs to another manager", handle.id)


class Gathering(Wait[list[R]]):
    """All results in the order of the handles; raises the first failure when all have ended."""

    __slots__ = ("_handles", "_open", "_return_errors", "_watchers")

    def __init__(
        self, runtime: Runtime, handles: Sequence[TaskHandle[R]], *, return_errors: bool
    ) -> None:
        self._runtime = runtime
        self._handles = handles
        self._return_errors = return_errors
        self._watchers: list[Callable[[Any], None]] = []
        self._open = 0
        with runtime.lock:  # nobody's end is published meanwhile, so the count is right
            ended, is_open = self._one_ended, runtime.home is not None
            last = None
            for handle in handles:
                job = handle._job
                # Items of one chunk share their job.
                if job is not last and (
                    (job.outcome is None and is_open) or not runtime.is_over(job)
                ):
                    self._open += 1
                    if job.watcher is None:
                        job.watcher = ended
                    else:
                        job.watch(ended)
                last = job

    def __repr__(self) -> str:
        return f"<gathering of {len(self._handles)} tasks, {self._open} open>"

    def done(self) -> bool:
        return not self._open

    def _one_ended(self, _: Any) -> None:
        self._open -= 1
        if not self._open:
            with self._runtime.watch_lock:
                watchers, self._watchers = self._watchers, []
            for watcher in watchers:
                watcher(self)

    def _value(self) -> list[R]:
        results: list[R] = []
        failed: list[Job] = []
        for handle in self._handles:
            job = handle._job
            outcome = job.outcome
            if type(outcome) is Ok and job.told:
                value = outcome.value
                results.append(value if type(handle) is TaskHandle else handle._pick(value))
            else:
                job.looked = True
                failed.append(job)
                if self._return_errors:
                    results.append(cast("R", why_none(job)))
        if failed and not self._return_errors:
            raise why_none(min(failed, key=lambda job: job.ended_at))
        return results

    def _watch(self, callback: Callable[[Any], None]) -> bool:
        with self._runtime.watch_lock:
            if self._open:
                self._watchers.append(callback)
            return bool(self._open)

    def _unwatch(self, callback: Callable[[Any], None]) -> None:
        with self._runtime.watch_lock:
            if callback in self._watchers:
                self._watchers.remove(callback)

    def _targets(self) -> Sequence[Job]:
        return [handle._job for handle in self._handles]


class AsCompleted(Generic[R]):
    """The handles of some tasks, each when it has ended; for both ``async for`` and ``for``."""

    def __init__(self, runtime: Runtime, handles: Sequence[TaskHandle[R]]) -> None:
        self._runtime = runtime
        self._left = len(handles)
        self._ended: deque[TaskHandle[R]] = deque()
        self._open = list(handles)
        self._next: _NextEnded[R] | None = None
        self._lock = threading.Lock()
        for handle in handles:
            if not handle._watch(lambda _, handle=handle: self._one_ended(handle)):  # type: ignore[misc]
                self._one_ended(handle)

    def _one_ended(self, handle: TaskHandle[R]) -> None:
        with self._lock:
            self._ended.append(handle)
            waiting, self._next = self._next, None
        if waiting is not None:
            waiting.wake()

    def _wait(self) -> _NextEnded[R]:
        self._left -= 1
        return _NextEnded(self._runtime, self)

    async def __aiter__(self) -> AsyncIterator[TaskHandle[R]]:
        while self._left:
            yield await self._wait()

    def __iter__(self) -> Iterator[TaskHandle[R]]:
        while self._left:
            yield self._wait().result()


class _NextEnded(Wait[TaskHandle[R]]):
    """The next handle of an AsCompleted."""

    __slots__ = ("_among", "_callback")

    def __init__(self, runtime: Runtime, among: AsCompleted[R]) -> None:
        self._runtime = runtime
        self._among = among
        self._callback: Callable[[Any], None] | None = None

    def done(self) -> bool:
        return bool(self._among._ended)

    def wake(self) -> None:
        if self._callback is not None:
            self._callback(self)

    def _value(self) -> TaskHandle[R]:
        return self._among._ended.popleft()

    def _watch(self, callback: Callable[[Any], None]) -> bool:
        with self._among._lock:
            if self._among._ended:
                return False
            self._callback = callback
            self._among._next = self
            return True

    def _unwatch(self, callback: Callable[[Any], None]) -> None:
        with self._among._lock:
            if self._among._next is self:
                self._among._next = None

    def _targets(self) -> Sequence[Job]:
        return [handle._job for handle in self._among._open if not handle.done()]

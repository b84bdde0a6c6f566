"""Coroutines as tasks with an id, a status and a progress: a face of ``windlass.TaskManager``.

The face keeps nothing of its own. What it is asked is read from ``manager.windlass``, so that a
task of either is seen through both.
"""

from __future__ import annotations

import asyncio
import enum
import inspect
import sys
from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import windlass

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["TaskInfo", "TaskManager", "TaskReference", "TaskStatus"]

T = TypeVar("T")


class TaskStatus(str, enum.Enum):  # noqa: UP042  # a StrEnum prints otherwise, and programs print it
    """Where a task stands."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @classmethod
    def _missing_(cls, value: object) -> TaskStatus | None:
        """The names will do as well, in either case."""
        return cls.__members__.get(value.upper()) if isinstance(value, str) else None


# There are no dependencies here, but the engine may have tasks that wait for some.
_HERE = {status: TaskStatus(status) for status in windlass.TaskStatus if status != "waiting"}
_HERE[windlass.TaskStatus.WAITING] = TaskStatus.PENDING
_THERE = {here: [status for status, other in _HERE.items() if other is here] for here in TaskStatus}


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """A task as it stood when it was asked for; times are seconds since the epoch."""

    id: str
    status: TaskStatus
    created_at: float
    started_at: float | None
    completed_at: float | None
    result: Any
    error: str | None
    progress: float
    """In percent."""
    metadata: dict[str, Any]


class TaskManager:
    """Runs coroutines, all at once: there is no limit here, and no bound on how many are kept.

    Args:
        task_timeout: how long a task may take if its own ``timeout`` does not say; None for ever.
        retention: for how many seconds ended tasks are remembered; None for ever.
    """

    def __init__(self, task_timeout: float | None = None, retention: float | None = 3600.0) -> None:
        self.task_timeout = task_timeout
        self.windlass = windlass.TaskManager(
            max_concurrent_tasks=sys.maxsize,
            max_pending=sys.maxsize,
            retention_seconds=retention,
            retention_count=None,
        )
        """The Windlass manager behind it, for what is written anew."""

    async def start(self) -> None:
        """Open the manager on this event loop; harmless if it is open."""
        await self.windlass.start()

    async def stop(self) -> None:
        """Cancel all tasks and wait until they have cleaned up; a task may stop its own manager."""
        await self.windlass.stop()

    async def submit(
        self,
        coroutine: Awaitable[Any],
        task_id: str | None = None,
        timeout: float | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> str:
        """Run ``coroutine`` as a task and return its id. It takes no step before this returns.

        A ``task_id`` can be used again once the task that has it has ended.
        """
        if not inspect.isawaitable(coroutine):
            raise TypeError(f"submit() takes a coroutine, as in submit(work()), not {coroutine!r}")
        errand = _Errand(coroutine)
        await self.start()
        if task_id is not None:
            self.windlass.forget(task_id)
        id = self.windlass.register_task(
            getattr(coroutine, "__name__", type(coroutine).__name__),
            _run,
            errand,
            task_id=task_id,
            timeout=self.task_timeout if timeout is None else timeout,
            metadata=metadata,
        )
        self.windlass.execute_task(id)
        return id

    async def cancel_task(self, task_id: str) -> bool:
        """Cancel a task and wait until it has cleaned up; False if it had ended or is unknown."""
        cancelled = self.windlass.cancel_task(task_id)
        if cancelled:
            try:
                await self.wait_for_task(task_id)
            except windlass.DeadlockError:
                pass  # it cancels itself, or one that waits for it: that will not wait for its end
        return cancelled

    async def wait_for_task(self, task_id: str, timeout: float | None = None) -> Any:
        """The result of a task, or None: it failed, was cancelled, is unknown, or takes longer.

        Giving up after ``timeout`` seconds leaves the task alone.
        """
        handle = self.windlass.get_handle(task_id)
        if handle is None:
            return None
        try:
            async with asyncio.timeout(timeout):
                return await handle
        except windlass.DeadlockError:
            raise
        except (windlass.TaskError, TimeoutError):
            return None

    def update_progress(self, task_id: str, progress: float) -> bool:
        """Say how many percent of a task are done; False if it is not running."""
        return self.windlass.update_task_progress(task_id, progress / 100)

    def get_task_info(self, task_id: str) -> TaskInfo | None:
        """All there is to know about a task; None if it is unknown."""
        info = self.windlass.get_task(task_id)
        if info is None:
            return None
        if info.error is not None:
            self.windlass.get_task_error(task_id)  # somebody has looked: it need not be logged
        return _translated(info)

    def list_tasks(self, status: TaskStatus | str | None = None) -> list[TaskInfo]:
        """All tasks that are remembered, or those with a status, in the order they came."""
        wanted = None if status is None else _THERE[TaskStatus(status)]
        return [_translated(info) for info in self.windlass.list_tasks(status=wanted)]

    @property
    def tasks(self) -> Mapping[str, TaskReference]:
        """The tasks by id, to be awaited, asked or cancelled."""
        return _ById(self.windlass, lambda id: TaskReference(self, id))

    @property
    def task_info(self) -> Mapping[str, TaskInfo]:
        """What is known of the tasks, by id."""
        return _ById(self.windlass, self.get_task_info)


class TaskReference:
    """A task by its id; awaiting it gives what ``wait_for_task`` gives."""

    __slots__ = ("_manager", "id")

    def __init__(self, manager: TaskManager, id: str) -> None:
        self._manager = manager
        self.id = id

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._manager.wait_for_task(self.id).__await__()

    def done(self) -> bool:
        """Whether the task has ended, or was forgotten since."""
        status = self._manager.windlass.get_task_status(self.id)
        return status is None or status.finished

    def cancelled(self) -> bool:
        """Whether the task ended by being cancelled."""
        return self._manager.windlass.get_task_status(self.id) is windlass.TaskStatus.CANCELLED

    def cancel(self) -> bool:
        """Cancel the task, without waiting for its end; False if it had ended."""
        return self._manager.windlass.cancel_task(self.id)


class _ById(Mapping[str, T]):
    """What ``read`` knows of the tasks that the engine remembers now."""

    def __init__(self, engine: windlass.TaskManager, read: Callable[[str], T | None]) -> None:
        self._engine = engine
        self._read = read

    def __getitem__(self, id: str) -> T:
        value = self._read(id) if id in self else None
        if value is None:
            raise KeyError(id)
        return value

    def __contains__(self, id: object) -> bool:
        return isinstance(id, str) and self._engine.get_task_status(id) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids())

    def __len__(self) -> int:
        return len(self._ids())

    def _ids(self) -> list[str]:
        return [info.id for info in self._engine.list_tasks()]


class _Errand:
    """A coroutine on its way to be run. If nobody ever does, it is closed, without a warning."""

    __slots__ = ("awaitable",)

    def __init__(self, awaitable: Awaitable[Any]) -> None:
        self.awaitable = awaitable

    def __del__(self) -> None:
        coroutine = self.awaitable
        if (
            inspect.iscoroutine(coroutine)
            and inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED
        ):
            coroutine.close()


@windlass.task(executor="async")
async def _run(errand: _Errand) -> Any:
    return await errand.awaitable


def _translated(info: windlass.TaskInfo) -> TaskInfo:
    percent = round(info.progress * 100, 6)
    return TaskInfo(
        id=info.id,
        status=_HERE[info.status],
        created_at=info.created_at.timestamp(),
        started_at=_seconds(info.started_at),
        completed_at=_seconds(info.ended_at),
        result=info.result,
        error=_text(info.error),
        progress=int(percent) if percent.is_integer() else percent,
        metadata=dict(info.metadata),
    )


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _text(error: BaseException | None) -> str | None:
    if error is None:
        return None
    if isinstance(error, windlass.TaskTimeoutError):
        return f"timed out: {error}"  # the words that programs look for
    return str(error) or type(error).__name__

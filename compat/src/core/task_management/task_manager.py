"""The unified task manager: registers tasks, and executes them when that is awaited."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from windlass import (
    InvalidTaskStateError,
    TaskDependencyError,
    TaskNotFoundError,
    TaskPriority,
    TaskStatus,
)

from core._engine import SHARED, Engine
from core._face import Face, status_of
from core._task import Task, call_of

from .executor import AsyncExecutor, Executor, SequentialExecutor, ThreadPoolExecutor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["TaskManager", "task_manager"]


class TaskManager(Face):
    """See the module.

    Args:
        max_concurrent_tasks: how many tasks run at once.
        default_executor_type: ``sequential``, ``thread_pool`` or ``async``.
        engine: the engine of another face, to share its tasks and its limits.
    """

    def __init__(
        self,
        max_concurrent_tasks: int = 4,
        default_executor_type: str = "async",
        *,
        engine: Engine | None = None,
    ) -> None:
        super().__init__(
            engine, max_concurrent_tasks=max_concurrent_tasks, threads=max_concurrent_tasks
        )
        self.executors: dict[str, Executor] = {
            "sequential": SequentialExecutor(engine=self.engine),
            "thread_pool": ThreadPoolExecutor(engine=self.engine),
            "async": AsyncExecutor(engine=self.engine),
        }
        if default_executor_type not in self.executors:
            known = ", ".join(self.executors)
            raise ValueError(
                f"default_executor_type is one of {known}, not {default_executor_type!r}"
            )
        self.default_executor_type = default_executor_type

    @property
    def max_concurrent_tasks(self) -> int:
        """How many tasks run at once."""
        return self.engine.manager.max_concurrent_tasks

    def register_task(
        self,
        name: str,
        func: Callable[..., Any],
        *positional: Any,
        task_id: str | None = None,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        priority: TaskPriority | str = TaskPriority.NORMAL,
        dependencies: Iterable[str] | None = None,
        max_retries: int = 0,
        retry_delay: float = 1.0,
        timeout: float | None = None,
        description: str | None = "",
        tags: Iterable[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        executor_type: str | None = None,
        **keywords: Any,
    ) -> str:
        """Register a task, which runs when it is executed; returns its id."""
        passed, by_name = call_of(positional, args, keywords, kwargs)
        task = Task(
            task_id, name, func, passed, by_name, priority, dependencies, max_retries,
            retry_delay, timeout, description, tags, metadata,
        )  # fmt: skip
        if executor_type is not None and executor_type not in self.executors:
            warnings.warn(
                f"there is no executor {executor_type!r}, {self.default_executor_type!r} is used; "
                f"there are: {', '.join(self.executors)}",
                stacklevel=2,
            )
            executor_type = None
        executor = self.executors[executor_type or self.default_executor_type]
        return self.engine.take(task, self, executor.runs_on).id

    async def execute_task(self, task_id: str, wait: bool = True) -> Any:
        """Let a task run, with the registered tasks it depends on, and return its result.

        What the function raised comes as an error that is also a ``TaskExecutionError``. Without
        ``wait`` it returns None at once.
        """
        record = self.engine.record(task_id)
        if record is None:
            raise TaskNotFoundError(f"there is no task {task_id!r}", task_id)
        status = record.task.status
        if isinstance(fallen := record.error(), TaskDependencyError):
            raise fallen  # before it was executed, with what it depends on
        if status not in {TaskStatus.PENDING, TaskStatus.WAITING}:
            raise InvalidTaskStateError(
                f"{record.task!r} cannot be executed: only what is pending or waiting can", task_id
            )
        handle = self._execute(record)
        return await self.engine.result(record, handle) if wait else None

    async def cancel_task(self, task_id: str) -> bool:
        """Cancel a task and wait for its clean-up; False if it had ended or is unknown."""
        record = self.engine.record(task_id)
        return record is not None and await self.engine.cancel_and_wait(record)

    # -- asking --------------------------------------------------------------------------------

    def get_task_error(self, task_id: str) -> BaseException | None:
        """What the function raised, as it was raised, or what else ended the task."""
        return self._exception_of(task_id)

    def get_task_progress(self, task_id: str) -> tuple[float, str]:
        """How far a task is, from 0 to 1, and what it is doing."""
        return self.engine.manager.get_task_progress(task_id)

    def update_task_progress(self, task_id: str, progress: float, message: str = "") -> bool:
        """Say how far a running task is."""
        record = self.engine.record(task_id)
        return record is not None and self.engine.progress(record, progress, message)

    def get_tasks_by_status(self, status: TaskStatus | str) -> list[Task]:
        """The tasks of one status."""
        return self._tasks(status=status_of(status))

    def get_tasks_by_tag(self, tag: str) -> list[Task]:
        """The tasks with a tag."""
        return self._tasks(tag=tag)

    def get_tasks_by_metadata(self, key: str, value: Any) -> list[Task]:
        """The tasks with a value in their metadata."""
        return self._tasks(metadata={key: value})

    @property
    def tasks(self) -> dict[str, Task]:
        """All tasks that are remembered, by id."""
        return self._by_id()

    @property
    def running_tasks(self) -> dict[str, Task]:
        """The tasks that run, by id."""
        return self._by_id(status=TaskStatus.RUNNING)

    @property
    def completed_tasks(self) -> dict[str, Task]:
        """The tasks that have completed, by id."""
        return self._by_id(status=TaskStatus.COMPLETED)

    @property
    def failed_tasks(self) -> dict[str, Task]:
        """The tasks that have failed, by id."""
        return self._by_id(status=TaskStatus.FAILED)

    @property
    def cancelled_tasks(self) -> dict[str, Task]:
        """The tasks that were cancelled, by id."""
        return self._by_id(status=TaskStatus.CANCELLED)

    @property
    def waiting_tasks(self) -> dict[str, Task]:
        """The tasks that wait for others, by id."""
        return self._by_id(status=TaskStatus.WAITING)

    def get_metrics(self) -> dict[str, Any]:
        """How many tasks there are of each status, and what the executors do."""
        return {
            **super().get_metrics(),
            "max_concurrent_tasks": self.max_concurrent_tasks,
            "default_executor_type": self.default_executor_type,
            "executors": {name: one.get_metrics() for name, one in self.executors.items()},
        }


task_manager = TaskManager(engine=SHARED)

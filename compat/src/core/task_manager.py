"""The oldest task manager: what is registered runs once it is started."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from windlass import TaskDependencyError, TaskPriority, TaskStatus, Wait

from core._engine import SHARED, Engine
from core._face import Face
from core._record import running_loop
from core._task import Task, call_of, create_task_id
from core._ticket import Ticket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = [
    "Task",
    "TaskDependencyError",
    "TaskManager",
    "TaskPriority",
    "TaskStatus",
    "create_task_id",
    "task_manager",
]

warnings.warn(
    "core.task_manager is deprecated: use core.task_management, or windlass.TaskManager",
    DeprecationWarning,
    stacklevel=2,
)


class TaskManager(Face):
    """Runs what is registered, from ``start()`` on; what is executed, at once.

    Args:
        thread_pool: accepted; the threads are Windlass's.
        resource_monitor: accepted, likewise.
        history_limit: how many ended tasks are remembered; twenty thousand if left out.
        engine: the engine of another face, to share its tasks and its limits.
    """

    def __init__(
        self,
        thread_pool: Any = None,
        resource_monitor: Any = None,
        history_limit: int | None = None,
        *,
        engine: Engine | None = None,
    ) -> None:
        super().__init__(engine, **({"retention_count": history_limit} if history_limit else {}))
        self._at_once = False
        self.thread_pool = thread_pool
        self.resource_monitor = resource_monitor

    def register_task(
        self,
        name: str,
        func: Callable[..., Any],
        *positional: Any,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        priority: TaskPriority | str = TaskPriority.NORMAL,
        dependencies: Iterable[str] | None = None,
        max_retries: int = 0,
        retry_delay: float = 1.0,
        timeout: float | None = None,
        task_id: str | None = None,
        description: str | None = "",
        tags: Iterable[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        **keywords: Any,
    ) -> str:
        """Register a task, which runs once the manager is started; returns its id."""
        passed, by_name = call_of(positional, args, keywords, kwargs)
        task = Task(
            task_id, name, func, passed, by_name, priority, dependencies, max_retries,
            retry_delay, timeout, description, tags, metadata,
        )  # fmt: skip
        record = self.engine.take(task, self)
        if self._at_once and self.is_running and record.can_execute():
            self._execute(record)
        return record.id

    def start(self) -> Wait[Any]:
        """Start, with everything that was registered; need not be awaited."""
        started = super().start()
        self._at_once = True
        for record in list(self.engine.records.values()):
            if record.face is self and record.can_execute():
                self._execute(record)
        return started

    def shutdown(self, wait: bool = True) -> Wait[Any]:
        """Stop; what is registered from then on waits for the next start."""
        self._at_once = False
        return super().shutdown(wait)

    def execute_task(self, task_id: str, wait: bool = False, timeout: float | None = None) -> Any:
        """Let a task run now; returns the execution's id, which awaited gives the result.

        With ``wait`` plain code comes back when the task has ended, at most ``timeout`` seconds
        later. False if the id is unknown.
        """
        record = self.engine.record(task_id)
        if record is None:
            return False
        handle = self._execute(record)
        if wait and running_loop() is None:
            self.engine.block(record, handle, timeout)
        return Ticket.to(record, handle, f"exec_{record.id}", timeout)

    def cancel_task(self, task_id: str) -> bool:
        """Cancel a task; False if it had ended or is unknown."""
        record = self.engine.record(task_id)
        return record is not None and self.engine.cancel(record)

    # -- asking --------------------------------------------------------------------------------

    def get_task_error(self, task_id: str) -> BaseException | None:
        """What the function raised, or what else ended the task."""
        return self._exception_of(task_id)

    def get_tasks_by_tag(self, tag: str) -> list[Task]:
        """The tasks with a tag."""
        return self._tasks(tag=tag)

    def get_all_tasks(self) -> dict[str, Task]:
        """All tasks that are remembered, by id."""
        return self._by_id()

    def get_pending_tasks(self) -> dict[str, Task]:
        """The tasks that could start, by id."""
        return self._by_id(status=TaskStatus.PENDING)

    def get_running_tasks(self) -> dict[str, Task]:
        """The tasks that run, by id."""
        return self._by_id(status=TaskStatus.RUNNING)

    def get_completed_tasks(self) -> dict[str, Task]:
        """The tasks that have completed, by id."""
        return self._by_id(status=TaskStatus.COMPLETED)

    def get_failed_tasks(self) -> dict[str, Task]:
        """The tasks that have failed, by id."""
        return self._by_id(status=TaskStatus.FAILED)

    def get_cancelled_tasks(self) -> dict[str, Task]:
        """The tasks that were cancelled, by id."""
        return self._by_id(status=TaskStatus.CANCELLED)

    def get_waiting_tasks(self) -> dict[str, Task]:
        """The tasks that wait for others, by id."""
        return self._by_id(status=TaskStatus.WAITING)


task_manager = TaskManager(engine=SHARED)

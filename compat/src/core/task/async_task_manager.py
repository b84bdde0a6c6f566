"""The manager that is used from plain code and from inside a running loop alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, overload

from windlass import TaskDependencyError, TaskError, TaskPriority, TaskStatus

from core._engine import SHARED, Engine
from core._face import Face, status_of
from core._task import call_of, create_task_id
from core._ticket import Receipt, Ticket

from ._task import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from core import _task
    from core._record import Record

__all__ = [
    "AsyncTaskManager",
    "AsyncTaskStatus",
    "Task",
    "TaskDependencyError",
    "TaskError",
    "TaskPriority",
    "TaskStatus",
    "create_task_id",
    "task_manager",
]

AsyncTaskStatus = TaskStatus
_OPEN = (TaskStatus.PENDING, TaskStatus.WAITING, TaskStatus.RUNNING)


class AsyncTaskManager(Face):
    """Registers tasks and executes them when asked.

    Args:
        max_workers: how many tasks run at once; by default as many threads as the standard
            library's pool has, and a hundred tasks in all.
        engine: the engine of another face, to share its tasks and its limits.
    """

    _task_class: ClassVar[type[_task.Task]] = Task

    def __init__(self, max_workers: int | None = None, *, engine: Engine | None = None) -> None:
        limits: dict[str, Any] = {}
        if max_workers is not None:
            limits = {"max_concurrent_tasks": max_workers, "threads": max_workers}
        super().__init__(engine, **limits)

    # -- registering and executing -------------------------------------------------------------

    def register_task(
        self,
        name: str,
        func: Callable[..., Any],
        *positional: Any,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        dependencies: Iterable[str] | None = None,
        priority: TaskPriority | str = TaskPriority.NORMAL,
        max_retries: int = 0,
        retry_delay: float = 1.0,
        timeout: float | None = None,
        description: str | None = "",
        tags: Iterable[str] | None = None,
        focus_id: str | None = None,
        auto_shutdown: bool = False,
        task_id: str | None = None,
        **keywords: Any,
    ) -> str:
        """Register a task, which runs when it is executed; returns its id."""
        passed, by_name = call_of(positional, args, keywords, kwargs)
        task = Task(
            task_id, name, func, passed, by_name, priority, dependencies, max_retries,
            retry_delay, timeout, description, tags,
            focus_id=focus_id, auto_shutdown=auto_shutdown,
        )  # fmt: skip
        return self.engine.take(task, self).id

    @overload
    def execute_task(self, task_id: str, wait: Literal[False] = False) -> str | None: ...
    @overload
    def execute_task(self, task_id: str, wait: bool) -> Any: ...
    def execute_task(self, task_id: str, wait: bool = False) -> Any:
        """Let a task run, with the registered tasks it depends on; returns the execution's id.

        With ``wait`` it returns the result, or raises a ``TaskError``. None if the id is unknown.
        """
        record = self.engine.record(task_id)
        if record is None:
            return None
        if wait:
            self.engine.refuse_to_hang(record)
            return self.engine.block(record, self._execute(record))
        return Ticket.to(record, self._execute(record), f"exec_{record.id}")

    def submit_task(self, task: Task) -> Receipt:
        """Register and execute a task in one; returns its id, which may be awaited or not."""
        record = self.engine.take(task, self)
        self._execute(record)
        return Receipt(record.id)

    def cancel_task(self, task_id: str) -> bool:
        """Cancel a task; False if it had ended or is unknown."""
        record = self.engine.record(task_id)
        return record is not None and self.engine.cancel(record)

    # -- asking --------------------------------------------------------------------------------

    def get_task_error(self, task_id: str) -> str | None:
        """What went wrong with a task, in words."""
        return self._error_text_of(task_id)

    def get_all_tasks(self) -> list[Task]:
        """All tasks that are remembered."""
        return self._tasks()

    def get_tasks_by_status(self, status: TaskStatus | str) -> dict[str, Task]:
        """The tasks of one status, by id."""
        return self._by_id(status=status_of(status))

    def get_tasks_by_focus(self, focus_id: str) -> list[Task]:
        """The tasks about one focus."""
        return self._tasks(metadata={"focus_id": focus_id})

    def get_tasks_by_tag(self, tag: str) -> list[Task]:
        """The tasks with a tag."""
        return self._tasks(tag=tag)

    def get_metrics(self) -> dict[str, Any]:
        """How many tasks there are of each status, and how many threads they may have."""
        threads = self.engine.manager.get_metrics().executors["thread"].slots
        return {**super().get_metrics(), "max_workers": threads}

    # -- ends ----------------------------------------------------------------------------------

    def _cleanup_task_resources(self, task: Task) -> None:
        """Override this to clean up after tasks: called once for each, however it ends."""

    def _ended(self, record: Record) -> None:
        task = Task.of(record.task)
        try:
            self._cleanup_task_resources(task)
        finally:
            if task.auto_shutdown and not any(self._tasks(status=status) for status in _OPEN):
                self._started = False
                self.engine.close(wait=False)


task_manager = AsyncTaskManager(engine=SHARED)

"""The thread pool: submits functions and tells of them by id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from windlass import TaskPriority, TaskStatus

from ._engine import SHARED, Engine
from ._face import Face
from ._task import Task
from ._ticket import Ticket

if TYPE_CHECKING:
    from collections.abc import Callable


class ThreadPoolManager(Face):
    """Runs functions in threads, by priority.

    Args:
        min_workers: accepted; threads come and go as they are needed.
        max_workers: how many run at once; by default as many as the standard library's pool has.
        resource_monitor: accepted; Windlass watches over its threads itself.
        adjust_interval: accepted, likewise.
        engine: the engine of another face, to share its tasks and its limits.
    """

    def __init__(
        self,
        min_workers: int = 2,
        max_workers: int | None = None,
        resource_monitor: Any = None,
        adjust_interval: float = 30.0,
        *,
        engine: Engine | None = None,
    ) -> None:
        limits: dict[str, Any] = {}
        if max_workers is not None:
            limits = {"max_concurrent_tasks": max_workers, "threads": max_workers}
        super().__init__(engine, **limits)
        self.min_workers = min_workers
        self.resource_monitor = resource_monitor
        self.adjust_interval = adjust_interval

    @property
    def max_workers(self) -> int:
        """How many functions run at once."""
        return self.engine.manager.get_metrics().executors["thread"].slots

    def submit(
        self,
        func: Callable[..., Any],
        *args: Any,
        task_id: str | None = None,
        name: str = "Unnamed Task",
        priority: TaskPriority | str = TaskPriority.NORMAL,
        **kwargs: Any,
    ) -> Ticket:
        """Run ``func(*args, **kwargs)``; returns the task's id, which awaited gives the result."""
        record = self.engine.take(Task(task_id, name, func, args, kwargs, priority), self)
        return Ticket.to(record, self._execute(record), record.id)

    def cancel(self, task_id: str) -> bool:
        """Cancel a task; False if it had ended or is unknown."""
        record = self.engine.record(task_id)
        return record is not None and self.engine.cancel(record)

    # -- asking --------------------------------------------------------------------------------

    def get_task(self, task_id: str) -> dict[str, Any] | None:
        """All there is to know about a task."""
        record = self.engine.record(task_id)
        return _as_dict(record.task) if record is not None else None

    def get_task_error(self, task_id: str) -> str | None:
        """What went wrong with a task, in words."""
        return self._error_text_of(task_id)

    def get_all_tasks(self) -> dict[str, dict[str, Any]]:
        """All tasks that are remembered, by id."""
        return self._dicts()

    def get_pending_tasks(self) -> dict[str, dict[str, Any]]:
        """The tasks that have not started, by id."""
        return self._dicts(status=(TaskStatus.PENDING, TaskStatus.WAITING))

    def get_running_tasks(self) -> dict[str, dict[str, Any]]:
        """The tasks that run, by id."""
        return self._dicts(status=TaskStatus.RUNNING)

    def get_completed_tasks(self) -> dict[str, dict[str, Any]]:
        """The tasks that have completed, by id."""
        return self._dicts(status=TaskStatus.COMPLETED)

    def get_failed_tasks(self) -> dict[str, dict[str, Any]]:
        """The tasks that have failed, by id."""
        return self._dicts(status=TaskStatus.FAILED)

    def get_cancelled_tasks(self) -> dict[str, dict[str, Any]]:
        """The tasks that were cancelled, by id."""
        return self._dicts(status=TaskStatus.CANCELLED)

    def _dicts(self, **filters: Any) -> dict[str, dict[str, Any]]:
        return {task.task_id: _as_dict(task) for task in self.engine.all(**filters)}

    def register_resource(self, task_id: str, resource: Any) -> bool:
        """Have ``resource`` closed when the task ends; False if the task is unknown."""
        record = self.engine.record(task_id)
        if record is None:
            return False
        record.add_resource(resource)
        return True

    def get_metrics(self) -> dict[str, Any]:
        """How many tasks and workers there are."""
        pool = self.engine.manager.get_metrics().executors["thread"]
        return {
            **super().get_metrics(),
            "worker_count": pool.slots,
            "current_workers": pool.slots,
            "active_workers": pool.taken,
            "queue_size": sum(pool.queued.values()),
            "min_workers": self.min_workers,
            "max_workers": pool.slots,
        }

    get_stats = get_metrics


def _as_dict(task: Task) -> dict[str, Any]:
    record = task._record
    return {
        "task_id": task.task_id,
        "name": task.name,
        "func": task.func,
        "args": task.args,
        "kwargs": task.kwargs,
        "priority": task.priority,
        "status": task.status,
        "created_at": task.created_at,
        "started_at": task.started_at,
        "completed_at": task.completed_at,
        "result": task.result,
        "error": record.error_text() if record is not None else None,
    }


thread_pool_manager = ThreadPoolManager(engine=SHARED)

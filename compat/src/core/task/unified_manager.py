"""The manager whose methods are all awaited, with the thread pool and the monitor at its side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core._engine import SHARED, Engine
from core._face import Face, status_of
from core._pool import ThreadPoolManager, thread_pool_manager
from core._switch import use_new_task_system
from core._task import call_of

from ._info import info_of
from ._task import Task
from .monitor import TaskMonitor, task_monitor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import windlass
    from windlass import TaskPriority, Wait

__all__ = ["UnifiedTaskManager", "unified_task_manager"]


class UnifiedTaskManager:
    """Registers tasks, executes them when asked, and tells of them as dicts.

    Args:
        engine: the engine of another face, to share its tasks and its limits.
    """

    def __init__(self, *, engine: Engine | None = None) -> None:
        self._face = Face(engine)
        self.engine = self._face.engine
        shared = self.engine is SHARED
        self.thread_pool = thread_pool_manager if shared else ThreadPoolManager(engine=self.engine)
        self.task_monitor = task_monitor if shared else TaskMonitor(engine=self.engine)

    @property
    def windlass(self) -> windlass.TaskManager:
        """The Windlass manager behind this."""
        return self._face.windlass

    async def register_task(
        self,
        name: str,
        func: Callable[..., Any] | None = None,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        priority: TaskPriority | str = "NORMAL",
        dependencies: Iterable[str] | None = None,
        max_retries: int = 0,
        retry_delay: float = 1.0,
        timeout: float | None = None,
        task_id: str | None = None,
        task_type: str = "default",
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        **keywords: Any,
    ) -> str:
        """Register a task; returns its id. The function may also be ``metadata["func"]``."""
        use_new_task_system()
        passed, by_name = call_of((), args, keywords, kwargs)
        task = Task(
            task_id, name, func, passed, by_name, priority, dependencies,
            max_retries, retry_delay, timeout, description, metadata=metadata, task_type=task_type,
        )  # fmt: skip
        return self.engine.take(task, self._face).id

    async def execute_task(self, task_id: str, wait: bool = False) -> Any:
        """Let a task run; returns its id or, with ``wait``, its result. False if it is unknown."""
        record = self.engine.record(task_id)
        if record is None:
            return False
        handle = self._face._execute(record)
        return await self.engine.result(record, handle) if wait else record.id

    async def cancel_task(self, task_id: str) -> bool:
        """Cancel a task and wait for its clean-up; False if it had ended or is unknown."""
        record = self.engine.record(task_id)
        return record is not None and await self.engine.cancel_and_wait(record)

    async def get_task_status(self, task_id: str) -> str | None:
        """Where a task stands, in small letters."""
        status = self._face.get_task_status(task_id)
        return status.value if status is not None else None

    async def get_task_result(self, task_id: str) -> Any:
        """The result of a completed task."""
        return self._face.get_task_result(task_id)

    async def get_task_error(self, task_id: str) -> str | None:
        """What went wrong with a task, in words."""
        return self._face._error_text_of(task_id)

    async def get_all_tasks(self) -> dict[str, dict[str, Any]]:
        """All tasks that are remembered, by id."""
        return self._infos()

    async def get_tasks_by_status(self, status: str) -> dict[str, dict[str, Any]]:
        """The tasks of one status, by id."""
        return self._infos(status=status_of(status))

    async def get_tasks_by_type(self, task_type: str) -> dict[str, dict[str, Any]]:
        """The tasks of one type, by id."""
        return self._infos(type=task_type)

    async def get_tasks_by_focus(self, focus_id: str) -> list[dict[str, Any]]:
        """The tasks about one focus."""
        return list(self._infos(metadata={"focus_id": focus_id}).values())

    def _infos(self, **filters: Any) -> dict[str, dict[str, Any]]:
        return {task.task_id: info_of(task) for task in self.engine.all(**filters)}

    async def cleanup_completed_tasks(self, max_age: float = 86400.0) -> int:
        """Forget the tasks that ended more than ``max_age`` seconds ago; returns how many."""
        return self.engine.cleanup(max_age)

    def start(self) -> Wait[Any]:
        """Start; need not be awaited, nor called at all."""
        return self._face.start()

    def stop(self) -> Wait[Any]:
        """Cancel what is not done and stop; may be awaited."""
        return self._face.stop()

    def shutdown(self, wait: bool = True) -> Wait[Any]:
        """Stop, with ``wait`` when all has run that was executed; may be awaited."""
        return self._face.shutdown(wait)


unified_task_manager = UnifiedTaskManager(engine=SHARED)

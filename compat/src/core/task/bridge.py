"""The bridge: tasks that the program drives by hand, beside those that are executed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from windlass import TaskPriority

from core._engine import SHARED
from core._face import Face
from core._switch import use_new_task_system
from core._task import call_of
from core._ticket import Ticket

from ._task import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from core import _task


class TaskBridge(Face):
    """Drives tasks by hand: start, progress, then one end; the first one counts.

    Works on every task of its engine that is not executed, whichever face registered it.
    """

    _task_class: ClassVar[type[_task.Task]] = Task

    def register_task(
        self,
        name: str,
        func: Callable[..., Any] | None = None,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        priority: TaskPriority | str = TaskPriority.NORMAL,
        dependencies: Iterable[str] | None = None,
        max_retries: int = 0,
        retry_delay: float = 1.0,
        timeout: float | None = None,
        task_id: str | None = None,
        use_old_system: bool = True,
        **keywords: Any,
    ) -> str:
        """Register a task; returns its id. ``use_old_system`` has no effect any more."""
        use_new_task_system()
        passed, by_name = call_of((), args, keywords, kwargs)
        task = Task(
            task_id, name, func, passed, by_name, priority, dependencies,
            max_retries, retry_delay, timeout,
        )  # fmt: skip
        return self.engine.take(task, self).id

    # -- driving -------------------------------------------------------------------------------

    def start_task(self, task_id: str) -> bool:
        """Say that the work has begun, which does not run ``func``; a timeout counts from here.

        False while the task waits for others.
        """
        record = self.engine.record(task_id)
        if record is None:
            return False
        self._started = True
        started = self.engine.drive(record).start()
        self.engine.tell(record)
        return started

    def update_task_progress(
        self, task_id: str, progress: float, message: str | None = None
    ) -> bool:
        """Say how far a running task is, from 0 to 1."""
        record = self.engine.record(task_id)
        return record is not None and self.engine.progress(record, progress, message)

    def complete_task(self, task_id: str, result: Any = None) -> bool:
        """Say that the work is done; begins it if nobody has."""
        record = self.engine.record(task_id)
        if record is None:
            return False
        completed = self.engine.drive(record).complete(result)
        self.engine.tell(record)
        return completed

    def fail_task(self, task_id: str, error: BaseException | str) -> bool:
        """Say that the work failed, with an exception or in words."""
        record = self.engine.record(task_id)
        if record is None:
            return False
        failed = self.engine.drive(record).fail(error)
        self.engine.tell(record)
        return failed

    def cancel_task(self, task_id: str, reason: str | None = None) -> bool:
        """Cancel a task, with a reason."""
        record = self.engine.record(task_id)
        return record is not None and self.engine.cancel(record, reason)

    def execute_task(self, task_id: str) -> str | bool:
        """Have ``func`` run instead of driving the task; False if that cannot be any more."""
        record = self.engine.record(task_id)
        if record is None or not record.can_execute():
            return False
        return Ticket.to(record, self._execute(record), f"exec_{record.id}")

    # -- asking and cleaning up ----------------------------------------------------------------

    def get_task_error(self, task_id: str) -> str | None:
        """What went wrong with a task, in words; of a cancelled one the reason."""
        return self._error_text_of(task_id)

    def register_resource(self, task_id: str, resource: Any) -> bool:
        """Have ``resource`` closed when the task ends, however it ends."""
        record = self.engine.record(task_id)
        if record is None:
            return False
        record.add_resource(resource)
        return True

    def cleanup_task(self, task_id: str) -> bool:
        """Forget an ended task; its id is unknown from then on. False if it has not ended."""
        record = self.engine.record(task_id)
        return record is not None and self.engine.forget(record)

    def cleanup_completed_tasks(self, max_age: float = 86400.0) -> int:
        """Forget the tasks that ended more than ``max_age`` seconds ago; returns how many."""
        return self.engine.cleanup(max_age)


task_bridge = TaskBridge(engine=SHARED)

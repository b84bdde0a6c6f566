"""What all faces have: an engine behind them, and the same answers about its tasks."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, ClassVar

import windlass
from windlass import TaskCancellationError, TaskStatus, Wait, current_task

from ._engine import Engine
from ._record import running_loop
from ._task import Task

if TYPE_CHECKING:
    from collections.abc import Iterable

    from windlass import TaskHandle

    from ._record import Record


def status_of(status: TaskStatus | str) -> TaskStatus:
    """A status, or its name in whatever letters."""
    try:
        return TaskStatus(status.lower())
    except (AttributeError, ValueError):
        known = ", ".join(TaskStatus)
        raise ValueError(f"a status is one of {known}, not {status!r}") from None


class Face:
    """One of the older task managers. Several may share an engine, and then see the same tasks."""

    _task_class: ClassVar[type[Task]] = Task

    def __init__(self, engine: Engine | None = None, **settings: Any) -> None:
        self.engine = engine if engine is not None else Engine(**settings)
        self._owns_engine = engine is None
        self._started = False

    @property
    def windlass(self) -> windlass.TaskManager:
        """The Windlass manager behind this; new code uses it directly, beside the old."""
        return self.engine.manager

    # -- asking --------------------------------------------------------------------------------

    def get_task(self, task_id: str) -> Any:
        """A task; None if it is unknown."""
        record = self.engine.record(task_id)
        return self._task_class.of(record.task) if record is not None else None

    def get_task_status(self, task_id: str) -> TaskStatus | None:
        """Where a task stands; None if it is unknown."""
        return self.engine.manager.get_task_status(task_id)

    def get_task_result(self, task_id: str) -> Any:
        """The result of a completed task; None for any other."""
        return self.engine.manager.get_task_result(task_id)

    def _exception_of(self, task_id: str) -> BaseException | None:
        record = self.engine.record(task_id)
        return record.error() if record is not None else None

    def _error_text_of(self, task_id: str) -> str | None:
        record = self.engine.record(task_id)
        return record.error_text() if record is not None else None

    def _tasks(self, **filters: Any) -> list[Any]:
        return [self._task_class.of(task) for task in self.engine.all(**filters)]

    def _by_id(self, **filters: Any) -> dict[str, Any]:
        return {task.task_id: task for task in self._tasks(**filters)}

    def get_metrics(self) -> dict[str, Any]:
        """How many tasks there are, of each status."""
        by_status = self.engine.manager.get_metrics().by_status
        return {
            "total_tasks": sum(by_status.values()),
            **{f"{status}_tasks": by_status.get(status, 0) for status in TaskStatus},
            "is_running": self.is_running,
        }

    # -- steering ------------------------------------------------------------------------------

    def _execute(self, record: Record) -> TaskHandle[Any]:
        self._started = True
        return self.engine.execute(record)

    def _ended(self, record: Record) -> None:
        """A task that was registered here has ended, in whatever way; called once for each."""

    # -- opening and closing -------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        """Whether it was started, by hand or by the first execution, and not stopped since."""
        return self._started and self.engine.manager.is_open

    def start(self) -> Wait[Any]:
        """Start; need not be awaited."""
        self._started = True
        return self.engine.open().start()

    def stop(self) -> Wait[Any]:
        """Cancel what is not done and stop.

        In plain code this comes back when all is cleaned up; in a running loop, await that.
        """
        return self.shutdown(wait=False)

    def shutdown(self, wait: bool = True) -> Wait[Any]:
        """Stop, as ``stop`` does; with ``wait`` let what was executed run to its end first."""
        self._started = False
        closing: Wait[Any]
        if self._owns_engine:
            closing = self.engine.close(wait=wait)
        else:
            closing = self.windlass.gather(*self._leave(wait=wait), return_errors=True)
        if running_loop() is None:
            with contextlib.suppress(TaskCancellationError):
                closing.result()
            self.engine.tell_all()
        return closing

    def _leave(self, *, wait: bool) -> Iterable[TaskHandle[Any]]:
        """End this face's tasks on an engine that goes on for others; what is to be waited for."""
        manager, me = self.engine.manager, current_task().id
        for record in list(self.engine.records.values()):
            if record.face is not self or record.id == me:
                continue
            info = manager.get_task(record.id)
            if info is None or info.status.finished:
                continue
            if info.held or not wait:
                manager.cancel_task(record.id, "the manager was stopped")
            handle = manager.get_handle(record.id)
            if handle is not None:
                yield handle

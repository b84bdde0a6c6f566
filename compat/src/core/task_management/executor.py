"""Executors: where a task's function runs. Each has an engine of its own, or its manager's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from windlass import TaskStatus

from core._face import Face

if TYPE_CHECKING:
    from core._engine import Engine
    from core._record import Record
    from core._task import Task

__all__ = ["AsyncExecutor", "Executor", "SequentialExecutor", "ThreadPoolExecutor"]


class Executor(Face):
    """Runs tasks one way or another; see those that do."""

    kind: ClassVar[str] = ""
    """Its name among a manager's executors."""
    runs_on: ClassVar[str | None] = None
    """Windlass's executor; None for the one that suits the function."""

    def __init__(self, *, engine: Engine | None = None, **settings: Any) -> None:
        if type(self) is Executor:
            raise TypeError(
                "Executor is what executors have in common: use SequentialExecutor, "
                "ThreadPoolExecutor or AsyncExecutor"
            )
        super().__init__(engine, **settings)

    def _record(self, task: Task) -> Record:
        record = task._record
        if record is not None and self.engine.records.get(record.id) is record:
            return record
        return self.engine.take(task, self, self.runs_on)

    async def execute(self, task: Task) -> Any:
        """Run a task and return its result, or raise what became of it."""
        record = self._record(task)
        return await self.engine.result(record, self._execute(record))

    async def cancel(self, task: Task) -> bool:
        """Cancel a task; False if it has ended or was never given to this executor."""
        record = self.engine.record(task.task_id)
        return record is not None and await self.engine.cancel_and_wait(record)

    def _running(self) -> list[Task]:
        filters = {"executor": self.runs_on} if self.runs_on is not None else {}
        return self.engine.all(status=TaskStatus.RUNNING, **filters)

    def get_metrics(self) -> dict[str, Any]:
        """What it is, and whether it has anything to do."""
        return {"executor_type": self.kind, "is_idle": not self._running()}


class SequentialExecutor(Executor):
    """Runs one task at a time, in the thread of the event loop it is used on."""

    kind: ClassVar[str] = "sequential"
    runs_on: ClassVar[str | None] = "sequential"

    def get_metrics(self) -> dict[str, Any]:
        """The id of the task that runs."""
        running = [task.task_id for task in self._running()]
        return {**super().get_metrics(), "running_task": running[0] if running else None}


class ThreadPoolExecutor(Executor):
    """Runs tasks in threads."""

    kind: ClassVar[str] = "thread_pool"
    runs_on: ClassVar[str | None] = "thread"

    def __init__(self, max_workers: int | None = None, *, engine: Engine | None = None) -> None:
        limits = {"threads": max_workers, "max_concurrent_tasks": max_workers}
        super().__init__(engine=engine, **({} if max_workers is None else limits))

    def get_metrics(self) -> dict[str, Any]:
        """How many threads there may be, and how many are busy."""
        pool = self.engine.manager.get_metrics().executors["thread"]
        workers = {"max_workers": pool.slots, "active_workers": pool.taken}
        return {**super().get_metrics(), **workers}


class AsyncExecutor(Executor):
    """Runs coroutines on the event loop; plain functions in threads, so as not to block it."""

    kind: ClassVar[str] = "async"

    def __init__(self, max_concurrency: int = 10, *, engine: Engine | None = None) -> None:
        super().__init__(engine=engine, max_concurrent_tasks=max_concurrency)

    def get_metrics(self) -> dict[str, Any]:
        """How many tasks may run, how many do, and how many more could."""
        metrics = self.engine.manager.get_metrics()
        return {
            **super().get_metrics(),
            "max_concurrency": metrics.slots,
            "active_tasks": metrics.taken,
            "available_slots": metrics.free,
        }

"""The engine room of the faces: a Windlass manager, and a record for every task in it.

Faces that share an engine see the same tasks. Everything that is decided about a task is decided
by Windlass; what is added here is only what the older systems promise around it.

Whoever first notices that a task was created, has started or has ended tells of it: publishes the
events, closes its resources, calls the face's hook. That is the thread that waited for the task or
steered it, else Windlass's observer. So whoever sees an end by waiting for it, or brings it about,
finds all of this done, and nothing of it is ever done twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from concurrent.futures import wait as wait_for_futures
from typing import TYPE_CHECKING, Any

import windlass
from windlass import (
    Change,
    DeadlockError,
    Gap,
    InvalidTaskStateError,
    ManagerClosedError,
    TaskError,
    TaskStatus,
    current_task,
)

from ._events import EventType, create_task_event, is_heard, publish_sync
from ._record import BY_HAND, Record, is_plain, running_loop
from ._task import Task, now

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from windlass import ExternalTask, TaskHandle, TaskInfo, Wait

    from ._face import Face

logger = logging.getLogger("windlass.compat")

DAY = 86400.0
_REMEMBERED = 20_000  # with its record and its arguments an ended task takes four kilobytes
_MANY = 1000
_GLANCE = 0.02
_ON_A_LOOP = {"async", "sequential"}
_ENDS = {
    TaskStatus.COMPLETED: EventType.TASK_COMPLETED,
    TaskStatus.FAILED: EventType.TASK_FAILED,
    TaskStatus.CANCELLED: EventType.TASK_CANCELLED,
}


def driven_by_hand() -> None:
    """Stands for the function of a task that was registered without one; nothing calls it."""


def _outlast(closing: Wait[None]) -> None:
    with contextlib.suppress(Exception):  # whoever stopped it may hear of that
        closing.result()


class Engine:
    """See the module. Nothing is started before it is needed; after a stop it starts again."""

    def __init__(self, **settings: Any) -> None:
        usual: dict[str, Any] = {
            "own_loop": True,
            "age_every": None,
            "retention_seconds": DAY,
            "retention_count": _REMEMBERED,
        }
        self.manager = windlass.TaskManager(**{**usual, **settings})
        self.manager.subscribe(self._hear)
        self.records: dict[str, Record] = {}
        self._stopped = False
        self._sweep_at = _MANY
        self._lock = threading.RLock()

    # -- tasks ---------------------------------------------------------------------------------

    def open(self) -> windlass.TaskManager:
        """The manager, open."""
        self._wait_until_closed()
        if not self.manager.is_open:
            with self._lock:
                self.manager.start()
                self._stopped = False
        return self.manager

    def _wait_until_closed(self) -> None:
        """If somebody stopped it and did not wait for that: what comes now is not to be stopped.

        This may hold up a running loop for the moment it takes, but not if a coroutine of that
        loop has to clean up meanwhile.
        """
        with self._lock:
            if not self._stopped or current_task().id:
                return
            closing = self.manager.shutdown()  # the same one; a task that stopped it saw less of it
        here = running_loop()
        if closing.done():
            return
        if here is None:
            closing.result()
            return
        waiting = threading.Thread(target=_outlast, args=(closing,), daemon=True)
        waiting.start()
        while waiting.is_alive():
            waiting.join(_GLANCE)
            running = [self._record_of(info) for info in self._running_on_loops()]
            unknown = any(one.loop is None and one.face is None for one in running)
            if unknown or any(one.loop is here for one in running):
                raise ManagerClosedError(
                    "the manager was stopped, and tasks of this event loop have yet to clean up: "
                    "await stop() before you use it again"
                )

    def _running_on_loops(self) -> Iterable[TaskInfo]:
        for info in self.manager.list_tasks(status=TaskStatus.RUNNING):
            if info.executor in _ON_A_LOOP or self._record_of(info).awaiting:
                yield info

    def close(self, *, wait: bool) -> Wait[None]:
        """Let what was executed run to its end, or cancel it, and close."""
        if not self.manager.is_open:
            self.manager.cancel_all()  # what was registered and never had a chance to run
        with self._lock:
            self._stopped = True
            return self.manager.shutdown(wait=wait)

    def take(self, task: Task, face: Face | None, executor: str | None = None) -> Record:
        """Register ``task``; it is held until it is executed or driven by hand."""
        func = task.func
        if func is None:
            func, executor = driven_by_hand, BY_HAND
        self._wait_until_closed()
        record = Record(task, self, face)
        if is_plain(func):
            func = record.watching(func)
        with self._lock:
            self._sweep()
            # In one step, or the observer would meet a task it has no record of.
            task.task_id = self.manager.register_task(
                task.name,
                windlass.task(func, type=task.task_type),
                *task.args,
                kwargs=task.kwargs,
                priority=task.priority,
                dependencies=task.dependencies,
                max_retries=task.max_retries,
                retry_delay=task.retry_delay,
                timeout=task.timeout,
                description=task.description,
                tags=task.tags,
                metadata=task.metadata,
                executor=executor,
                task_id=task.task_id,
            )
            self.records[task.task_id] = task._record = record
        self.tell(record)
        return record

    def _sweep(self) -> None:
        """Drop the records of what Windlass has forgotten; at any time half of them are alive."""
        if len(self.records) >= self._sweep_at:
            known = self.manager.get_task_status
            self.records = {
                id: record for id, record in self.records.items() if known(id) is not None
            }
            self._sweep_at = 2 * len(self.records) + _MANY

    def record(self, task_id: str) -> Record | None:
        """The record of a task, also of one that was submitted to Windlass itself."""
        info = self.manager.get_task(task_id)
        return self._record_of(info) if info is not None else None

    def all(self, **filters: Any) -> list[Task]:
        """The tasks that fit Windlass's filters, in the order they came."""
        return [self._record_of(info).task for info in self.manager.list_tasks(**filters)]

    def _record_of(self, info: TaskInfo) -> Record:
        with self._lock:
            record = self.records.get(info.id)
            if record is None:
                task = Task(
                    info.id,
                    info.name,
                    priority=info.priority,
                    dependencies=info.dependencies,
                    max_retries=info.max_attempts - 1,
                    description=info.description,
                    tags=info.tags,
                    metadata=info.metadata,
                    task_type=info.type,
                )
                record = self.records[info.id] = task._record = Record(task, self, None)
        return record

    # -- running them --------------------------------------------------------------------------

    def execute(self, record: Record) -> TaskHandle[Any]:
        """Let a registered task run, on this thread's loop if it is a coroutine without one."""
        info = self.manager.get_task(record.id)
        if info is not None and info.held and info.executor == BY_HAND:
            raise InvalidTaskStateError(
                f"{record.task!r} has no function to execute: it is driven by hand, with "
                "start_task(id) and complete_task(id, result)",
                record.id,
            )
        record.task.execution_id = f"exec_{record.id}"
        for one, known in self._line(record):
            if known.held:  # a loop that runs it already has it
                one.loop = one.loop or running_loop()
        try:
            handle = self.open().execute_task(record.id)
        except InvalidTaskStateError:
            # What depends on it was executed before, and brought it along; that is no mistake.
            ended = self.manager.get_handle(record.id)
            if ended is None:
                raise
            return ended
        return handle

    async def result(
        self, record: Record, handle: TaskHandle[Any], timeout: float | None = None
    ) -> Any:
        """The task's result, when it is there; giving up leaves the task alone."""
        try:
            return await (handle if timeout is None else asyncio.wait_for(handle, timeout))
        finally:
            self.tell(record)

    def block(self, record: Record, handle: TaskHandle[Any], timeout: float | None = None) -> Any:
        """The same for plain code, which may be a callback of a running loop."""
        here = running_loop()
        held_up = [one for one, _ in self._line(record) if here is not None and one.loop is here]
        try:
            if here is not None:
                for one in held_up:
                    one.blocked = True
                self.refuse_to_hang(record)  # again: it may have come to that in the meantime
                wait_for_futures([handle.as_future()], timeout)
                if not handle.done():
                    raise TimeoutError(f"{handle!r} was not done within {timeout} s; it goes on")
            return handle.result(timeout)
        finally:
            for one in held_up:
                one.blocked = False
            self.tell(record)

    def refuse_to_hang(self, record: Record) -> None:
        """Raise if waiting for a task here, on the thread of a running loop, would never end."""
        here = running_loop()
        if here is None:
            return
        if current_task().id:
            raise DeadlockError(
                f"{record.task!r} cannot be waited for inside a task that runs on an event loop: "
                "await it there, or make it a dependency",
                record.id,
            )
        for one, info in self._line(record):
            unknown = one.loop is None and (info.held or one.face is None)
            if (info.executor in _ON_A_LOOP or one.awaiting) and (one.loop is here or unknown):
                raise DeadlockError(
                    f"{info.name} [{info.id}] runs on the event loop of this thread, so waiting "
                    "for it here would never end. Await it, or execute it without wait=True",
                    record.id,
                )

    def _line(self, record: Record) -> Iterable[tuple[Record, TaskInfo]]:
        """A task and all that it depends on, in any number of steps, as far as it has not ended."""
        line, seen = [record.id], {record.id}
        while line:
            info = self.manager.get_task(line.pop())
            if info is None or info.status.finished:
                continue
            yield self._record_of(info), info
            line += [id for id in info.dependencies if id not in seen]
            seen.update(info.dependencies)

    # -- steering them -------------------------------------------------------------------------

    def cancel(self, record: Record, cause: str | None = None) -> bool:
        """Cancel a task; in plain code, come back when it has cleaned up."""
        cancelled = self.manager.cancel_task(record.id, cause or "asked")
        handle = self.manager.get_handle(record.id)
        if cancelled and handle and running_loop() is None and not current_task().id:
            with contextlib.suppress(TaskError):  # it has ended, which is what is waited for
                handle.result()
        self.tell(record)
        return cancelled

    async def cancel_and_wait(self, record: Record) -> bool:
        """Cancel a task and wait until it has cleaned up."""
        cancelled = self.manager.cancel_task(record.id)
        handle = self.manager.get_handle(record.id)
        if cancelled and handle:
            with contextlib.suppress(TaskError):  # as above; or the task cancels itself
                await handle
        self.tell(record)
        return cancelled

    def drive(self, record: Record) -> ExternalTask:
        """A task to be driven by hand, which takes an open engine to keep its time limit."""
        return self.open().drive(record.id)

    def progress(self, record: Record, fraction: float, message: str | None = None) -> bool:
        """Say how far a running task is; without a message the last one stands."""
        said = message if message is not None else self.manager.get_task_progress(record.id)[1]
        running = self.manager.update_task_progress(record.id, fraction, said)
        if running:
            record.touched = now()
            share = self.manager.get_task_progress(record.id)[0]
            details = {"name": record.task.name, "progress": share, "message": said}
            publish_sync(create_task_event(EventType.TASK_PROGRESS, record.id, details))
        return running

    def forget(self, record: Record) -> bool:
        """Forget one ended task."""
        self.tell(record)
        return self.manager.forget(record.id)

    def cleanup(self, max_age: float) -> int:
        """Forget what ended more than ``max_age`` seconds ago."""
        self.tell_all()
        return self.manager.cleanup(max_age)

    # -- telling of them -----------------------------------------------------------------------

    def _hear(self, batch: Sequence[Any]) -> None:
        for heard in batch:
            if isinstance(heard, Gap):
                self.tell_all()
            elif not isinstance(heard, Change):
                continue  # Windlass tells of more than tasks
            elif record := self.records.get(heard.task_id) or self.record(heard.task_id):
                self.tell(record, heard)

    def tell_all(self) -> None:
        """Tell of whatever has happened to any task and was not told of yet."""
        for record in list(self.records.values()):
            if record.telling.acquire(blocking=False):  # else somebody is just telling of it
                try:
                    self.tell(record)
                finally:
                    record.telling.release()

    def tell(self, record: Record, change: Change | None = None) -> None:
        """Tell of what has happened to a task and was not told of yet, in order; see the module.

        Of a task that was forgotten in the meantime ``change`` says how it ended.
        """
        with record.telling:
            info = record.info()
            if not record.told_created:
                record.told_created = True
                self._publish(EventType.TASK_CREATED, record)
            while info is not None and record.told_starts < info.attempt:
                record.told_starts += 1
                self._publish(EventType.TASK_STARTED, record)
            after = change.after if change is not None else None
            status = info.status if info is not None else after
            record.reopen(change, open=status is None or not status.finished)
            if status is not None and status.finished and not record.told_end:
                record.told_end = True
                if info is not None:
                    record.keep(info)
                record.close_resources()
                self._publish(_ENDS[status], record)
                if record.face is not None:
                    self._call_hook(record, record.face)

    def _call_hook(self, record: Record, face: Face) -> None:
        try:
            face._ended(record)
        except Exception:
            logger.exception("cleaning up after task %s raised", record.id)

    def _publish(self, kind: EventType, record: Record) -> None:
        if not is_heard(kind):
            return
        task = record.task
        details: dict[str, Any] = {"name": task.name, "status": task.status.value}
        if kind is EventType.TASK_COMPLETED:
            details["result"] = task.result
        elif kind in _ENDS.values():
            details["error"] = record.error_text()
        publish_sync(create_task_event(kind, record.id, details))


SHARED = Engine()
"""The engine of the global objects of all faces."""

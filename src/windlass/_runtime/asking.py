"""What can be asked of a runtime: tasks, pictures of them, reasons, figures."""

from __future__ import annotations

import itertools
import logging
import sys
from typing import TYPE_CHECKING, Any, cast

from .._core.change import Gap
from .._core.explain import explain
from .._core.info import TaskInfo
from .._core.metrics import Metrics, measure
from .._core.outcome import Err
from .._core.record import record
from .._core.states import CANCELLED, FAILED, PENDING, RUNNING, TERMINAL
from ..errors import (
    ManagerClosedError,
    TaskDependencyError,
    TaskNotFoundError,
)
from .handle import TaskHandle, describe
from .parts import Parts
from .stored_job import StoredJob
from .wait import Promise

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator

    from .._core.change import Change
    from .._core.states import TaskStatus
    from .._core.task import Task
    from ..errors import SerializationError
    from .job import Job
    from .log_lines import LogLine

logger = logging.getLogger("windlass")


class Asking(Parts):
    """See the module; a part of ``Runtime``."""

    def find(self, task: TaskHandle[Any] | str) -> Job | None:
        """The job that a handle or an id means."""
        if isinstance(task, TaskHandle):
            if task._runtime is not self.me:
                raise TaskNotFoundError(f"{task!r} belongs to another manager", task.id)
            return task._job
        if not isinstance(task, str):
            raise TypeError(f"a task is named by its handle or its id, not by {task!r}")
        job = cast("Job | None", self.engine.tasks.get(task))
        if job is None and self.durable is not None and self.home is not None:
            job = self.durable.recall(task)
        return job

    def info(self, job: Job) -> TaskInfo:
        """A picture of a job."""
        with self.lock:
            info = TaskInfo.of(job, self.wall_offset())
        return self._as_it_runs([info])[0]

    def infos(
        self, wanted: Callable[[Task], bool], limit: int | None = None, *, ended: bool = True
    ) -> list[TaskInfo]:
        """Pictures of the jobs that are wanted, in the order they were submitted.

        Unless they may have ``ended``, none of those that only a file knows is looked at.
        """
        stored = self.durable.infos(wanted, ended=ended) if self.durable is not None else []
        with self.lock:
            offset = self.wall_offset()
            found = (task for task in self.engine.tasks.values() if wanted(task))
            infos = (TaskInfo.of(task, offset) for task in found)
            pictures = [*itertools.islice(itertools.chain(stored, infos), limit)]
        return self._as_it_runs(pictures)

    def _as_it_runs(self, infos: list[TaskInfo]) -> list[TaskInfo]:
        """``infos``, with how far those are that run where another process leads."""
        if self.follower is None:
            return infos
        there = [i.id for i in infos if i.status is RUNNING and i.id not in self.engine.tasks]
        told = self.follower.progress(there) if there else {}
        return [
            info._replace(progress=told[info.id][0], message=told[info.id][1])
            if info.id in told
            else info
            for info in infos
        ]

    def jobs(self, wanted: Callable[[Task], bool]) -> list[Job]:
        """The jobs that are wanted, of those in memory."""
        with self.lock:
            return [cast("Job", task) for task in self.engine.tasks.values() if wanted(task)]

    def unfinished(self, wanted: Callable[[Task], bool]) -> list[Job]:
        """The jobs that are wanted and have not ended, wherever they run."""
        elsewhere = self.durable.unfinished(wanted) if self.follower and self.durable else []
        return [*elsewhere, *(job for job in self.jobs(wanted) if job.status not in TERMINAL)]

    def fallen(self, wanted: Callable[[Task], bool]) -> Iterator[Job]:
        """The jobs that are wanted and have failed or been cancelled, however long ago."""
        yield from [job for job in self.jobs(wanted) if job.status in {FAILED, CANCELLED}]
        if self.durable is not None:
            yield from self.durable.fallen(wanted)

    def progress(self, job: Job, fraction: float, message: str) -> bool:
        """Note how far a running job is."""
        if self.follower is not None and isinstance(job, StoredJob):
            if job.status is RUNNING:
                self.follower.ask("progress", job.id, fraction, message)
            return job.status is RUNNING
        with self.lock:
            return self.engine.progress(job, fraction, message)

    def progress_of(self, job: Job) -> tuple[float, str]:
        """How far a job is, and what it is doing, as far as anybody knows."""
        info = self.info(job)
        return info.progress, info.message

    async def records_of(self, job: Job) -> AsyncIterator[list[Change]]:
        """The record of a job, and again each time that something has happened to it."""
        reader = self.bus.reader(self.me)
        changes = reader.read()
        try:
            while True:
                with self.lock:
                    ended = self.me.is_over(job)
                    told = record(job, self.wall_offset())
                yield told
                if ended:
                    return
                async for heard in changes:
                    if isinstance(heard, Gap) or getattr(heard, "task_id", None) == job.id:
                        break
                else:
                    return  # the manager has closed
        finally:
            self.bus.remove(reader)

    def log_of(self, job: Job, since: int = 0) -> list[LogLine]:
        """What a job has said in the log, as far as that may be known, after the line ``since``."""
        if self.durable is None or not isinstance(job, StoredJob):
            return self.log_book.told(job, since)
        if self.home is None:
            raise ManagerClosedError(
                f"the log of {job.label} is in the file: open the manager, or look by "
                "windlass.observe.TaskFile or `windlass show`",
                job.id,
            )
        return [line for line in self.durable.lines_of(job) if line.number > since]

    async def lines_of(self, job: Job, since: int) -> AsyncIterator[list[LogLine]]:
        """What a job has said after the line ``since``, and then what it says, until its end."""
        book = self.log_book
        book.readers += 1
        try:
            while True:
                seen = book.version
                with self.lock:
                    ended = self.me.is_over(job)
                if self.home is None and self.durable is not None:
                    return
                if lines := self.log_of(job, since):
                    since = lines[-1].number
                    yield lines
                if ended:
                    return
                await self._more_said(job, seen)
        finally:
            book.readers -= 1

    async def _more_said(self, job: Job, seen: int) -> None:
        """Wait until there may be more to read than at the version ``seen``, or the job is over."""
        more: Promise[None] = Promise(self.me, f"log of {job.label}")

        def over(_: Any) -> None:
            more.keep(None)

        def asks() -> bool:
            if self.log_book.version != seen:
                more.keep(None)
            return more.done()

        if self.me.watch(job, over):
            self.me.add_attendant(asks)
            try:
                await more
            finally:
                self.me.unwatch(job, over)
                more.keep(None)

    def explain(self, job: Job) -> str:
        """Why a job is not running, or how it ended."""
        if self.follower is not None and isinstance(job, StoredJob) and job.outcome is None:
            return self.follower.explain(job)
        if job.status is PENDING and self.durable is not None and isinstance(job, StoredJob):
            if job.id not in self.engine.tasks:
                return (
                    "written in a transaction: it comes in when that is committed, and never was "
                    "if it is rolled back"
                )
            lacks = self.durable.reader.lacking(job)
            if lacks is not None:
                return f"waiting for a program that has {lacks}: this one has not"
        with self.lock:
            return explain(self.engine, job, self.clock.now(), self.clock.wall())

    def metrics(self) -> Metrics:
        """Figures about everything: those of the leader, where another process leads."""
        if self.follower is not None:
            return self.follower.metrics()
        abandoned = sum(e.figures().get("abandoned", 0) for e in self.executors.values())
        with self.lock:
            return measure(
                self.engine, abandoned_threads=abandoned, dropped_changes=self.bus.dropped
            )

    def cleanup(self, older_than: float, statuses: Collection[TaskStatus], keep: int) -> int:
        """Forget what ended longer ago, but for the newest; returns how many tasks."""
        stored = 0
        if self.durable is not None:
            values = [status.value for status in statuses]
            if self.follower is not None:
                self.follower.ask("cleanup", older_than, values, keep)
                return 0
            before = self.clock.wall() - older_than
            stored = self.durable.sweeper.sweep(before, values, before, keep, limit=sys.maxsize)
        with self.lock:
            everything = TERMINAL.issubset(statuses) and not keep and self.journal is None
            old = self.engine.retention.pop_ended_before(
                self.clock.now() - older_than,
                None
                if everything
                else lambda task: task.status in statuses and cast("Job", task).told,
                keep,
            )
            forgotten = [task for task in old if self.engine.forget(task)]
        self.note_forgotten(forgotten)
        return stored + len(forgotten)

    def forget(self, job: Job) -> bool:
        """Forget one job; False if it has not ended."""
        if self.durable is not None and isinstance(job, StoredJob):
            return self.durable.forget(job)
        with self.lock:
            forgotten = job.outcome is not None and self.engine.forget(job)
        if forgotten:
            self.note_forgotten([job])
        return forgotten

    def look_at(self, job: Job) -> None:
        """Note that somebody has seen how ``job`` ended, and the failure it followed from."""
        job.looked = True
        outcome = job.outcome
        if isinstance(outcome, Err) and isinstance(outcome.error, TaskDependencyError):
            root = self.engine.tasks.get(outcome.error.details.get("root", ""))
            if root is not None:
                cast("Job", root).looked = True

    def note_forgotten(self, forgotten: Iterable[Task]) -> None:
        """Log the failures among them that nobody looked at."""
        if self.durable is not None:
            self.durable.note_forgotten(forgotten)
        for task in forgotten:
            job = cast("Job", task)
            if job.status is FAILED and not job.looked and isinstance(job.outcome, Err):
                job.looked = True
                if not isinstance(job.outcome.error, TaskDependencyError):
                    logger.error(
                        "%s failed and nobody looked: %s",
                        job.label,
                        describe(job.outcome.error),
                        exc_info=job.outcome.error,
                    )

    def note_cleanup_errors(self, job: Job, errors: list[BaseException]) -> None:
        """Keep and log what went wrong in a task's clean-ups."""
        with self.lock:
            job.noted.cleanup_errors.extend(errors)
        for error in errors:
            logger.error("a clean-up of %s raised", job.label, exc_info=error)

    def warn_unstorable(self, job: Job, error: SerializationError) -> None:
        """Say that a result will not outlive this process."""
        logger.warning(
            "%s completed, but its result cannot be stored, and will be gone after a restart: %s",
            job.label,
            error,
        )

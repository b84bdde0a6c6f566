"""Recovery: taking in what is in a store.

Tasks that were WAITING or PENDING go on as they were. One that was RUNNING has lost its process: it
runs again, unless it asked not to, or this has happened ``max_crashes`` times. Rows are read one
after another, and what has ended stays in the store until somebody asks for it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, cast

from .._core.outcome import Err
from .._core.states import RUNNING
from .._core.task import Attempt
from ..errors import TaskCrashedError, TaskDependencyError
from .stored_job import EXTERNAL, StoredJob

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..ports import Row, Store
    from .job import Job
    from .journal import Journal
    from .records import Records
    from .runtime import Runtime

logger = logging.getLogger("windlass")


class Recovery:
    """One reading of a store into the engine of ``runtime``; see the module."""

    def __init__(self, runtime: Runtime, store: Store, records: Records, journal: Journal) -> None:
        self._runtime = runtime
        self._store = store
        self._records = records
        self._journal = journal
        self._seen: dict[str, StoredJob] = {}

    def run(self, known: Mapping[str, StoredJob]) -> None:
        """Take in everything unfinished; the jobs ``known`` here already stay themselves."""
        runtime, crashed = self._runtime, 0
        offset = runtime.wall_offset()
        with runtime.lock:
            now = runtime.clock.now()
            for row in self._store.unfinished():
                job, problem = self._records.job(row, offset, self.resolve)
                if (before := known.get(row.id)) is not None and before.outcome is None:
                    before.become(job)
                    job = before
                self._seen[job.id] = job
                verdict = Err(problem, raised=False) if problem is not None else None
                if row.status == RUNNING.value and job.spec.executor != EXTERNAL:
                    crashed += 1
                    verdict = verdict or _crashed(job, now)
                    self._journal.note(job, offset)
                runtime.engine.restore(job, now, verdict)
        if crashed:
            logger.warning(
                "%d task%s running when the last process that led ended without a word",
                crashed,
                "s were" if crashed > 1 else " was",
            )

    def resolve(self, id: str) -> Job:
        """A job that another one names: one of those taken in already, or one that has ended."""
        known = self._seen.get(id) or cast("Job | None", self._runtime.engine.tasks.get(id))
        if known is None:
            row = self._store.rows([id]).get(id)
            if row is None:
                raise TaskDependencyError(f"{id!r} has been forgotten: nothing can depend on it")
            known = self._seen[id] = self.read(row)
        return known

    def read(self, row: Row) -> StoredJob:
        """The job that ``row`` stands for, as it is; nobody takes it in."""
        return self._records.job(row, self._runtime.wall_offset(), self.resolve)[0]


def _crashed(job: StoredJob, now: float) -> Err | None:
    """Count that the process of ``job`` died under it; the verdict, if that was the end."""
    notes, spec = job.noted, job.spec
    notes.crashes += 1
    notes.attempts.append(Attempt(job.attempt, job.started_at, now, "crashed", None))
    if spec.on_crash == "retry" and notes.crashes < spec.max_crashes:
        return None
    times = f"{notes.crashes} times" if notes.crashes > 1 else "once"
    why = "which is max_crashes" if spec.on_crash == "retry" else "and on_crash is 'fail'"
    text = f"{job.label} was running when its process died, {times}, {why}"
    return Err(TaskCrashedError(text, job.id), raised=False, crashed=True)

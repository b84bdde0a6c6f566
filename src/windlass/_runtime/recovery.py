"""Recovery: taking in what is in a store.

Tasks that were WAITING or PENDING go on as they were. One that was RUNNING has lost its process: it
runs again, unless it asked not to, or this has happened ``max_crashes`` times. (But what runs on
other machines goes on there: its executor finds it again when it is to be started.) Rows are read
one after another, and what has ended stays in the store until somebody asks for it.

Each is taken in after what it depends on. Nearly always that was stored before it; but what it was
asked to depend on may have given way to a younger task with the same key, or been stored only when
it was retried.

Who killed the process nobody knows, only who was running when it died. So before that is held
against a task for the last time, it runs beside no other that is in the same case: those pass a
gate, one at a time. The one that kills is found out, and its neighbours get through. (Children do
not: whoever waits for one keeps its gates meanwhile.)
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, cast

from .._core.flow import Gate
from .._core.outcome import Err
from .._core.spec import Spec
from .._core.states import RUNNING
from .._core.task import Attempt
from ..errors import TaskCrashedError, TaskDependencyError
from .log_lines import last_words
from .recipe import Recipe
from .signature import CallShape
from .stored_job import EXTERNAL, LAST_CHANCE, UNKNOWN, StoredJob

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..errors import TaskError
    from ..ports import Row, Store
    from .job import Job
    from .journal import Journal
    from .reading import Reader
    from .runtime import Runtime

logger = logging.getLogger("windlass")

_NAMED = Recipe(bool, bool, Spec("unknown", UNKNOWN), CallShape(bool, "unknown"))


class Recovery:
    """One reading of a store into the engine of ``runtime``; see the module."""

    def __init__(self, runtime: Runtime, store: Store, reader: Reader, journal: Journal) -> None:
        self._runtime = runtime
        self._store = store
        self._reader = reader
        self._journal = journal
        self._seen: dict[str, StoredJob] = {}
        self._take_in: Callable[[Row], StoredJob] | None = None
        """What is done with an unfinished task that another one names."""
        self._crashed = 0

    def run(
        self,
        known: Mapping[str, StoredJob],
        recall_log: Callable[[StoredJob], None],
        *,
        errand: bool = False,
    ) -> None:
        """Take in everything unfinished; the jobs ``known`` here already stay themselves.

        On an ``errand`` nothing is decided about what crashed or cannot be read: that is for a
        program that has the functions.
        """
        runtime = self._runtime
        offset = runtime.wall_offset()

        def take_in(row: Row) -> StoredJob:
            job, problem = self._reader.job(row, offset, self.resolve)
            if (before := known.get(row.id)) is not None and before.outcome is None:
                before.become(job)
                job = before
            self._seen[job.id] = job
            recall_log(job)
            verdict = None if errand else self._judge(job, row.status, problem, now)
            if verdict is None and _is_suspect(job):
                self._set_apart(job, now)
            runtime.engine.restore(job, now, verdict)
            if not errand and job.status.value != row.status:
                self._journal.note(job, offset)
            return job

        with runtime.lock:
            now = runtime.clock.now()
            self._take_in = take_in
            for row in self._store.unfinished():
                if row.id not in self._seen:
                    take_in(row)
            self._take_in = None
        if self._crashed:
            logger.warning(
                "%d task%s running when the last process that led ended without a word",
                self._crashed,
                "s were" if self._crashed > 1 else " was",
            )

    def _judge(
        self, job: StoredJob, status: str, problem: TaskError | None, now: float
    ) -> Err | None:
        """Count what the end of the last process was to ``job``; why it does not live on."""
        if self._goes_on(job, status):
            job.noted.given_back += 1  # it is taken up again, which is no new attempt
        elif status == RUNNING.value and job.spec.executor != EXTERNAL:
            self._crashed += 1
            _count_crash(job, now)
        return Err(problem, raised=False) if problem is not None else _too_many_crashes(job)

    def _goes_on(self, job: StoredJob, status: str) -> bool:
        """Whether its last attempt was handed over, and has not died with its manager."""
        executor = self._runtime.executors.get(job.spec.executor)
        if executor is None or not executor.traits.reports_start:
            return False
        if status == RUNNING.value:
            return executor.traits.outlives
        return job.run_is_open  # it was claimed, and had not begun

    def _set_apart(self, job: StoredJob, now: float) -> None:
        """Have ``job`` pass the gate of those that have one crash left."""
        if LAST_CHANCE not in self._runtime.engine.turnstiles.all:
            self._runtime.engine.add_gate(Gate(LAST_CHANCE, slots=1), now)
        job.recipe = job.recipe.with_spec(gates=(*job.spec.gates, (LAST_CHANCE, 1)))
        job.spec = job.recipe.spec

    def resolve(self, id: str) -> Job:
        """A job that another one names: one of those taken in already, or one that has ended."""
        known = self._seen.get(id) or cast("Job | None", self._runtime.engine.tasks.get(id))
        if known is None:
            row = self._store.rows([id]).get(id)
            if row is not None and row.seq in self._journal.going:
                row = None
            if row is None and (holder := self._store.read_note(f"alias:{id}")) is not None:
                return self.resolve(holder)  # it gave way to the task that has its key
            if row is None:
                raise TaskDependencyError(f"{id!r} has been forgotten: nothing can depend on it")
            if self._take_in is not None and row.ended_at is None:
                return self._take_in(row)
            known = self._seen[id] = self._reader.read(row)
        return known

    def read_new(self, row: Row) -> tuple[StoredJob, TaskError | None]:
        """The job that ``row``, which is not stored yet, stands for; and why it cannot run."""
        return self._reader.job(row, self._runtime.wall_offset(), self.resolve)


def _is_suspect(job: StoredJob) -> bool:
    """Whether one more crash would end ``job``, which is not the first."""
    notes, spec = job.notes, job.spec
    return (
        notes is not None
        and 0 < notes.crashes == spec.max_crashes - 1
        and notes.parent is None
        and spec.executor not in {EXTERNAL, UNKNOWN}
    )


def _count_crash(job: StoredJob, now: float) -> None:
    """Note that the process of ``job`` died under it."""
    job.noted.crashes += 1
    job.noted.attempts.append(Attempt(job.attempt, job.started_at, now, "crashed", None))


def _too_many_crashes(job: StoredJob) -> Err | None:
    """The verdict on ``job``, if it has crashed once too often.

    There is none before a program comes that has its function, and says how often that is.
    """
    notes, spec = job.notes, job.spec
    if notes is None or not notes.crashes or spec.executor in {EXTERNAL, UNKNOWN}:
        return None
    if spec.on_crash == "retry" and notes.crashes < spec.max_crashes:
        return None
    times = f"{notes.crashes} times" if notes.crashes > 1 else "once"
    why = "which is max_crashes" if spec.on_crash == "retry" else "and on_crash is 'fail'"
    text = f"{job.label} was running when its process died, {times}, {why}"
    if log := last_words(job):
        text = f"{text}. The last lines of its log:\n" + "\n".join(log)
    return Err(TaskCrashedError(text, job.id, {"log": log}), raised=False, crashed=True)

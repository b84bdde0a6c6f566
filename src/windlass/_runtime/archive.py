"""The archive: what a store knows of tasks, and memory does not.

What has ended stays there until somebody asks for it; and while another process leads, all the
rest is there as well. Who is asked for again is the same job, as long as anybody here has it.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, cast
from weakref import WeakValueDictionary

from .._core.info import TaskInfo
from .._core.states import CANCELLED, FAILED
from ..errors import TaskDependencyError
from .journal import Journal
from .keeping import needed
from .log_lines import Log
from .reading import Reader
from .records import Records
from .recovery import Recovery
from .stored_job import StoredJob

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from .._core.task import Task
    from ..errors import TaskError
    from ..ports import Codec, Row, Store
    from .functions import Registry
    from .job import Job
    from .log_lines import LogLine
    from .runtime import Runtime

_PAGE = 1_000


class Archive:
    """See the module; a part of ``Durable``."""

    def __init__(self, runtime: Runtime, store: Store, codec: Codec, registry: Registry) -> None:
        self._runtime = runtime
        self.store = store
        self.records = Records(runtime, codec, registry)
        self.reader = Reader(runtime, codec, registry)
        self.journal = Journal(
            store, self.records, runtime.clock.now, runtime.pump.wake, runtime.on_fenced
        )
        self.journal.log_book = runtime.log_book
        self.mine: WeakValueDictionary[str, StoredJob] = WeakValueDictionary()
        """The jobs of this process that went, or go, through the store to whoever leads."""
        self._keys: dict[str, str] = {}
        """Of the tasks that have ended: key to id."""

    def all_mine(self) -> list[StoredJob]:
        """The jobs in ``mine``; any thread may ask while any other adds one."""
        return [job for ref in self.mine.valuerefs() if (job := ref()) is not None]

    def read_new(self, row: Row) -> tuple[StoredJob, TaskError | None]:
        """The job that ``row``, which is not stored yet, stands for; and why it cannot run."""
        recovery = Recovery(self._runtime, self.store, self.reader, self.journal)
        return recovery.read_new(row)

    def row(self, id: str) -> Row | None:
        """The task with that id as it is stored, unless it is forgotten by now."""
        row = self.store.rows([id]).get(id)
        return row if row is not None and row.seq not in self.journal.going else None

    def recall(self, id: str) -> Job | None:
        """A job that only the store knows: one that has ended, or, while we follow, any."""
        row = self.row(id)
        if row is None:
            left = self.mine.get(id) if self._runtime.follower is not None else None
            # Left for whoever leads, who has not taken it in so far; what has ended is forgotten.
            return left if left is not None and left.outcome is None else None
        job, runtime = self.reader.read(row), self._runtime
        if runtime.follower is not None:
            with runtime.lock:  # who is asked for by two at once is one job
                ours = self.mine.setdefault(id, job)
            if ours is not job and ours.outcome is None:
                runtime.follower.update(ours, job)  # there may be no news of it
            return ours
        with runtime.lock:
            known = runtime.engine.tasks.get(id)
            if known is None and job.outcome is not None:
                runtime.engine.remember(job)
                known = job
        return cast("Job | None", known)

    def lines_of(self, job: StoredJob) -> list[LogLine]:
        """What a job has said in the log, as far as that is on disk."""
        seq = job.seq  # which a follower learns from the store
        if seq == 0 and (row := self.store.rows([job.id]).get(job.id)) is not None:
            seq = row.seq
        return self.reader.log(self.store.lines(seq))

    def recall_log(self, job: StoredJob) -> None:
        """Let what ``job`` says go on where an earlier process has left it."""
        if job.run and job.noted.log is None and (lines := self.lines_of(job)):
            job.noted.log = Log(self._runtime.log_book.most, lines)

    def revive(self, job: Job) -> None:
        """See to it that a job that has ended in an earlier process can be retried."""
        if isinstance(job, StoredJob) and job.status in {FAILED, CANCELLED}:
            for other in job.dependencies:
                self._needed(other.id)
        if isinstance(job, StoredJob) and job.source is not None:
            self.recall_log(job)
            self.reader.revive(job, self._needed)

    def revive_downstream(self, job: Job) -> None:
        """See to it that the engine finds what fell with ``job``, in whatever process that was."""
        below: defaultdict[str, list[str]] = defaultdict(list)
        for row in self._ended_as({FAILED.value, CANCELLED.value}):
            for one in self.reader.read(row).dependencies:
                below[one.id].append(row.id)
        fallen, line = {job.id}, [job]
        while line:
            above = line.pop()
            unwritten = [one.id for one in above.dependents or () if one.outcome is not None]
            for id in dict.fromkeys([*below[above.id], *unwritten]):
                other = self._needed(id)
                if other not in (above.dependents or ()):
                    above.dependents = [*(above.dependents or ()), other]
                if id not in fallen:
                    fallen.add(id)
                    line.append(other)
                    self.revive(other)

    def _ended_as(self, statuses: Collection[str]) -> Iterator[Row]:
        """The rows of what has ended so."""
        before = None
        while page := self.store.finished(before, _PAGE):
            before = page[-1].seq
            yield from (row for row in page if row.status in statuses)

    def _needed(self, id: str) -> Job:
        job = self._runtime.find(id)
        if job is None and (holder := self.store.read_note(f"alias:{id}")) is not None:
            return self._needed(holder)  # it gave way to the task that has its key
        if job is None:
            raise TaskDependencyError(f"{id!r} has been forgotten: nothing can depend on it")
        return job

    def look_for_key(self, job: Job) -> None:
        """See to it that the engine knows who has the key of ``job``, even if that has ended."""
        key = job.notes.key if job.notes is not None else None
        if key is not None and key in self._keys and key not in self._runtime.engine.keys:
            self.recall(self._keys[key])

    def note_forgotten(self, forgotten: Iterable[Task]) -> None:
        """The engine has forgotten these, and not what keys they have."""
        for task in forgotten:
            if (
                isinstance(task, StoredJob)
                and task.notes is not None
                and task.notes.key is not None
            ):
                self._keys[task.notes.key] = task.id

    def forget_keys(self) -> None:
        """Forget the keys of what the store has forgotten."""
        known, there = self._keys.copy(), dict(self.store.keys())
        for key, id in known.items():
            if key not in there and self._keys.get(key) == id:  # not taken anew meanwhile
                del self._keys[key]

    def forget(self, job: Job) -> bool:
        """Forget a job that has ended, in the store as well.

        False if it, or its retry, has not, or if what has not ended depends on it.
        """
        runtime = self._runtime
        if not isinstance(job, StoredJob) or not job.told:
            return False
        if runtime.follower is not None:
            runtime.follower.ask("forget", job.id)
            return True
        with runtime.lock:
            tasks = runtime.engine.tasks
            known = cast("StoredJob", tasks.get(job.id, job))
            if not known.told or known.seq in needed(tasks.values()):
                return False
            runtime.engine.forget(known)
            self.journal.forget([known.seq])
        runtime.pump.wake()
        return True

    def infos(self, wanted: Callable[[Task], bool], *, ended: bool) -> list[TaskInfo]:
        """Pictures of the jobs that only the store knows, the oldest first."""
        runtime, found = self._runtime, list[TaskInfo]()
        offset, before = runtime.wall_offset(), None
        while ended and (page := self.store.finished(before, _PAGE)):
            before = page[-1].seq
            for row in page:
                if row.id not in runtime.engine.tasks and wanted(job := self.reader.read(row)):
                    found.append(TaskInfo.of(job, offset))
        found.reverse()
        if runtime.follower is not None:
            unfinished = [self.reader.read(row) for row in self.store.unfinished()]
            there = {job.id for job in unfinished}
            ours = {job.id: job for job in runtime.follower.open_tasks if job.id not in there}
            ended_since = self.store.rows([*ours])
            left = [job for id, job in ours.items() if id not in ended_since]
            found += [TaskInfo.of(job, offset) for job in (*unfinished, *left) if wanted(job)]
        return found

    def unfinished(self, wanted: Callable[[Task], bool]) -> Iterator[Job]:
        """The jobs that are wanted of those that have not ended, while we follow."""
        for row in self.store.unfinished():
            if wanted(self.reader.read(row)) and (job := self.recall(row.id)) is not None:
                yield job

    def fallen(self, wanted: Callable[[Task], bool]) -> Iterator[Job]:
        """The jobs that are wanted of those that failed, and that only the store knows."""
        tasks = self._runtime.engine.tasks
        for row in self._ended_as({FAILED.value, CANCELLED.value}):
            if row.id in tasks or not wanted(self.reader.read(row)):
                continue
            if (job := self.recall(row.id)) is not None:
                yield job

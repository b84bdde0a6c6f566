"""Hearing: how a follower learns what becomes of tasks.

It is told news, which may be lost; what becomes of its own tasks it reads in the store then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from .._core.change import Change, Gap, GateChange
from .._core.outcome import Err
from .._core.states import FAILED, TERMINAL, TaskStatus
from ..errors import TaskNotFoundError

if TYPE_CHECKING:
    from ..ports import Codec, Store
    from .bus import Heard
    from .durable import Durable
    from .job import Job
    from .runtime import Runtime
    from .stored_job import StoredJob


class Hearing:
    """See the module; a part of ``Follower``."""

    def __init__(self, runtime: Runtime, durable: Durable, store: Store, codec: Codec) -> None:
        self._runtime = runtime
        self._durable = durable
        self._store = store
        self._codec = codec
        self._over = False
        """Whether this process leads by now, and the thread is gone."""
        self._left: dict[str, int] = {}
        """By task that was not seen in the store so far, the number of what asks for it."""
        self._renewing: set[str] = set()
        """The tasks that are to be retried: what the store has of them is how they ended before."""
        self._open: dict[str, StoredJob] = {}
        """The tasks of this process that have not ended, as far as it knows."""
        self._heard = 0

    @property
    def open_tasks(self) -> list[StoredJob]:
        """The tasks of this process that have not ended, as far as it knows."""
        return list(self._open.values())

    def _hear(self) -> None:
        if (book := self._runtime.log_book).readers:  # lines are no news, and may be there
            book.version += 1
            self._runtime.pump.wake()
        changes: list[Heard] = []
        for number, packed in self._store.news(self._heard):
            if number > self._heard + 1 and self._heard:
                changes.append(Gap(number - self._heard - 1))
                self._look_for_all()
            self._heard = number
            for item in self._codec.decode(packed, "news"):
                if len(item) == 1:  # the id of one that gave way to another, which has ended
                    self._look_for(self._waiting(*item))
                    continue
                changes.append(change := _change(item))
                if isinstance(change, Change):
                    self._apply(change)
        if changes:
            self._runtime.bus.tell(changes)

    def _apply(self, change: Change) -> None:
        mine = self._waiting(change.task_id)
        if change.after in TERMINAL:
            self._look_for(mine)
        else:
            for job in mine:
                job.status = change.after

    def _waiting(self, id: str) -> list[StoredJob]:
        """The task with that id, if it is one of ours and has not ended."""
        job = self._durable.mine.get(id)
        return [job] if job is not None and job.outcome is None else []

    def _look_for_all(self) -> None:
        """Read in the store what became of our tasks: news may have been lost."""
        self._look_for([job for job in self._durable.all_mine() if job.outcome is None])

    def _look_for(self, jobs: list[StoredJob]) -> None:
        jobs = [job for job in jobs if job.id not in self._renewing]
        for start in range(0, len(jobs), 500):
            some = {job.id: job for job in jobs[start : start + 500]}
            for id, row in self._store.rows([*some]).items():
                self.update(some.pop(id), self._durable.reader.read(row))
            for job in some.values():
                self._follow_key(job)

    def _follow_key(self, job: StoredJob) -> None:
        """Perhaps the leader knew another task with the key of ``job``; or it was forgotten."""
        forgotten = self._is_handled(job)  # asked before the store is: it comes with what follows
        keyed = job.notes is not None and job.notes.key is not None
        other = self._store.read_note(f"alias:{job.id}") if keyed else None
        known = self._runtime.engine.tasks.get(other or job.id) if self._over else None
        if known is not None:  # we lead now, and it is for us to end it
            if known is not job:
                self._durable.end_with(job, cast("Job", known))
            return
        row = self._durable.row(other or job.id)
        if row is None and forgotten:
            self._end(job, FAILED, Err(_forgotten(job), raised=False))
        elif row is not None and row.outcome is not None:
            self.update(job, self._durable.reader.read(row))

    def _is_handled(self, job: StoredJob) -> bool:
        """Whether ``job`` is not in the inbox any more, and so was in the store at some time."""
        if job.seq > 0:
            return True  # as it was read there
        left = self._left.get(job.id)
        first = next((request.number for request in self._store.requests(1)), None)
        return left is not None and (first is None or first > left)

    def update(self, job: StoredJob, read: StoredJob) -> None:
        """Let ``job`` stand where it was just ``read`` to stand."""
        if job.id in self._renewing:
            return
        if read.outcome is not None:
            outcome, read.outcome = read.outcome, None
            with self._runtime.lock:
                job.become(read)
            self._end(job, read.status, outcome)
        else:
            with self._runtime.lock:
                job.status, job.run, job.started_at = read.status, read.run, read.started_at
                job.seq = read.seq

    def _end(self, job: StoredJob, status: TaskStatus, outcome: Any) -> None:
        self._open.pop(job.id, None)
        self._left.pop(job.id, None)
        with self._runtime.lock:
            job.status, job.outcome, job.told = status, outcome, True
            watcher, job.watcher = job.watcher, None
        if watcher is not None:
            watcher(job)
        if self._runtime.attendants:
            self._runtime.pump.wake()


def _forgotten(job: StoredJob) -> TaskNotFoundError:
    return TaskNotFoundError(
        f"{job.label} has ended, and was forgotten before this process heard of that. The process "
        "that leads says how long the file keeps what has ended: keep_completed=, keep_failed=, "
        "keep_count=",
        job.id,
    )


def _change(item: list[Any]) -> Change | GateChange:
    """What the leader has told of a task, or of a gate."""
    if len(item) == len(GateChange._fields):
        return GateChange(*item)
    id, name, kind, before, after, *rest = item
    was = TaskStatus(before) if before is not None else None
    return Change(id, name, kind, was, TaskStatus(after), *rest)

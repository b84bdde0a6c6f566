"""What a runtime with a store does beyond one without: it remembers, and it shares.

One process *leads*: its engine decides, its journal writes. Any other that opens the same file
*follows*: see ``desk`` for the leader's side of that, and ``follower`` for theirs.
"""

from __future__ import annotations

import json
import logging
import os
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, cast
from weakref import WeakSet, WeakValueDictionary

from .._core.info import TaskInfo
from .._core.outcome import Err
from .._core.states import CANCELLED, FAILED
from ..errors import (
    DuplicateTaskError,
    NotDurableError,
    StoreError,
    TaskDependencyError,
    TaskError,
)
from .bell import Bell
from .desk import Desk
from .entering import holder_of_key
from .follower import Follower
from .journal import Journal
from .keeping import Keep, Sweeper, needed
from .log_lines import Log
from .reading import Reader
from .records import Records
from .recovery import Recovery
from .stored_job import UNKNOWN, StoredJob

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from .._core.task import Task
    from ..ports import Codec, Row, Store
    from .functions import Registry
    from .job import Job
    from .log_lines import LogLine
    from .runtime import Runtime

logger = logging.getLogger("windlass")

_PAGE = 1_000
LACKING = "lacking"


Role: TypeAlias = Literal["any", "client", "errand"]


class Lease(Protocol):
    """What says whether this process may lead; see ``windlass.stores.lead``."""

    def try_take(self) -> bool:
        """Lead, if nobody does."""
        ...

    def take_over(self) -> bool:
        """Lead in place of one that is silent."""
        ...

    @property
    def taken(self) -> bool:
        """Whether anybody leads."""
        ...

    def beat(self) -> bool:
        """Show that this process, which leads, is alive; False if another has taken over."""
        ...

    def sign_of_life(self) -> object:
        """Something that is different after each ``beat`` of whoever leads."""
        ...

    def release(self) -> None:
        """Lead no more."""
        ...


class Durable:
    """The store of a runtime, and what goes through it; see the module.

    Without ``threads`` of its own, whoever made it commits, looks and attends by hand.
    """

    def __init__(
        self,
        runtime: Runtime,
        store: Store,
        codec: Codec,
        registry: Registry,
        lease: Lease,
        keep: Keep,
        *,
        role: Role = "any",
        threads: bool = True,
    ) -> None:
        self._runtime = runtime
        self.store = store
        self._codec = codec
        self._lease = lease
        self._role = role
        self._threads = threads
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
        self._desk: Desk | None = None
        self.sweeper = Sweeper(runtime, self, keep)
        self.beat = lease.beat
        self.sign_of_life = lease.sign_of_life

    # -- opening and closing -------------------------------------------------------------------

    def open(self) -> None:
        """Lead or follow. Blocks while a store is read; not for an event loop."""
        _watch_forks()
        _opened.add(self)
        self.journal.sick = None
        self.store.open()
        try:
            if self._role == "client" or not self._take_lead(silent=False):
                take_lead = self._take_lead if self._role != "client" else None
                self._runtime.follower = Follower(
                    self._runtime, self, self.store, self._codec, take_lead, self._new_bell()
                )
                self._runtime.follower.open(thread=self._threads)
        except BaseException:
            self.journal.stop()
            if self.journal.epoch:  # what was taken in by half is read again next time
                self.journal.epoch = 0
                self._runtime.begin_anew()
            self._lease.release()
            self.store.close()
            raise

    def _take_lead(self, silent: bool) -> bool:  # noqa: FBT001  # it is a callback
        """Lead from now on, if nobody does, or whoever does has been ``silent`` for long."""
        take_over = silent and self._role != "errand"  # which may wait, or give up
        if not (self._lease.take_over() if take_over else self._lease.try_take()):
            return False
        runtime, before = self._runtime, self.journal.epoch
        epoch = self.store.take_lead()
        with runtime.pump.between_turns():
            if before and epoch != before + 1:
                runtime.begin_anew()  # others were here meanwhile: what there is, is in the store
            self.journal.start(epoch, self.store.last_seq(), thread=self._threads)
            if not before or epoch != before + 1:
                self._keys = dict(self.store.keys())
                errand = self._role == "errand"
                recovery = Recovery(runtime, self.store, self.reader, self.journal)
                recovery.run(self.mine, self.recall_log, errand=errand)
                runtime.engine.paused |= errand
            runtime.follower, runtime.journal = None, self.journal
        if self._role != "errand":
            self._note_what_is_lacking()
        self._desk = self.journal.desk = Desk(
            runtime, self, self.store, self._codec, self._new_bell()
        )
        self._desk.open(thread=self._threads)
        runtime.pump.wake()
        return True

    def _new_bell(self) -> Bell:
        return Bell(mute=not self._threads)

    def _note_what_is_lacking(self) -> None:
        """Leave word, for those who look at the file, of what its tasks need and have not got."""
        lacking = Counter[str]()
        for job in self._runtime.jobs(lambda task: task.spec.executor == UNKNOWN):
            if isinstance(job, StoredJob) and (what := self.reader.lacking(job)) is not None:
                lacking[what] += 1
        if lacking or self.store.read_note(LACKING) is not None:
            self.store.write_note(LACKING, json.dumps(lacking) if lacking else None)

    def close(self) -> None:
        """Write what there is, and let go of the file."""
        follower, self._runtime.follower = self._runtime.follower, None
        if follower is not None:
            follower.close()
        if self._desk is not None:
            self._desk.close()
            self._desk = self.journal.desk = None
        self.journal.stop()
        self._lease.release()
        self.store.close()

    def all_mine(self) -> list[StoredJob]:
        """The jobs in ``mine``; any thread may ask while any other adds one."""
        return [job for ref in self.mine.valuerefs() if (job := ref()) is not None]

    def is_led(self) -> bool:
        """Whether any process leads."""
        return self._lease.taken

    def wake(self) -> None:
        """Look at once for what other transactions have left in the store."""
        if self._desk is not None:
            self._desk.wake()

    def listen(self) -> None:
        """Have written soon what tasks say in the log."""
        if self._desk is not None and not self._desk.listens:
            self._desk.wake()

    # -- what has ended, and is asked for ------------------------------------------------------

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

    # -- what comes in, and what is said -------------------------------------------------------

    def prepare(self, job: Job) -> None:
        """Pack a new job for the store; raises if it cannot be kept there."""
        if self.journal.sick is not None:
            error = self.journal.sick
            raise type(error)(f"{job.label} cannot be stored: {error}", job.id)
        tasks = self._runtime.engine.tasks
        for other in job.dependencies:
            # What memory has forgotten the store may have, too; it would be missed after a crash.
            if isinstance(other, StoredJob) and other.seq > 0 and other.id not in tasks:
                self._needed(other.id)
        self.records.prepare(cast("StoredJob", job))

    def leave_in(self, connection: Any, job: Job) -> None:
        """Leave a new job in the store as a request, within the transaction of ``connection``."""
        if not isinstance(job, StoredJob):
            raise NotDurableError(
                f"{job.label} says durable=False, and so cannot be written", job.id
            )
        row = self.records.row(job, self._runtime.wall_offset())
        self.store.post_in(connection, "submit", self._codec.encode([*row], job.label))
        self.mine[job.id] = job

    def take_in(self, job: StoredJob, problem: TaskError | None = None) -> Job | None:
        """Take in a job that came through the store; what is wrong with it becomes its end.

        If there is one that has its key, it gives way to that, which is returned.
        """
        runtime = self._runtime
        if job.id not in runtime.engine.tasks and self.store.rows([job.id]):
            logger.warning("%s came in again after it had ended, and stays ended", job.label)
            return None
        self.look_for_key(job)
        with runtime.lock:
            now = runtime.clock.now()
            known = holder_of_key(job, runtime.engine.keys)
            if known is not None and self.journal.has_refused(known):
                known = None  # it never was
            self.journal.pledged.add(cast("StoredJob", known or job))
            if known is None:
                job.seq = 0
                try:
                    if problem is not None and job.id not in runtime.engine.tasks:
                        raise problem
                    runtime.engine.add(job, now)
                except DuplicateTaskError:
                    logger.warning("%s came in twice, and is one task", job.label)
                except (TaskError, ValueError) as error:
                    verdict = error if isinstance(error, TaskError) else StoreError(str(error))
                    runtime.engine.restore(job, now, Err(verdict, raised=False))
        if known is not None:
            self.store.write_note(f"alias:{job.id}", known.id, task=known.id)
            if self.mine.get(job.id) is job:
                self.end_with(job, known)
        return known

    def end_with(self, job: StoredJob, known: Job) -> None:
        """Let ``job``, for which somebody here waits, end as the one that has its key."""

        def end(_: Job) -> None:
            with self._runtime.lock:
                if self._runtime.is_over(known):  # or this manager closes, and says no more
                    job.status, job.outcome, job.told = known.status, known.outcome, known.told
                watcher, job.watcher = job.watcher, None
            if watcher is not None:
                watcher(job)

        if not self._runtime.watch(known, end):
            end(known)

    def keep_checkpoint(self, job: Job, value: Any) -> None:
        """Store the checkpoint of a running job; under the engine's lock."""
        if isinstance(job, StoredJob) and job.seq > 0:
            packed = self.records.value(value, f"a checkpoint of {job.label}")
            self.journal.upcoming.checkpoints.append((job.seq, packed))

    def keep_step(self, job: Job, name: str, value: Any) -> None:
        """Store what a step of a running job returned; under the engine's lock."""
        if isinstance(job, StoredJob) and job.seq > 0:
            packed = self.records.value(value, f"the result of step {name!r} of {job.label}")
            self.journal.upcoming.steps.append((job.seq, name, packed))

    def restore_what_was_kept(self, job: Job) -> None:
        """Give ``job`` the checkpoint and the steps that an earlier process has left it."""
        if not (isinstance(job, StoredJob) and job.recovered):
            return
        checkpoint, steps = self.store.checkpoint(job.seq), self.store.steps(job.seq)
        with self._runtime.lock:
            job.recovered = False
            if checkpoint is not None and job.noted.checkpoint is None:
                what = f"the checkpoint of {job.label}"
                job.noted.checkpoint = self.reader.restored(checkpoint, what)
            for name, packed in steps.items():
                what = f"the result of step {name!r} of {job.label}"
                job.noted.steps.setdefault(name, self.reader.restored(packed, what))


_opened: WeakSet[Durable] = WeakSet()
_watching_forks = False


def _watch_forks() -> None:
    global _watching_forks  # noqa: PLW0603  # once in the life of a process
    if not _watching_forks and hasattr(os, "register_at_fork"):
        _watching_forks = True
        os.register_at_fork(after_in_child=_disown)


def _disown() -> None:
    """In a forked child nothing can be stored: the threads that did are the parent's."""
    for durable in _opened:
        durable.journal.sick = StoreError(
            "the file was opened before this process was forked, and is its parent's. Open it only "
            "after the fork, in each process for itself, or start processes with 'spawn'"
        )

"""What a runtime with a store does beyond one without: it remembers, and it shares.

One process *leads*: its engine decides, its journal writes. Any other that opens the same file
*follows*: see ``desk`` for the leader's side of that, and ``follower`` for theirs.
"""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, cast
from weakref import WeakSet

from .._core.outcome import Err
from ..errors import (
    DuplicateTaskError,
    NotDurableError,
    StoreError,
    TaskError,
)
from .archive import Archive
from .bell import Bell
from .desk import Desk
from .entering import holder_of_key
from .follower import Follower
from .keeping import Keep, Sweeper
from .recovery import Recovery
from .stored_job import UNKNOWN, StoredJob

if TYPE_CHECKING:
    from ..ports import Codec, Store
    from .functions import Registry
    from .job import Job
    from .runtime import Runtime

logger = logging.getLogger("windlass")

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


class Durable(Archive):
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
        super().__init__(runtime, store, codec, registry)
        self._codec = codec
        self._lease = lease
        self._role = role
        self._threads = threads
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

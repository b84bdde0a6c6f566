"""What a runtime with a store does beyond one without: it remembers, and it recovers.

On open, tasks that were WAITING or PENDING go on as they were. One that was RUNNING has lost its
process: it runs again, unless it asked not to, or this has happened ``max_crashes`` times. Rows are
read one after another and what has ended stays in the store until somebody asks for it, so a file
may hold far more than memory.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol, cast

from .._core.info import TaskInfo
from .._core.outcome import Err
from .._core.states import RUNNING
from .._core.task import Attempt
from ..errors import StoreError, StoreLockedError, TaskCrashedError, TaskDependencyError
from .journal import Journal
from .records import Records
from .stored_job import StoredJob

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._core.task import Task
    from ..ports import Codec, Row, Store
    from .job import Job
    from .records import Registry
    from .runtime import Runtime

logger = logging.getLogger("windlass")

_PAGE = 1_000


class Lease(Protocol):
    """What says whether this process may lead; see ``windlass.stores.lead``."""

    def try_take(self) -> bool:
        """Lead, if nobody does."""
        ...

    def release(self) -> None:
        """Lead no more."""
        ...


class Durable:
    """The store of a runtime, and what goes through it; see the module."""

    def __init__(
        self, runtime: Runtime, store: Store, codec: Codec, registry: Registry, lease: Lease
    ) -> None:
        self._runtime = runtime
        self.store = store
        self._lease = lease
        self.records = Records(runtime, codec, registry)
        self.journal = Journal(
            store, self.records, runtime.clock.now, runtime.pump.wake, self._fenced
        )
        self._keys: dict[str, str] = {}
        """Of the tasks that have ended: key to id."""
        self._loaded: dict[str, StoredJob] = {}
        self.fenced: StoreError | None = None

    # -- opening and closing -------------------------------------------------------------------

    def open(self) -> None:
        """Take the lead, and take in what is in the store. Blocks; not for an event loop."""
        self.store.open()
        try:
            if not self._lease.try_take():
                raise StoreLockedError(  # noqa: TRY301
                    "another process has the file open and leads. Stop it first"
                )
            before, self.fenced = self.journal.epoch, None
            epoch = self.store.take_lead()
            if not before or epoch != before + 1:
                self._runtime.begin_anew()
                self._recover(epoch)
            else:  # closed and opened again, and nobody else was here in between
                self.journal.start(epoch, self.store.last_seq())
        except BaseException:
            self._lease.release()
            self.store.close()
            raise

    def close(self) -> None:
        """Write what there is, and let go of the file."""
        self.journal.stop()
        self._lease.release()
        self.store.close()

    def _fenced(self, error: StoreError) -> None:
        self.fenced = error
        self._runtime.on_fenced(error)

    # -- recovery ------------------------------------------------------------------------------

    def _recover(self, epoch: int) -> None:
        runtime = self._runtime
        self.journal.start(epoch, self.store.last_seq())
        self._keys = dict(self.store.keys())
        self._loaded = {}
        offset = runtime.wall_offset()
        crashed = 0
        with runtime.lock:
            now = runtime.clock.now()
            for row in self.store.unfinished():
                job, problem = self.records.job(row, offset, self._resolve)
                self._loaded[job.id] = job
                verdict = Err(problem, raised=False) if problem is not None else None
                if row.status == RUNNING.value and job.spec.executor != "external":
                    crashed += 1
                    verdict = verdict or self._crashed(job, now)
                    self.journal.note(job, offset)
                runtime.engine.restore(job, now, verdict)
        self._loaded = {}
        if crashed:
            logger.warning(
                "%d tasks were running when the program last ended without a word", crashed
            )

    def _crashed(self, job: StoredJob, now: float) -> Err | None:
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

    def _resolve(self, id: str) -> Job:
        """A job that another one names: of those taken in already, or one that has ended."""
        known = self._loaded.get(id) or cast("Job | None", self._runtime.engine.tasks.get(id))
        if known is None:
            row = self.store.rows([id]).get(id)
            if row is None:
                raise TaskDependencyError(f"{id!r} has been forgotten, so nothing can depend on it")
            known, _ = self.records.job(row, self._runtime.wall_offset(), self._resolve)
            self._loaded[id] = known
        return known

    # -- what has ended, and is asked for ----------------------------------------------------------

    def recall(self, id: str) -> Job | None:
        """A job that has ended and is only in the store by now."""
        row = self.store.rows([id]).get(id)
        return self._adopt(row) if row is not None else None

    def look_for_key(self, job: Job) -> None:
        """See to it that the engine knows who has the key of ``job``, even if that has ended."""
        key = job.notes.key if job.notes is not None else None
        if key is not None and key in self._keys and key not in self._runtime.engine.keys:
            self.recall(self._keys[key])

    def _adopt(self, row: Row) -> Job | None:
        runtime = self._runtime
        job, _ = self.records.job(row, runtime.wall_offset(), self._resolve)
        with runtime.lock:
            known = runtime.engine.tasks.get(job.id)
            if known is None and job.outcome is not None:
                runtime.engine.remember(job)
                known = job
        return cast("Job | None", known)

    def infos(self, wanted: Callable[[Task], bool]) -> list[TaskInfo]:
        """Pictures of the jobs that have ended and are only in the store, the oldest first."""
        runtime, found = self._runtime, list[TaskInfo]()
        offset, before = runtime.wall_offset(), None
        while page := self.store.finished(before, _PAGE):
            before = page[-1].seq
            for row in page:
                if row.id not in runtime.engine.tasks:
                    job, _ = self.records.job(row, offset, self._resolve)
                    if wanted(job):
                        found.append(TaskInfo.of(job, offset))
        return found[::-1]

    # -- what is said --------------------------------------------------------------------------

    def prepare(self, job: Job) -> None:
        """Pack a new job for the store; raises if it cannot be kept there."""
        if self.journal.sick is not None:
            error = self.journal.sick
            raise type(error)(f"{job.label} cannot be stored: {error}", job.id)
        self.records.prepare(cast("StoredJob", job))

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
                job.noted.checkpoint = self.records.restored(checkpoint, what)
            for name, packed in steps.items():
                what = f"the result of step {name!r} of {job.label}"
                job.noted.steps.setdefault(name, self.records.restored(packed, what))

"""The runtime: how tasks come in, and what becomes of them when somebody says so.

What it consists of is in ``parts``, what it can be asked in ``asking``, and how anybody waits in
``waiting``; it is one object, because all of that is one lock's. The lock guards the engine and
the watchers of jobs. It is held for moments, never while user code runs, and never while another
lock is taken. Whatever thread asks for something enters the engine directly and is answered at
once; only the pump takes, settles and publishes.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, cast

from .._core.states import CANCELLED, FAILED, PENDING, RUNNING
from ..errors import (
    InvalidTaskStateError,
    NotDurableError,
)
from .arguments import filled, find_handles
from .asking import Asking
from .chunks import ItemHandle
from .entering import dependencies_of, follow, holder_of_key, holders_among, refuse_unfit
from .external import ExternalTask
from .handle import TaskHandle
from .job import Job
from .parts import closed_error
from .stored_job import EXTERNAL, StoredJob
from .waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .._core.outcome import Outcome
    from .follower import Follower
    from .recipe import Recipe
    from .wait import Promise

logger = logging.getLogger("windlass")

_get_running_loop = asyncio._get_running_loop
_get_ident = threading.get_ident


class Runtime(Asking, Waiting):
    """See the module. Made by the manager, which opens and closes it."""

    # -- taking tasks in -----------------------------------------------------------------------

    def submit(
        self, recipe: Recipe, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> TaskHandle[Any]:
        """Take a task in and let it run when it can."""
        shape = recipe.shape
        if kwargs or not shape.low <= len(args) <= shape.high:
            shape.check(args, kwargs)
        if recipe.vetted_by is not self:
            self.vet(recipe)
        if recipe.call is not None or self.durable is not None:
            return self.submit_job(self.job(recipe, args, kwargs))
        handles = find_handles(args, kwargs) if args or kwargs else None
        # An empty context is not kept: one object less for the collector to trace.
        context, home = copy_context() or None, self.home
        # ``loop_here``, written out.
        loop = None if home is not None and home.thread == _get_ident() else _get_running_loop()
        with self.lock:
            if not self.accepting:
                raise closed_error()
            now = self.clock.now()
            id = f"{self._prefix}{next(self._serial)}"
            job = Job(id, recipe, now, args, kwargs or None, context, loop)
            if handles:
                job.dependencies = dependencies_of(job, handles, (), self)
            self.engine.add(job, now)
        if not self.pump.awake:
            self.pump.wake()
        return TaskHandle(job, self)

    def submit_job(self, job: Job) -> TaskHandle[Any]:
        """Take in a job that was made by ``job``; one with a known key gives way to that."""
        if self.durable is not None and job.notes is not None:  # where its key would be
            self.durable.look_for_key(job)
        if self.follower is not None and isinstance(job, StoredJob):
            self.follower.submit([job])
            return TaskHandle(job, self)
        with self.lock:
            if not self.accepting and not job.held:
                raise closed_error()
            known = holder_of_key(job, self.engine.keys) if job.notes is not None else None
            if known is None:
                self.engine.add(job, job.created_at)
        if not self.pump.awake:
            self.pump.wake()
        return TaskHandle(known or job, self)

    def submit_jobs(self, jobs: Sequence[Job]) -> list[TaskHandle[Any]]:
        """Take in all of ``jobs``, each after what it depends on, or none."""
        if self.durable is not None:
            for job in jobs:
                self.durable.look_for_key(job)
            if self.follower is not None and all(isinstance(job, StoredJob) for job in jobs):
                self.follower.submit(cast("Sequence[StoredJob]", jobs))
                return [TaskHandle(job, self) for job in jobs]
        while True:
            with self.lock:
                if not self.accepting:
                    raise closed_error()
                known = holders_among(jobs, self.engine.keys)
                new = [job for job in jobs if job not in known] if known else jobs
                # A dependency that gave way to a known task has to be followed there first.
                if not (known and any(known.keys() & job.dependencies for job in new)):
                    self.engine.add_all(new, self.clock.now())
                    break
            follow(new, known, self)
        self.pump.wake()
        return [TaskHandle(known.get(job, job), self) for job in jobs]

    def enqueue(self, job: Job) -> Promise[TaskHandle[Any]]:
        """Take in a job when there is room for it; first come, first served."""
        if not self.accepting:
            raise closed_error()
        return self.lobby.enter(job)

    def submit_child(
        self, parent: Job, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> TaskHandle[Any]:
        """Take a task in as the child of a running one."""
        recipe = self.recipe_of(func)
        recipe.shape.check(args, kwargs)
        job = self.job(recipe, args, kwargs)
        job.noted.parent = parent
        return self.submit_job(job)

    def job(
        self,
        recipe: Recipe,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        id: str | None = None,
        after: Iterable[Any] = (),
    ) -> Job:
        """Make a job with everything its recipe asks for; the engine has not seen it yet."""
        if recipe.vetted_by is not self:
            self.vet(recipe)
        now = self.clock.now()
        if id is not None:
            self.find(id)  # one that ended long ago is known again, and refuses to be another
        id = id or f"{self._prefix}{next(self._serial)}"
        durable = self.durable if recipe.spec.durable else None
        make = Job if durable is None else StoredJob
        context = copy_context() or None  # an empty one is not kept, as in ``submit``
        job = make(id, recipe, now, args, kwargs or None, context, self.loop_here())
        options = recipe.call
        handles = find_handles(args, kwargs) if args or kwargs else ()
        after = (*options.after, *after) if options is not None else (*after,)
        if handles or after:
            job.dependencies = dependencies_of(job, handles, after, self)
        if options is not None:
            if options.delay is not None:
                job.due = now + options.delay
            if options.at is not None:
                job.noted.due_at = options.at
            if options.key is not None:
                job.noted.key = options.key
        if durable is not None:
            durable.prepare(job)
        return job

    def vet(self, recipe: Recipe) -> None:
        """Refuse what no executor here could run, before it is a task."""
        if recipe.spec.executor != EXTERNAL:
            refuse_unfit(recipe, self.executors)
        recipe.vetted_by = self

    def release(self, job: Job) -> TaskHandle[Any]:
        """Let a held job run when it can, with the held jobs it depends on.

        Those that were registered where no event loop was running belong to the one here.
        """
        loop = self.loop_here()
        if self.follower is not None and isinstance(job, StoredJob):
            self.follower.ask("execute", job.id)
            return TaskHandle(job, self)
        with self.lock:
            if not self.accepting:
                raise closed_error()
            released: dict[Job, None] = {}
            line = [job]
            while line:
                held = line.pop()
                if held.held and held.outcome is None and held not in released:
                    released[held] = None
                    held.loop = held.loop or loop
                    line.extend(cast("Iterable[Job]", held.dependencies))
            self.engine.release(job, self.clock.now())
            if self.journal is not None:  # their status is what it was, and nobody would write it
                for held in released:
                    if isinstance(held, StoredJob) and held.seq > 0:
                        self.journal.note(held, self.wall_offset())
        self.pump.wake()
        return TaskHandle(job, self)

    def cancel(self, job: Job, cause: str = "asked") -> bool:
        """Cancel a job; False if it had ended."""
        if self.follower is not None and isinstance(job, StoredJob):
            self.follower.ask("cancel", job.id, cause)
            return job.outcome is None
        with self.lock:
            cancelled = self.engine.cancel(job, self.clock.now(), cause)
        self.pump.wake()
        return cancelled

    def retry(self, job: Job, *, downstream: bool = False) -> TaskHandle[Any]:
        """Give an ended job another run."""
        if self.follower is not None and isinstance(job, StoredJob):
            return self._retry_elsewhere(job, self.follower, downstream=downstream)
        if self.durable is not None:
            self.durable.revive(job)
            if downstream:
                self.durable.revive_downstream(job)
        with self.lock:
            if not self.accepting:
                raise closed_error()
            now = self.clock.now()
            renewed = self.engine.retry(
                job, now, lambda old: self._renewed(cast("Job", old), now), downstream=downstream
            )
        self.pump.wake()
        kind = ExternalTask if job.spec.executor == EXTERNAL else TaskHandle
        return kind(cast("Job", renewed[0]), self)

    def _retry_elsewhere(
        self, job: StoredJob, follower: Follower, *, downstream: bool
    ) -> TaskHandle[Any]:
        if job.status not in {FAILED, CANCELLED}:
            raise InvalidTaskStateError(
                f"only a task that failed or was cancelled can be retried; {job.label} is "
                f"{job.status}",
                job.id,
            )
        return TaskHandle(follower.retry(job, downstream=downstream), self)

    def _renewed(self, old: Job, now: float) -> Job:
        new = old.renewed(now)
        if old.dependencies:
            new.args, kwargs = filled(new.args, new.kwargs or {}, self._as_it_is_now)
            new.kwargs = kwargs or None
        if self.durable is not None and isinstance(new, StoredJob):
            new.seq = max(new.seq, 0)  # what could not be stored is stored now
            if old in self.durable.journal.pledged:
                self.durable.journal.pledged.add(new)
            new.packed = self.durable.records.call(new)  # all of it is written anew
        return new

    def _as_it_is_now(self, handle: TaskHandle[Any]) -> TaskHandle[Any]:
        """A handle to the same task, in whose place another one may have come by a retry."""
        job = cast("Job", self.engine.tasks.get(handle.id, handle._job))
        if isinstance(handle, ItemHandle):
            return ItemHandle(job, self.me, handle._index)
        return TaskHandle(job, self.me)

    def by_hand(self, job: Job, outcome: Outcome | None = None) -> bool:
        """Start an external job, or with an ``outcome`` end it; False if it cannot be.

        A held job that waits for nothing else becomes an external one.
        """
        with self.lock:
            now = self.clock.now()
            if job.held and job.status is PENDING:
                job.recipe = job.recipe.with_spec(executor=EXTERNAL)  # for a retry as well
                job.spec = job.recipe.spec
                self.engine.release(job, now)
            started = self.engine.start_by_hand(job, now)
            external = job.spec.executor == EXTERNAL
            done = started if outcome is None else external and job.status is RUNNING
            if done and outcome is not None:
                self.engine.settle([(job, job.run, outcome)], now)
        self.pump.wake()
        return done

    def enqueue_in(
        self, connection: Any, recipe: Recipe, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> TaskHandle[Any]:
        """Leave a task in the store, within somebody's own transaction there."""
        if self.durable is None:
            raise NotDurableError(
                "enqueue_in writes into the manager's file, and this one has none: open it with "
                "TaskManager('jobs.db')"
            )
        recipe.shape.check(args, kwargs)
        job = self.job(recipe, args, kwargs)
        self.durable.leave_in(connection, job)
        return TaskHandle(job, self)

    def look_at_file(self) -> None:
        """Look at once for what transactions have left in the store."""
        if self.durable is not None:
            self.durable.wake()

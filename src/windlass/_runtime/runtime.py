"""The runtime: the engine and its lock, and everything that is plugged into them.

The lock guards the engine and the watchers of jobs. It is held for moments, never while user code
runs, and never while another lock is taken. Whatever thread asks for something enters the engine
directly and is answered at once; only the pump takes, settles and publishes.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import sys
import threading
from concurrent.futures import CancelledError
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, cast

from .._core.engine import Engine
from .._core.explain import explain
from .._core.flow import Adaptive
from .._core.info import TaskInfo
from .._core.metrics import Metrics, measure
from .._core.outcome import Err, Ok
from .._core.pools import Traits
from .._core.states import CANCELLED, FAILED, PENDING, RUNNING, TERMINAL
from ..errors import (
    InvalidTaskStateError,
    ManagerClosedError,
    NotDurableError,
    TaskDependencyError,
    TaskNotFoundError,
)
from .arguments import find_handles
from .bus import Bus
from .entering import dependencies_of, follow, holder_of_key, holders_among, refuse_unfit
from .external import ExternalTask
from .handle import TaskHandle, describe, error_of
from .job import Job
from .load import read_load, require_psutil
from .lobby import Lobby
from .nested import NestedWait
from .portal import Portal
from .pump import Pump
from .recipe import ForCall
from .run import Run
from .stored_job import EXTERNAL, NEVER_STORED, UNKNOWN, StoredJob
from .wait import Promise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from .._core.flow import Gate
    from .._core.meters import Load
    from .._core.outcome import Outcome
    from .._core.task import Task
    from ..errors import SerializationError, StoreError
    from ..ports import Clock, Executor
    from .current import Link
    from .durable import Durable
    from .follower import Follower
    from .journal import Journal
    from .recipe import Recipe

logger = logging.getLogger("windlass")

# The wall clock was set, or has drifted, if it is so many seconds away from where it was.
_CLOCK_WAS_SET = 0.01

BY_HAND = Traits(slots=sys.maxsize, local=False, manual=True)

_get_running_loop = asyncio._get_running_loop
_get_ident = threading.get_ident


class Runtime:
    """See the module. Made by the manager, which opens and closes it."""

    def __init__(
        self,
        executors: Mapping[str, Executor],
        clock: Clock,
        recipe_of: Callable[[Any], Recipe],
        **limits: Any,
    ) -> None:
        self.executors = dict(executors)
        self.clock = clock
        self.recipe_of = recipe_of
        self.lock = threading.Lock()
        self.watch_lock = threading.Lock()  # for promises, which the engine knows nothing of
        traits = {name: executor.traits for name, executor in executors.items()}
        none = Traits(slots=0, local=False)
        self._settings = {"executors": {**traits, EXTERNAL: BY_HAND, UNKNOWN: none}, **limits}
        self.engine = Engine(**self._settings)
        self.durable: Durable | None = None
        self.follower: Follower | None = None
        """While another process leads."""
        self.journal: Journal | None = None
        self.unpublished: AbstractSet[Any] = frozenset()
        """The jobs that have ended, which nobody may know before it is on disk."""
        self.read_load: Callable[[], Load] = read_load
        self.pump = Pump(self)
        self.bus = Bus()
        self.around: list[Callable[..., Any]] = []
        self.resumptions: dict[Task, Callable[[], None]] = {}
        self.attendants: list[Callable[[], bool]] = []
        self.lobby = Lobby(self)
        self.asleep: set[object] = set()
        """The runs, and the threads of plain code, that are blocked in one of our waits."""
        self.accepting = False
        self.give_up: Callable[[], Any] = bool
        """Closes at once, writing nothing."""
        self.home: Portal | None = None
        """The way onto the manager's own loop, while it is open."""
        self._portals: dict[asyncio.AbstractEventLoop, Portal] = {}
        self._wall_offset = 0.0
        self._prefix = os.urandom(3).hex() + "-"
        self._serial = itertools.count(1)

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
        if self.durable is not None:
            self.durable.look_for_key(job)
            if self.follower is not None and isinstance(job, StoredJob):
                self.follower.submit([job])
                return TaskHandle(job, self)
        with self.lock:
            if not self.accepting and not job.held:
                raise closed_error()
            known = holder_of_key(job, self.engine.keys)
            if known is None:
                self.engine.add(job, job.created_at)
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
        job = make(id, recipe, now, args, kwargs or None, copy_context(), self.loop_here())
        options = recipe.call or ForCall()
        handles = find_handles(args, kwargs)
        job.dependencies = dependencies_of(job, handles, (*options.after, *after), self)
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

    # -- asking for things ---------------------------------------------------------------------

    def find(self, task: TaskHandle[Any] | str) -> Job | None:
        """The job that a handle or an id means."""
        if isinstance(task, TaskHandle):
            if task._runtime is not self:
                raise TaskNotFoundError(f"{task!r} belongs to another manager", task.id)
            return task._job
        if not isinstance(task, str):
            raise TypeError(f"a task is named by its handle or its id, not by {task!r}")
        job = cast("Job | None", self.engine.tasks.get(task))
        if job is None and self.durable is not None and self.home is not None:
            job = self.durable.recall(task)
        return job

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
            if loop is not None:
                line = [job]
                while line:
                    if (held := line.pop()).held:
                        held.loop = held.loop or loop
                        line.extend(cast("Iterable[Job]", held.dependencies))
            self.engine.release(job, self.clock.now())
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
        if self.durable is not None and isinstance(new, StoredJob):
            new.packed = self.durable.records.call(new)  # all of it is written anew
        return new

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

    def progress(self, job: Job, fraction: float, message: str) -> bool:
        """Note how far a running job is."""
        with self.lock:
            return self.engine.progress(job, fraction, message)

    def info(self, job: Job) -> TaskInfo:
        """A picture of a job."""
        with self.lock:
            return TaskInfo.of(job, self.wall_offset())

    def wall_offset(self) -> float:
        """What turns the engine's times into wall times: the same until the wall clock is set.

        The two clocks are never read at the very same moment, and a task was created only once.
        """
        offset = self.clock.wall() - self.clock.now()
        if abs(offset - self._wall_offset) > _CLOCK_WAS_SET:
            self._wall_offset = offset
        return self._wall_offset

    def infos(self, wanted: Callable[[Task], bool], limit: int | None = None) -> list[TaskInfo]:
        """Pictures of the jobs that are wanted, in the order they were submitted."""
        stored = self.durable.infos(wanted) if self.durable is not None else []
        with self.lock:
            offset = self.wall_offset()
            found = (task for task in self.engine.tasks.values() if wanted(task))
            infos = (TaskInfo.of(task, offset) for task in found)
            return [*itertools.islice(itertools.chain(stored, infos), limit)]

    def jobs(self, wanted: Callable[[Task], bool]) -> list[Job]:
        """The jobs that are wanted."""
        with self.lock:
            return [cast("Job", task) for task in self.engine.tasks.values() if wanted(task)]

    def cleanup(self, older_than: float) -> int:
        """Forget what ended longer ago; returns how many tasks."""
        if self.durable is not None:
            if self.follower is not None:
                self.follower.ask("cleanup", older_than)
                return 0
            before = self.clock.wall() - older_than
            everything = [status.value for status in TERMINAL]
            stored = self.durable.sweeper.sweep(before, everything, before, limit=sys.maxsize)
        else:
            stored = 0
        with self.lock:
            old = self.engine.retention.pop_ended_before(self.clock.now() - older_than)
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

    def explain(self, job: Job) -> str:
        """Why a job is not running, or how it ended."""
        if self.follower is not None and isinstance(job, StoredJob) and job.outcome is None:
            return self.follower.explain(job)
        with self.lock:
            return explain(self.engine, job, self.clock.now(), self.clock.wall())

    def metrics(self) -> Metrics:
        """Figures about everything."""
        abandoned = sum(e.figures().get("abandoned", 0) for e in self.executors.values())
        with self.lock:
            return measure(
                self.engine, abandoned_threads=abandoned, dropped_changes=self.bus.dropped
            )

    # -- waiting -------------------------------------------------------------------------------

    def watch(self, job: Job, callback: Callable[[Any], None]) -> bool:
        """Have ``callback`` called when ``job`` has ended; False if it has."""
        with self.lock:
            if job.outcome is not None and job not in self.unpublished:
                return False
            job.watch(callback)
            return True

    def unwatch(self, job: Job, callback: Callable[[Any], None]) -> None:
        """Forget ``callback``."""
        with self.lock:
            job.unwatch(callback)

    def begin_wait(self, waiter: Link | None, targets: Sequence[Job] | None) -> NestedWait | None:
        """If a task of ours is about to wait, lend its slot; DeadlockError if it must not."""
        if targets is None or not isinstance(waiter, Run) or waiter.runtime is not self:
            return None
        job = waiter.job
        with self.lock:
            if job.status is not RUNNING or job.run != waiter.number:
                return None  # it has been given up: it holds no slot and keeps nobody waiting
            self.engine.waits.begin(job, targets)
            # An earlier wait of the same task may be over and in line for the slot that this one
            # lends again: it goes on without one, as it does when others are on at its end.
            go_on = self.resumptions.pop(job, None)
        if go_on is not None:
            go_on()
        self.pump.wake()
        return NestedWait(self, job, targets)

    def value_for(self, handle: TaskHandle[Any]) -> Any:
        """What takes the place of a handle among the arguments: its result, or its error."""
        asked = handle._job
        job = cast("Job", self.engine.tasks.get(asked.id, asked))
        outcome = job.outcome
        if type(outcome) is Ok:
            return handle._pick(outcome.value)
        job.looked = True
        return error_of(job)

    def loop_here(self) -> asyncio.AbstractEventLoop | None:
        """The event loop that runs in this thread; None also for the manager's own."""
        # Comparing threads first saves a system call per task on Python 3.11.
        return None if self.home is not None and self.home.here() else _get_running_loop()

    def portal(self, loop: asyncio.AbstractEventLoop) -> Portal:
        """The way onto ``loop``, which runs in this thread."""
        portal = self._portals.get(loop)
        if portal is None:
            for other in [other for other in self._portals if other.is_closed()]:
                del self._portals[other]
            portal = self._portals[loop] = Portal(loop, threading.get_ident())
        return portal

    def await_on_loop(self, run: Run, awaitable: Any) -> Any:
        """Have what a function in a thread returned awaited on the loop it belongs to."""

        async def awaited() -> tuple[Any, BaseException | None]:
            try:
                return await awaitable, None
            except asyncio.CancelledError:
                raise
            except BaseException as error:  # noqa: BLE001  # it is the task's, not the loop's
                return None, error

        coroutine = awaited()
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, run.loop or self.home_loop())
        except RuntimeError:
            coroutine.close()
            getattr(awaitable, "close", int)()  # or Python would warn that it was never awaited
            raise RuntimeError(
                f"{run.job.label} was submitted on an event loop that is closed now"
            ) from None
        run.when_stopped(future.cancel)
        try:
            result, error = future.result()
        except CancelledError:
            raise asyncio.CancelledError from None
        if error is not None:
            raise error
        return result

    def begin_anew(self) -> None:
        """Forget everything: what there is, is in the store."""
        gates = [gate.policy for gate in self.engine.turnstiles.all.values()]
        with self.lock:
            self.engine = Engine(**self._settings)
            for gate in gates:
                self.engine.add_gate(gate, self.clock.now())

    def set_paused(self, *, paused: bool) -> None:
        """Stop or resume starting tasks."""
        with self.lock:
            self.engine.paused = paused
        self.pump.wake()

    def set_limit(self, limit: int | Adaptive) -> None:
        """Change how many tasks run at once."""
        with self.lock:
            self.engine.set_limit(limit)
        self.pump.wake()

    def add_gate(self, gate: Gate) -> None:
        """Let tasks name ``gate`` from now on."""
        if isinstance(gate.slots, Adaptive):
            require_psutil(gate.slots)
        with self.lock:
            self.engine.add_gate(gate, self.clock.now())

    def measure_capacity(self) -> None:
        """Tell the engine how much each executor can do now; with the lock held."""
        for name, executor in self.executors.items():
            self.engine.set_slots(name, executor.capacity)

    def require_loop(self) -> None:
        """Raise if the loop that everything happens on was closed under us: no wait would end."""
        if self.home is not None and self.home.loop.is_closed():
            raise ManagerClosedError(
                "the event loop that the manager was opened on is closed, and nothing goes on. "
                "Leave the manager first, with `async with` or `await manager.shutdown()`"
            )

    def home_loop(self) -> asyncio.AbstractEventLoop:
        """The manager's own loop."""
        if self.home is None:
            raise closed_error()
        return self.home.loop

    def attend(self) -> None:
        """Ask those who wait for a state of the whole whether it has come; after every turn."""
        with self.watch_lock:
            asking = list(self.attendants)
        satisfied = {asks for asks in asking if asks()}
        if satisfied:
            with self.watch_lock:
                self.attendants = [asks for asks in self.attendants if asks not in satisfied]

    def add_attendant(self, asks: Callable[[], bool]) -> None:
        """Have ``asks`` called after every turn until it returns True."""
        with self.watch_lock:
            self.attendants.append(asks)
        self.pump.wake()

    def keep_in(self, durable: Durable) -> None:
        """Keep tasks in a store from now on."""
        self.durable = durable
        # Unlike a random one, this sorts by time: an index of a file grows at its end.
        self._prefix = f"{int(self.clock.wall() * 1000):x}{os.urandom(2).hex()}-"

    def flush(self) -> Promise[None]:
        """A wait until everything that was said so far is on disk."""
        stored: Promise[None] = Promise(self, "storing")
        if self.follower is not None:
            self.follower.flush(stored)
            return stored
        if self.journal is None or self.home is None:
            stored.keep(None)
            return stored
        with self.lock:
            self.journal.upcoming.promises.append(stored)
        self.pump.wake()
        return stored

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

    def stored(self, handle: TaskHandle[Any]) -> Promise[Any]:
        """A wait until the task of ``handle`` is on disk; StoreError if it never is."""
        promise: Promise[Any] = Promise(self, f"storing of {handle._job.label}")
        self.keep_when_stored(promise, handle)
        return promise

    def keep_when_stored(self, promise: Promise[Any], handle: TaskHandle[Any]) -> None:
        """Keep ``promise`` with ``handle`` when its task is on disk, or break it if it never is."""
        if self.durable is None:
            promise.keep(handle)
            return
        safe, job = self.flush(), handle._job

        def told(_: Any) -> None:
            if getattr(job, "seq", 0) == NEVER_STORED:
                promise.break_(error_of(job) or closed_error())
            else:
                promise.keep(handle)

        # One that could not be stored has ended for that, while the rest still waits for the disk.
        if not (self.watch(job, told) and safe._watch(told)):
            told(job)

    # -- what must not go unnoticed ------------------------------------------------------------

    def on_fenced(self, error: StoreError) -> None:
        """Another process leads: nothing of ours counts any more."""
        self.accepting = False
        if self.home is not None:
            self.home.post(self.give_up)

    def warn_unstorable(self, job: Job, error: SerializationError) -> None:
        """Say that a result will not outlive this process."""
        logger.warning(
            "%s completed, but its result cannot be stored, and will be gone after a restart: %s",
            job.label,
            error,
        )

    def note_cleanup_errors(self, job: Job, errors: list[BaseException]) -> None:
        """Keep and log what went wrong in a task's clean-ups."""
        with self.lock:
            job.noted.cleanup_errors.extend(errors)
        for error in errors:
            logger.error("a clean-up of %s raised", job.label, exc_info=error)

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


def closed_error() -> ManagerClosedError:
    """What to say to those who come too early or too late."""
    return ManagerClosedError(
        "the manager is not open: use `with TaskManager() as tm` or `async with`, or call start()"
    )

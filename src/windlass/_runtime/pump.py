"""The pump: one loop, one direction.

::

    submit/cancel ─▶ engine ──changes──▶ observers: handles, log, views
                      ▲   │ take
                      │   └──────▶ executor.start(batch)
                      └── settle(batch) ◀── inbox ◀── executors' reports

One turn drains the inbox into the engine, lets time pass, takes what can start, publishes what has
changed, starts the batch, and goes to sleep until the next deadline or wake-up. A turn is a plain
callback on the event loop: there is nothing to await in it, so nothing can come in between.
Whoever runs out of work, a lane or a thread, may have the turn at once instead of waking the loop
for it, if nobody else is having one: that spares quick functions two switches of threads each.

Everything is done in batches. A wake-up in particular is scheduled once, however many tasks and
reports come before its turn: waking a loop from another thread costs as much as running a task.

What the engine hands out are the Jobs that were put in, and what executors report are our Runs. On
the hot path that is said to the type checkers with an ignored assignment: ``cast`` is a call.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from contextvars import Context
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from .._core.outcome import Err
from .._core.states import COMPLETED, PENDING, RUNNING, TERMINAL, WAITING
from .run import Run
from .stored_job import NEVER_STORED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from .._core.change import Moves, Transition
    from .._core.outcome import Outcome
    from .._core.task import Task
    from ..ports import Call, Executor
    from .entry import Entry
    from .job import Job
    from .journal import Journal
    from .runtime import Runtime

# A clock that is set while the pump sleeps does not wake it, so with ``at=`` it looks this often.
_CALENDAR_CHECK = 30.0
# So often a coroutine may go on without the loop having run anything else.
_BREATH = 16
# What is not on disk is not forgotten: somebody may ask for it, and the store would know better.
_IS_TOLD: Callable[[Any], bool] = attrgetter("told")


class Turn(NamedTuple):
    """What the engine has decided in one turn, and is to be done now that its lock is free."""

    moves: Moves
    resumed: Sequence[Task]
    runs: list[Run]
    stops: Sequence[Run]
    forgotten: Sequence[Task]
    deadline: float | None
    entry: Entry | None
    refused: Sequence[Job]


class Pump:
    """See the module. Lives on one event loop from ``attach`` to ``detach``."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._inbox: deque[tuple[Task, int, Outcome]] = deque()
        self.awake = False
        self._called = False
        self.closing = False
        """Whether what is stored by now is announced, and not started any more."""
        self._turning = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._context = Context()
        self._thread = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._stale_reports = 0
        self._breathless = 0
        self.fill_ins: list[Callable[[asyncio.AbstractEventLoop], bool]] = []
        """Of the executors that can use the time of a coroutine that waits."""

    def attach(self, loop: asyncio.AbstractEventLoop, thread: int) -> None:
        """Turn on ``loop``, whose thread is ``thread``, from now on."""
        self._loop, self._thread, self.closing = loop, thread, False
        # Turns are nobody's: not even of the task whose submit or wait led to one.
        self._context = Context()
        self.awake = self._called = False
        self.wake()

    def detach(self) -> None:
        """Turn no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._loop = None

    def wake(self) -> None:
        """Have a turn soon; callable from any thread, and free while one is due anyway."""
        if self.awake or self._loop is None:
            return
        self.awake = True
        if self._called:
            return  # the last wake-up is still on its way, somebody else had the turn meanwhile
        self._called = True
        try:
            if threading.get_ident() == self._thread:
                self._loop.call_soon(self._on_wake, context=self._context)
            else:
                self._loop.call_soon_threadsafe(self._on_wake, context=self._context)
        except BaseException as error:
            self.awake = self._called = False
            if not isinstance(error, RuntimeError):
                raise  # by Ctrl-C: the next one is to wake it
            # The loop was closed under us; there is nobody left to tell.

    def report(self, call: Call, outcome: Outcome, *, wake: bool = True) -> None:
        """Take in how a call ended; the executors' door."""
        run: Run = call  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
        self._inbox.append((run.job, run.number, outcome))
        if wake and not self.awake:
            self.wake()

    def between_turns(self) -> AbstractContextManager[object]:
        """Keeps turns from beginning while something is exchanged that a turn builds on."""
        return self._turning

    @property
    def turning(self) -> bool:
        """Whether a turn is on, in whatever thread."""
        return self._turning.locked()

    def turn_now(self, *, resized: bool = False) -> None:
        """Have a turn right away if there is reason to, or see to it that there is one soon."""
        if resized:
            with self._runtime.lock:
                self._runtime.measure_capacity()
        if not (resized or self._inbox or self.awake):
            return
        if self._turning.acquire(blocking=False):
            try:
                self._turn()
            finally:
                self._turning.release()
        else:
            self.wake()

    def lend_time(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Use the time of a coroutine on ``loop`` that has nothing to do but wait.

        Tells whether it is to let the loop breathe before it goes on, even if it need not wait.
        """
        for fill_in in self.fill_ins:
            if fill_in(loop):
                break
        else:
            self.turn_now()
        self._breathless += 1
        if self._breathless < _BREATH:
            return False
        self._breathless = 0
        return True

    def _on_wake(self) -> None:
        self._called = False  # first, or a wake-up from another thread could be lost
        if self.awake:
            self.turn()

    def turn(self) -> None:
        """One turn; see the module."""
        with self._turning:
            self._turn()

    def _turn(self) -> None:
        self.awake = False
        runtime = self._runtime
        now, wall = runtime.clock.now(), runtime.clock.wall()
        offset = runtime.offset_at(now, wall)
        with runtime.lock:
            turn = self._decide(now, wall, offset)
        if runtime.journal is None:
            self._publish(turn.moves, offset)
        for task in turn.resumed:
            if (resume := runtime.resumptions.pop(task, None)) is not None:
                resume()  # unless it has begun another wait in the meantime
        if runtime.journal is not None:
            self._write(turn, runtime.journal, offset)
        else:
            if turn.stops:
                self._stop(turn.stops)
            if turn.runs:
                self._start(turn.runs)
        if turn.forgotten:
            runtime.note_forgotten(turn.forgotten)
        if runtime.attendants:
            runtime.attend()
        if turn.deadline is not None:
            self._set_timer(turn.deadline, now)

    def _decide(self, now: float, wall: float, offset: float) -> Turn:
        """Everything that the engine decides in a turn; with its lock held."""
        runtime, engine, inbox = self._runtime, self._runtime.engine, self._inbox
        refused: Sequence[Job] = ()
        if runtime.journal is not None and runtime.journal.refused:
            refused = self._take_back(runtime.journal, now)
        if inbox:
            # Only what is there now: executors may add to it all the time.
            engine.settle([inbox.popleft() for _ in range(len(inbox))], now)
        engine.advance(now, wall)
        if runtime.log_book:
            runtime.log_book.take_in()
        if (look := engine.next_look) is not None and look <= now:
            engine.look(runtime.read_load(), now)
        if engine.stale_reports != self._stale_reports:
            self._stale_reports = engine.stale_reports  # perhaps an abandoned thread has left
            runtime.measure_capacity()
        resumed = engine.take_resumed() if engine.waits.lent else ()
        runs = self._runs(taken) if (taken := engine.take(now)) else []
        stops = self._take_stops() if engine.stops else ()
        moves = engine.drain()
        entry, may_go = None, None
        if runtime.journal is not None:
            entry, may_go = runtime.journal.close_entry(moves, offset), _IS_TOLD
            entry.runs, entry.stops = runs, stops
        forgotten: Sequence[Task] = ()
        may_be_due = moves.returned or moves.moved or self._timer is None or may_go is not None
        if may_be_due and engine.retention.due(now):
            forgotten = engine.forget_old(now, may_go)
        deadline = None  # the timer that is set can only be early
        if self._timer is None or engine.has_timers:
            deadline = engine.next_deadline(now, wall)
        return Turn(moves, resumed, runs, stops, forgotten, deadline, entry, refused)

    def _write(self, turn: Turn, journal: Journal, offset: float) -> None:
        """Have the journal write what was decided; what it has written by now may take effect."""
        for job in turn.refused:  # there is nothing to wait for: they are in no entry
            watcher, job.watcher = job.watcher, None
            if watcher is not None:
                watcher(job)
        if turn.entry:
            journal.write(turn.entry)
        self._announce(journal, offset)

    def _announce(self, journal: Journal, offset: float) -> None:
        """What is on disk by now may be known, and what it says is to start may start."""
        for entry in journal.take_done():
            self._publish(entry.moves, offset)
            self._runtime.log_book.version += bool(entry.lines)
            for promise in entry.promises:
                promise.keep(None)
            if entry.stops:
                self._stop(entry.stops)
            if entry.runs and not self.closing:
                runs = [run for run in entry.runs if self._is_on(run)]
                if any(run.job.spec.timed for run in runs):
                    self._start_timeouts(runs)
                self._start(runs)

    def _start_timeouts(self, runs: Sequence[Run]) -> None:
        """Count the time of ``runs`` from now on, and not from before they were stored."""
        runtime, clock = self._runtime, self._runtime.clock
        now = clock.now()
        with runtime.lock:
            for run in runs:
                if run.job.spec.timed:
                    runtime.engine.under_way(run.job, run.number, now)
            deadline = runtime.engine.next_deadline(now, clock.wall())
        if deadline is not None:
            self._set_timer(deadline, now)

    def _is_on(self, run: Run) -> bool:
        """Whether a run is still to be started; one that was ended meanwhile is reported so."""
        job = run.job
        if run.is_on and not self._runtime.engine.ending(job):
            return True
        self.report(run, Err(asyncio.CancelledError()))
        return False

    def _take_back(self, journal: Journal, now: float) -> list[Job]:
        """End the tasks that could not be stored; under the engine's lock."""
        refused: list[Job] = []
        while journal.refused:
            job, error = journal.refused.popleft()
            refused.append(job)
            job.seq, job.told = NEVER_STORED, True
            text = f"{job.label} was not stored, and never ran: {error}"
            verdict = Err(type(error)(text, job.id), raised=False)
            self._runtime.engine.take_back(job, verdict, now)
        return refused

    def _take_stops(self) -> list[Run]:
        return [
            call
            for task, number in self._runtime.engine.take_stops()
            if (call := cast("Job", task).call) is not None and call.number == number
        ]

    def _publish(self, moves: Moves, wall_offset: float) -> None:
        runtime = self._runtime
        resumptions = runtime.resumptions
        noteworthy: list[Transition] = []
        job: Job
        for task in moves.returned:
            if resumptions and (wake := resumptions.pop(task, None)):
                wake()
            job = task  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
            # ``let_go``, written out.
            job.call = job.kwargs = job.context = None
            job.args = ()
            watcher = job.watcher
            if watcher is not None:
                job.watcher = None
                watcher(job)
        for transition in moves.moved:
            task, before, after, _, _, _ = transition
            if before is WAITING and after is PENDING:
                continue  # of which only those who want all changes hear
            if resumptions and before is RUNNING and (wake := resumptions.pop(task, None)):
                wake()  # it ended while it was in line for its slot; let what is left unwind
            if after in TERMINAL:
                job = task  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
                job.call = None
                if after is COMPLETED:
                    job.let_go()
                else:
                    noteworthy.append(transition)
                watcher = job.watcher
                if watcher is not None:
                    job.watcher = None
                    watcher(job)
            elif before is RUNNING and after is PENDING:
                noteworthy.append(transition)
        runtime.bus.publish(moves, noteworthy, wall_offset)

    def _runs(self, taken: list[Task]) -> list[Run]:
        runtime, runs = self._runtime, []
        job: Job
        for job in taken:  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
            job.call = run = Run(job, runtime)
            runs.append(run)
        return runs

    def _start(self, runs: list[Run]) -> None:
        runtime = self._runtime
        batches: dict[str, list[Call]] = {}
        name, batch = "", None
        for run in runs:
            if batch is None or run.job.spec.executor != name:
                name = run.job.spec.executor
                batch = batches.setdefault(name, [])
            batch.append(run)
        for name, batch in batches.items():
            executor = runtime.executors[name]
            self._have(executor, executor.start, batch)

    def _stop(self, runs: Sequence[Run]) -> None:
        runtime = self._runtime
        for run in runs:
            executor = runtime.executors[run.job.spec.executor]
            if executor.traits.any_thread or self._loop is None or self._loop.is_closed():
                executor.stop(run)
            else:
                # Behind the start, which may be on its way to the loop from another thread's turn.
                self._loop.call_soon_threadsafe(executor.stop, run)
        with runtime.lock:
            runtime.measure_capacity()

    def _have(self, executor: Executor, do: Callable[[Any], None], what: Any) -> None:
        """Have an executor do something, on the loop's thread unless it does not mind."""
        if executor.traits.any_thread or threading.get_ident() == self._thread:
            do(what)
        elif self._loop is not None:
            self._loop.call_soon_threadsafe(do, what)

    def _set_timer(self, deadline: float, now: float) -> None:
        if self._runtime.engine.calendar.any:
            deadline = min(deadline, now + _CALENDAR_CHECK)
        if self._loop is None:
            return
        if self._timer is not None and self._timer_at <= deadline:
            return  # it comes early enough, and finds out then
        if threading.get_ident() != self._thread:
            self.wake()  # timers are set on the loop's own thread
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = deadline
        self._timer = self._loop.call_later(max(0.0, deadline - now), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.turn()

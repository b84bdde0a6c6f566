"""The worker processes of one open executor.

Theory of operation
-------------------
Everything happens on the manager's event loop, as callbacks of its selector: there is no thread
here, no lock and no queue, and no moment at which somebody else may touch a worker. That is also
what makes it fast. With a thread for the pipes, handing each result from one thread to the other
costs more than everything else together (measured: 35 against 22 µs a call); and it would free
nobody from the loop, on which the engine takes each result in and starts each call.

The loop sees a single descriptor: that of a selector of our own, on which the reports of all
workers hang. A round of the loop costs as much as a call. So while results come in fast, they are
taken from there without going back to the loop, all that there are in one turn of the manager.

A worker's life::

    start ──▶ starting ──READY──▶ idle ──call──▶ busy ──DONE──▶ idle ...
                  │                 │             ├─ stop: told; killed when the grace is over
                  └──── exit ───────┴──── exit ───┴─▶ buried: its call, if it has one, crashed

- A call is written to an idle worker's pipe at once. What the pipe does not take (large arguments)
  follows when it does; nothing blocks.
- What finds no idle worker, while one is still to be started, waits in ``_waiting`` for who is
  ready first. When all are there, it is sent ahead to one whose calls are quick; see ``ahead``.
  Should there be no such worker, for there was room a moment ago, it goes back to the engine.
- A worker is reported dead by its exit, not by the end of its pipes, which its children may hold.
- After ``close`` there may be no loop any more: the last workers are seen off by a thread, see
  ``see_off``.
"""

from __future__ import annotations

import os
import pickle
import selectors
import threading
from collections import deque
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, TypeAlias

from ..._core.outcome import Cancelled, Err, Unbegun
from ...errors import TaskCrashedError
from ..crossing import label, pack_call, text_of, unpack
from .ahead import LOOK_SECONDS, PATIENCE, Ahead
from .member import Worker, answer, crash, said, told
from .spawn import see_off, start
from .wire import ASKED, ENDS, LEAVE, QUICK, READY, SAID, SERIAL, UNFIT, frame

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    from ..._core.outcome import Outcome
    from ...ports import Call, Idle, Report

    Wanted: TypeAlias = "tuple[Call, bytes]"

DYING_SECONDS = 1.0
"""How long a worker may live on after its pipes were closed, which is the first thing to go."""

_IN_A_ROW = 16
"""How often the workers are heard before the loop is given a round."""


class Crew:
    """See the module. Used on ``loop`` alone, until ``close``."""

    def __init__(
        self,
        slots: int,
        grace: float,
        loop: asyncio.AbstractEventLoop,
        report: Report,
        settle: Idle,
    ) -> None:
        self.slots = slots
        self.grace = grace
        self.killed = 0
        self.crashed = 0
        self.workers: dict[int, Worker] = {}
        """All that are not buried yet, by process id."""
        self.idle: list[Worker] = []
        self.ahead = Ahead()
        self._waiting: deque[Wanted] = deque()
        self._report = report
        self._settle = settle
        self._loop = loop
        self._thread = threading.get_ident()
        self._serials = count(1)
        self._starting = False
        self._next_look: asyncio.TimerHandle | None = None
        self._reports: selectors.DefaultSelector | None = None
        """What the workers say; made for the first of them."""

    def start(self, calls: Iterable[Call]) -> None:
        """Have workers run ``calls``."""
        given: set[Worker] = set()
        for call in calls:
            data = pack_call(call)
            if not isinstance(data, bytes):
                self._report(call, data)
                continue
            worker: Worker | None = None
            if self.idle:
                worker = self.idle.pop()  # who was busy last: its memory is still in the cache
            elif len(self.workers) + len(self._waiting) >= self.slots:
                worker = self.ahead.pick()
            if worker is None:
                self._have_wait(call, data)
            else:
                worker.put(next(self._serials), call, data)
                given.add(worker)
        for worker in given:
            worker.send()
        if self._next_look is None and any(len(worker.calls) > 1 for worker in given):
            self._next_look = self._loop.call_later(LOOK_SECONDS, self._look)

    def _have_wait(self, call: Call, data: bytes) -> None:
        """Keep ``call`` for a worker that is to come; if there is none, the engine has it back."""
        at_work = sum(worker.ready and worker.is_fit for worker in self.workers.values())
        if len(self._waiting) < self.slots - at_work:
            self._waiting.append((call, data))
            self._start_later()
        else:
            self._report(call, Unbegun(), wake=False)
            self._loop.call_soon(self._tell)

    def stop(self, call: Call) -> None:
        """End ``call``: tell its worker, and kill that when the grace is over."""
        for wanted in self._waiting:
            if wanted[0] is call:
                self._waiting.remove(wanted)
                self._report(call, Cancelled("stopped before it began"))
                return
        for worker in self.workers.values():
            for serial, given in worker.calls.items():
                if given is call:
                    self._stop(worker, serial, call)
                    return

    def _stop(self, worker: Worker, serial: int, call: Call) -> None:
        behind = self._take_back(worker)
        if call in behind:
            behind.remove(call)
            self._report(call, Unbegun())
        elif not (worker.doomed or worker.stopping == serial):
            worker.stopping = serial
            if worker.death is not None:
                worker.death.cancel()  # of the call before, whose end we have not heard yet
            if self.grace <= 0:
                self._kill(worker)
            else:
                worker.death = self._loop.call_later(self.grace, self._kill, worker)
                self.ahead.judge(worker)
                with suppress(OSError):  # or it is dead, as we shall hear
                    os.write(worker.process.control, SERIAL.pack(serial))
        self._go_on(behind)

    def _take_back(self, worker: Worker) -> list[Call]:
        """Take back what a worker has not begun."""
        calls = worker.take_back()
        if calls and not worker.calls:
            self._make_idle(worker)
        self.ahead.enlist(worker)
        return calls

    def _look(self) -> None:
        """Take back what stands behind a call that turns out not to be quick."""
        self._next_look = None
        behind: list[Call] = []
        for worker in self.workers.values():
            if len(worker.calls) > 1:
                looks = worker.look()
                if looks > PATIENCE or (looks and len(self.idle) > len(behind)):
                    self.ahead.distrust(worker)
                    behind += self._take_back(worker)
                elif self._next_look is None:
                    self._next_look = self._loop.call_later(LOOK_SECONDS, self._look)
        self._go_on(behind)

    def _go_on(self, behind: list[Call]) -> None:
        """Find other places for what was taken back, and tell how much room there is."""
        self.start(behind)
        if self.ahead.has_changed:
            self._tell()

    def _tell(self) -> None:
        """Have what was reported taken in, and what has become possible started."""
        if self.ahead.has_changed:
            self.ahead.has_changed = False
            self._settle(resized=True)
        else:
            self._settle()

    def close(self) -> None:
        """Send everybody home: the idle leave, the busy are killed, and nobody is waited for."""
        self._waiting.clear()
        if self._next_look is not None:
            self._next_look.cancel()
        reports, self._reports = self._reports, None
        if reports is not None:
            if not self._loop.is_closed():
                self._loop.remove_reader(reports)
            reports.close()
        for worker in self.workers.values():
            if worker.death is not None:
                worker.death.cancel()
            if not self._loop.is_closed():
                self._ignore(worker)
            if worker in self.idle:
                try:
                    os.write(worker.process.calls, frame(LEAVE))
                except OSError:
                    worker.process.kill()
            else:
                worker.process.kill()
        see_off([worker.process for worker in self.workers.values()])
        self.workers.clear()
        self.idle.clear()

    def close_in_child(self) -> None:
        """Let go of everything in a forked copy of this process, whose workers these are not.

        As long as the copy held the pipes, the workers could not see that their manager is dead.
        """
        for worker in self.workers.values():
            worker.process.close()
        self.workers.clear()
        self.idle.clear()

    # -- workers wanted ----------------------------------------------------------------------

    def _start_later(self) -> None:
        """Start the workers that are missing, one in a turn of the loop: each takes a moment."""
        if not self._starting:
            self._starting = True
            self._loop.call_soon(self._start_missing)

    def _start_missing(self) -> None:
        self._starting = False
        coming = sum(not worker.ready and not worker.doomed for worker in self.workers.values())
        alive = sum(not worker.doomed for worker in self.workers.values())
        if coming >= len(self._waiting) or alive >= self.slots:
            return
        try:
            process, preparation = start()
        except (OSError, RuntimeError) as error:
            self._refuse(f"no worker process can be started: {text_of(error)}", crashed=False)
        else:
            worker = self.workers[process.pid] = Worker(process, self._loop)
            if self._reports is None:
                self._reports = selectors.DefaultSelector()
                self._loop.add_reader(self._reports, self._hear_all)
            self._reports.register(process.reports, selectors.EVENT_READ, worker)
            if process.exited is not None:
                self._loop.add_reader(process.exited, self._bury, worker)
            worker.write(preparation)
        self._start_later()

    def _refuse(self, why: str, *, crashed: bool) -> None:
        """Fail one waiting call, since the worker that it was to get cannot be had."""
        if self._waiting:
            call, _ = self._waiting.popleft()
            error = TaskCrashedError(f"{label(call)} could not run: {why}", call.task_id)
            self._report(call, Err(error, raised=False, crashed=crashed))

    def _make_idle(self, worker: Worker) -> None:
        if worker.dead or worker.doomed:
            return
        if self._waiting:
            worker.put(next(self._serials), *self._waiting.popleft())
            worker.send()
        else:
            self.idle.append(worker)

    # -- reading -----------------------------------------------------------------------------

    def _hear_all(self) -> None:
        """Hear the workers who have something to say, and those who have by then, for a while."""
        for _ in range(_IN_A_ROW):
            heard = self._reports.select(0) if self._reports is not None else ()
            if not heard:
                return
            for key, _ in heard:
                self._hear(key.data)
            self._tell()  # at once, not in a turn of the loop to come: a worker may be idle

    def _hear(self, worker: Worker) -> None:
        """Read what a worker has to say."""
        if worker.read(self._understand) != 0:
            return
        self._hang_up(worker)
        if worker.process.exited is None:
            self._bury(worker)
        elif worker.death is None:
            # It is dying, or as good as dead: a task closed descriptors that were not its own.
            verdict = "closed its connection to the manager"
            worker.death = self._loop.call_later(DYING_SECONDS, self._kill, worker, verdict)

    def _understand(self, worker: Worker, kind: int, serial: int, body: memoryview) -> None:
        call = worker.calls.get(serial)
        if kind in ENDS:
            if call is not None:
                self._done(worker, serial, unpack(body, call), quick=kind == QUICK)
        elif kind == SAID:
            if call is not None:
                said(call, body)
        elif kind == ASKED:
            answer(call, serial, body, lambda reply: self._answer(worker, reply))
        elif kind == READY:
            worker.ready = True
            self._make_idle(worker)
        elif kind == UNFIT:
            worker.leaving = worker.doomed = True
            self._refuse(pickle.loads(body), crashed=False)  # noqa: S301  # from our own worker
        else:
            self._kill(worker, f"sent a frame of the unknown kind {kind}")

    def _answer(self, worker: Worker, reply: bytes) -> None:
        """Send a reply, from whatever thread it has come to."""
        if threading.get_ident() != self._thread:
            with suppress(RuntimeError):  # the loop is closed, and so are the workers
                self._loop.call_soon_threadsafe(self._answer, worker, reply)
        elif not worker.dead:
            worker.write(reply)

    def _done(self, worker: Worker, serial: int, outcome: Outcome, *, quick: bool) -> None:
        call = worker.calls.pop(serial)
        if worker.stopping == serial and worker.death is not None:
            worker.death.cancel()
            worker.death = None
            self.ahead.judge(worker)
        self.ahead.note(worker, quick=quick)
        if not worker.calls:
            self._make_idle(worker)
        # Last, so that a call that comes in return finds the worker idle. Whoever reads settles.
        self._report(call, outcome, wake=False)

    # -- endings -----------------------------------------------------------------------------

    def _kill(self, worker: Worker, verdict: str = "") -> None:
        worker.doomed = True
        worker.verdict = worker.verdict or verdict
        self.ahead.judge(worker)
        worker.process.kill()

    def _bury(self, worker: Worker) -> None:
        """Take leave of a worker whose process has ended, and of the call it had."""
        worker.dead = True
        status = worker.process.bury()
        while worker.read(self._understand):  # it may have finished its call before
            pass
        behind = worker.take_back()
        self.ahead.judge(worker)
        self._ignore(worker)
        del self.workers[worker.process.pid]
        if worker in self.idle:
            self.idle.remove(worker)
        if worker.death is not None:
            worker.death.cancel()
        self._account(worker, status)
        self.start(behind)
        self._tell()
        worker.process.close()
        if self._waiting:
            self._start_later()

    def _ignore(self, worker: Worker) -> None:
        """Have the loop forget a worker's descriptors."""
        process = worker.process
        self._hang_up(worker)
        self._loop.remove_writer(process.calls)
        if process.exited is not None:
            self._loop.remove_reader(process.exited)

    def _hang_up(self, worker: Worker) -> None:
        """Hear no more of a worker's reports."""
        if self._reports is not None and worker.process.reports in self._reports.get_map():
            self._reports.unregister(worker.process.reports)

    def _account(self, worker: Worker, status: int | None) -> None:
        """Say why a worker is dead, to whoever lost something by it."""
        call = next(iter(worker.calls.values()), None)
        if worker.leaving:
            return
        if worker.doomed and not worker.verdict:
            self.killed += 1
            if call is not None:
                self._report(call, Cancelled("killed"))
            return
        self.crashed += 1
        if call is not None:
            self._report(call, crash(worker, call, status))
        elif not worker.ready:
            story, tail = told(worker, status)
            self._refuse(f"{story} while it started{tail}", crashed=True)

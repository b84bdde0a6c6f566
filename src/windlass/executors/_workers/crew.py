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

    start ──▶ starting ──READY──▶ idle ──give──▶ busy ──DONE──▶ idle ...
                  │                 │             ├─ stop: told; killed when the grace is over
                  └──── exit ───────┴──── exit ───┴─▶ buried: its call, if it has one, crashed

- A call is written to an idle worker's pipe at once. What the pipe does not take (large arguments)
  follows when it does; nothing blocks.
- Calls that find no idle worker wait in ``_waiting`` and go to the first that is free; there are
  only as many as the engine has given slots for.
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

from ..._core.outcome import Cancelled, Err
from ...errors import TaskCrashedError
from ..crossing import label, pack_call, text_of, unpack
from .member import Worker, answer, parts_left, said
from .spawn import PIPE_SIZE, cause_of_death, see_off, start
from .wire import (
    ASKED,
    CALL,
    DONE,
    HEADER,
    LEAVE,
    READY,
    SAID,
    SERIAL,
    UNFIT,
    frame,
)

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from ..._core.outcome import Outcome
    from ...ports import Call, Report

    Wanted: TypeAlias = "tuple[Call, bytes]"

DYING_SECONDS = 1.0
"""How long a worker may live on after its pipes were closed, which is the first thing to go."""

_AT_ONCE = 64 * 1024

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
        settle: Callable[[], None],
    ) -> None:
        self.slots = slots
        self.grace = grace
        self.killed = 0
        self.crashed = 0
        self.workers: dict[int, Worker] = {}
        """All that are not buried yet, by process id."""
        self.idle: list[Worker] = []
        self._waiting: deque[Wanted] = deque()
        self._report = report
        self._settle = settle
        self._loop = loop
        self._thread = threading.get_ident()
        self._serials = count(1)
        self._starting = False
        self._reports: selectors.DefaultSelector | None = None
        """What the workers say; made for the first of them."""

    def give(self, call: Call) -> None:
        """Have a worker run ``call``."""
        data = pack_call(call)
        if isinstance(data, bytes):
            self._hand_over(call, data)
        else:
            self._report(call, data)

    def _hand_over(self, call: Call, data: bytes) -> None:
        if not self.idle:
            self._waiting.append((call, data))
            self._start_later()
            return
        # The one that was busy last: its memory is still in the processor's cache.
        worker = self.idle.pop()
        worker.call = call
        worker.serial = serial = next(self._serials)
        header = HEADER.pack(len(data), serial, CALL)
        try:
            written = os.writev(worker.process.calls, (header, data))
        except BlockingIOError:
            written = 0
        except (
            OSError
        ):  # it died while it was idle, as we shall hear: that is not this call's fault
            worker.call = None
            self._hand_over(call, data)
            return
        if written < len(header) + len(data):
            self._send(worker, *parts_left(header, data, written))

    def stop(self, call: Call) -> None:
        """End ``call``: tell its worker, and kill that when the grace is over."""
        for wanted in self._waiting:
            if wanted[0] is call:
                self._waiting.remove(wanted)
                self._report(call, Cancelled("stopped before it began"))
                return
        for worker in self.workers.values():
            if worker.call is call and worker.death is None and not worker.doomed:
                if self.grace <= 0:
                    self._kill(worker)
                    return
                worker.death = self._loop.call_later(self.grace, self._kill, worker)
                try:
                    os.write(worker.process.control, SERIAL.pack(worker.serial))
                except OSError:
                    pass  # it is dead, as we shall hear
                return

    def close(self) -> None:
        """Send everybody home: the idle leave, the busy are killed, and nobody is waited for."""
        self._waiting.clear()
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
            worker = self.workers[process.pid] = Worker(process)
            if self._reports is None:
                self._reports = selectors.DefaultSelector()
                self._loop.add_reader(self._reports, self._hear_all)
            self._reports.register(process.reports, selectors.EVENT_READ, worker)
            if process.exited is not None:
                self._loop.add_reader(process.exited, self._bury, worker)
            self._send(worker, memoryview(preparation))
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
        self.idle.append(worker)
        if self._waiting:
            self._hand_over(*self._waiting.popleft())

    # -- writing -----------------------------------------------------------------------------

    def _send(self, worker: Worker, *parts: memoryview) -> None:
        worker.rest.extend(parts)
        if len(worker.rest) == len(parts):
            self._flush(worker)

    def _flush(self, worker: Worker) -> None:
        """Write what the pipe takes, and come back when it takes more."""
        pipe, rest = worker.process.calls, worker.rest
        try:
            while rest:
                written = os.write(pipe, rest[0])
                if written < len(rest[0]):
                    rest[0] = rest[0][written:]
                else:
                    rest.popleft()
        except BlockingIOError:
            self._loop.add_writer(pipe, self._flush, worker)
            return
        except OSError:
            rest.clear()  # it is dead, as we shall hear
        self._loop.remove_writer(pipe)

    # -- reading -----------------------------------------------------------------------------

    def _hear_all(self) -> None:
        """Hear the workers who have something to say, and those who have by then, for a while."""
        for _ in range(_IN_A_ROW):
            heard = self._reports.select(0) if self._reports is not None else ()
            if not heard:
                return
            for key, _ in heard:
                self._hear(key.data)
            self._settle()  # at once, not in a turn of the loop to come: a worker may be idle

    def _hear(self, worker: Worker) -> None:
        """Read what a worker has to say."""
        if self._read(worker) != 0:
            return
        self._hang_up(worker)
        if worker.process.exited is None:
            self._bury(worker)
        elif worker.death is None:
            # It is dying, or as good as dead: a task closed descriptors that were not its own.
            verdict = "closed its connection to the manager"
            worker.death = self._loop.call_later(DYING_SECONDS, self._kill, worker, verdict)

    def _read(self, worker: Worker) -> int | None:
        """Read and act upon what is there: how many bytes, 0 at the end, None for nothing yet."""
        try:
            # A large buffer costs more than a small message, so it is for the rest of a large one.
            chunk = os.read(worker.process.reports, PIPE_SIZE if worker.heard else _AT_ONCE)
        except BlockingIOError:
            return None
        if not worker.heard and len(chunk) > HEADER.size:
            length, serial, kind = HEADER.unpack_from(chunk)
            if len(chunk) == HEADER.size + length:  # one whole frame, as mostly
                self._understand(worker, kind, serial, memoryview(chunk)[HEADER.size :])
                return len(chunk)
        heard: bytes | bytearray = chunk
        if worker.heard:
            heard = worker.heard
            heard += chunk
        done, size = 0, len(heard)
        with memoryview(heard) as view:
            while size - done >= HEADER.size:
                length, serial, kind = HEADER.unpack_from(view, done)
                end = done + HEADER.size + length
                if end > size:
                    break
                with view[done + HEADER.size : end] as body:
                    self._understand(worker, kind, serial, body)
                done = end
        if heard is not chunk:
            del worker.heard[:done]
        elif done < size:
            worker.heard += chunk[done:]
        return len(chunk)

    def _understand(self, worker: Worker, kind: int, serial: int, body: memoryview) -> None:
        call = worker.call if serial == worker.serial else None
        if kind == DONE:
            if call is not None:
                self._done(worker, call, unpack(body, call))
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
            self._send(worker, memoryview(reply))

    def _done(self, worker: Worker, call: Call, outcome: Outcome) -> None:
        worker.call = None
        if worker.death is not None:
            worker.death.cancel()
            worker.death = None
        self._make_idle(worker)
        # Last, so that a call that comes in return finds the worker idle. Whoever reads settles.
        self._report(call, outcome, wake=False)

    # -- endings -----------------------------------------------------------------------------

    def _kill(self, worker: Worker, verdict: str = "") -> None:
        worker.doomed = True
        worker.verdict = worker.verdict or verdict
        worker.process.kill()

    def _bury(self, worker: Worker) -> None:
        """Take leave of a worker whose process has ended, and of the call it had."""
        worker.dead = True
        status = worker.process.bury()
        while self._read(worker):  # it may have finished its call before
            pass
        self._ignore(worker)
        del self.workers[worker.process.pid]
        if worker in self.idle:
            self.idle.remove(worker)
        if worker.death is not None:
            worker.death.cancel()
        self._account(worker, status)
        self._settle()
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
        call, worker.call = worker.call, None
        if worker.leaving:
            return
        if worker.doomed and not worker.verdict:
            self.killed += 1
            if call is not None:
                self._report(call, Cancelled("killed"))
            return
        self.crashed += 1
        pid = worker.process.pid
        story = f"the worker process {pid} {worker.verdict or cause_of_death(status)}"
        last = worker.process.last_lines()
        tail = f". The last lines of its stderr:\n{last}" if last else ""
        if call is not None:
            log = list(call.last_lines)
            said = [line for line in log if line.partition(": ")[2] not in last]
            if said:
                tail = "\n".join((". The last lines of its log:", *said)) + tail
            text = f"{story} while it ran {label(call)}{tail}"
            details = {"pid": pid, "status": status, "stderr": last, "log": log}
            error = TaskCrashedError(text, call.task_id, details)
            self._report(call, Err(error, raised=False, crashed=True))
        elif not worker.ready:
            self._refuse(f"{story} while it started{tail}", crashed=True)

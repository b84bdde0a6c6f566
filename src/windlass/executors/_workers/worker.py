"""The far side: the program that a worker process runs.

The main thread reads a call, runs it, writes the outcome, and so on; it is the main thread because
that is where a user's function may expect to be (signals, event loops, GUI toolkits).

A second thread, the watch, blocks on the control pipe. It learns from it that the current call is
to stop, and from its end that the manager is gone: then it kills the whole session, in the middle
of whatever that does. It needs the GIL for this, and a C function may hold that for an hour; where
the kernel can do better (Linux), it is told to kill the session itself when the lifeline closes.

Whatever is written to ``sys.stderr``, and the interpreter's own last words on a fatal signal, are
noted in a file that the manager can still read when this process is dead. File descriptor 2 stays
what it was, so colours and order survive; hence what C code writes there directly is not noted.
"""

from __future__ import annotations

import gc
import io
import os
import pickle
import signal
import sys
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, cast

from ...errors import SerializationError
from ..crossing import pack_error, run_packed, text_of, unpack_error
from .wire import (
    ASKED,
    CALL,
    DONE,
    HEADER,
    LEAVE,
    QUICK,
    QUICK_SECONDS,
    READY,
    REFUSAL,
    REPLY,
    SAID,
    SERIAL,
    UNFIT,
    frame,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from .spawn import Preparation

NOTES_KEPT = 64 * 1024
"""When the notes reach this size they start anew."""

_importing_main = False


def is_importing_main() -> bool:
    """Whether this is a worker that is just executing the program's main module."""
    return _importing_main


def main(
    calls: io.BufferedReader, turns: int, reports: int, control: int, lifeline: int, notes: int
) -> None:
    """Be a worker until told to leave; the descriptors are described in ``wire``."""
    # An interrupt that reaches this session is not the terminal's, and whether to stop is for the
    # manager to decide. (SIG_IGN would be inherited by the programs that tasks start.)
    signal.signal(signal.SIGINT, _take_no_notice)
    for descriptor in (calls.fileno(), turns, reports, control, lifeline, notes):
        os.set_inheritable(descriptor, False)
    line = _Line(calls, turns, reports)
    watch = _Watch(control)
    _die_with(lifeline)
    _take_notes(notes)
    problem = _prepare(pickle.load(calls))  # noqa: S301  # from our own manager
    if problem is not None:
        line.write(UNFIT, 0, pickle.dumps(problem))
        return
    os.register_at_fork(after_in_child=line.cut)
    gc.freeze()  # what was imported stays: no collection during a task need look at it
    line.write(READY, 0)
    try:
        while True:
            kind, serial, body = line.next()
            if kind == LEAVE:
                return
            if kind == CALL and line.has_turn(serial):
                _run(line, watch, serial, body)
    except (EOFError, BrokenPipeError):
        _kill_session()  # the manager is gone: the watch is about to do the same


def _take_no_notice(_number: int, _frame: object) -> None:
    """Handle a signal by doing nothing."""


def _run(line: _Line, watch: _Watch, serial: int, body: bytes) -> None:
    channel = WorkerChannel(line, watch, serial)
    began = time.perf_counter()  # noqa: TID251  # calls take real time
    outcome = run_packed(body, channel)
    if sys.stdout is not None:
        try:
            sys.stdout.flush()  # or what the task printed would appear when the worker leaves
        except Exception:  # noqa: BLE001, S110  # closed by the task, or nobody reads it
            pass
    if line.is_cut:
        os._exit(0)  # the task forked and the child came back: it must not report
    took = time.perf_counter() - began  # noqa: TID251
    channel.finish(QUICK if took <= QUICK_SECONDS else DONE, outcome)


class WorkerChannel:
    """A running call's way to the manager; see ``Channel``."""

    __slots__ = ("_line", "_over", "_serial", "_watch")

    def __init__(self, line: _Line, watch: _Watch, serial: int) -> None:
        self._line = line
        self._watch = watch
        self._serial = serial
        self._over = False

    @property
    def cancelled(self) -> bool:
        return self._watch.stopped == self._serial

    def send(self, kind: str, payload: Any) -> None:
        message = _packed_message(kind, payload)
        with self._line.lock:
            if not self._over:
                self._line.write(SAID, self._serial, message)

    def ask(self, kind: str, payload: Any) -> Any:
        message = _packed_message(kind, payload)
        with self._line.lock:
            if self._over:
                raise RuntimeError(f"cannot ask the manager ({kind}): the task has ended")
            self._line.write(ASKED, self._serial, message)
            answer, _, body = self._line.read_reply()
        reply = pickle.loads(body)  # noqa: S301  # from our own manager
        if answer == REFUSAL:
            raise unpack_error(reply)[0]
        assert answer == REPLY
        return reply

    def when_cancelled(self, callback: Callable[[], object]) -> None:
        self._watch.when_stopped(self._serial, callback)

    def finish(self, kind: int, outcome: bytes) -> None:
        """Send the outcome; nothing may be said after it."""
        with self._line.lock:  # a thread of the task may still be waiting for its reply
            self._over = True
            self._line.write(kind, self._serial, outcome)


def _packed_message(kind: str, payload: Any) -> bytes:
    try:
        return pickle.dumps((kind, payload), 5)
    except Exception as error:
        raise SerializationError(
            f"cannot send this to the manager ({kind}): {text_of(error)}"
        ) from error


class _Line:
    """Whole frames over the pipes.

    While a task runs, whose threads may all have something to say, it is used under ``lock`` only,
    for a question and its reply together.
    """

    __slots__ = (
        "_ahead",
        "_calls",
        "_reports",
        "_turn",
        "_turns",
        "_unsent",
        "_writing",
        "is_cut",
        "lock",
    )

    def __init__(self, calls: io.BufferedReader, turns: int, reports: int) -> None:
        self._calls = calls
        self._turns = turns
        self._reports = reports
        self._turn = 0
        """The last call whose turn we got."""
        self._ahead: deque[tuple[int, int, bytes]] = deque()
        """What was sent ahead of a reply."""
        # What interrupts its holder, a signal's handler or a finalizer, may have to say something.
        self.lock = threading.RLock()
        self._unsent: deque[bytes] = deque()
        self._writing = False
        self.is_cut = False

    def next(self) -> tuple[int, int, bytes]:
        """The next frame: kind, serial and body."""
        return self._ahead.popleft() if self._ahead else self._read()

    def read_reply(self) -> tuple[int, int, bytes]:
        """The reply to a question; calls that were sent ahead of it wait."""
        while (heard := self._read())[0] not in {REPLY, REFUSAL}:
            self._ahead.append(heard)
        return heard

    def has_turn(self, serial: int) -> bool:
        """Whether a call is ours to run: else it was taken back."""
        if self._turn < serial:
            try:
                turn = os.read(self._turns, SERIAL.size)
            except BlockingIOError:
                return False
            if not turn:
                raise EOFError
            (self._turn,) = SERIAL.unpack(turn)
        return self._turn == serial  # or that of a later one, when this one was taken back

    def _read(self) -> tuple[int, int, bytes]:
        header = self._calls.read(HEADER.size)
        if len(header) < HEADER.size:
            raise EOFError
        length, serial, kind = HEADER.unpack(header)
        body = self._calls.read(length)
        if len(body) < length:
            raise EOFError
        return kind, serial, body

    def write(self, kind: int, serial: int, body: bytes = b"") -> None:
        self._unsent.append(frame(kind, serial, body))
        if self._writing:
            return  # in between: whoever was interrupted sends this next
        self._writing = True
        try:
            while self._unsent:
                data = self._unsent.popleft()
                written = os.write(self._reports, data)
                if written < len(data):  # a signal's handler ran in between
                    rest = memoryview(data)[written:]
                    while rest:
                        rest = rest[os.write(self._reports, rest) :]
        finally:
            self._writing = False

    def cut(self) -> None:
        """In a forked copy of this process: the line is not its own."""
        self.is_cut = True


class _Watch:
    """The thread that hears of stops, and of the manager's death."""

    def __init__(self, control: int) -> None:
        self.stopped = 0
        """The serial of the latest call that is to stop."""
        self._control = control
        self._waiting: tuple[int, Callable[[], object]] | None = None
        self._lock = threading.Lock()
        threading.Thread(target=self._run, name="windlass-watch", daemon=True).start()

    def _run(self) -> None:
        while message := os.read(self._control, SERIAL.size):
            (serial,) = SERIAL.unpack(message)
            with self._lock:
                self.stopped = serial
                waiting, self._waiting = self._waiting, None
            if waiting is not None and waiting[0] == serial:
                waiting[1]()
        _kill_session()

    def when_stopped(self, serial: int, callback: Callable[[], object]) -> None:
        with self._lock:
            if self.stopped != serial:
                self._waiting = (serial, callback)
                return
        callback()


def _kill_session() -> NoReturn:
    """Take the children along: nobody is left to look after them."""
    os.killpg(0, signal.SIGKILL)
    os._exit(1)  # not reached


def _die_with(lifeline: int) -> None:
    """Have the kernel kill this session when ``lifeline`` closes, if it can do that."""
    import fcntl  # noqa: PLC0415  # not on Windows

    if not hasattr(fcntl, "F_SETSIG"):
        return
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
    flags = fcntl.fcntl(lifeline, fcntl.F_GETFL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, flags | os.O_ASYNC)


# -- last words ------------------------------------------------------------------------------------


class _Noted(io.RawIOBase):
    """Standard error, with everything that goes through it noted as well."""

    def __init__(self, notes: int) -> None:
        self._notes = notes
        self._size = 0

    def write(self, data: Any) -> int:
        written = os.write(2, data)
        if self._size > NOTES_KEPT:
            os.ftruncate(self._notes, 0)
            self._size = 0
        self._size += os.write(self._notes, data)
        return written

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return 2

    def isatty(self) -> bool:
        return os.isatty(2)


def _take_notes(notes: int) -> None:
    import faulthandler  # noqa: PLC0415

    faulthandler.enable(file=notes, all_threads=False)
    if sys.stderr is not None:
        sys.stderr = io.TextIOWrapper(
            cast("Any", _Noted(notes)),
            encoding=sys.stderr.encoding,
            errors="backslashreplace",
            line_buffering=True,
        )


# -- becoming like the parent ----------------------------------------------------------------------


def _prepare(preparation: Preparation) -> str | None:
    """Take over what multiprocessing's spawn would; says what went wrong, if something did."""
    global _importing_main  # noqa: PLW0603  # read by whoever would start workers of workers
    sys.argv = preparation.argv
    if preparation.main_name is None and preparation.main_path is None:
        return None
    _importing_main = True
    try:
        _import_main(preparation)
    except BaseException as error:  # noqa: BLE001  # SystemExit of a script without a guard too
        where = preparation.main_name or preparation.main_path
        return (
            f"importing the program's main module {where} raised {type(error).__name__}. Worker "
            "processes import it as well, so what only the program is to do belongs under `if "
            f'__name__ == "__main__":`\n{pack_error(error)[3]}'
        )
    finally:
        _importing_main = False
    return None


def _import_main(preparation: Preparation) -> None:
    """Execute the program's main module as ``__mp_main__``, the name that multiprocessing uses.

    Its guard ``if __name__ == "__main__"`` is closed, and what the parent pickled as a member of
    ``__main__`` is found.
    """
    import runpy  # noqa: PLC0415  # not every program has a main module
    import types  # noqa: PLC0415

    module = types.ModuleType("__mp_main__")
    if preparation.main_name is not None:
        content = runpy.run_module(preparation.main_name, run_name="__mp_main__", alter_sys=True)
    else:
        assert preparation.main_path is not None
        content = runpy.run_path(preparation.main_path, run_name="__mp_main__")
    module.__dict__.update(content)
    sys.modules["__main__"] = sys.modules["__mp_main__"] = module

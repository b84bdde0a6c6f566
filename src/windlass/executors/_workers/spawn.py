"""Starting a worker process, and telling how one ended. All that is particular to POSIX is here.

A worker is a fresh interpreter (never a fork: a fork copies locks that some thread holds) at the
head of a session of its own. So it is out of the reach of the terminal's Ctrl-C, and a kill of its
process group takes its children along.

On Windows none of this works as it is: a job object would be the session, a handle the exit watch,
named pipes the pipes. Until somebody writes that, ``start`` says so.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import pickle
import select
import selectors
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from .worker import is_importing_main

_BOOT = (
    "import marshal, sys; calls = open(int(sys.argv[1]), 'rb', 65536, closefd=False); "
    "sys.path[:] = marshal.load(calls); from windlass.executors._workers.worker import main; "
    "main(calls, *map(int, sys.argv[2:]))"
)
"""marshal, being built in, cannot be shadowed by a file before sys.path is right."""

LEAVE_SECONDS = 2.0
"""How long an idle worker may take to leave, running exit handlers, before it is killed."""

PIPE_SIZE = 1024 * 1024
"""What an unprivileged process may ask for; the memory is only taken while something is in it."""

_NOTES_SHOWN = 4000
_LINES_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Preparation:
    """What a worker takes over from its parent, apart from what every child process inherits."""

    argv: list[str]
    main_name: str | None
    main_path: str | None

    @classmethod
    def here(cls) -> Preparation:
        """For workers of this process; the same choices as multiprocessing's."""
        main = sys.modules["__main__"]
        name: str | None = getattr(getattr(main, "__spec__", None), "name", None)
        if name is not None:
            # A package's __main__.py runs its program whenever it is imported.
            skipped = name == "__main__" or name.endswith(".__main__")
            return cls(list(sys.argv), None if skipped else name, None)
        path: str | None = getattr(main, "__file__", None)
        return cls(list(sys.argv), None, None if path is None else str(Path(path).absolute()))


class Process:
    """A worker process as the operating system knows it, with our ends of its pipes.

    ``exited`` is a descriptor that becomes readable when it ends, or None if there is none.
    """

    __slots__ = (
        "_lifeline",
        "_notes",
        "calls",
        "control",
        "exited",
        "pid",
        "reports",
        "turns",
        "turns_left",
    )

    def __init__(self) -> None:
        theirs_calls, self.calls = os.pipe()
        self.turns_left, self.turns = os.pipe()
        """Both ends are ours: what is left in it, we may read as well as the worker."""
        self.reports, theirs_reports = os.pipe()
        theirs_control, self.control = os.pipe()
        theirs_lifeline, self._lifeline = os.pipe()
        self._notes = _notes()
        self.exited: int | None = None
        theirs = (theirs_calls, theirs_reports, theirs_control, theirs_lifeline)
        for descriptor in (self.calls, self.turns, self.turns_left, self.reports, self.control):
            os.set_blocking(descriptor, False)
        _widen(self.calls, self.reports)
        try:
            self.pid = _spawn([theirs_calls, self.turns_left, *theirs[1:], self._notes])
        except BaseException:
            self.close()
            raise
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        self.exited = _exit_watch(self.pid)

    def close(self) -> None:
        """Close our ends. A worker that is still there takes it for our death, and dies."""
        ours = (self.calls, self.turns, self.turns_left, self.reports, self.control)
        for descriptor in (*ours, self._lifeline, self._notes):
            os.close(descriptor)
        if self.exited is not None:
            os.close(self.exited)

    def kill(self) -> None:
        """Kill it and its children."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def bury(self) -> int | None:
        """Reap it after its exit, children included; the wait status, or None if that was taken."""
        # Before reaping: until then the id cannot belong to anybody else.
        self.kill()
        try:
            return os.waitpid(self.pid, 0)[1]
        except ChildProcessError:
            return None  # by somebody who waits for all children, or ignores SIGCHLD

    def last_lines(self) -> str:
        """The last lines of what it had to say on stderr."""
        size = os.fstat(self._notes).st_size
        data = os.pread(self._notes, _NOTES_SHOWN, max(0, size - _NOTES_SHOWN))
        return "\n".join(data.decode(errors="replace").strip().splitlines()[-_LINES_SHOWN:])


def start() -> tuple[Process, bytes]:
    """Start a worker process; also the first thing to write to its calls pipe.

    Raises RuntimeError if there cannot be workers here, and OSError if the system refuses.
    """
    if is_importing_main():
        raise RuntimeError(
            "this is a worker process that imports the program's main module, which tried to run "
            'tasks in worker processes itself. Put that under `if __name__ == "__main__":`'
        )
    if not hasattr(os, "killpg"):
        raise RuntimeError("the process executor needs POSIX; on Windows use threads, or futures")
    if not sys.executable or getattr(sys, "frozen", False):
        raise RuntimeError("worker processes need a Python interpreter in sys.executable")
    # What comes back pickled from a worker may be a member of its main module.
    sys.modules.setdefault("__mp_main__", sys.modules["__main__"])
    process = Process()
    paths = marshal.dumps([str(path) for path in sys.path])
    return process, paths + pickle.dumps(Preparation.here())


def see_off(processes: list[Process]) -> None:
    """Bury processes that are about to end, from a thread of its own; returns at once.

    Those that are not gone after ``LEAVE_SECONDS`` are killed. If this process ends before, the
    closing of its pipes kills them, so there is nothing for its exit to wait for.
    """
    if not processes:
        return
    undertaker = threading.Thread(
        target=_see_off, args=(processes,), name="windlass-leaving", daemon=True
    )
    try:
        undertaker.start()
    except RuntimeError:  # the interpreter is about to exit, and has no more threads for us
        for process in processes:
            process.kill()


def _see_off(processes: list[Process]) -> None:
    overdue = time.monotonic() + LEAVE_SECONDS  # noqa: TID251  # processes live in real time
    for process in processes:
        if process.exited is not None:
            left = max(0.0, overdue - time.monotonic())  # noqa: TID251
            with selectors.DefaultSelector() as selector:
                selector.register(process.exited, selectors.EVENT_READ)
                selector.select(left)
        process.bury()
        process.close()


def _spawn(descriptors: list[int]) -> int:
    interpreter = cast("Any", subprocess)
    # Private, but what multiprocessing relies on to hand its own flags on (-X, -W, -O, -I ...).
    flags: list[str] = interpreter._args_from_interpreter_flags()  # noqa: SLF001
    child = subprocess.Popen(  # noqa: S603  # our own interpreter
        [sys.executable, *flags, "-c", _BOOT, *map(str, descriptors)],
        stdin=subprocess.DEVNULL,
        pass_fds=descriptors,
        start_new_session=True,
    )
    # We reap it ourselves, so Popen shall neither wait nor warn that nobody did.
    child.returncode = 0
    return child.pid


def _exit_watch(pid: int) -> int | None:
    """A descriptor that becomes readable when the process ends, though its pipes may stay open.

    Children of the worker can hold its pipes, so their end alone is no sign. It has to be taken for
    one, though, where the system offers nothing better.
    """
    with contextlib.suppress(OSError):
        return _descriptor_of(pid)
    return None


if sys.platform == "linux":

    def _descriptor_of(pid: int) -> int:
        return os.pidfd_open(pid)

else:  # macOS and the BSDs

    def _descriptor_of(pid: int) -> int:
        queue = select.kqueue()
        event = select.kevent(pid, select.KQ_FILTER_PROC, select.KQ_EV_ADD, select.KQ_NOTE_EXIT)
        queue.control([event], 0)
        return os.dup(queue.fileno())


def _widen(*pipes: int) -> None:
    """Give pipes room for a large value at once, or it crosses in many small turns of the loop."""
    import fcntl  # noqa: PLC0415  # not on Windows

    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # there is a limit for each user
            for pipe in pipes:
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_SIZE)


def _notes() -> int:
    """A file without a name, for the last words."""
    import fcntl  # noqa: PLC0415  # not on Windows

    if hasattr(os, "memfd_create"):
        number = os.memfd_create("windlass-notes")
    else:
        import tempfile  # noqa: PLC0415

        number, path = tempfile.mkstemp()
        Path(path).unlink()
    # Both sys.stderr and the fault handler append to it.
    fcntl.fcntl(number, fcntl.F_SETFL, fcntl.fcntl(number, fcntl.F_GETFL) | os.O_APPEND)
    return number


def cause_of_death(status: int | None) -> str:
    """What a wait status says, in words that follow "the worker process"."""
    if status is None:
        return "ended (something else in this program reaped it, so how is not known)"
    if not os.WIFSIGNALED(status):
        return f"exited with code {os.waitstatus_to_exitcode(status)}"
    number = os.WTERMSIG(status)
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    hint = " (the system's out-of-memory killer uses it)" if number == signal.SIGKILL else ""
    return f"died with {name}{hint}"

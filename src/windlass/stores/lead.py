"""Who leads: a lock file beside the tasks' file, which the kernel frees when its holder dies.

- At most one process holds the lock file that is current; whoever holds one that was replaced can
  tell by ``held``, which compares the inodes.
- A holder that dies is followed within a moment: the lock is its own, is not passed on to what it
  executes, and forked children drop it at once.
- A holder that lives and is silent (stopped, or starved) can be replaced. Its lock cannot be taken
  from it, so a new lock file takes the place of its own.

This decides who should lead, quickly and without a quarrel. That no two can *write* is the doing of
the epoch in the file: a process may be stopped right after it has looked here.

Taking and replacing exclude each other by a lock on the folder, held for a few system calls. Nobody
waits for it: whoever finds it taken has not got the lead this time, and will come back.

Nor does anybody wait inside the kernel for the other lock: a thread that does cannot be called
back, and would outlive its manager by as long as the leader lives. Five looks a second cost next to
nothing.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from weakref import WeakSet

from ..errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Generator

_PAUSE = 0.2


class Cancelled(Protocol):
    """What ends a wait: a ``threading.Event``, or the like."""

    def wait(self, timeout: float, /) -> bool:
        """Sleep for so long, or until it is set; whether it is."""
        ...


class Lead:
    """The lead over the tasks in the file ``path``. See the module."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        file = Path(path).resolve()
        self._folder = file.parent
        self.path = file.with_name(f"{file.name}.lock")
        self._new = file.with_name(f"{file.name}.lock.new")
        self._file: int | None = None
        self._rival: bytes | None = None
        """What the one that had it when we last looked has written into the lock file."""
        _watch_forks()
        _all.add(self)

    @property
    def held(self) -> bool:
        """Whether this process leads, and nobody has taken over."""
        if self._file is None:
            return False
        try:
            return os.path.samestat(os.fstat(self._file), self.path.stat())
        except FileNotFoundError:
            return False

    def try_take(self) -> bool:
        """Lead, if nobody else does; whether this process leads now."""
        with self._alone() as alone:
            return alone and (self.held or self._take(self.path))

    def wait(self, cancelled: Cancelled) -> bool:
        """Wait until this process leads; False if ``cancelled`` comes first."""
        while not self.try_take():
            if cancelled.wait(_PAUSE):
                return False
        return True

    def take_over(self) -> bool:
        """Lead in place of one that lives and is silent; False if another was quicker."""
        rival = self._rival
        with self._alone() as alone:
            if not alone:
                return False
            if self.held or self._take(self.path):
                return True
            if rival not in {None, self._rival}:
                return False
            taken = self._take(self._new)
            self._new.replace(self.path)
            return taken

    @property
    def taken(self) -> bool:
        """Whether anybody leads; asked without a trace, also of a file that cannot be written."""
        try:
            file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            return not _flock(file, shared=True)
        finally:
            os.close(file)

    def beat(self) -> bool:
        """Show that this process, which leads, is alive; False if another has taken over."""
        if self._file is None:
            return False
        try:
            os.utime(self._file)
            return os.path.samestat(os.fstat(self._file), self.path.stat())
        except OSError:
            return True  # as far as anybody can tell

    def sign_of_life(self) -> object:
        """Something that is different after each ``beat`` of whoever leads."""
        try:
            seen = self.path.stat()
        except OSError:
            return None
        return seen.st_ino, seen.st_mtime_ns

    def release(self) -> None:
        """Let somebody else lead; called again it does nothing."""
        with _no_forks:
            self._let_go()

    @contextmanager
    def _alone(self) -> Generator[bool]:
        """Whether nobody else is at it; no fork comes in between."""
        with _no_forks:
            try:
                folder = os.open(self._folder, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    yield _flock(folder)
                finally:
                    os.close(folder)
            except OSError as error:
                raise StoreError(
                    f"the lock file {self.path} cannot be used: {error}. It tells which process "
                    "leads: give this user the right to write it and its folder, on a local disk."
                ) from error

    def _take(self, path: Path) -> bool:
        """Hold the lock file ``path``, if nobody else does."""
        self._let_go()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        if not _flock(self._file):
            self._rival = os.pread(self._file, 100, 0)
            self._let_go()
            return False
        try:
            # The number is for people, the rest tells this time from all others.
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, f"{os.getpid()} {os.urandom(8).hex()}\n".encode(), 0)
        except OSError:
            self._let_go()
            raise
        return True

    def _let_go(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            # Closing is enough, unless a program was started in that very moment and has a copy.
            _flock(file, unlock=True)
            os.close(file)

    def drop_in_child(self) -> None:
        """Close what was inherited from the parent, whose lock it stays."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                os.close(file)


def _flock(file: int, *, unlock: bool = False, shared: bool = False) -> bool:
    """Lock an open file, if nobody else has it locked."""
    import fcntl  # noqa: PLC0415  # not on Windows

    try:
        how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        fcntl.flock(file, fcntl.LOCK_UN if unlock else how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


_all: WeakSet[Lead] = WeakSet()
_no_forks = threading.Lock()
"""Held while a lock file is handled, and by whoever forks: a child knows of all that it got."""
_watching_forks = False


def _watch_forks() -> None:
    global _watching_forks  # noqa: PLW0603  # once in the life of a process
    if not _watching_forks and hasattr(os, "register_at_fork"):
        _watching_forks = True
        os.register_at_fork(
            before=_no_forks.acquire,
            after_in_parent=_no_forks.release,
            after_in_child=_after_fork_in_child,
        )


def _after_fork_in_child() -> None:
    for lead in list(_all):
        lead.drop_in_child()
    _no_forks.release()

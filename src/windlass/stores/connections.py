"""The connections to one SQLite file: one that writes, and as many that read as there are readers.

- Only one thread writes at a time, each time in one transaction: all or nothing.
- Readers are never in the way of the writer, nor the writer in theirs: that is what WAL gives. Each
  read takes an idle connection, or makes one; a few are kept.
- No connection survives a fork. SQLite's locks belong to the process that took them, and what it
  remembers of them is wrong in a child; its mutexes may be held by threads that the child does not
  have. So a child touches nothing of it, not even to close it, and is told so when it tries.
"""

from __future__ import annotations

import ctypes
import os
import sqlite3
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias
from weakref import WeakSet

from ..errors import StoreError
from .mishaps import explaining
from .schema import is_current, migrate

if TYPE_CHECKING:
    from collections.abc import Generator

Durability: TypeAlias = Literal["full", "normal"]

_OLDEST = (3, 33, 0)  # the first that updates from a list of values
_IDLE_READERS = 4
_PAUSE = 0.01
_STATEMENTS = 64  # more than there are, so that each is prepared once
_LOG_LIMIT = 64 * 2**20  # how much of a write-ahead log that had to grow is kept, in bytes

_NOT_OPEN = "is not open: call open() first"
_FORKED = (
    "was open when this process was forked from its parent, and SQLite cannot be used on both "
    "sides of a fork. Open it after the fork, or start processes with 'spawn'."
)

_opened: WeakSet[Connections] = WeakSet()
_inherited: set[tuple[int, int]] = set()
"""The files, by device and inode, that were open when this process was forked."""


class Connections:
    """See the module. ``patience`` is how many seconds to wait for somebody else's transaction."""

    def __init__(self, path: str, durability: Durability, patience: float) -> None:
        self.path = path
        self._durability = durability
        self._patience = patience
        self._why_closed = _NOT_OPEN
        self._file = (0, 0)
        self._writing = threading.Lock()
        self._choosing = threading.Lock()
        """Guards the fields below; nobody waits or works while holding it."""
        self._writer: sqlite3.Connection | None = None
        self._idle: list[sqlite3.Connection] = []
        self._busy: set[sqlite3.Connection] = set()

    def open(self) -> None:
        """Open the file, and make the tables if there are none."""
        with self._writing, explaining(self.path):
            if self._writer is not None:
                return
            if sqlite3.sqlite_version_info < _OLDEST:
                raise StoreError(
                    f"{self.path} needs SQLite 3.33 or later, and this Python has "
                    f"{sqlite3.sqlite_version}: use one that is linked with a later one."
                )
            if Path(self.path).exists() and _identity(self.path) in _inherited:
                raise StoreError(f"{self.path} {_FORKED}")
            connection = self._connect(self.path)
            try:
                self._set_up(connection)
            except BaseException:
                connection.close()
                raise
            self._file = _identity(self.path)
            self._writer = connection
            _watch_forks()
            _opened.add(self)

    def close(self) -> None:
        """Close what is idle; whoever is reading closes behind itself."""
        with self._writing:
            with self._choosing:
                writer, self._writer = self._writer, None
                idle, self._idle = self._idle, []
            # The writer last: the last one out puts the log back into the file.
            for connection in idle:
                connection.close()
            if writer is not None:
                _opened.discard(self)
                writer.close()

    @contextmanager
    def writing(self) -> Generator[sqlite3.Connection]:
        """A transaction, beside which nobody else writes."""
        with self.maintaining() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                self._see_that_it_is_there()
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                # SQLite itself has rolled back after some errors, a full disk for one.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def maintaining(self) -> Generator[sqlite3.Connection]:
        """The connection that writes, outside of a transaction."""
        with self._writing, explaining(self.path):
            yield self._needed(self._writer)

    @contextmanager
    def reading(self) -> Generator[sqlite3.Connection]:
        """A connection to read with, the caller's alone."""
        with explaining(self.path):
            with self._choosing:
                self._needed(self._writer)
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                connection = self._connect(Path(self.path).as_uri() + "?mode=ro", uri=True)
            with self._choosing:
                self._busy.add(connection)
            try:
                yield connection
            finally:
                with self._choosing:
                    self._busy.discard(connection)
                    kept = self._writer is not None and len(self._idle) < _IDLE_READERS
                    if kept:
                        self._idle.append(connection)
                if not kept:
                    connection.close()

    def abandon(self) -> None:
        """Forget, in a forked child, what belongs to the parent."""
        for connection in (self._writer, *self._idle, *self._busy):
            # One reference too many, so that it is never deallocated, which would close it.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
        _inherited.add(self._file)
        # Threads that are not here may hold the locks.
        self._writing, self._choosing = threading.Lock(), threading.Lock()
        self._writer, self._idle, self._busy = None, [], set()
        self._why_closed = _FORKED

    def _see_that_it_is_there(self) -> None:
        # SQLite would go on for ever, and what it writes would be gone with the process.
        try:
            found = _identity(self.path)
        except FileNotFoundError:
            found = None
        if found != self._file:
            raise StoreError(
                f"{self.path} was moved, replaced or deleted while it was open: nothing more is "
                "stored in it. Start again with the file that is to be used."
            )

    def _needed(self, connection: sqlite3.Connection | None) -> sqlite3.Connection:
        if connection is None:
            raise StoreError(f"{self.path} {self._why_closed}")
        return connection

    def _connect(self, path: str, *, uri: bool = False) -> sqlite3.Connection:
        return sqlite3.connect(
            path,
            timeout=self._patience,
            isolation_level=None,
            check_same_thread=False,  # the locks see to it that only one thread uses it at a time
            cached_statements=_STATEMENTS,
            uri=uri,
        )

    def _set_up(self, connection: sqlite3.Connection) -> None:
        """Only WAL and the tables belong to the file, the rest to the connection."""
        current = is_current(connection, self.path)  # first of all: a later version is not touched
        connection.execute(f"PRAGMA synchronous = {self._durability}")
        # Without it, macOS calls stored what is in the cache of the disk.
        connection.execute(f"PRAGMA fullfsync = {self._durability == 'full'}")
        connection.execute(f"PRAGMA journal_size_limit = {_LOG_LIMIT}")
        if _asked(connection, "page_count") == 0:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        if _asked(connection, "journal_mode") != "wal":
            mode = self._switch(connection)
            if mode != "wal":
                raise StoreError(
                    f"{self.path} cannot be switched to a write-ahead log (journal_mode = WAL): it "
                    f"stays with {mode!r}. Use a local file system, and a file that no program "
                    "keeps in another mode."
                )
        if not current:
            connection.execute("BEGIN IMMEDIATE")
            migrate(connection, self.path)
            connection.execute("COMMIT")

    def _switch(self, connection: sqlite3.Connection) -> str | int:
        """Have a write-ahead log. SQLite waits for nobody where two do so at once: we do."""
        connection.execute("PRAGMA busy_timeout = 0")
        try:
            for _ in range(int(self._patience / _PAUSE)):
                try:
                    return _asked(connection, "journal_mode = WAL")
                except sqlite3.OperationalError as error:
                    if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                        raise
                    time.sleep(_PAUSE)
            return _asked(connection, "journal_mode = WAL")
        finally:
            connection.execute(f"PRAGMA busy_timeout = {round(self._patience * 1000)}")


def _asked(connection: sqlite3.Connection, pragma: str) -> str | int:
    (answer,) = connection.execute(f"PRAGMA {pragma}").fetchone()
    return answer  # type: ignore[no-any-return]


def _identity(path: str) -> tuple[int, int]:
    found = Path(path).stat()
    return found.st_dev, found.st_ino


_watching_forks = False


def _watch_forks() -> None:
    global _watching_forks  # noqa: PLW0603  # once in the life of a process
    if not _watching_forks and hasattr(os, "register_at_fork"):
        _watching_forks = True
        os.register_at_fork(after_in_child=_after_fork_in_child)


def _after_fork_in_child() -> None:
    for connections in list(_opened):
        connections.abandon()
    _opened.clear()

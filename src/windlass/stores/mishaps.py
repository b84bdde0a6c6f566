"""What SQLite says went wrong, in words that name the file and the remedy."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import StoreCorruptError, StoreError, StoreFullError, StoreLockedError

if TYPE_CHECKING:
    from collections.abc import Generator

_PRIMARY = 0xFF

_CORRUPT = (
    StoreCorruptError,
    (
        "{path} is damaged: {error}. Put it aside together with {path}-wal, and restore a "
        "backup, or save what can be read with the sqlite3 command '.recover'."
    ),
)
_LOCKED = (
    StoreLockedError,
    (
        "somebody else is writing to {path}: {error}. It goes on when their transaction has "
        "ended; look for a program, or a person, that holds one open."
    ),
)
_FULL = (
    StoreFullError,
    (
        "{path} cannot grow: {error}. Make room on its disk, or raise the quota or the limit on"
        " the size of files (ulimit -f); what was stored before is safe."
    ),
)
_READ_ONLY = (
    StoreError,
    (
        "{path} cannot be written: {error}. Give this user the right to write the file and its "
        "folder, where SQLite keeps {path}-wal and {path}-shm beside it."
    ),
)
_REFUSED = (
    StoreError,
    (
        "{path} refused what was to be stored: {error}. Nothing of it was; this is a bug in "
        "what uses the store."
    ),
)
_TOO_BIG = (
    StoreError,
    (
        "{path} has no room for a value of that size: {error}. Keep large values in files of "
        "their own, and their names here."
    ),
)
_DISK = (
    StoreError,
    (
        "{path} cannot be read or written: {error}. Look at the disk, and at what the system's "
        "log says of it."
    ),
)
_OTHER = StoreError, "{path}: {error}"

_REFUSALS = frozenset({sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG})

# An extended code is looked up before its primary one.
_KINDS: dict[int, tuple[type[StoreError], str]] = {
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_PROTOCOL: _LOCKED,
    sqlite3.SQLITE_FULL: _FULL,
    # SQLite calls a full disk by its name, but a quota and a limit on the size of files just a
    # write that failed.
    sqlite3.SQLITE_IOERR_WRITE: _FULL,
    sqlite3.SQLITE_IOERR_SHMSIZE: _FULL,
    sqlite3.SQLITE_CORRUPT: _CORRUPT,
    sqlite3.SQLITE_NOTADB: _CORRUPT,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_PERM: _READ_ONLY,
    sqlite3.SQLITE_CONSTRAINT: _REFUSED,
    sqlite3.SQLITE_MISMATCH: _REFUSED,
    sqlite3.SQLITE_TOOBIG: _TOO_BIG,
    sqlite3.SQLITE_IOERR: _DISK,
}


@contextmanager
def explaining(path: str) -> Generator[None]:
    """Turn what SQLite raises in the block into a StoreError about ``path``."""
    try:
        yield
    except (sqlite3.Error, UnicodeError, OverflowError) as error:
        raise explained(path, error) from error


def is_refusal(error: StoreError) -> bool:
    """Whether something was wrong with what was to be stored, and not with where."""
    cause = error.__cause__
    if isinstance(cause, UnicodeError | OverflowError):
        return "decode to UTF-8" not in str(cause)
    code: int = getattr(cause, "sqlite_errorcode", sqlite3.SQLITE_OK)
    return code & _PRIMARY in _REFUSALS


def explained(path: str, error: Exception) -> StoreError:
    """The StoreError that says what ``error`` means for whoever uses ``path``."""
    if not isinstance(error, sqlite3.Error):
        kind, text = _REFUSED
        return kind(text.format(path=path, error=error))
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if "decode to UTF-8" in str(error):
        code = sqlite3.SQLITE_CORRUPT  # Python's own part of sqlite3 says it, and has no codes
    if code & _PRIMARY == sqlite3.SQLITE_CANTOPEN:
        return StoreError(_why_not_opened(path))
    kind, text = _KINDS.get(code) or _KINDS.get(code & _PRIMARY) or _OTHER
    return kind(text.format(path=path, error=error))


def _why_not_opened(path: str) -> str:
    file = Path(path)
    if file.is_dir():
        return f"{path} is a folder: name a file in it"
    if not file.parent.is_dir():
        return f"{path} cannot be made: there is no folder {file.parent}. Make it first."
    return (
        f"{path} cannot be opened. Give this user the right to read and write the file and its "
        f"folder, where SQLite keeps {path}-wal and {path}-shm beside it."
    )

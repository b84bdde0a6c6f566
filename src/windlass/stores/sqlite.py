"""Tasks in a SQLite file: the store that survives the process, the machine and the power.

Theory of operation. The file is in WAL mode: a commit appends to ``<file>-wal``, readers see what
was there when they began, and at times SQLite carries the log over into the file. What a commit
costs is its fsync, and that is shared by all that is in the batch.

- ``durability="full"``: a commit has reached the disk when it returns. ``"normal"`` leaves that to
  the operating system: what was committed survives the death of the process, but the last moments
  may be lost when the machine loses power. The file is whole either way.
- The epoch stands in the file and is compared in the transaction that writes: of two processes that
  both take themselves for the leader, one writes and the other is told.
- The file may be somebody else's, with tables of its own. All our names start with ``windlass_``.
  We switch it to WAL if need be, which SQLite remembers in the file; nothing else of it is
  changed, and space is only given back in files that we made.
- Local file systems only: WAL needs memory that all processes share, and locks that work. Whether a
  file is on a network cannot be told for sure, so it is not checked.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._core.states import TERMINAL
from ..errors import StoreError, StoreFencedError
from ..ports import Batch, Line, Request, Row
from .connections import Connections, Durability
from .glance import Glance
from .mishaps import explaining, is_refusal
from .schema import read_state, statement
from .writing import delete, pieces, write

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence


_PAGE = 1_000  # rows that are in memory at once while all are read
_NO_SEQ_IS_GREATER = 2**63 - 1
_PAGES_GIVEN_BACK = 1_000  # at a time, so that commits come in between

_INSERT_REQUEST = statement("insert_request")
_INSERT_NOTE = statement("insert_note")
_DELETE_NOTE = statement("delete_note")
_RAISE_EPOCH = statement("raise_epoch")

_LAST_SEQ = statement("select_last_seq")
_UNFINISHED = statement("select_unfinished")
_TASK = statement("select_task")
_FINISHED = statement("select_finished")
_KEYS = statement("select_keys")
_FUNCTIONS = statement("select_functions")
_CHECKPOINT = statement("select_checkpoint")
_STEPS = statement("select_steps")
_LINES = statement("select_lines")
_COUNT_ENDED = statement("count_ended")
_ENDED = statement("select_ended")
_COUNT_TASKS = statement("count_tasks")
_REQUESTS = statement("select_requests")
_NEWS = statement("select_news")
_NOTE = statement("select_note")


class SqliteStore:
    """The tasks in the file ``path``. See the module, and the port ``Store`` for its methods.

    ``patience`` is how many seconds each try waits for somebody else's transaction, before it ends
    in StoreLockedError. ``look_only`` changes nothing, not even the files beside it, and needs no
    right to.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durability: Durability = "full",
        patience: float = 1.0,
        look_only: bool = False,
    ) -> None:
        # One name for the file, wherever the program goes and through whatever link it came.
        self.path = str(Path(path).resolve())
        self._connections: Connections | Glance = (
            Glance(self.path) if look_only else Connections(self.path, durability, patience)
        )

    def open(self) -> None:
        self._connections.open()

    def close(self) -> None:
        self._connections.close()

    # -- the leader's --------------------------------------------------------------------------

    def take_lead(self) -> int:
        with self._connections.writing() as connection:
            read_state(connection, "epoch")  # refused if it is none: SQL would make a number of it
            connection.execute(_RAISE_EPOCH)
            return read_state(connection, "epoch")

    def commit(self, epoch: int, batch: Batch) -> None:
        try:
            self._commit(epoch, batch)
        except StoreError as error:
            if is_refusal(error):
                error.details["refused"] = self._refused(batch)
            raise

    def _refused(self, batch: Batch) -> tuple[str, int]:
        """What of ``batch`` is refused: the part, and the task. It is written piece by piece."""
        found = ("", 0)
        with suppress(_UndoError), self._connections.writing() as connection:
            delete(connection, batch.deletes)
            for part, seq, piece in pieces(batch):
                try:
                    write(connection, piece)
                except (sqlite3.Error, UnicodeError, OverflowError):
                    found = part, seq
                    break
            raise _UndoError
        return found

    def _commit(self, epoch: int, batch: Batch) -> None:
        with self._connections.writing() as connection:
            newest = read_state(connection, "epoch")
            if epoch != newest:
                raise StoreFencedError(
                    f"another process leads {self.path} now (epoch {newest}, and this one's was "
                    f"{epoch}), because this one was silent for too long. Nothing was written; "
                    "start again to work with it."
                )
            write(connection, batch)

    # -- what is there -------------------------------------------------------------------------

    def last_seq(self) -> int:
        with self._connections.reading() as connection:
            read_state(connection, "last_seq")  # likewise
            (seq,) = connection.execute(_LAST_SEQ).fetchone()
        return int(seq)

    def unfinished(self) -> Iterator[Row]:
        return map(Row._make, self._pages(_UNFINISHED))

    def rows(self, ids: Sequence[str]) -> dict[str, Row]:
        found: dict[str, Row] = {}
        with self._connections.reading() as connection:
            for id in ids:
                for row in _fetched(connection, _TASK, (id,)):
                    found[id] = Row._make(row)
        return found

    def finished(self, before: int | None = None, limit: int = 1_000) -> list[Row]:
        before = _NO_SEQ_IS_GREATER if before is None else before
        return [Row._make(row) for row in self._read(_FINISHED, (before, limit))]

    def keys(self) -> Iterator[tuple[str, str]]:
        return ((key, id) for _, key, id in self._pages(_KEYS))

    def functions(self) -> dict[str, bytes]:
        return dict(self._read(_FUNCTIONS))

    def checkpoint(self, seq: int) -> bytes | None:
        return next((value for (value,) in self._read(_CHECKPOINT, (seq,))), None)

    def steps(self, seq: int) -> dict[str, bytes]:
        return dict(self._read(_STEPS, (seq,)))

    def lines(self, seq: int, since: int = 0) -> list[tuple[int, Line]]:
        return [(number, Line(*line)) for number, *line in self._read(_LINES, (seq, since))]

    def ended(
        self,
        before: float,
        statuses: Sequence[str],
        limit: int,
        skip: int = 0,
        keyed_before: float | None = None,
    ) -> list[int]:
        wanted = [status for status in TERMINAL if status in statuses]
        keyed = before if keyed_before is None else keyed_before
        which = (before, *wanted, *[None] * (len(TERMINAL) - len(wanted)), keyed)
        with self._connections.reading() as connection:
            if skip:
                (number,) = connection.execute(_COUNT_ENDED, which).fetchone()
                limit = max(0, min(limit, number - skip))
            return [seq for (seq,) in connection.execute(_ENDED, (*which, limit))]

    def counts(self) -> dict[str, int]:
        return dict(self._read(_COUNT_TASKS))

    # -- between processes ---------------------------------------------------------------------

    def post(self, requests: Sequence[tuple[str, bytes]]) -> list[int]:
        numbers: list[int] = []
        try:
            with self._connections.writing() as connection:
                for kind, body in requests:
                    numbers.append(_post(connection, kind, body))
        except StoreError as error:
            if is_refusal(error):
                error.details["refused"] = "requests", len(numbers)
            raise
        return numbers

    def post_in(self, connection: sqlite3.Connection, kind: str, body: bytes) -> int:
        """Leave a request within the transaction of ``connection``, which must have this file open.

        It is left when that transaction is committed, and never was when it is rolled back.
        """
        with explaining(self.path):
            opened = connection.execute("PRAGMA database_list").fetchall()
            file = next(file for _, name, file in opened if name == "main")
            if not file or not Path(file).samefile(self.path):
                raise StoreError(
                    f"the connection has {file or 'no file'} open, and the tasks are in "
                    f"{self.path}: one transaction cannot span both"
                )
            return _post(connection, kind, body)

    def requests(self, limit: int = 1_000) -> list[Request]:
        return [Request._make(request) for request in self._read(_REQUESTS, (limit,))]

    def news(self, since: int) -> list[tuple[int, bytes]]:
        """The last of what was committed for the clients; a gap in the numbers was forgotten."""
        return self._read(_NEWS, (since,))

    def read_note(self, name: str) -> str | None:
        return next((text for (text,) in self._read(_NOTE, (name,))), None)

    def write_note(self, name: str, text: str | None, task: str | None = None) -> None:
        with self._connections.writing() as connection:
            if text is None:
                connection.execute(_DELETE_NOTE, (name,))
            else:
                connection.execute(_INSERT_NOTE, (name, text, task))

    def shrink(self) -> None:
        with self._connections.reading() as connection:
            ours = read_state(connection, "created_by_us")
        while ours:
            with self._connections.maintaining() as connection:
                before = _free_pages(connection)
                connection.execute(f"PRAGMA incremental_vacuum({_PAGES_GIVEN_BACK})").fetchall()
                if _free_pages(connection) in {0, before}:
                    break
        with self._connections.maintaining() as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    # -- for people ----------------------------------------------------------------------------

    def figures(self) -> dict[str, int]:
        """The store's own numbers, and in bytes how much is unused."""
        with self._connections.reading() as connection:
            names = ("schema", "epoch", "created_by_us")
            figures = {name: read_state(connection, name) for name in names}
            (size,) = connection.execute("PRAGMA page_size").fetchone()
            return {**figures, "unused": _free_pages(connection) * size}

    def damage(self) -> list[str]:
        """What is wrong with the file, in the words of SQLite, which reads all of it."""
        with self._connections.reading() as connection:
            found = [text for (text,) in connection.execute("PRAGMA integrity_check(20)")]
        return [] if found == ["ok"] else found

    # -- reading -------------------------------------------------------------------------------

    def _read(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[Any]:
        with self._connections.reading() as connection:
            return _fetched(connection, sql, parameters)

    def _pages(self, sql: str) -> Iterator[tuple[Any, ...]]:
        """All rows of a statement that takes the last ``seq`` and a limit, a page at a time.

        Not one cursor for all of them: while it is open, the log could not be carried over.
        """
        seq = -1
        while page := self._read(sql, (seq, _PAGE)):
            yield from page
            seq = page[-1][0]


class _UndoError(Exception):
    """Ends a transaction that was only a trial."""


def _post(connection: sqlite3.Connection, kind: str, body: bytes) -> int:
    number = connection.execute(_INSERT_REQUEST, (kind, body)).lastrowid
    assert number is not None
    return number


def _fetched(
    connection: sqlite3.Connection, sql: str, parameters: tuple[Any, ...]
) -> list[tuple[Any, ...]]:
    """The rows; a text in which bits were flipped is read as far as it can be.

    It is one task's, and all the others are well.
    """
    try:
        return connection.execute(sql, parameters).fetchall()
    except sqlite3.OperationalError as error:
        if "decode to UTF-8" not in str(error):
            raise
    connection.text_factory = _as_far_as_it_goes
    try:
        return connection.execute(sql, parameters).fetchall()
    finally:
        connection.text_factory = str  # others read with this connection after us


def _as_far_as_it_goes(text: bytes) -> str:
    return text.decode(errors="replace")


def _free_pages(connection: sqlite3.Connection) -> int:
    (pages,) = connection.execute("PRAGMA freelist_count").fetchone()
    return int(pages)

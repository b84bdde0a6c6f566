"""A batch as statements: what one transaction writes."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from ..ports import Batch, Update
from . import NEWS_KEPT
from .schema import statement

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Mapping, Sequence

# Many rows in one statement cost less than as many statements, of which each lets go of Python's
# lock and asks for it again. Few sizes, so that each is prepared once.
_AT_ONCE = (64, 16, 4, 1)
_INSERT_TASKS = {rows: statement("insert_tasks", rows) for rows in _AT_ONCE}
_END_TASKS = {rows: statement("end_tasks", rows) for rows in _AT_ONCE}
# What is the same of most tasks is not bound but written out, and bytes are bound as bytearrays:
# for each None and each bytes Python looks for an adapter, which takes longer than SQLite does.
_INSERT_FRESH_TASKS = {rows: statement("insert_fresh_tasks", rows) for rows in _AT_ONCE}
_END_PLAIN_TASKS = {rows: statement("end_plain_tasks", rows) for rows in _AT_ONCE}
_UPDATE_TASKS = statement("update_tasks")
_DELETES = (
    statement("delete_notes"),  # by the id, for which the task has to be there
    statement("delete_task"),
    statement("delete_checkpoint"),
    statement("delete_steps"),
    statement("delete_lines"),
)
_INSERT_FUNCTION = statement("insert_function")
_INSERT_CHECKPOINT = statement("insert_checkpoint")
_INSERT_STEP = statement("insert_step")
_INSERT_LINE = statement("insert_line")
_TRIM_LINES = statement("trim_lines")
_INSERT_NEWS = statement("insert_news")
_DELETE_OLD_NEWS = statement("delete_old_news")
_DELETE_REQUEST = statement("delete_request")
_REMEMBER_LAST_SEQ = statement("remember_last_seq")
_REMEMBER_LAST_REQUEST = statement("remember_last_request")


def write(connection: sqlite3.Connection, batch: Batch) -> None:
    """Write ``batch``, in the transaction that is under way."""
    many = connection.executemany
    # Deletes come first, so that an id may be used again at once, and once more for what was never
    # seen by anybody: inserted and deleted in the same batch.
    delete(connection, batch.deletes)
    fresh = [(*said, bytearray(call)) for *said, call in batch.fresh]
    _write_rows(connection, _INSERT_FRESH_TASKS, fresh)
    _write_rows(connection, _INSERT_TASKS, batch.inserts)
    _update(connection, batch.updates)
    if batch.fresh or batch.inserts:
        delete(connection, batch.deletes)
    many(_INSERT_FUNCTION, batch.functions)
    many(_INSERT_CHECKPOINT, batch.checkpoints)
    many(_INSERT_STEP, batch.steps)
    many(_INSERT_LINE, batch.lines)
    many(_TRIM_LINES, [(seq, seq, most) for seq, most in batch.trims])
    if batch.handled:
        connection.execute(_REMEMBER_LAST_REQUEST)
        many(_DELETE_REQUEST, [(number,) for number in batch.handled])
    if batch.news is not None:
        connection.execute(_INSERT_NEWS, (batch.news,))
        connection.execute(_DELETE_OLD_NEWS, (NEWS_KEPT,))


def _update(connection: sqlite3.Connection, updates: Mapping[int, Update]) -> None:
    """Write what has changed; what the ends of most tasks have in common is not bound."""
    on: list[tuple[Any, ...]] = []
    plain: list[tuple[Any, ...]] = []
    others: list[tuple[Any, ...]] = []
    for (status, started_at, ended_at, run, notes, outcome), first, last in _spans(updates):
        if ended_at is None:
            on.append((status, started_at, run, notes, first, last))
        elif notes is None and outcome is not None:
            what = bytearray(outcome)
            plain.append((status, started_at, ended_at, run, what, first, last))
        else:
            others.append((status, started_at, ended_at, run, notes, outcome, first, last))
    connection.executemany(_UPDATE_TASKS, on)
    _write_rows(connection, _END_PLAIN_TASKS, plain)
    _write_rows(connection, _END_TASKS, others)


def _spans(updates: Mapping[int, Update]) -> list[tuple[Update, int, int]]:
    """The updates, each with the first and the last of the tasks in a row that share it."""
    spans: list[tuple[Update, int, int]] = []
    shared, first, last = None, 0, 0
    for seq, update in updates.items():
        if update is shared and seq == last + 1:
            last = seq
            continue
        if shared is not None:
            spans.append((shared, first, last))
        shared, first, last = update, seq, seq
    if shared is not None:
        spans.append((shared, first, last))
    return spans


def _write_rows(
    connection: sqlite3.Connection, statements: Mapping[int, str], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Write ``rows``, as many at once as there is a statement for."""
    for most, sql in statements.items():
        whole = len(rows) - len(rows) % most
        for first in range(0, whole, most):
            connection.execute(sql, list(chain.from_iterable(rows[first : first + most])))
        rows = rows[whole:]


def delete(connection: sqlite3.Connection, deletes: list[int]) -> None:
    """Delete tasks, by their ``seq``, and what is kept with them."""
    if deletes:
        connection.execute(_REMEMBER_LAST_SEQ)
        seqs = [(seq,) for seq in deletes]
        for sql in _DELETES:
            connection.executemany(sql, seqs)


def pieces(batch: Batch) -> Iterator[tuple[str, int, Batch]]:
    """What ``batch`` writes of tasks, one thing after the other: the part, the task, the thing."""
    for part in ("fresh", "inserts", "updates", "checkpoints", "steps", "lines"):
        items = getattr(batch, part)
        for item in items:
            piece = Batch()
            if part == "updates":
                piece.updates, seq = {item: items[item]}, item
            else:
                setattr(piece, part, [item])
                seq = item[0]
            yield part, seq, piece

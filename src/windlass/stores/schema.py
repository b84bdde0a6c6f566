"""The statements, each in a file of its own under ``sql/``, and how the tables come about.

The version of the schema is a number in a table of ours: ``user_version`` belongs to whoever the
file belongs to. A migration is a tuple of statements that leads from one version to the next; all
that a file lacks run in one transaction. One that has been released is never changed again.
"""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING

from .._core.states import TERMINAL, TaskStatus
from ..errors import StoreCorruptError, StoreError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

_ROW = re.compile(r"(?<=VALUES )\([^()]+\)")
_FOLDER = files(__name__.rpartition(".")[0]) / "sql"


def statement(name: str, rows: int = 1) -> str:
    """The statement in the file ``name``, for so many rows at once."""
    text = (_FOLDER / f"{name}.sql").read_text("utf-8")
    if rows > 1:
        text = _ROW.sub(lambda found: ", ".join([found[0]] * rows), text)
    return text.replace("{finished}", _FINISHED).replace("{unfinished}", _UNFINISHED)


def _one_of(statuses: Iterable[TaskStatus]) -> str:
    # Not IN (...), for which SQLite builds a table each time: a quarter of what a commit costs.
    return " OR ".join(f"status = '{status}'" for status in statuses)


_FINISHED = _one_of(status for status in TaskStatus if status in TERMINAL)
_UNFINISHED = _one_of(status for status in TaskStatus if status not in TERMINAL)

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        statement("create_tasks"),
        statement("index_unfinished"),
        statement("index_ended"),
        statement("index_keys"),
        statement("create_checkpoints"),
        statement("create_steps"),
        statement("create_lines"),
        statement("index_lines"),
        statement("create_requests"),
        statement("create_news"),
        statement("create_notes"),
        statement("create_functions"),
    ),
    (
        statement("add_task_to_notes"),
        statement("give_aliases_to_tasks"),
        statement("index_notes"),
    ),
)
"""The first leads from nothing to version 1."""

_CREATE_STATE = statement("create_state")
_BEGIN_STATE = statement("begin_state")
_FIND_STATE = statement("find_state")
_COUNT_OBJECTS = statement("count_objects")
_READ_STATE = statement("read_state")
_WRITE_STATE = statement("write_state")


def read_state(connection: sqlite3.Connection, name: str) -> int:
    """One of the store's own numbers."""
    found = connection.execute(_READ_STATE, (name,)).fetchone()
    if found is None or not isinstance(found[0], int):
        (path,) = (
            path for _, of, path in connection.execute("PRAGMA database_list") if of == "main"
        )
        what = f"is {found[0]!r}" if found is not None else "is missing"
        raise StoreCorruptError(
            f"{path} is damaged: its own number {name!r}, in windlass_state, {what}. Put it aside "
            f"together with {path}-wal, and restore a backup, or save what can be read with the "
            "sqlite3 command '.recover'."
        )
    return found[0]


def is_current(connection: sqlite3.Connection, path: str) -> bool:
    """Whether the tables are there, all of them; refuses those of a later version."""
    return _version(connection, path) == len(MIGRATIONS)


def migrate(connection: sqlite3.Connection, path: str) -> None:
    """Bring the tables up to date, within the transaction that is under way."""
    version = _version(connection, path)
    if version is None:
        (objects,) = connection.execute(_COUNT_OBJECTS).fetchone()
        connection.execute(_CREATE_STATE)
        connection.execute(_BEGIN_STATE)
        connection.execute(_WRITE_STATE, (int(objects == 0), "created_by_us"))
    for migration in MIGRATIONS[version or 0 :]:
        for sql in migration:
            connection.execute(sql)
    connection.execute(_WRITE_STATE, (len(MIGRATIONS), "schema"))


def _version(connection: sqlite3.Connection, path: str) -> int | None:
    """The version of the tables, or None where there are none."""
    if connection.execute(_FIND_STATE).fetchone() is None:
        return None
    version = read_state(connection, "schema")
    if version > len(MIGRATIONS):
        raise StoreError(
            f"{path} was written by a later version of Windlass: its tables are of version "
            f"{version}, and this one knows them up to {len(MIGRATIONS)}. Upgrade Windlass, or "
            "use another file; nothing was changed in this one."
        )
    return version

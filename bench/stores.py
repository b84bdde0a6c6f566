"""The store in a SQLite file, beside SQLite without any of it.

Each task is inserted and, a thousand tasks later, updated once. The yardstick does so in a table
that has only what it writes: no ids, no index, no checks, no epoch. Against the disk the groups are
of five hundred: of a thousand tasks in flight, half gather while the other half is stored.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from windlass.ports import Batch, Update
from windlass.stores.sqlite import SqliteStore

from .case import Case
from .stopwatch import Sample, Stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from windlass.ports import Fresh
    from windlass.stores.connections import Durability

GROUP, LARGE_GROUP = 100, 500
IN_FLIGHT = 1_000  # tasks between the insert of one and its update
CALL, RESULT = b"a" * 20, b"r" * 10


def in_store(durability: Durability, size: int = GROUP) -> Callable[[int], Sample]:
    def measure(count: int) -> Sample:
        with opened(durability) as (store, epoch):
            batches = [a_batch(first, size, count) for first in range(0, count + IN_FLIGHT, size)]
            with Stopwatch() as watch:
                for batch in batches:
                    store.commit(epoch, batch)
            assert store.counts() == {"completed": count}
        return watch.per(count)

    return measure


@contextmanager
def opened(durability: Durability) -> Generator[tuple[SqliteStore, int]]:
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteStore(Path(folder) / "tasks.db", durability=durability)
        store.open()
        try:
            yield store, store.take_lead()
        finally:
            store.close()


def a_batch(first: int, size: int, count: int) -> Batch:
    batch = Batch()
    batch.fresh = [a_task(seq) for seq in range(first, min(first + size, count))]
    batch.updates = {
        seq: Update("completed", 1.7e9, 1.7e9 + seq, 1, None, RESULT)
        for seq in range(max(0, first - IN_FLIGHT), first - IN_FLIGHT + size)
    }
    return batch


def a_task(seq: int) -> Fresh:
    return seq, f"1f2e3d-{seq}", "bench.noop", 1.7e9, CALL


def in_plain_table(count: int) -> Sample:
    batches = [a_batch(first, GROUP, count) for first in range(0, count + IN_FLIGHT, GROUP)]
    written = [
        (
            [(seq, "pending", call, None) for seq, _, _, _, call in batch.fresh],
            [(update.status, update.outcome, seq) for seq, update in batch.updates.items()],
        )
        for batch in batches
    ]
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(sqlite3.connect(Path(folder) / "raw.db", isolation_level=None)) as connection,
    ):
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(
            "CREATE TABLE tasks (seq INTEGER PRIMARY KEY, status TEXT, call BLOB, result BLOB)"
        )
        with Stopwatch() as watch:
            for inserts, updates in written:
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany("INSERT INTO tasks VALUES (?, ?, ?, ?)", inserts)
                connection.executemany(
                    "UPDATE tasks SET status = ?, result = ? WHERE seq = ?", updates
                )
                connection.execute("COMMIT")
    return watch.per(count)


def one_at_a_time(count: int) -> Sample:
    with opened("full") as (store, epoch):
        batches = [Batch() for _ in range(count)]
        for seq, batch in enumerate(batches):
            batch.fresh = [a_task(seq)]
        with Stopwatch() as watch:
            for batch in batches:
                store.commit(epoch, batch)
    return watch.per(count)


def fdatasync(count: int) -> Sample:
    """A page written and brought to the disk, as a commit does at the least."""
    page = bytes(4096)
    with tempfile.TemporaryFile(buffering=0) as file, Stopwatch() as watch:
        for _ in range(count):
            file.write(page)
            os.fdatasync(file.fileno())
    return watch.per(count)


CASES = (
    Case(
        "store",
        "tasks inserted and updated in a file, NORMAL",
        "SQLite, a plain table",
        50_000,
        in_store("normal"),
        in_plain_table,
        quick=1_000,
    ),
    Case(
        "store-full",
        "tasks inserted and updated in a file, FULL",
        "the same, NORMAL",
        50_000,
        in_store("full", LARGE_GROUP),
        in_store("normal", LARGE_GROUP),
        quick=1_000,
    ),
    Case(
        "store-alone",
        "tasks inserted one at a time, FULL",
        "fdatasync",
        1_000,
        one_at_a_time,
        fdatasync,
    ),
)

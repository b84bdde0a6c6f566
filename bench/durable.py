"""Durable tasks from end to end, beside SQLite with nothing around it and beside the disk.

The yardstick is what any durable system must write for a task, and nothing else: one INSERT when it
comes in, of its number, its function, its arguments and the time; one UPDATE when it ends, of its
status, its result and the time. One table without an index, WAL and synchronous NORMAL, in
transactions of a hundred inserts and a hundred updates. Nothing is run, and nobody waits.

Ours are submitted, stored, run and waited for: a thousand in flight, that is ten producers with a
hundred each. By default no more than a hundred of them run at once, and since a start is stored
before it happens, each task is then written three times; in "durable-wide" all of them may run.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from windlass import TaskManager, task
from windlass.stores.sqlite import SqliteStore

from .case import BYTES, Case
from .stopwatch import Sample, Stopwatch, in_loop
from .stores import CALL, GROUP, IN_FLIGHT, RESULT, fdatasync

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from windlass.stores.connections import Durability

RAW = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    """
    CREATE TABLE tasks (
        seq INTEGER PRIMARY KEY, function TEXT, call BLOB, submitted_at REAL, status TEXT,
        ended_at REAL, result BLOB
    )
    """,
)
PRODUCERS = 10
AT_ONCE = IN_FLIGHT // PRODUCERS
DEFAULT = 100


@task(id="bench.durable")
async def noop() -> None:
    """The work."""


@contextmanager
def a_file() -> Generator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "tasks.db"


def durable(durability: Durability, limit: int = DEFAULT) -> Callable[[int], Sample]:
    @in_loop
    async def measure(count: int) -> Sample:
        with a_file() as file:
            async with TaskManager(file, durability=durability, max_concurrent_tasks=limit) as tm:
                await tm.submit(noop)
                with Stopwatch() as watch:
                    await asyncio.gather(*[produce(tm, count) for _ in range(PRODUCERS)])
        return watch.per(count)

    return measure


async def produce(tm: TaskManager, count: int) -> None:
    """One producer's share of ``count`` tasks."""
    for _ in range(0, count // PRODUCERS, AT_ONCE):
        await tm.gather(*[tm.submit(noop) for _ in range(AT_ONCE)])


@in_loop
async def acknowledged(count: int) -> Sample:
    later = noop.options(delay=86_400)  # so that what is measured is the enqueue alone
    with a_file() as file:
        async with TaskManager(file) as tm:
            await tm.enqueue(later)
            with Stopwatch() as watch:
                for _ in range(count):
                    await tm.enqueue(later)
    return watch.per(count)


def raw(count: int) -> Sample:
    with a_file() as file:
        return write_raw(file, count)


def write_raw(file: Path, count: int) -> Sample:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        for statement in RAW:
            connection.execute(statement)
        with Stopwatch() as watch:
            for first in range(0, count + IN_FLIGHT, GROUP):
                new = range(first, min(first + GROUP, count))
                old = range(max(0, first - IN_FLIGHT), first - IN_FLIGHT + GROUP)
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(
                    "INSERT INTO tasks VALUES (?, ?, ?, ?, ?, NULL, NULL)",
                    [(seq, "bench.noop", CALL, 1.7e9 + seq, "pending") for seq in new],
                )
                connection.executemany(
                    "UPDATE tasks SET status = ?, ended_at = ?, result = ? WHERE seq = ?",
                    [("completed", 1.7e9 + seq, RESULT, seq) for seq in old],
                )
                connection.execute("COMMIT")
        ended = connection.execute("SELECT count(*) FROM tasks WHERE status = 'completed'")
        assert ended.fetchone() == (count,)
    return watch.per(count)


# -- what is left in the file ----------------------------------------------------------------------


@in_loop
async def recovered(count: int) -> Sample:
    with a_file() as file:
        await fill(file, count)
        with Stopwatch() as watch:
            manager = TaskManager(file)
            await manager.start()
        await manager.shutdown(wait=False)
    return watch.per(count)


@in_loop
async def read(count: int) -> Sample:
    with a_file() as file:
        await fill(file, count)
        store = SqliteStore(file)
        store.open()
        with Stopwatch() as watch:
            assert sum(1 for _ in store.unfinished()) == count
        store.close()
    return watch.per(count)


async def fill(file: Path, count: int) -> None:
    """Leave so many unfinished tasks in ``file``, which are due tomorrow and so stay there."""
    later = noop.options(delay=86_400)
    async with TaskManager(file, durability="normal") as tm:
        for _ in range(count):
            tm.submit(later)


@in_loop
async def on_disk(count: int) -> Sample:
    with a_file() as file:
        async with TaskManager(file, durability="normal") as tm:
            await asyncio.gather(*[produce(tm, count) for _ in range(PRODUCERS)])
        return Sample(file.stat().st_size / count)  # closing has put the log back into it


def raw_on_disk(count: int) -> Sample:
    with a_file() as file:
        write_raw(file, count)
        return Sample(file.stat().st_size / count)


CASES = (
    Case(
        "durable",
        "durable coroutines, 1,000 in flight, 100 at once, NORMAL",
        "SQLite, an insert and an update",
        30_000,
        durable("normal"),
        raw,
        quick=1_000,
    ),
    Case(
        "durable-wide",
        "the same, 1,000 at once",
        "SQLite, an insert and an update",
        30_000,
        durable("normal", IN_FLIGHT),
        raw,
        quick=1_000,
    ),
    Case(
        "durable-full",
        "durable coroutines, 1,000 in flight, 100 at once, FULL",
        "the same, NORMAL",
        30_000,
        durable("full"),
        durable("normal"),
        quick=1_000,
    ),
    Case(
        "durable-alone",
        "enqueues, each acknowledged before the next, FULL",
        "fdatasync",
        1_000,
        acknowledged,
        fdatasync,
    ),
    Case(
        "recovery",
        "100,000 unfinished tasks taken in when their file is opened",
        "their rows read",
        100_000,
        recovered,
        read,
        rounds=2,
    ),
    Case(
        "file-size",
        "a completed task on disk",
        "SQLite, an insert and an update",
        30_000,
        on_disk,
        raw_on_disk,
        quick=1_000,
        rounds=1,
        unit=BYTES,
    ),
)

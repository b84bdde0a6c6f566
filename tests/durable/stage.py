"""What the tests of files share: functions that are durable, and files as a crash leaves them."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing

from runtime.stage import SOON, Door

from windlass import TaskManager, current_task, task
from windlass.testing import VirtualClock

__all__ = ["SOON", "Clocked", "after_crash", "door", "nobody_is_there", "read"]

doors: dict[str, Door] = {}


def door(name="door"):
    """A new door for the tasks that come to ``name``; a task can only store the name."""
    doors[name] = Door()
    return doors[name]


@task
async def wait_at(name="door", result=None):
    return await doors[name](result)


@task
async def add(a, b=1):
    return a + b


@task
async def double(x):
    return 2 * x


@task
async def echo(value=None):
    return value


@task
async def count(items):
    return len(items)


@task
async def fail(text="broken"):
    raise ValueError(text)


@task
async def fail_until(attempt):
    if current_task().attempt < attempt:
        raise ValueError(f"attempt {current_task().attempt}")
    return current_task().attempt


@task
async def attempt():
    return current_task().attempt


def after_crash(file):
    """A copy of ``file`` as a crash at this moment would leave it: only what is committed."""
    copy = file.with_name(f"{file.stem}-crashed.db")
    copy.unlink(missing_ok=True)
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    return copy


def read(file, sql, *parameters):
    """What somebody else reads in ``file``."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        return connection.execute(sql, parameters).fetchall()


def nobody_is_there(file):
    """Refuse a file that was left with somebody in it: a write-ahead log that was not put back."""
    assert not file.with_name(f"{file.name}-wal").exists()


class Clocked:
    """Managers of one file whose time is told by the test; each life has other monotonic times."""

    def __init__(self, file, wall=1_800_000_000.0):
        self.file = file
        self._wall = wall
        self._lives = 0
        self.clock = VirtualClock(wall)

    def manager(self, *, later=0.0, **settings):
        """A manager that is opened ``later`` than the last one was left."""
        wall = self.clock.wall() if self._lives else self._wall
        self._lives += 1
        self.clock = VirtualClock(wall + later)
        self.clock.advance(1000.0 * self._lives)
        self.clock.set_wall(wall + later)
        return TaskManager(self.file, clock=self.clock, watchdog=None, **settings)

    async def advance(self, tm, seconds):
        """Let time pass, and everything happen that is to happen then."""
        self.clock.advance(seconds)
        tm._runtime.pump.wake()
        await settled(tm)


async def settled(tm):
    """Wait until nothing more happens without the world or the clock."""
    for _ in range(5):
        await tm.flush()
        await asyncio.sleep(0)

"""Plain functions in processes, beside the standard library's pool with as many of them."""

from __future__ import annotations

import os
import time
from concurrent.futures import ProcessPoolExecutor

from windlass import TaskManager, task

from .case import Case
from .stopwatch import Sample, Stopwatch

PROCESSES = os.cpu_count() or 1
CHUNK = 1000


def noop(_: int = 0) -> None:
    """The work."""


def linger(_: int = 0) -> None:
    """Take long enough for every process to be started."""
    time.sleep(0.05)


noop_elsewhere = task(noop, executor="process")
linger_elsewhere = task(linger, executor="process")


def _manager() -> TaskManager:
    return TaskManager(processes=PROCESSES)


def _warm(tm: TaskManager) -> None:
    tm.gather(*tm.map(linger_elsewhere, range(PROCESSES * 4))).result()


def ours_submitted(count: int) -> Sample:
    with _manager() as tm:
        _warm(tm)
        with Stopwatch() as watch:
            handles = [tm.submit(noop_elsewhere, i) for i in range(count)]
            tm.gather(*handles).result()
    return watch.per(count)


def pool_submitted(count: int) -> Sample:
    with ProcessPoolExecutor(PROCESSES) as pool:
        list(pool.map(linger, range(PROCESSES * 4)))
        with Stopwatch() as watch:
            futures = [pool.submit(noop, i) for i in range(count)]
            for future in futures:
                future.result()
    return watch.per(count)


def ours_mapped(count: int) -> Sample:
    with _manager() as tm:
        _warm(tm)
        with Stopwatch() as watch:
            tm.map(noop_elsewhere, range(count), chunksize=CHUNK).result()
    return watch.per(count)


def pool_mapped(count: int) -> Sample:
    with ProcessPoolExecutor(PROCESSES) as pool:
        list(pool.map(linger, range(PROCESSES * 4)))
        with Stopwatch() as watch:
            list(pool.map(noop, range(count), chunksize=CHUNK))
    return watch.per(count)


CASES = (
    Case(
        "processes",
        "no-op functions in processes",
        "ProcessPoolExecutor.submit",
        5_000,
        ours_submitted,
        pool_submitted,
    ),
    Case(
        "processes-map",
        "no-op functions in processes, map(chunksize=1000)",
        "ProcessPoolExecutor.map",
        200_000,
        ours_mapped,
        pool_mapped,
    ),
)

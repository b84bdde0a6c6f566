"""Plain functions in threads, beside the standard library's pool with as many threads."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from windlass import TaskManager

from .case import Case
from .stopwatch import Sample, Stopwatch, in_loop

THREADS = 6
CHUNK = 100


def noop(_: int = 0) -> None:
    """The work."""


def ours_submitted(count: int) -> Sample:
    with TaskManager(threads=THREADS) as tm:
        tm.gather(*tm.map(noop, range(THREADS * 10))).result()
        with Stopwatch() as watch:
            handles = [tm.submit(noop, i) for i in range(count)]
            tm.gather(*handles).result()
    return watch.per(count)


def pool_submitted(count: int) -> Sample:
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(noop, range(THREADS * 10)))
        with Stopwatch() as watch:
            futures = [pool.submit(noop, i) for i in range(count)]
            for future in futures:
                future.result()
    return watch.per(count)


@in_loop
async def ours_async(count: int) -> Sample:
    async with TaskManager(threads=THREADS) as tm:
        await tm.gather(*tm.map(noop, range(THREADS * 10)))
        with Stopwatch() as watch:
            handles = [tm.submit(noop, i) for i in range(count)]
            await tm.gather(*handles)
    return watch.per(count)


@in_loop
async def pool_async(count: int) -> Sample:
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(noop, range(THREADS * 10)))
        with Stopwatch() as watch:
            futures = [loop.run_in_executor(pool, noop, i) for i in range(count)]
            await asyncio.gather(*futures)
    return watch.per(count)


def ours_mapped(count: int) -> Sample:
    with TaskManager(threads=THREADS) as tm:
        tm.gather(*tm.map(noop, range(THREADS * 10))).result()
        with Stopwatch() as watch:
            tm.gather(*tm.map(noop, range(count), chunksize=CHUNK)).result()
    return watch.per(count)


def pool_mapped(count: int) -> Sample:
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(noop, range(THREADS * 10)))
        with Stopwatch() as watch:
            list(pool.map(noop, range(count)))
    return watch.per(count)


def ours_in_turn(count: int) -> Sample:
    with TaskManager(threads=THREADS) as tm:
        tm.submit(noop).result()
        with Stopwatch() as watch:
            for _ in range(count):
                tm.submit(noop).result()
    return watch.per(count)


def pool_in_turn(count: int) -> Sample:
    with ThreadPoolExecutor(THREADS) as pool:
        pool.submit(noop).result()
        with Stopwatch() as watch:
            for _ in range(count):
                pool.submit(noop).result()
    return watch.per(count)


CASES = (
    Case(
        "threads",
        "no-op functions in threads",
        "ThreadPoolExecutor.submit",
        20_000,
        ours_submitted,
        pool_submitted,
    ),
    Case(
        "threads-async",
        "no-op functions in threads, from a coroutine",
        "run_in_executor + gather",
        20_000,
        ours_async,
        pool_async,
    ),
    Case(
        "threads-map",
        "no-op functions in threads, map(chunksize=100)",
        "ThreadPoolExecutor.map",
        50_000,
        ours_mapped,
        pool_mapped,
    ),
    Case(
        "threads-latency",
        "no-op functions in threads, one after another",
        "ThreadPoolExecutor.submit",
        5_000,
        ours_in_turn,
        pool_in_turn,
    ),
)

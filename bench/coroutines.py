"""Coroutines that do nothing: what is left is the cost of a task."""

from __future__ import annotations

import asyncio
import threading

from windlass import TaskManager

from .case import Case
from .stopwatch import Sample, Stopwatch, in_loop

BATCH = 1000


async def noop() -> None:
    """The work."""


# -- all at once -----------------------------------------------------------------------------------


@in_loop
async def ours_at_once(count: int) -> Sample:
    async with TaskManager() as tm:
        with Stopwatch() as watch:
            handles = [tm.submit(noop) for _ in range(count)]
            await tm.gather(*handles)
    return watch.per(count)


@in_loop
async def asyncio_at_once(count: int) -> Sample:
    with Stopwatch() as watch:
        tasks = [asyncio.create_task(noop()) for _ in range(count)]
        await asyncio.gather(*tasks)
    return watch.per(count)


@in_loop
async def asyncio_eager(count: int) -> Sample:
    loop = asyncio.get_running_loop()
    eager = getattr(asyncio, "eager_task_factory")  # noqa: B009  # Python 3.12 and later
    loop.set_task_factory(eager)
    with Stopwatch() as watch:
        tasks = [asyncio.create_task(noop()) for _ in range(count)]
        await asyncio.gather(*tasks)
    return watch.per(count)


# -- so many in flight -----------------------------------------------------------------------------


@in_loop
async def ours_in_flight(count: int) -> Sample:
    async with TaskManager() as tm:
        with Stopwatch() as watch:
            for _ in range(0, count, BATCH):
                await tm.gather(*[tm.submit(noop) for _ in range(BATCH)])
    return watch.per(count)


@in_loop
async def asyncio_in_flight(count: int) -> Sample:
    with Stopwatch() as watch:
        for _ in range(0, count, BATCH):
            await asyncio.gather(*[asyncio.create_task(noop()) for _ in range(BATCH)])
    return watch.per(count)


# -- one after another -----------------------------------------------------------------------------


@in_loop
async def ours_in_turn(count: int) -> Sample:
    async with TaskManager() as tm:
        with Stopwatch() as watch:
            for _ in range(count):
                await tm.submit(noop)
    return watch.per(count)


@in_loop
async def asyncio_in_turn(count: int) -> Sample:
    with Stopwatch() as watch:
        for _ in range(count):
            await asyncio.create_task(noop())
    return watch.per(count)


# -- coroutines that really wait -------------------------------------------------------------------


async def pause() -> None:
    """Leave the loop to others twice, as a coroutine that waits for something does."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


@in_loop
async def ours_waiting(count: int) -> Sample:
    async with TaskManager(max_concurrent_tasks=BATCH) as tm:
        with Stopwatch() as watch:
            for _ in range(0, count, BATCH):
                await tm.gather(*[tm.submit(pause) for _ in range(BATCH)])
    return watch.per(count)


@in_loop
async def asyncio_waiting(count: int) -> Sample:
    with Stopwatch() as watch:
        for _ in range(0, count, BATCH):
            await asyncio.gather(*[asyncio.create_task(pause()) for _ in range(BATCH)])
    return watch.per(count)


# -- from plain code -------------------------------------------------------------------------------


def ours_from_plain_code(count: int) -> Sample:
    with TaskManager() as tm:
        tm.submit(noop).result()
        with Stopwatch() as watch:
            handles = [tm.submit(noop) for _ in range(count)]
            tm.gather(*handles).result()
    return watch.per(count)


def asyncio_from_plain_code(count: int) -> Sample:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(noop(), loop).result()
    with Stopwatch() as watch:
        futures = [asyncio.run_coroutine_threadsafe(noop(), loop) for _ in range(count)]
        for future in futures:
            future.result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
    return watch.per(count)


CASES = (
    Case(
        "at-once",
        "100,000 no-op coroutines at once",
        "create_task + gather",
        100_000,
        ours_at_once,
        asyncio_at_once,
    ),
    Case(
        "at-once-uncollected",
        "the same, garbage collector off",
        "create_task + gather",
        100_000,
        ours_at_once,
        asyncio_at_once,
        collector=False,
    ),
    Case(
        "at-once-eager",
        "the same, beside eager tasks",
        "eager create_task + gather",
        100_000,
        ours_at_once,
        asyncio_eager,
        since=(3, 12),
    ),
    Case(
        "in-flight",
        "no-op coroutines, 1,000 in flight",
        "gather in batches of 1,000",
        100_000,
        ours_in_flight,
        asyncio_in_flight,
    ),
    Case(
        "waiting",
        "coroutines that wait twice, 1,000 in flight",
        "gather in batches of 1,000",
        50_000,
        ours_waiting,
        asyncio_waiting,
    ),
    Case(
        "latency",
        "no-op coroutines, one after another",
        "await create_task",
        20_000,
        ours_in_turn,
        asyncio_in_turn,
    ),
    Case(
        "from-plain-code",
        "no-op coroutines, submitted from plain code",
        "run_coroutine_threadsafe",
        20_000,
        ours_from_plain_code,
        asyncio_from_plain_code,
    ),
)

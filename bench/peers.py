"""Other libraries that run tasks in one process, doing the same work as ours.

Each is given so many no-op tasks at once and asked for all results, with the limits that ours has
by default and without any delay it would make by itself. One that is not installed is left out.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from .case import Case
from .coroutines import noop as noop_async
from .coroutines import ours_at_once
from .stopwatch import Sample, Stopwatch, in_loop
from .threads import THREADS, noop, ours_submitted

AT_ONCE = 100
"""As many at once as ``TaskManager()`` runs."""
SOON = 0.001
"""How often those look for results that do not wait for them."""


@in_loop
async def aiojobs(count: int) -> Sample:
    from aiojobs import Scheduler

    scheduler = Scheduler(limit=AT_ONCE, pending_limit=0)
    with Stopwatch() as watch:
        jobs = [await scheduler.spawn(noop_async()) for _ in range(count)]
        await asyncio.gather(*[job.wait() for job in jobs])
    await scheduler.close()
    return watch.per(count)


@in_loop
async def taskiq(count: int) -> Sample:
    from taskiq import InMemoryBroker

    broker = InMemoryBroker(max_stored_results=count, max_async_tasks=AT_ONCE)
    task: Any = broker.register_task(noop_async, task_name="noop")
    await broker.startup()
    with Stopwatch() as watch:
        kicked = [await task.kiq() for _ in range(count)]
        await asyncio.gather(*[one.wait_result(check_interval=SOON) for one in kicked])
    await broker.shutdown()
    return watch.per(count)


@in_loop
async def apscheduler(count: int) -> Sample:
    from apscheduler import AsyncScheduler

    logging.getLogger("apscheduler").setLevel(logging.WARNING)
    async with AsyncScheduler(max_concurrent_jobs=AT_ONCE) as scheduler:
        await scheduler.start_in_background()
        await scheduler.configure_task("noop", func=noop_async, max_running_jobs=AT_ONCE)
        with Stopwatch() as watch:
            jobs = [
                await scheduler.add_job("noop", result_expiration_time=60) for _ in range(count)
            ]
            await asyncio.gather(*[scheduler.get_job_result(job) for job in jobs])
    return watch.per(count)


def huey(count: int) -> Sample:
    from huey import MemoryHuey
    from huey.consumer import Consumer

    class InProcess(Consumer):  # type: ignore[misc]
        """A consumer that leaves the signals of this process alone."""

        def _set_signal_handlers(self) -> None: ...

    logging.getLogger("huey").setLevel(logging.ERROR)
    queue = MemoryHuey(store_none=True)
    task = queue.task()(noop)
    consumer = InProcess(queue, workers=THREADS, periodic=False, initial_delay=SOON, max_delay=SOON)
    consumer.start()
    task().get(blocking=True)
    with Stopwatch() as watch:
        results = [task(i) for i in range(count)]
        for result in results:
            result.get(blocking=True, backoff=1.0, max_delay=SOON)
    consumer.stop(graceful=True)
    return watch.per(count)


def dask(count: int) -> Sample:
    from distributed import Client

    with Client(
        processes=False, n_workers=1, threads_per_worker=THREADS, dashboard_address=None
    ) as client:
        client.submit(noop).result()
        with Stopwatch() as watch:
            client.gather([client.submit(noop, i, pure=False) for i in range(count)])
    return watch.per(count)


CASES = (
    Case(
        "peer-aiojobs",
        "no-op coroutines at once",
        "aiojobs",
        10_000,
        ours_at_once,
        aiojobs,
        rounds=3,
        needs="aiojobs",
    ),
    Case(
        "peer-taskiq",
        "no-op coroutines at once",
        "TaskIQ, in memory",
        5_000,
        ours_at_once,
        taskiq,
        rounds=3,
        needs="taskiq",
    ),
    Case(
        "peer-apscheduler",
        "no-op coroutines at once",
        "APScheduler 4, in memory",
        500,
        ours_at_once,
        apscheduler,
        quick=50,
        rounds=3,
        needs="apscheduler",
    ),
    Case(
        "peer-huey",
        "no-op functions in threads",
        "Huey, in memory",
        5_000,
        ours_submitted,
        huey,
        rounds=3,
        needs="huey",
    ),
    Case(
        "peer-dask",
        "no-op functions in threads",
        "dask.distributed, in process",
        5_000,
        ours_submitted,
        dask,
        rounds=3,
        needs="distributed",
    ),
)

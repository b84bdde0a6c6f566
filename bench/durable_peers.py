"""Other libraries that keep tasks where a crash does not reach them, doing the same work as ours.

Each is given so many no-op tasks at once and asked for all results, by one process that submits,
works and waits: its own worker, within this process, with the defaults of its makers but for the
delays that it would make by itself. A Redis is one of our own, with its own defaults, which are to
save what has changed after a minute; ours and what is on SQLite has each task on disk, NORMAL.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from windlass import TaskManager

from .case import Case
from .crash import redis_server
from .durable import a_file, noop
from .peers import AT_ONCE, SOON
from .stopwatch import Sample, Stopwatch, in_loop
from .threads import THREADS

if TYPE_CHECKING:
    from collections.abc import Callable


def empty() -> None:
    """The work, for those that run functions."""


async def empty_async(*_: Any) -> None:
    """The work, for those that run coroutines."""


@in_loop
async def ours(count: int) -> Sample:
    with a_file() as file:
        async with TaskManager(file, durability="normal") as tm:
            await tm.submit(noop)
            with Stopwatch() as watch:
                await tm.gather(*[tm.submit(noop) for _ in range(count)])
    return watch.per(count)


def on_redis(measure: Callable[[str, int], Sample]) -> Callable[[int], Sample]:
    """Run a measurement beside a Redis, whose address it is given."""

    @functools.wraps(measure)
    def run(count: int) -> Sample:
        if shutil.which("redis-server") is None:
            raise FileNotFoundError("there is no redis-server")
        with redis_server() as address:
            return measure(address, count)

    return run


# -- Huey ------------------------------------------------------------------------------------------


def huey_sqlite(count: int) -> Sample:
    from huey import SqliteHuey

    with a_file() as file:
        return _huey(SqliteHuey(filename=str(file), store_none=True), count)


@on_redis
def huey_redis(address: str, count: int) -> Sample:
    from huey import RedisHuey

    return _huey(RedisHuey(url=address, store_none=True), count)


def _huey(queue: Any, count: int) -> Sample:
    from huey.consumer import Consumer

    class InProcess(Consumer):  # type: ignore[misc]
        """A consumer that leaves the signals of this process alone."""

        def _set_signal_handlers(self) -> None: ...

    logging.getLogger("huey").setLevel(logging.ERROR)
    task = queue.task()(empty)
    consumer = InProcess(queue, workers=THREADS, periodic=False, initial_delay=SOON, max_delay=SOON)
    consumer.start()
    task().get(blocking=True)
    with Stopwatch() as watch:
        for result in [task() for _ in range(count)]:
            result.get(blocking=True, backoff=1.0, max_delay=SOON)
    consumer.stop(graceful=True)
    return watch.per(count)


# -- those of asyncio ------------------------------------------------------------------------------


@on_redis
def taskiq_redis(address: str, count: int) -> Sample:
    return asyncio.run(_taskiq(address, count))


async def _taskiq(address: str, count: int) -> Sample:
    from taskiq.api import run_receiver_task
    from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend

    broker: Any = ListQueueBroker(address).with_result_backend(RedisAsyncResultBackend(address))
    task = broker.register_task(empty_async, task_name="empty")
    await broker.startup()
    receiver = asyncio.create_task(run_receiver_task(broker, max_async_tasks=AT_ONCE))
    await (await task.kiq()).wait_result()
    with Stopwatch() as watch:
        for kicked in [await task.kiq() for _ in range(count)]:
            await kicked.wait_result()
    receiver.cancel()
    with suppress(asyncio.CancelledError):
        await receiver
    await broker.shutdown()
    return watch.per(count)


@on_redis
def saq_redis(address: str, count: int) -> Sample:
    return asyncio.run(_saq(address, count))


async def _saq(address: str, count: int) -> Sample:
    from saq import Queue, Worker

    logging.getLogger("saq").setLevel(logging.ERROR)
    queue: Any = Queue.from_url(address)
    worker: Any = Worker(queue, functions=[("empty", empty_async)], concurrency=AT_ONCE)
    worker.SIGNALS = []
    await queue.connect()
    working = asyncio.create_task(worker.start())
    await asyncio.sleep(1.0)  # a worker begins by sweeping away what looks stuck, new jobs too
    await queue.apply("empty")
    with Stopwatch() as watch:
        await queue.map("empty", [{} for _ in range(count)])
    await worker.stop()
    working.cancel()
    with suppress(asyncio.CancelledError):
        await working
    await queue.disconnect()
    return watch.per(count)


# -- those of functions ----------------------------------------------------------------------------


@on_redis
def rq_redis(address: str, count: int) -> Sample:
    from redis import Redis
    from rq import Queue, SimpleWorker

    logging.getLogger("rq.worker").setLevel(logging.ERROR)
    connection: Any = Redis.from_url(address)
    queue = Queue(connection=connection)
    with Stopwatch() as watch:
        jobs = [queue.enqueue(empty) for _ in range(count)]
        SimpleWorker([queue], connection=connection).work(burst=True)
        assert all(job.return_value() is None and job.is_finished for job in jobs)
    connection.close()
    return watch.per(count)


@on_redis
def celery_redis(address: str, count: int) -> Sample:
    from celery import Celery
    from celery.contrib.testing.worker import start_worker

    app: Any = Celery("bench", broker=address, backend=address)
    task = app.task(empty, name="empty")
    with start_worker(app, pool="threads", concurrency=THREADS, perform_ping_check=False):
        task.delay().get()
        with Stopwatch() as watch:
            for result in [task.delay() for _ in range(count)]:
                result.get(disable_sync_subtasks=False)
    app.close()
    return watch.per(count)


def dbos_sqlite(count: int) -> Sample:
    from dbos import DBOS

    with a_file() as file:
        address = f"sqlite:///{file}"
        DBOS(config={"name": "bench", "system_database_url": address, "log_level": "ERROR"})
        workflow = DBOS.workflow(name="empty")(empty)
        DBOS.launch()
        try:
            DBOS.start_workflow(workflow).get_result()
            with Stopwatch() as watch:
                for handle in [DBOS.start_workflow(workflow) for _ in range(count)]:
                    handle.get_result(polling_interval_sec=SOON)
        finally:
            DBOS.destroy(destroy_registry=True)
    return watch.per(count)


def beside(name: str, shown: str, count: int, measure: Callable[[int], Sample], needs: str) -> Case:
    return Case(
        f"durable-{name}", "durable no-ops, from submit to result", shown, count, ours, measure,
        quick=max(20, count // 50), rounds=2, needs=needs,
    )  # fmt: skip


CASES = (
    beside("huey-sqlite", "Huey, SQLite", 2_000, huey_sqlite, "huey"),
    beside("huey-redis", "Huey, Redis", 5_000, huey_redis, "huey"),
    beside("taskiq-redis", "TaskIQ, Redis", 2_000, taskiq_redis, "taskiq_redis"),
    beside("saq-redis", "SAQ, Redis", 2_000, saq_redis, "saq"),
    beside("rq-redis", "RQ, Redis", 2_000, rq_redis, "rq"),
    beside("celery-redis", "Celery, Redis", 2_000, celery_redis, "celery"),
    beside("dbos-sqlite", "DBOS, SQLite", 500, dbos_sqlite, "dbos"),
)

"""Tasks on Celery workers, beside Celery's own client: the same app, the same workers, one Redis.

What is measured is the whole way there and back, and what the program that waits takes of a core
while it does.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from windlass import TaskManager

from .case import MILLISECONDS, Case
from .crash import redis_server
from .stopwatch import Sample, Stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROCESSES, THREADS = "2", "250"
LOOK_EVERY = 0.1
"""How often a program that polls looks at each of its results."""


@contextmanager
def cluster(*options: str) -> Iterator[Any]:
    """A Redis and a worker; the module that it runs, here."""
    root = Path(__file__).parents[1]
    with redis_server() as address:
        os.environ["BENCH_REDIS"] = address
        celery = [sys.executable, "-m", "celery", "--workdir", str(root), "-A", "bench.cluster_app"]
        worker = subprocess.Popen(
            [*celery, "worker", *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            sys.modules.pop("bench.cluster_app", None)  # it knew another Redis
            module: Any = importlib.import_module("bench.cluster_app")
            module.empty.delay().get(timeout=30)
            yield module
            module.app.close()
        finally:
            worker.terminate()
            worker.wait()


def on_cluster(measure: Callable[[Any, int], Sample], *options: str) -> Callable[[int], Sample]:
    """Run a measurement beside a cluster."""

    def run(count: int) -> Sample:
        with cluster(*(options or ("-c", PROCESSES))) as module:
            return measure(module, count)

    return run


@contextmanager
def managed(module: Any) -> Iterator[TaskManager]:
    """A manager whose tasks the workers run, warm."""
    from windlass.celery import CeleryExecutor

    executor = CeleryExecutor(module.app)
    with TaskManager(executors={"celery": executor}) as tm:
        tm.submit(module.noop).result(timeout=30)
        yield tm


# -- there and back --------------------------------------------------------------------------------


def ours_at_once(module: Any, count: int) -> Sample:
    with managed(module) as tm:
        with Stopwatch() as watch:
            tm.gather(*[tm.submit(module.noop, i) for i in range(count)]).result()
        return watch.per(count)


def delay_and_get(module: Any, count: int) -> Sample:
    with Stopwatch() as watch:
        results = [module.empty.delay(i) for i in range(count)]
        for result in results:
            result.get()
    return watch.per(count)


def group_and_get(module: Any, count: int) -> Sample:
    from celery import group

    with Stopwatch() as watch:
        group(module.empty.s(i) for i in range(count)).apply_async().get()
    return watch.per(count)


def ours_one_by_one(module: Any, count: int) -> Sample:
    with managed(module) as tm:
        with Stopwatch() as watch:
            for _ in range(count):
                tm.submit(module.noop).result()
        return watch.per(count)


def celery_one_by_one(module: Any, count: int) -> Sample:
    with Stopwatch() as watch:
        for _ in range(count):
            module.empty.delay().get()
    return watch.per(count)


# -- waiting ---------------------------------------------------------------------------------------


def ours_waiting(module: Any, count: int) -> Sample:
    with managed(module) as tm:
        began = time.process_time()
        tm.gather(*[tm.submit(module.linger) for _ in range(count)]).result()
        return Sample((time.process_time() - began) / count)


def polling(module: Any, count: int) -> Sample:
    began = time.process_time()
    waiting = [module.linger_there.delay() for _ in range(count)]
    while waiting := [result for result in waiting if not result.ready()]:
        time.sleep(LOOK_EVERY)
    return Sample((time.process_time() - began) / count)


_THREADS = ("--pool", "threads", "-c", THREADS)

CASES = (
    Case(
        "celery",
        "no-op tasks on Celery workers, at once",
        "delay(), then get()",
        2_000,
        on_cluster(ours_at_once),
        on_cluster(delay_and_get),
        quick=50,
        rounds=3,
        unit=MILLISECONDS,
        needs="celery",
    ),
    Case(
        "celery-group",
        "the same",
        "group(...).apply_async().get()",
        2_000,
        on_cluster(ours_at_once),
        on_cluster(group_and_get),
        quick=50,
        rounds=3,
        unit=MILLISECONDS,
        needs="celery",
    ),
    Case(
        "celery-latency",
        "the same, one after another",
        "delay().get()",
        500,
        on_cluster(ours_one_by_one),
        on_cluster(celery_one_by_one),
        quick=20,
        rounds=3,
        unit=MILLISECONDS,
        needs="celery",
    ),
    Case(
        "celery-waiting",
        "processor time of waiting for tasks of a second",
        f"ready(), every {LOOK_EVERY} s",
        1_000,
        on_cluster(ours_waiting, *_THREADS),
        on_cluster(polling, *_THREADS),
        quick=100,
        rounds=2,
        unit=MILLISECONDS,
        needs="celery",
    ),
)

"""Thousands of tasks from eight threads, through each face: every one is accounted for.

``WINDLASS_CROWD=10000`` sends so many instead of two thousand.
"""

import asyncio
import os
import threading
from collections import Counter

import pytest

from core import event_system
from core.event_system import EventType
from core.task import AsyncTaskManager, TaskBridge, TaskMonitor
from core.task.unified_manager import UnifiedTaskManager
from core.task_management import AsyncExecutor, Task, TaskManager

THREADS = 8
ALL = range(int(os.environ.get("WINDLASS_CROWD", "2000")))
SOON = 60


def same(n):
    if n % 100 == 99:
        raise ValueError(n)
    return n


async def same_async(n):
    return same(n)


def crowd(work):
    """Have eight threads do ``work(numbers)``; what goes wrong in one is raised here."""
    failures, start = [], threading.Barrier(THREADS)

    def share(first):
        try:
            start.wait(SOON)
            work(range(first, len(ALL), THREADS))
        except BaseException as error:  # noqa: BLE001  # it is raised below
            failures.append(error)

    threads = [threading.Thread(target=share, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    assert not any(thread.is_alive() for thread in threads)
    for failure in failures:
        raise failure


def account(face, ids):
    """Each number has come out once, or failed if it was to."""
    windlass = face.windlass
    windlass.join().result(SOON)
    assert len(ids) == len({*ids}) == len(ALL)
    results = {windlass.get_task_result(id) for id in ids} - {None}
    assert results == {n for n in ALL if n % 100 != 99}
    by_status = Counter(windlass.get_task_status(id) for id in ids)
    assert by_status == {"completed": len(ALL) * 99 // 100, "failed": len(ALL) // 100}


@pytest.fixture(autouse=True)
def _quiet(caplog):
    """A hundred failures that are meant need not be logged."""
    caplog.set_level("CRITICAL", logger="windlass")


def test_async_task_manager(new):
    cleaned = []

    class Counting(AsyncTaskManager):
        def _cleanup_task_resources(self, task):
            cleaned.append(task.task_id)

    tm, ids = new(Counting), []

    def work(numbers):
        for n in numbers:
            id = tm.register_task("x", same, n)
            ids.append(id)
            tm.execute_task(id)

    crowd(work)
    account(tm, ids)
    tm.stop()
    assert Counter(cleaned) == Counter(ids), "the hook was called once for each"


def test_task_management(new):
    tm, ids = new(TaskManager, 50), []

    def work(numbers):
        async def main():
            mine = [tm.register_task("x", same_async, n) for n in numbers]
            ids.extend(mine)
            results = await asyncio.gather(
                *(tm.execute_task(id) for id in mine), return_exceptions=True
            )
            for n, result in zip(numbers, results, strict=True):
                assert result == n if n % 100 != 99 else isinstance(result, ValueError)

        asyncio.run(main())

    crowd(work)
    account(tm, ids)
    assert tm.get_metrics()["total_tasks"] == len(ALL)


def test_an_executor(new):
    executor, tasks = new(AsyncExecutor, 50), []

    def work(numbers):
        async def main():
            mine = [Task(func=same_async, args=(n,)) for n in numbers]
            tasks.extend(mine)
            await asyncio.gather(*map(executor.execute, mine), return_exceptions=True)

        asyncio.run(main())

    crowd(work)
    account(executor, [task.task_id for task in tasks])


def test_unified_manager(new):
    um, ids = new(UnifiedTaskManager), []

    def work(numbers):
        async def main():
            for n in numbers:
                id = await um.register_task("x", same_async if n % 2 else same, (n,))
                ids.append(id)
                await um.execute_task(id)
            await um.windlass.join()

        asyncio.run(main())

    crowd(work)
    account(um, ids)
    assert len(asyncio.run(um.get_tasks_by_status("failed"))) == len(ALL) // 100


def test_oldest_manager(new, oldest):
    tm, ids = new(oldest.TaskManager), []
    tm.start()

    def work(numbers):
        for n in numbers:
            ids.append(tm.register_task("x", same, n))

    crowd(work)
    account(tm, ids)
    assert len(tm.get_failed_tasks()) == len(ALL) // 100


def test_thread_pool(new, pool):
    tp, ids = new(pool.ThreadPoolManager), []

    def work(numbers):
        for n in numbers:
            ids.append(tp.submit(same, n))

    crowd(work)
    account(tp, ids)
    assert tp.get_metrics()["completed_tasks"] == len(ALL) * 99 // 100


@pytest.mark.parametrize("kind", [TaskBridge, TaskMonitor])
def test_by_hand(new, kind):
    face, ids = new(kind), []

    def work(numbers):
        for n in numbers:
            id = face.register_task("x", same, (n,)) if kind is TaskBridge else face.register_task()
            ids.append(id)
            assert face.start_task(id)
            assert face.update_task_progress(id, 0.5)
            assert face.fail_task(id, "no") if n % 100 == 99 else face.complete_task(id, n)

    crowd(work)
    account(face, ids)


def test_one_task_is_ended_once_by_eight_threads(new):
    bridge, ends = new(TaskBridge), Counter()
    ids = [bridge.register_task("x", same, (n,)) for n in range(200)]

    def work(numbers):
        for n, id in enumerate(ids):
            verbs = (bridge.complete_task, bridge.cancel_task, bridge.fail_task)
            if verbs[(n + numbers[0]) % 3](id, "so"):
                ends[id] += 1

    crowd(work)
    assert ends == dict.fromkeys(ids, 1)


def test_events_are_published_once_and_in_order(new):
    told = {}

    def listen(event):
        told.setdefault(event.data["task_id"], []).append(event.event_type)

    event_system.subscribe(None, listen)
    try:
        tm, ids = new(AsyncTaskManager), []

        def work(numbers):
            for n in numbers:
                id = tm.register_task("x", same, n)
                ids.append(id)
                tm.execute_task(id)

        crowd(work)
        account(tm, ids)
        tm.stop()
    finally:
        event_system.unsubscribe(None, listen)
    assert {*ids} == told.keys()
    ends = (EventType.TASK_COMPLETED, EventType.TASK_FAILED)
    assert all(
        events[:2] == [EventType.TASK_CREATED, EventType.TASK_STARTED]
        and len(events) == 3
        and events[2] in ends
        for events in told.values()
    )

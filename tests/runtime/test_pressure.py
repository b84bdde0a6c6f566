"""max_pending: submit raises, enqueue waits, first come, first served."""

import asyncio

import pytest

from windlass import ManagerClosedError, QueueFullError, TaskManager, current_task, task

from .stage import Door, double, double_async, on_a_loop


@on_a_loop
async def test_submit_raises_when_the_queue_is_full_and_says_what_to_do():
    async with TaskManager(max_pending=3, max_concurrent_tasks=1) as tm:
        door = Door()
        running = tm.submit(door)
        await door.came()
        waiting = [tm.submit(double_async, n) for n in range(3)]
        with pytest.raises(QueueFullError, match="max_pending.*enqueue") as caught:
            tm.submit(double_async, 3)
        assert "3 tasks are waiting" in str(caught.value)
        with pytest.raises(QueueFullError):
            tm.register_task("x", double_async, 1)
        waiting[0].cancel()
        waiting[0] = tm.submit(double_async, 0)
        door.open()
        await running
        assert await tm.gather(*waiting) == [0, 2, 4]


@on_a_loop
async def test_enqueue_waits_for_room_first_come_first_served():
    order = []

    async def note(n):
        order.append(n)
        return n

    async with TaskManager(max_pending=2, max_concurrent_tasks=1) as tm:
        door = Door()
        tm.submit(door)
        await door.came()
        waits = [tm.enqueue(note, n) for n in range(20)]
        assert [wait.done() for wait in waits[:3]] == [True, True, False]
        await asyncio.sleep(0)
        assert not waits[2].done()
        assert len(tm.list_tasks()) == 3
        door.open()
        handles = [await wait for wait in waits]
        assert await tm.gather(*handles) == list(range(20))
        assert order == list(range(20))


@on_a_loop
async def test_ten_thousand_may_wait_for_room():
    async with TaskManager(max_pending=10) as tm:
        waits = [tm.enqueue(double_async, n) for n in range(10_000)]
        handles = [await wait for wait in waits]
        assert await tm.gather(*handles) == [2 * n for n in range(10_000)]


def test_enqueue_waits_in_plain_code_too(gate):
    with TaskManager(max_pending=1, max_concurrent_tasks=1) as tm:
        tm.submit(gate)
        gate.wait_for()
        tm.submit(double, 1)
        wait = tm.enqueue(double, 2)
        with pytest.raises(TimeoutError):
            wait.result(timeout=0.01)
        gate.open()
        assert wait.result(timeout=60).result(timeout=60) == 4


@on_a_loop
async def test_a_waiter_that_gives_up_leaves_the_task_in_line():
    async with TaskManager(max_pending=1, max_concurrent_tasks=1) as tm:
        door = Door()
        tm.submit(door)
        await door.came()
        tm.submit(double_async, 1)
        wait = tm.enqueue(double_async, 2)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(wait, 0.01)
        door.open()
        assert await (await wait) == 4


@on_a_loop
async def test_a_task_that_enqueues_lends_its_slot_so_that_there_will_be_room():
    async def spawns(tm, depth):
        handles = [await tm.enqueue(double_async, n) for n in range(20)]
        return await tm.gather(*handles)

    async with TaskManager(max_pending=2, max_concurrent_tasks=1) as tm:
        assert await tm.submit(spawns, tm, 1) == [2 * n for n in range(20)]
        assert await tm.submit(
            lambda: [tm.enqueue(double_async, n).result().result() for n in range(20)]
        ) == [2 * n for n in range(20)]


@on_a_loop
async def test_who_still_waits_for_room_when_the_manager_closes_is_told():
    async with TaskManager(max_pending=1, max_concurrent_tasks=1) as tm:
        door = Door()
        tm.submit(door)
        await door.came()
        tm.submit(double_async, 1)
        wait = tm.enqueue(double_async, 2)
        await tm.stop()
        with pytest.raises(ManagerClosedError):
            await wait


@on_a_loop
async def test_leaving_waits_for_those_who_wait_for_room():
    async with TaskManager(max_pending=1, max_concurrent_tasks=1) as tm:
        waits = [tm.enqueue(double_async, n) for n in range(10)]
    assert [wait.result().result() for wait in waits] == [2 * n for n in range(10)]


@on_a_loop
async def test_bad_calls_are_refused_before_they_wait():
    async with TaskManager(max_pending=1) as tm:
        with pytest.raises(TypeError, match="missing a required argument: 'x'"):
            tm.enqueue(double)
        with pytest.raises(ValueError, match="no executor 'gpu'"):
            tm.enqueue(task(double, executor="gpu"), 1)
    with pytest.raises(ManagerClosedError):
        tm.enqueue(double, 1)


@on_a_loop
async def test_children_count_like_any_task():
    async def parent():
        with pytest.raises(QueueFullError):
            for n in range(5):
                current_task().submit(double_async, n)

    async with TaskManager(max_pending=3, max_concurrent_tasks=1) as tm:
        await tm.submit(parent)

"""Whoever awaits a task lends its time: to the pump, and to tasks that are short."""

import asyncio

import pytest

from windlass import TaskCancellationError, TaskExecutionError, TaskManager

from .stage import forever, on_a_loop


async def nothing():
    pass


async def pause():
    await asyncio.sleep(0)
    return asyncio.current_task()


async def who():
    return asyncio.current_task()


async def with_a_spare_lane(tm):
    """There is one when the first task is over, and the loop has had a breath."""
    await tm.submit(nothing)
    await asyncio.sleep(0)


@on_a_loop
async def test_a_short_task_is_over_before_the_loop_has_had_a_turn():
    async with TaskManager() as tm:
        await with_a_spare_lane(tm)
        turns = []
        asyncio.get_running_loop().call_soon(turns.append, 1)
        await tm.submit(nothing)
        assert not turns


@on_a_loop
async def test_now_and_then_the_loop_breathes():
    async with TaskManager() as tm:
        await with_a_spare_lane(tm)
        breaths = 0

        async def breathe():
            nonlocal breaths
            while True:
                await asyncio.sleep(0)
                breaths += 1

        other = asyncio.create_task(breathe())
        for _ in range(64):
            await tm.submit(nothing)
        other.cancel()
        assert 2 <= breaths < 64


@on_a_loop
async def test_to_asyncio_what_runs_is_not_the_task_that_waits():
    me = asyncio.current_task()
    async with TaskManager() as tm:
        await with_a_spare_lane(tm)
        lane = await tm.submit(who)
        assert lane is not me
        assert lane.get_name() == "windlass-lane"
        assert asyncio.current_task() is me


@on_a_loop
async def test_what_suspends_goes_on_in_the_name_it_began_in():
    async with TaskManager() as tm:
        await with_a_spare_lane(tm)
        assert await tm.submit(who) is await tm.submit(pause)


@on_a_loop
async def test_a_timeout_that_is_up_at_once_is_the_tasks_and_nobody_elses():
    async def hurry():
        async with asyncio.timeout(0):
            await asyncio.Event().wait()

    async with TaskManager() as tm:
        await with_a_spare_lane(tm)
        with pytest.raises(TaskExecutionError) as caught:
            await tm.submit(hurry)
        assert type(caught.value.original_error) is TimeoutError
        assert not asyncio.current_task().cancelling()
        assert await tm.submit(pause)


@on_a_loop
async def test_who_cancels_its_lane_cancels_no_other_task():
    async def cancel():
        asyncio.current_task().cancel()

    async with TaskManager() as tm:
        await with_a_spare_lane(tm)
        _, lane = await tm.gather(tm.submit(cancel), tm.submit(pause))
        assert not lane.cancelling()


@on_a_loop
async def test_what_has_just_begun_can_be_cancelled():
    async with TaskManager() as tm:
        await with_a_spare_lane(tm)
        short, long = tm.submit(nothing), tm.submit(forever)
        await short
        assert long.status == "running"
        assert long.cancel()
        with pytest.raises(TaskCancellationError):
            await long
        assert long.ended_by == "asked"


@on_a_loop
async def test_what_fails_leaves_its_lane_to_itself():
    async def fail():
        raise ValueError("no")

    async with TaskManager() as tm:
        await with_a_spare_lane(tm)
        failing, ending = tm.submit(fail), tm.submit(who)
        with pytest.raises(ValueError, match="no"):
            await failing
        assert await ending

"""A task's own changes: from the first on, and then as they come."""

import asyncio

import pytest

from windlass import TaskCancellationError, TaskManager, TaskStatus, current_task, task

from .stage import on_a_loop

P, W, R = TaskStatus.PENDING, TaskStatus.WAITING, TaskStatus.RUNNING
C, F, X = TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED


async def one():
    return 1


def moves(changes):
    return [(change.before, change.after, change.attempt) for change in changes]


async def told(handle, since=0):
    return [change async for change in handle.changes(since)]


@on_a_loop
async def test_what_has_happened_is_told_from_the_first_on():
    async with TaskManager() as tm:
        first = tm.submit(one)
        then = tm.submit(task(lambda x: x, name="then"), first)
        await then
        assert moves(await told(first)) == [(None, P, 0), (P, R, 1), (R, C, 1)]
        assert moves(await told(then)) == [(None, W, 0), (P, R, 1), (R, C, 1)]
        times = [change.at for change in await told(first)]
        assert times == sorted(times)


@on_a_loop
async def test_whoever_has_seen_some_goes_on_after_them():
    async with TaskManager() as tm:
        handle = tm.submit(one)
        await handle
        assert moves(await told(handle, since=2)) == [(R, C, 1)]
        assert await told(handle, since=3) == await told(handle, since=9) == []


@on_a_loop
async def test_what_happens_meanwhile_is_told_as_it_comes():
    async with TaskManager() as tm:
        go = asyncio.Event()
        handle = tm.submit(go.wait)
        seen = []
        async for change in handle.changes():
            seen.append(change)
            if change.after is R:
                go.set()
        assert moves(seen) == [(None, P, 0), (P, R, 1), (R, C, 1)]


@on_a_loop
async def test_attempts_and_their_errors_are_in_it():
    async def second_time():
        if current_task().attempt == 1:
            raise ValueError("not yet")

    async with TaskManager() as tm:
        handle = tm.submit(task(second_time, max_retries=1, retry_delay=0.0))
        await handle
        changes = await told(handle)
    assert moves(changes) == [(None, P, 0), (P, R, 1), (R, P, 1), (P, R, 2), (R, C, 2)]
    assert str(changes[2].error) == "not yet"


@on_a_loop
async def test_the_end_says_why():
    async def fails():
        raise KeyError("k")

    async with TaskManager() as tm:
        failed = tm.submit(fails)
        with pytest.raises(KeyError):
            await failed
        (*_, last) = await told(failed)
        assert (last.before, last.after, last.cause) == (R, F, "failed")
        assert isinstance(last.error, KeyError)
        never = tm.submit(task(one).options(delay=100.0))
        never.cancel()
        with pytest.raises(TaskCancellationError):
            await never
        assert moves(await told(never)) == [(None, P, 0), (P, X, 0)]
        assert (await told(never))[-1].cause == "asked"


@on_a_loop
async def test_of_a_manager_that_closes_no_more_is_told():
    async with TaskManager() as tm:
        held = tm.get_handle(tm.register_task("held", one))
        reading = asyncio.ensure_future(told(held))
        await asyncio.sleep(0)
    assert moves(await reading)[0] == (None, P, 0)

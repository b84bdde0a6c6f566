"""Times survive: a wall clock is all that two lives of a program have in common."""

import pytest
from runtime.stage import on_a_loop

from windlass import Retry, TaskCancellationError, TaskTimeoutError

from .stage import Clocked, add, door, echo, fail_until, settled, wait_at

DAY = 86_400.0


@on_a_loop
async def test_delays_and_moments(jobs):
    world = Clocked(jobs)
    async with world.manager() as tm:
        delayed = tm.submit(add.options(delay=100), 1)
        at = tm.submit(add.options(at=world.clock.wall() + 100), 1)
        past = tm.submit(add.options(at=world.clock.wall() + 10), 1)
        long_past = tm.submit(add.options(at=world.clock.wall() - DAY), 1)
        assert await long_past == 2
        await world.advance(tm, 5)
    async with world.manager(later=50) as tm:
        assert await tm.get_handle(past.id) == 2
        await settled(tm)
        assert tm.get_task_status(delayed.id) == tm.get_task_status(at.id) == "pending"
        await world.advance(tm, 44)
        assert tm.get_task_status(delayed.id) == "pending"
        await world.advance(tm, 2)
        assert await tm.get_handle(delayed.id) == 2
        assert await tm.get_handle(at.id) == 2


@on_a_loop
async def test_a_backoff_goes_on(jobs):
    world = Clocked(jobs)
    async with world.manager() as tm:
        handle = tm.submit(fail_until.options(retry=Retry(3, delay=100, jitter=0, cap=1000)), 3)
        await settled(tm)
        assert handle.info.attempt == 1
        await tm.shutdown(wait=False)
    async with world.manager(later=60) as tm:
        await world.advance(tm, 39)
        assert tm.get_task(handle.id).attempt == 1
        await world.advance(tm, 2)
        assert tm.get_task(handle.id).attempt == 2
        # The second pause is twice as long: failures were counted.
        await world.advance(tm, 190)
        assert tm.get_task(handle.id).attempt == 2
        await world.advance(tm, 20)
        assert await tm.get_handle(handle.id) == 3


@on_a_loop
async def test_total_timeout_counts_from_submit(jobs):
    world = Clocked(jobs)
    hold = door()
    async with world.manager() as tm:
        spent = tm.submit(add.options(total_timeout=100, delay=1000), 1)
        left = tm.submit(wait_at.options(total_timeout=200))
        await hold.came()
        await tm.shutdown(wait=False)
    hold = door()
    async with world.manager(later=150) as tm:
        await hold.came()
        with pytest.raises(TaskTimeoutError, match="100"):
            await tm.get_handle(spent.id)
        await world.advance(tm, 60)
        with pytest.raises(TaskTimeoutError, match="200"):
            await tm.get_handle(left.id)


@on_a_loop
async def test_timeout_counts_from_the_start_of_the_new_attempt(jobs):
    world = Clocked(jobs)
    hold = door()
    async with world.manager() as tm:
        handle = tm.submit(wait_at.options(timeout=100))
        await hold.came()
        await world.advance(tm, 90)
        await tm.shutdown(wait=False)
    hold = door()
    async with world.manager(later=500) as tm:
        await hold.came()
        await world.advance(tm, 90)
        assert tm.get_task_status(handle.id) == "running"
        await world.advance(tm, 20)
        with pytest.raises(TaskTimeoutError):
            await tm.get_handle(handle.id)


@on_a_loop
async def test_expires_only_what_never_started(jobs):
    world = Clocked(jobs)
    hold = door()
    async with world.manager() as tm:
        never = tm.submit(add.options(expires=100, delay=1000), 1)
        begun = tm.submit(wait_at.options(expires=100))
        await hold.came()
        await tm.shutdown(wait=False)
    hold = door()
    hold.open()
    async with world.manager(later=150) as tm:
        assert await tm.get_handle(begun.id) is None
        with pytest.raises(TaskCancellationError, match="expired"):
            await tm.get_handle(never.id)


@on_a_loop
async def test_a_clock_that_was_set_back(jobs):
    world = Clocked(jobs)
    async with world.manager() as tm:
        done, delayed = tm.submit(echo, 1), tm.submit(add.options(delay=100), 1)
        at = tm.submit(add.options(at=world.clock.wall() + 100), 1)
        await done
        world.clock.set_wall(world.clock.wall() - DAY)
        await world.advance(tm, 50)
        assert delayed.status == "pending"
        more = tm.submit(echo, 2)
        assert await more == 2
    async with world.manager(later=-DAY) as tm:
        # A delay may be off by as much as the clock was, but nothing is lost and nothing breaks.
        assert {tm.get_task_status(h.id) for h in (delayed, at)} == {"pending"}
        assert [info.id for info in tm.list_tasks()] == [done.id, delayed.id, at.id, more.id] or {
            info.id for info in tm.list_tasks()
        } == {done.id, delayed.id, at.id, more.id}
        await world.advance(tm, 3 * DAY)
        assert await tm.get_handle(at.id) == 2
        assert await tm.get_handle(delayed.id) == 2

"""One task may have several waits on at once: ``asyncio.gather`` makes a coroutine of each."""

import asyncio

from windlass import TaskManager, current_task

from .stage import double, double_async, on_a_loop


@on_a_loop
async def test_a_wait_that_is_over_goes_on_when_another_of_the_same_task_begins():
    async def parent(function):
        me = current_task()
        return await asyncio.gather(*[me.submit(function, n) for n in range(6)])

    async with TaskManager() as tm:
        for _ in range(100):
            for function in (double, double_async):
                assert await tm.submit(parent, function) == [0, 2, 4, 6, 8, 10]

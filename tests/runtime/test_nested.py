"""Tasks that wait for tasks lend their slot; waits that could never end are refused."""

import asyncio

import pytest

from windlass import DeadlockError, TaskExecutionError, TaskManager, current_task, task

from .stage import Door, double, double_async, on_a_loop, root_of


@on_a_loop
async def test_a_recursion_of_coroutines_a_thousand_deep_needs_one_slot():
    async def count(depth):
        if not depth:
            return 0
        return 1 + await current_task().submit(count, depth - 1)

    async with TaskManager(max_concurrent_tasks=1) as tm:
        assert await tm.submit(count, 1000) == 1000
        assert tm.get_metrics().taken == 0


@on_a_loop
async def test_a_failure_at_the_bottom_is_told_at_the_top_in_a_line():
    async def count(depth):
        if not depth:
            raise ValueError("the bottom")
        return await current_task().submit(count, depth - 1)

    async with TaskManager(max_concurrent_tasks=1) as tm:
        with pytest.raises(ValueError, match="the bottom") as caught:
            await tm.submit(count, 50)
        assert len(str(caught.value)) < 200


@on_a_loop
async def test_a_tree_of_coroutines_needs_one_slot():
    async def fibonacci(n):
        if n < 2:
            return n
        me = current_task()
        one, two = me.submit(fibonacci, n - 1), me.submit(fibonacci, n - 2)
        return sum(await asyncio.gather(one, two))

    async with TaskManager(max_concurrent_tasks=1) as tm:
        assert await tm.submit(fibonacci, 12) == 144
        assert tm.get_metrics().taken == 0


def test_threads_may_wait_as_deep_as_the_bound_and_no_deeper():
    def count(tm, depth):
        if not depth:
            return 0
        return 1 + tm.submit(count, tm, depth - 1).result()

    with TaskManager(max_concurrent_tasks=1, max_waiting_threads=20) as tm:
        assert tm.submit(count, tm, 20).result(timeout=60) == 20
        with pytest.raises(TaskExecutionError, match="which is its limit") as caught:
            tm.submit(count, tm, 25).result(timeout=60)
        assert isinstance(root_of(caught.value), DeadlockError)
        assert tm.submit(count, tm, 20).result(timeout=60) == 20
        metrics = tm.get_metrics()
        assert metrics.taken == 0
        assert metrics.executors["thread"].waiting == 0


@on_a_loop
async def test_sequential_tasks_may_not_wait_and_are_told_what_to_do():
    async def waits(tm):
        return await tm.submit(double, 1)

    async with TaskManager() as tm:
        with pytest.raises(
            TaskExecutionError, match=r"'sequential'.*submit\(f, handle.output\)"
        ) as caught:
            await tm.submit(task(waits, executor="sequential"), tm)
        assert isinstance(caught.value.original_error, DeadlockError)
        assert await tm.submit(task(double, executor="sequential"), tm.submit(double, 1)) == 4


@on_a_loop
async def test_a_task_that_waits_for_itself_is_refused():
    async def narcissus():
        return await handles[0]

    async with TaskManager() as tm:
        handles = [tm.submit(narcissus)]
        with pytest.raises(TaskExecutionError, match="narcissus -> narcissus") as caught:
            await handles[0]
        assert caught.value.original_error.path == ("narcissus", "narcissus")


@on_a_loop
async def test_a_cycle_of_waits_is_refused_with_its_path():
    handles = {}

    async def waits(for_whom, door, others):
        door.open()
        for other in others:
            await other()
        return await handles[for_whom]

    async with TaskManager() as tm:
        doors = {name: Door() for name in "abc"}
        for name, other in ("ab", "bc", "ca"):
            others = [door for one, door in doors.items() if one != name]
            handles[name] = tm.submit(task(waits, name=name), other, doors[name], others)
        results = await tm.gather(*handles.values(), return_errors=True)
        (error,) = {root_of(result) for result in results}
        assert isinstance(error, DeadlockError)
        assert len(error.path) == 4
        assert error.path[0] == error.path[-1]
        assert all(" -> ".join(error.path) in str(result) for result in results)


def test_a_cycle_of_threads_is_refused_too(gate):
    with TaskManager() as tm:
        handles = {}

        def waits(other):
            gate()
            return handles[other].result()

        handles["a"] = tm.submit(task(waits, name="a"), "b")
        handles["b"] = tm.submit(task(waits, name="b"), "a")
        gate.wait_for(2)
        gate.open()
        errors = tm.gather(*handles.values(), return_errors=True).result(timeout=60)
        assert all(isinstance(root_of(error), DeadlockError) for error in errors)


@on_a_loop
async def test_waiting_for_what_depends_on_me_is_refused():
    late = []

    async def early(door):
        await door()
        await late[0]

    async with TaskManager() as tm:
        door = Door()
        first = tm.submit(early, door)
        middle = tm.submit(double, first.output)
        late.append(tm.submit(double, middle.output))
        door.open()
        with pytest.raises(TaskExecutionError, match="early -> double -> double -> early"):
            await first


@on_a_loop
async def test_a_task_that_survives_a_refused_wait_goes_on():
    async def careful():
        try:
            await handles[0]
        except DeadlockError:
            return await current_task().submit(double, 2)

    async with TaskManager(max_concurrent_tasks=1) as tm:
        handles = [tm.submit(careful)]
        assert await handles[0] == 4


@on_a_loop
async def test_a_wait_that_times_out_gives_the_slot_back():
    async with TaskManager(max_concurrent_tasks=1) as tm:
        door = Door()
        slow = tm.submit(door, 5)
        await door.came()

        async def waits():
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(slow, 0.01)
            return await slow

        def waits_in_thread():
            with pytest.raises(TimeoutError):
                slow.result(timeout=0.01)
            return slow.result()

        waiting = [tm.submit(waits), tm.submit(waits_in_thread)]
        slow_waiter = tm.submit(double, slow.output)
        tm.max_concurrent_tasks = 2
        await asyncio.sleep(0.03)
        door.open()
        assert await tm.gather(*waiting) == [5, 5]
        assert await slow_waiter == 10
        assert tm.get_metrics().taken == 0


@on_a_loop
async def test_many_waits_of_one_task_at_once_lend_one_slot():
    async def waits(tm):
        handles = [tm.submit(double_async, n) for n in range(10)]
        first = await asyncio.gather(*handles)
        second = await tm.gather(*tm.map(double_async, range(10)))
        third = [await h async for h in tm.as_completed(tm.map(double, range(10)))]
        one = asyncio.create_task(other(tm))
        return first, second, sorted(third), await one

    async def other(tm):
        return await tm.submit(double, 3)

    async with TaskManager(max_concurrent_tasks=1) as tm:
        even = [2 * n for n in range(10)]
        assert await tm.submit(waits, tm) == (even, even, even, 6)
        assert tm.get_metrics().taken == 0


@on_a_loop
async def test_a_task_that_waits_goes_first_in_line_for_a_slot_afterwards():
    order = []

    async def parent():
        await current_task().submit(note, "child")
        order.append("parent")

    async def note(x):
        order.append(x)

    async with TaskManager(max_concurrent_tasks=1) as tm:
        tm.pause()
        tm.submit(parent)
        for n in range(3):
            tm.submit(note, n)
        tm.resume()
        await tm.join()
    assert order.index("parent") == order.index("child") + 1


@on_a_loop
async def test_running_tasks_never_exceed_the_limit_while_slots_are_lent():
    busy = most = 0

    async def step():
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(0)
        busy -= 1

    async def parent(depth):
        for _ in range(3):
            await step()
            if depth:
                await current_task().submit(parent, depth - 1)

    async with TaskManager(max_concurrent_tasks=2) as tm:
        await tm.gather(*[tm.submit(parent, 3) for _ in range(4)])
    assert most <= 2


@on_a_loop
async def test_a_waiting_task_can_be_cancelled():
    async with TaskManager(max_concurrent_tasks=1) as tm:
        door = Door()

        async def waits():
            await current_task().submit(door)

        def waits_in_thread():
            current_task().submit(door).result()

        for function in (waits, waits_in_thread):
            handle = tm.submit(function)
            await door.came()
            handle.cancel()
            await tm.join()
            assert {info.status for info in tm.list_tasks()} == {"cancelled"}
            assert tm.get_metrics().taken == 0
        assert await tm.submit(double, 1) == 2


@on_a_loop
async def test_a_task_may_wait_for_what_a_finished_one_left_behind():
    async def leaves():
        return [current_task().submit(double, 4)]

    async def takes(handles):
        return await handles[0]

    async with TaskManager(max_concurrent_tasks=1) as tm:
        left = await tm.submit(leaves)
        assert await tm.submit(lambda: takes(left)) == 8

"""One vocabulary for both worlds: await it, ask for its result, or ignore it."""

import asyncio
import math
import threading

import pytest

from windlass import TaskError, TaskManager, TaskNotFoundError, task

from .stage import SOON, Door, double, double_async, fail, fail_async, forever, on_a_loop


def test_result_blocks_until_it_is_there(gate):
    with TaskManager() as tm:
        handle = tm.submit(gate, 3)
        gate.wait_for()
        threading.Timer(0.01, gate.open).start()
        assert handle.result() == 3


def test_a_wait_that_times_out_raises_the_builtin_and_leaves_the_task_alone(gate):
    with TaskManager() as tm:
        handle = tm.submit(gate, 3)
        with pytest.raises(TimeoutError, match="goes on") as caught:
            handle.result(timeout=0.01)
        assert not isinstance(caught.value, TaskError)
        with pytest.raises(TimeoutError):
            handle.result(timeout=0)
        assert not handle.done()
        gate.open()
        assert handle.result(timeout=60) == 3


@pytest.mark.parametrize("timeout", [-1, -0.5, math.nan, math.inf, "1", True])
def test_a_timeout_that_is_none_is_refused(timeout, gate):
    with TaskManager() as tm:
        handle = tm.submit(gate)
        with pytest.raises((ValueError, TypeError), match="timeout"):
            handle.result(timeout=timeout)
        gate.open()


def test_a_timeout_of_ages_is_fine():
    with TaskManager() as tm:
        assert tm.submit(double, 1).result(timeout=1e12) == 2


@on_a_loop
async def test_on_the_loops_own_thread_result_is_refused_and_says_await():
    async with TaskManager() as tm:
        handle = tm.submit(double, 1)
        for wait in (handle, tm.gather(handle), tm.join(), tm.enqueue(double, 1)):
            if not wait.done():
                with pytest.raises(RuntimeError, match="await"):
                    wait.result()
        assert await handle == 2


@on_a_loop
async def test_a_cancelled_waiter_only_stops_waiting():
    async with TaskManager() as tm:
        door = Door()
        handle = tm.submit(door, 3)
        await door.came()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(handle, 0.01)
        waiter = asyncio.ensure_future(handle)
        await asyncio.sleep(0)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        assert handle.status == "running"
        door.open()
        assert await handle == 3


@on_a_loop
async def test_asyncio_can_wait_for_handles():
    async with TaskManager() as tm:
        handles = tm.map(double_async, range(3))
        assert await asyncio.gather(*handles) == [0, 2, 4]
        assert await asyncio.shield(tm.submit(double, 2)) == 4
        async with asyncio.timeout(5):
            assert await tm.submit(double, 3) == 6


@on_a_loop
async def test_many_may_wait_for_one_task_from_many_threads_and_loops():
    async with TaskManager() as tm:
        door = Door()
        handle = tm.submit(door, 5)

        async def elsewhere():
            return await handle

        waiting = [asyncio.to_thread(handle.result) for _ in range(3)]
        waiting += [asyncio.to_thread(asyncio.run, elsewhere()) for _ in range(3)]
        waiting += [elsewhere() for _ in range(3)]
        gathered = asyncio.gather(*waiting)
        await door.came()
        await asyncio.sleep(0.01)
        door.open()
        assert await gathered == [5] * 9


def test_those_who_give_up_do_not_take_others_with_them(gate):
    """Waiters that time out just as the task ends must not keep others from being woken."""
    for _ in range(50):
        release = threading.Event()
        with TaskManager() as tm:
            handle = tm.submit(release.wait, SOON)
            results = []

            def wait(timeout, handle=handle, results=results):
                try:
                    results.append(handle.result(timeout))
                except TimeoutError:
                    results.append(None)

            threads = [
                threading.Thread(target=wait, args=(timeout,))
                for timeout in (0.002, None, 0.002, None, 0.002, None)
            ]
            for thread in threads:
                thread.start()
            threading.Event().wait(0.0019)
            release.set()
            for thread in threads:
                thread.join(SOON)
                assert not thread.is_alive()
            assert results.count(True) >= 3


@on_a_loop
async def test_a_failure_is_raised_as_a_task_error_and_as_what_it_was():
    async with TaskManager() as tm:
        handle = tm.submit(fail, "details")
        with pytest.raises(ValueError, match="fail .* failed: ValueError: details") as caught:
            await handle
        assert isinstance(caught.value, TaskError)
        assert caught.value.task_id == handle.id
        assert isinstance(caught.value.original_error, ValueError)
        assert caught.value.__cause__ is caught.value.original_error
        assert handle.ended_by == "raised"
        assert isinstance(handle.exception(), ValueError)
        with pytest.raises(ValueError, match="details") as again:
            await handle
        assert again.value is not caught.value, "or tracebacks would pile up in it"


# -- gather --------------------------------------------------------------------------------------


@on_a_loop
async def test_gather_gives_results_in_the_order_of_the_handles():
    async with TaskManager() as tm:
        door = Door()
        slow, quick = tm.submit(door, 1), tm.submit(double, 1)
        both = tm.gather(slow, quick)
        await quick
        assert not both.done()
        door.open()
        assert await both == [1, 2]
        assert await both == [1, 2]
        assert await tm.gather() == []
        assert await tm.gather(quick, quick, slow, quick) == [2, 2, 1, 2]


def test_gather_from_plain_code():
    with TaskManager() as tm:
        assert tm.gather(*tm.map(double, range(5))).result(timeout=60) == [0, 2, 4, 6, 8]
        assert tm.gather().result() == []


@on_a_loop
async def test_gather_raises_the_first_failure_when_all_are_done():
    async with TaskManager() as tm:
        door = Door()
        slow, late = tm.submit(door), None
        early = tm.submit(fail_async, "early")
        await tm.gather(early, return_errors=True)
        late = tm.submit(fail_async, "late")
        everything = asyncio.ensure_future(tm.gather(late, slow, early))
        await tm.gather(late, return_errors=True)
        await asyncio.sleep(0)
        assert not everything.done()
        door.open()
        with pytest.raises(ValueError, match="early"):
            await everything


@on_a_loop
async def test_gather_can_return_errors_in_place():
    async with TaskManager() as tm:
        cancelled = tm.submit(forever)
        cancelled.cancel()
        good, bad, gone = await tm.gather(
            tm.submit(double, 1), tm.submit(fail), cancelled, return_errors=True
        )
        assert good == 2
        assert isinstance(bad, ValueError)
        assert isinstance(gone, TaskError)


@on_a_loop
async def test_gather_and_as_completed_take_handles_and_say_so():
    async with TaskManager() as tm:
        handles = tm.map(double, range(2))
        with pytest.raises(TypeError, match=r"gather\(\*handles\)"):
            tm.gather(handles)
        with pytest.raises(TypeError, match="handle"):
            tm.gather(5)
        with pytest.raises(TypeError, match="handle"):
            tm.as_completed([5])
        with pytest.raises(TypeError, match="handle"):
            tm.as_completed(handles[0])
        await tm.gather(*handles)


@on_a_loop
async def test_gather_refuses_the_handles_of_another_manager():
    async with TaskManager() as tm, TaskManager() as other:
        theirs = other.submit(double, 1)
        with pytest.raises(TaskNotFoundError, match="another manager"):
            tm.gather(theirs)
        with pytest.raises(TaskNotFoundError, match="another manager"):
            tm.as_completed([theirs])
        assert await theirs == 2


# -- as_completed --------------------------------------------------------------------------------


@on_a_loop
async def test_as_completed_gives_handles_as_they_end():
    async with TaskManager() as tm:
        doors = [Door() for _ in range(3)]
        handles = [tm.submit(door, n) for n, door in enumerate(doors)]
        seen = []
        doors[2].open()
        async for handle in tm.as_completed(handles):
            seen.append(handle)
            for n in {0: (), 1: (0,), 2: (1,)}[await handle]:
                doors[n].open()
        assert seen == handles[::-1]


def test_as_completed_from_plain_code():
    with TaskManager() as tm:
        handles = tm.map(double, range(20))
        assert {h.result() for h in tm.as_completed(handles)} == {2 * n for n in range(20)}
        assert list(tm.as_completed([])) == []
        bad = tm.submit(fail)
        (ended,) = tm.as_completed([bad])
        assert ended is bad
        assert ended.exception() is not None


@on_a_loop
async def test_as_completed_may_be_left_early():
    async with TaskManager() as tm:
        door = Door()
        slow = tm.submit(door)
        async for handle in tm.as_completed([slow, tm.submit(double, 1)]):
            assert await handle == 2
            break
        door.open()


# -- join ----------------------------------------------------------------------------------------


@on_a_loop
async def test_join_waits_for_everything_that_was_released():
    async with TaskManager() as tm:
        await tm.join()
        door = Door()
        handle = tm.submit(door)
        after = tm.submit(double, handle.output)
        held = tm.register_task("held", double, 1)
        joining = asyncio.ensure_future(tm.join())
        await door.came()
        assert not joining.done()
        door.open()
        with pytest.raises(TypeError):
            await after
        await joining
        assert tm.get_task_status(held) == "pending"


def test_join_from_plain_code(gate):
    with TaskManager() as tm:
        tm.submit(gate)
        with pytest.raises(TimeoutError):
            tm.join().result(timeout=0.01)
        gate.open()
        tm.join().result(timeout=60)
        assert tm.list_tasks(status="completed")


@on_a_loop
async def test_a_task_that_joins_does_not_wait_for_itself():
    async with TaskManager() as tm:
        other = tm.submit(double, 1)

        async def joins():
            await tm.join()
            return other.done()

        assert await tm.submit(joins)


@on_a_loop
async def test_tasks_that_join_do_not_wait_for_each_other():
    async with TaskManager() as tm:

        async def joins():
            await tm.join()

        await tm.gather(*[tm.submit(joins) for _ in range(5)])
        await tm.gather(*[tm.submit(lambda: tm.join().result()) for _ in range(3)])


@on_a_loop
async def test_what_is_waited_for_may_be_ignored():
    async with TaskManager() as tm:
        tm.enqueue(double, 1)
        tm.gather(tm.submit(double, 1))
        tm.join()
        tm.execute_task(tm.register_task("x", double, 1))
        tm.submit(task(double), 1)

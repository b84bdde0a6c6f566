"""Cancelling: at once for what waits, with grace for coroutines, without mercy for threads."""

import asyncio
import logging
import threading
from contextlib import suppress

import pytest

from windlass import (
    Retry,
    TaskCancellationError,
    TaskManager,
    TaskTimeoutError,
    current_task,
    task,
)

from .stage import SOON, Door, Gate, Told, double, double_async, forever, hangs_at_first, on_a_loop


@on_a_loop
async def test_what_waits_is_cancelled_at_once():
    async with TaskManager() as tm:
        tm.pause()
        ran = []
        handle = tm.submit(ran.append, 1)
        assert handle.cancel()
        assert handle.status == "cancelled"
        assert not handle.cancel()
        with pytest.raises(TaskCancellationError, match="was cancelled: asked") as caught:
            await handle
        assert not isinstance(caught.value, asyncio.CancelledError)
        assert caught.value.cause == "asked"
        assert handle.ended_by == "asked"
        tm.resume()
        await tm.join()
        assert ran == []


@on_a_loop
async def test_a_coroutine_gets_cancelled_error_and_time_to_clean_up():
    async with TaskManager() as tm:
        door, cleaning = Door(), Door()
        log = []

        async def work():
            try:
                await door()
            except asyncio.CancelledError:
                log.append(current_task().cancelled)
                await cleaning()
                log.append("cleaned")
                raise

        handle = tm.submit(work)
        await door.came()
        assert handle.cancel()
        await cleaning.came()
        assert handle.status == "running"
        assert "being stopped (asked)" in handle.explain()
        cleaning.open()
        with pytest.raises(TaskCancellationError):
            await handle
        assert log == [True, "cleaned"]


@on_a_loop
async def test_a_swallowed_cancel_still_ends_cancelled():
    async with TaskManager() as tm:
        door = Door()

        async def work():
            try:
                await door()
            except asyncio.CancelledError:
                return "never mind"

        handle = tm.submit(work)
        await door.came()
        handle.cancel()
        with pytest.raises(TaskCancellationError):
            await handle
        assert handle.status == "cancelled"


@on_a_loop
async def test_a_coroutine_that_goes_on_is_given_up_after_its_grace():
    async with TaskManager(cancel_grace=0.01) as tm:
        door, stubborn = Door(), Door()

        async def work():
            try:
                await door()
            except asyncio.CancelledError:
                await stubborn()

        handle = tm.submit(work)
        await door.came()
        handle.cancel()
        with pytest.raises(TaskCancellationError):
            await handle
        assert await tm.submit(double_async, 1) == 2
        stubborn.open()


@on_a_loop
async def test_an_error_while_being_cancelled_does_not_hide_the_cancel():
    async with TaskManager() as tm:
        door = Door()

        async def work():
            try:
                await door()
            finally:
                raise ValueError("in the clean-up")

        handle = tm.submit(work)
        await door.came()
        handle.cancel()
        with pytest.raises(TaskCancellationError):
            await handle


@on_a_loop
async def test_a_cancelled_task_does_not_take_others_of_its_lane_with_it():
    async with TaskManager() as tm:
        doors = [Door() for _ in range(20)]
        handles = [tm.submit(door, n) for n, door in enumerate(doors)]
        for door in doors:
            await door.came()
        for handle in handles[::2]:
            handle.cancel()
        for door in doors:
            door.open()
        results = await tm.gather(*handles, return_errors=True)
        assert results[1::2] == list(range(1, 20, 2))
        assert all(isinstance(error, TaskCancellationError) for error in results[::2])


@on_a_loop
@pytest.mark.parametrize("swallows", [False, True])
async def test_who_cancels_its_own_asyncio_task_keeps_that_to_itself(swallows):
    async def cancel():
        asyncio.current_task().cancel()
        if swallows:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
        return "done"

    async def breathe():
        await asyncio.sleep(0)
        return asyncio.current_task().cancelling()

    async with TaskManager() as tm:
        handles = [tm.submit(cancel), *[tm.submit(breathe) for _ in range(5)]]
        assert await tm.gather(*handles) == ["done", 0, 0, 0, 0, 0]


@on_a_loop
async def test_asyncio_timeouts_and_groups_inside_of_tasks_are_their_own_affair():
    async def work():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await forever()
        with pytest.raises(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(forever())
                group.create_task(asyncio.wait_for(forever(), 0.001))
        assert not current_task().cancelled
        await asyncio.sleep(0)
        return "fine"

    async with TaskManager() as tm:
        assert await tm.gather(*[tm.submit(work) for _ in range(5)]) == ["fine"] * 5


# -- threads -------------------------------------------------------------------------------------


@on_a_loop
async def test_a_thread_sees_that_it_is_to_stop(gate):
    saw = []
    left = threading.Event()

    def work():
        me = current_task()
        gate()
        saw.append(me.cancelled)
        try:
            me.check_cancelled()
        except TaskCancellationError as error:
            saw.append(error.task_id)
        left.set()

    async with TaskManager() as tm:
        handle = tm.submit(work)
        await gate.came()
        handle.cancel()
        with pytest.raises(TaskCancellationError):
            await handle
        assert not left.is_set(), "the task ends at once, whatever its thread does"
        gate.open()
        await asyncio.to_thread(left.wait, SOON)
        assert saw == [True, handle.id]


@on_a_loop
async def test_its_slot_is_returned_and_it_is_counted_until_it_leaves(gate):
    async with TaskManager(threads=1, max_concurrent_tasks=1) as tm:
        handle = tm.submit(gate)
        await gate.came()
        handle.cancel()
        assert await tm.submit(double, 2) == 4
        metrics = tm.get_metrics()
        assert metrics.abandoned_threads == 1
        assert metrics.taken == 0
        gate.open()
        while tm.get_metrics().abandoned_threads:
            await tm.submit(double, 2)


@on_a_loop
async def test_its_late_result_is_ignored(gate):
    async with TaskManager() as tm:
        handle = tm.submit(gate, "late")
        await gate.came()
        handle.cancel()
        await tm.gather(handle, return_errors=True)
        gate.open()
        while not tm.get_metrics().stale_reports:
            await tm.submit(double, 2)
        assert handle.status == "cancelled"
        assert tm.get_task_result(handle) is None


@on_a_loop
async def test_beyond_their_bound_abandoned_threads_take_the_place_of_others(caplog):
    gates = [Gate() for _ in range(4)]
    async with TaskManager(threads=2, max_abandoned_threads=2) as tm:
        for gate in gates:
            handle = tm.submit(gate)
            await gate.came()
            handle.cancel()
        await tm.join()
        assert any("check_cancelled" in record.getMessage() for record in caplog.records)
        stuck = tm.submit(double, 1)
        await tm.submit(double_async, 1)
        await asyncio.sleep(0.02)
        assert stuck.status == "pending", "four hang, two are allowed: no slot is left"
        for gate in gates:
            gate.open()
        assert await stuck == 2


@on_a_loop
async def test_a_retry_waits_until_the_thread_of_the_last_attempt_has_left(gate):
    work, attempts = hangs_at_first(gate)
    clock = Told()
    async with TaskManager(clock=clock, watchdog=None) as tm:
        handle = tm.submit(task(work, timeout=3600, retry=Retry(retries=1, delay=0)))
        await gate.came()
        clock.pass_for(tm)
        while handle.status != "pending":
            await asyncio.sleep(0.001)
        await tm.submit(double, 1)
        assert handle.status == "pending"
        assert "waiting for the thread of its last attempt" in handle.explain()
        gate.open()
        assert await handle == 2
        assert attempts == [1, 2]


@on_a_loop
async def test_a_retry_that_may_overlap_does_not_wait(gate):
    work, _ = hangs_at_first(gate)
    clock = Told()
    async with TaskManager(clock=clock, watchdog=None) as tm:
        retry = Retry(retries=1, delay=0, overlap=True)
        handle = tm.submit(task(work, timeout=3600, retry=retry))
        await gate.came()
        clock.pass_for(tm)
        assert await handle == 2
        gate.open()


@on_a_loop
async def test_what_a_thread_has_awaited_on_a_loop_is_cancelled_with_it():
    async with TaskManager() as tm:
        door, gone = Door(), Door()

        async def inner():
            try:
                await door()
            finally:
                gone.open()

        handle = tm.submit(lambda: inner())
        await door.came()
        handle.cancel()
        await gone()
        with pytest.raises(TaskCancellationError):
            await handle


# -- timeouts ------------------------------------------------------------------------------------


@on_a_loop
async def test_a_timeout_is_a_failure_of_the_task_not_a_timeout_of_the_waiter(gate):
    async with TaskManager() as tm:
        for function in (forever, gate):
            handle = tm.submit(task(function, timeout=0.01))
            with pytest.raises(TaskTimeoutError, match=r"timeout of 0\.01 s") as caught:
                await handle
            assert not isinstance(caught.value, TimeoutError)
            assert handle.status == "failed"
            assert handle.ended_by == "timeout"
        gate.open()


@on_a_loop
async def test_a_timeout_error_of_the_function_is_its_failure():
    async def work():
        raise TimeoutError("from within")

    async with TaskManager() as tm:
        with pytest.raises(Exception, match="from within") as caught:
            await tm.submit(work)
        assert not isinstance(caught.value, TimeoutError)
        assert isinstance(caught.value.original_error, TimeoutError)


# -- many ----------------------------------------------------------------------------------------


@on_a_loop
async def test_cancel_all_takes_the_filters_of_list_tasks():
    async with TaskManager() as tm:
        slow = [tm.submit(task(forever, tags=["slow"], owner="a")) for _ in range(3)]
        other = tm.submit(task(forever, owner="b"))
        done = tm.submit(double, 1)
        await done
        assert tm.cancel_all(tag="slow") == 3
        assert tm.cancel_all(owner="c") == 0
        await tm.gather(*slow, return_errors=True)
        assert {handle.status for handle in slow} == {"cancelled"}
        assert other.status == "running"
        with pytest.raises(TypeError, match="filtered by colour"):
            tm.cancel_all(colour="red")
        assert tm.cancel_all() == 1
        assert done.status == "completed"


@on_a_loop
async def test_a_storm_of_cancels_from_many_threads_leaves_nothing_behind():
    async def work(n):
        await asyncio.sleep(0)
        return n

    def in_thread(n):
        return n

    async with TaskManager(max_concurrent_tasks=20) as tm:
        handles = []
        for n in range(1000):
            handles.append(tm.submit(work, n))
            handles.append(tm.submit(in_thread, n))
            handles.append(tm.submit(double, handles[-1].output))

        def storm(share):
            for handle in share:
                handle.cancel()

        await asyncio.gather(*[asyncio.to_thread(storm, handles[i::7]) for i in range(4)])
        await tm.join()
        assert all(handle.done() for handle in handles)
        metrics = tm.get_metrics()
        assert metrics.taken == 0
        assert metrics.queued == 0
        assert sum(metrics.by_status.values()) == 3000
        for handle in handles:
            if handle.status == "completed":
                await handle


def test_no_error_is_logged_for_what_was_cancelled(caplog):
    with TaskManager() as tm:
        tm.submit(forever).cancel()
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]

"""Opening and leaving: by both doors, again and again, in order, and whatever happens inside."""

import asyncio
import logging
import threading
import time

import pytest

from windlass import (
    ManagerClosedError,
    TaskCancellationError,
    TaskManager,
    current_task,
    task,
)

from .stage import SOON, Door, double, double_async, forever, on_a_loop, windlass_threads


def test_nothing_happens_on_import_or_construction():
    before = threading.active_count()
    tm = TaskManager()
    assert threading.active_count() == before
    assert not tm.is_open
    assert "closed" in repr(tm)


@on_a_loop
async def test_leaving_waits_for_everything_that_was_released():
    async with TaskManager() as tm:
        door = Door()
        handle = tm.submit(door, 1)
        later = tm.submit(task(double, run_if="all_done").options(after=[handle], delay=0.01), 1)
        asyncio.get_running_loop().call_later(0.01, door.open)
    assert handle.result() == 1
    assert later.result() == 2
    assert not tm.is_open


@on_a_loop
async def test_leaving_cancels_what_is_held():
    async with TaskManager() as tm:
        held = tm.register_task("held", double, 1)
        also = tm.register_task("also", double, 1, dependencies=[held])
        quick = tm.submit(double, 1)
    assert tm.get_task_status(held) == "cancelled"
    assert tm.get_task_status(also) == "cancelled"
    assert "closed" in tm.get_task(held).cause
    assert quick.result() == 2


@on_a_loop
async def test_a_body_that_raises_cancels_the_rest_and_goes_on_its_way():
    with pytest.raises(KeyError, match="mine"):
        async with TaskManager() as tm:
            door = Door()
            running = tm.submit(door)
            waiting = tm.submit(double, running.output)
            due = tm.submit(task(double).options(delay=60), 1)
            await door.came()
            raise KeyError("mine")
    assert {h.status for h in (running, waiting, due)} == {"cancelled"}
    assert "the manager was closed" in running.ended_by


def test_a_body_that_raises_in_plain_code_too(gate):
    with pytest.raises(KeyError, match="mine"), TaskManager() as tm:
        handle = tm.submit(forever)
        thread = tm.submit(gate)
        gate.wait_for()
        raise KeyError("mine")
    assert handle.status == thread.status == "cancelled"


@on_a_loop
async def test_shutdown_without_waiting_cancels_and_waits_for_clean_up():
    tm = TaskManager()
    await tm.start()
    log, door = [], Door()

    async def work():
        try:
            await door()
        finally:
            await asyncio.sleep(0.01)
            log.append("cleaned up")

    handle = tm.submit(work)
    await door.came()
    await tm.shutdown(wait=False)
    assert log == ["cleaned up"]
    assert handle.status == "cancelled"


@on_a_loop
async def test_shutdown_with_a_timeout_cancels_what_is_left_then():
    tm = TaskManager()
    await tm.start()
    quick, slow = tm.submit(double, 1), tm.submit(forever)
    await tm.shutdown(timeout=0.02)
    assert quick.status == "completed"
    assert slow.status == "cancelled"
    await tm.start()
    slow = tm.submit(forever)
    await tm.shutdown(timeout=0)
    assert slow.status == "cancelled"
    for bad in (-1, float("nan"), "1"):
        with pytest.raises((ValueError, TypeError), match="timeout"):
            tm.shutdown(timeout=bad)


@on_a_loop
async def test_a_second_shutdown_hurries_the_first_one_on():
    tm = TaskManager()
    await tm.start()
    handle = tm.submit(forever)
    first = tm.shutdown()
    await asyncio.sleep(0)
    assert not first.done()
    await tm.stop()
    assert first.done()
    assert handle.status == "cancelled"
    await tm.start()
    handle = tm.submit(forever)
    first = tm.shutdown()
    await tm.shutdown(timeout=0.01)
    assert handle.status == "cancelled"


@on_a_loop
async def test_closing_twice_or_what_was_never_opened_is_fine():
    tm = TaskManager()
    await tm.stop()
    await tm.shutdown()
    await tm.start()
    await tm.start()
    await asyncio.gather(*[asyncio.ensure_future(tm.shutdown()) for _ in range(3)])
    await tm.stop()


@on_a_loop
async def test_stop_cancels_everything_and_acts_even_if_ignored():
    tm = TaskManager()
    tm.start()
    handle = tm.submit(forever)
    closing = tm.stop()
    with pytest.raises(TaskCancellationError):
        await handle
    await closing


@on_a_loop
async def test_while_it_closes_it_cannot_be_opened():
    tm = TaskManager()
    await tm.start()
    tm.submit(forever)
    closing = tm.shutdown()
    with pytest.raises(ManagerClosedError, match="closing"):
        await tm.start()
    await tm.stop()
    await closing
    await tm.start()
    await tm.stop()


@on_a_loop
async def test_abandoned_threads_are_listed_and_not_waited_for(gate, caplog):
    async with TaskManager() as tm:
        handle = tm.submit(task(gate, name="hangs"))
        await gate.came()
        handle.cancel()
    assert any("hangs" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("wait", [True, False])
@on_a_loop
async def test_a_task_may_close_its_own_manager(wait):
    async with TaskManager() as tm:
        log = []

        async def closes():
            await tm.shutdown(wait=wait)
            log.append("closed")
            return 5

        other = tm.submit(double, 1)
        handle = tm.submit(closes)
        assert await handle == 5
        await other if wait else None
    assert log == ["closed"]
    assert not tm.is_open


def test_a_thread_task_may_close_its_own_manager():
    tm = TaskManager()
    tm.start()

    def closes():
        tm.shutdown().result()
        return 5

    assert tm.submit(closes).result(timeout=SOON) == 5
    tm.shutdown().result(timeout=SOON)
    assert windlass_threads() == []


@on_a_loop
async def test_a_sequential_task_may_close_its_own_manager():
    async with TaskManager() as tm:

        async def closes():
            tm.shutdown()
            return 5

        other = tm.submit(double, 1)
        assert await tm.submit(task(closes, executor="sequential")) == 5
        assert await other == 2


@on_a_loop
async def test_several_tasks_may_close_their_manager_while_its_block_is_left():
    async with TaskManager() as tm:
        door = Door()

        async def closes():
            await door()
            await tm.shutdown()
            return 5

        handles = [tm.submit(closes) for _ in range(3)]
        await door.came(3)
        door.open()
    assert [handle.result() for handle in handles] == [5, 5, 5]


@on_a_loop
async def test_cancelling_whoever_leaves_the_block_cancels_the_tasks():
    door = Door()
    handles = []

    async def body():
        async with TaskManager() as tm:
            handles.append(tm.submit(door))

    running = asyncio.create_task(body())
    await door.came()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert handles[0].status == "cancelled"


@on_a_loop
async def test_plain_with_in_a_running_loop_is_refused():
    tm = TaskManager()
    with pytest.raises(RuntimeError, match="async with"), tm:
        pass
    assert not tm.is_open


def test_a_closed_manager_says_so():
    tm = TaskManager()
    for act in (
        lambda: tm.submit(double, 1),
        lambda: tm.map(double, [1]),
        lambda: tm.map(double, [1], chunksize=1),
        lambda: tm.enqueue(double, 1),
        lambda: tm.external("x"),
        lambda: tm.execute_task(tm.register_task("x", double, 1)),
        lambda: tm.as_executor().submit(double, 1),
        lambda: tm.graph({}) or tm.submit(double, 1),
    ):
        with pytest.raises(ManagerClosedError, match=r"not open.*with TaskManager"):
            act()
    with pytest.raises(RuntimeError):
        tm.submit(double, 1)
    with tm:
        handle = tm.submit(double, 2)
    with pytest.raises(ManagerClosedError):
        tm.submit(double, 1)
    assert handle.result() == 4
    assert tm.get_task_result(handle.id) == 4


def test_what_was_registered_before_opening_runs_after():
    tm = TaskManager()
    id = tm.register_task("early", double, 2)
    with tm:
        assert tm.execute_task(id).result(timeout=60) == 4


def test_a_manager_can_be_opened_again_and_again_by_either_door():
    tm = TaskManager()

    async def async_door():
        async with tm:
            return await tm.submit(double_async, 2), await tm.submit(double, 2)

    for _ in range(3):
        with tm:
            assert tm.submit(double_async, 2).result(timeout=60) == 4
            assert tm.submit(double, 2).result(timeout=60) == 4
        assert windlass_threads() == []
        assert asyncio.run(async_door()) == (4, 4)
    assert len(tm.list_tasks()) == 12


def test_closed_means_that_loop_and_threads_are_gone():
    with TaskManager() as tm:
        tm.submit(double, 1).result(timeout=60)
        assert "windlass-loop" in {thread.name for thread in threading.enumerate()}
        tm.subscribe(lambda batch: None)
        tm.submit(double, 1).result(timeout=60)
    for name in ("windlass-loop", "windlass-observer"):
        assert name not in windlass_threads()


def test_what_a_task_left_on_the_managers_own_loop_is_cancelled():
    left = []

    async def leaves():
        left.append(asyncio.create_task(forever()))
        await asyncio.sleep(0)

    with TaskManager() as tm:
        tm.submit(leaves).result(timeout=60)
    assert left[0].cancelled()


def test_a_coroutine_that_never_gives_in_does_not_keep_the_door_open():
    async def stubborn():
        while True:
            try:
                await forever()
            except asyncio.CancelledError:
                pass

    async def leaves_a_stubborn_one():
        left.append(asyncio.create_task(stubborn()))
        await asyncio.sleep(0)

    left = []
    with TaskManager(cancel_grace=0.01) as tm:
        handle = tm.submit(stubborn)
        tm.submit(leaves_a_stubborn_one).result(timeout=60)
        handle.cancel()
    assert handle.status == "cancelled"


def test_a_system_exit_in_a_task_of_asyncio_does_not_end_the_managers_own_loop():
    async def exits():
        raise SystemExit(3)

    async def spawns():
        await asyncio.create_task(exits())

    with TaskManager() as tm:
        with pytest.raises(Exception, match="SystemExit"):
            tm.submit(spawns).result(timeout=60)
        assert tm.submit(double_async, 1).result(timeout=60) == 2


def test_an_executor_that_cannot_open_is_no_trap():
    from windlass.executors.threads import ThreadExecutor

    class Broken(ThreadExecutor):
        def open(self, *arguments):
            raise OSError("no such thing")

    tm = TaskManager(executors={"broken": Broken()})
    with pytest.raises(OSError, match="no such thing"), tm:
        pass
    assert not tm.is_open

    async def main():
        with pytest.raises(OSError, match="no such thing"):
            async with tm:
                pass

    asyncio.run(main())
    assert not tm.is_open
    assert "windlass-loop" not in windlass_threads()


def test_leaving_while_paused_says_why_it_waits(caplog):
    with TaskManager() as tm:
        tm.pause()
        handle = tm.submit(double, 1)
        closing = tm.shutdown()
        with pytest.raises(TimeoutError):
            closing.result(timeout=0.05)
        assert handle.status == "pending"
        warnings = [r for r in caplog.records if r.levelno == logging.WARNING]
        assert any("paused" in record.getMessage() for record in warnings)
        tm.resume()
    assert handle.result() == 2


@on_a_loop
async def test_a_task_knows_nothing_of_who_closed(caplog):
    """What closing and the pump do is not done in the name of the task that caused it."""
    seen = []

    async def closes():
        tm.shutdown()
        return current_task().id

    async with TaskManager() as tm:
        tm.subscribe(lambda batch: seen.append(current_task().id))
        await tm.submit(closes)
    assert set(seen) == {""}


def test_a_closing_that_is_almost_over_is_waited_for_like_any_other():
    tm, told = TaskManager(own_loop=True), threading.Event()
    tm.subscribe(lambda _: told.wait(60))
    tm.start().result(60)
    tm.submit(tm.stop).result(60)
    while tm._runtime.home is not None:  # then it waits for nobody but those who are told of it
        time.sleep(0.001)
    closing = tm.shutdown()
    told.set()
    closing.result(60)
    tm.start().result(60)
    tm.stop().result(60)

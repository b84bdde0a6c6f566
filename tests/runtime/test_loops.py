"""Which loop a coroutine runs on, and what becomes of it when that is closed."""

import asyncio
import threading

import pytest

from windlass import (
    ManagerClosedError,
    TaskCancellationError,
    TaskManager,
    task,
)

from .stage import SOON, Door, double, double_async, forever, on_a_loop, windlass_threads


@on_a_loop
async def test_a_coroutine_runs_on_the_loop_it_was_submitted_on():
    async def where():
        await asyncio.sleep(0)
        return asyncio.get_running_loop()

    async def elsewhere():
        handles = [tm.submit(where) for _ in range(5)]
        child = tm.submit(lambda: where())
        return {await handle for handle in handles} | {await child}, asyncio.get_running_loop()

    async with TaskManager() as tm:
        used, loop = await asyncio.to_thread(asyncio.run, elsewhere())
        assert used == {loop}
        assert loop is not asyncio.get_running_loop()
        assert await tm.submit(where) is asyncio.get_running_loop()
        in_a_thread = await asyncio.to_thread(tm.submit, where)
        assert await in_a_thread is asyncio.get_running_loop()


def test_with_the_managers_own_loop_too():
    async def where():
        return threading.current_thread().name

    async def main():
        return await tm.submit(where)

    with TaskManager() as tm:
        assert asyncio.run(main()) == threading.current_thread().name
        assert tm.submit(where).result(timeout=60) == "windlass-loop"


def test_a_task_whose_loop_is_closed_fails_saying_so():
    async def where():
        pass

    async def main():
        return tm.submit(task(where).options(after=[ext])), tm.submit(
            task(lambda: where()).options(after=[ext])
        )

    with TaskManager() as tm:
        ext = tm.external("door")
        handles = asyncio.run(main())
        ext.complete()
        for handle in handles:
            with pytest.raises(Exception, match="event loop that is closed"):
                handle.result(timeout=60)
        assert tm.submit(double_async, 1).result(timeout=60) == 2


def test_a_task_whose_loop_closes_while_it_runs_ends():
    async def main():
        handle = tm.submit(door, 5)
        await door.came()
        return handle

    with TaskManager() as tm:
        door = Door()
        handle = asyncio.run(main())
        with pytest.raises(TaskCancellationError):
            handle.result(timeout=60)


def test_a_task_whose_loop_closes_before_it_looks_ends(gate):
    async def submits():
        return tm.submit(task(double_async).options(after=[ext]), 1)

    with TaskManager() as tm:
        ext = tm.external("door")
        loop = asyncio.new_event_loop()
        handle = loop.run_until_complete(submits())
        started = tm.submit(task(gate).options(after=[ext]))
        ext.complete()
        gate.wait_for()
        gate.open()
        started.result(timeout=60)
        loop.close()  # what was posted to it is never looked at
        with pytest.raises(Exception, match="event loop that is closed"):
            handle.result(timeout=60)


@pytest.fixture
def closing_loop():
    """A loop that is run by hand, round by round, and was never told to cancel anything."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def one_round(loop):
    """Have what is posted to the loop called, and nothing that comes of it."""
    loop.call_soon(loop.stop)
    loop.run_forever()


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_a_task_whose_loop_closes_under_it_ends(gate, closing_loop, rounds, caplog):
    """It was delivered there, or looked at, or it has begun."""

    async def submits():
        return tm.submit(task(forever).options(after=[ext]))

    with TaskManager() as tm:
        ext = tm.external("door")
        handle = closing_loop.run_until_complete(submits())
        started = tm.submit(task(gate).options(after=[ext]))
        ext.complete()
        gate.wait_for()
        gate.open()
        started.result(timeout=60)
        for _ in range(rounds):
            one_round(closing_loop)
        closing_loop.close()
        with pytest.raises(Exception, match="event loop that is closed"):
            handle.result(timeout=60)
    assert not [record for record in caplog.records if record.name == "asyncio"]


@pytest.mark.parametrize("rounds", [0, 1, 2, 3])
def test_what_a_thread_has_awaited_ends_with_its_loop(closing_loop, rounds, caplog):
    """It was posted there, or looked at, or it has begun."""
    posted = threading.Event()
    post = closing_loop.call_soon_threadsafe

    def posts(*args, **options):
        post(*args, **options)
        posted.set()

    closing_loop.call_soon_threadsafe = posts

    async def submits():
        return tm.submit(lambda: forever())

    with TaskManager() as tm:
        handle = closing_loop.run_until_complete(submits())
        assert posted.wait(60)
        for _ in range(rounds):
            one_round(closing_loop)
        closing_loop.close()
        with pytest.raises(Exception, match="event loop that is closed"):
            handle.result(timeout=60)
    assert not [record for record in caplog.records if record.name == "asyncio"]


def test_one_manager_in_several_loops_one_after_another():
    tm = TaskManager()

    async def main():
        async with tm:
            handle = tm.submit(double_async, 4)
            return await handle, asyncio.get_running_loop()

    loops = set()
    for _ in range(3):
        result, loop = asyncio.run(main())
        assert result == 8
        loops.add(loop)
    assert len(loops) == 3


def test_a_manager_whose_loop_went_away_can_be_opened_again(caplog):
    tm = TaskManager()

    async def main():
        await tm.start()
        handles.append(tm.submit(forever))
        handles.append(tm.submit(task(double).options(delay=60), 1))
        await asyncio.sleep(0)

    handles = []
    asyncio.run(main())
    with pytest.raises(ManagerClosedError, match="the event loop .* is closed"):
        tm.submit(double, 1).result()
    with tm:
        assert tm.submit(double, 3).result(timeout=60) == 6
    assert {handle.status for handle in handles} == {"cancelled"}
    assert any("closed before its manager" in r.getMessage() for r in caplog.records)


def test_a_manager_whose_loop_went_away_can_be_closed():
    tm = TaskManager()

    async def main():
        await tm.start()
        return tm.submit(task(double).options(delay=60), 1)

    for close in (tm.stop, tm.shutdown, lambda: tm.shutdown(timeout=1)):
        handle = asyncio.run(main())
        close().result(timeout=60)
        assert handle.status == "cancelled"
        assert not tm.is_open


def test_several_managers_live_side_by_side():
    with TaskManager() as one, TaskManager() as two:
        a = one.submit(double, 1)
        assert two.submit(double, a.result(timeout=60)).result(timeout=60) == 4
        assert len(one.list_tasks()) == len(two.list_tasks()) == 1


@on_a_loop
async def test_managers_of_one_loop_can_use_each_other():
    async with TaskManager() as one, TaskManager() as two:

        async def uses():
            return await two.submit(double, 4)

        assert await one.submit(uses) == 8
        assert await one.submit(lambda: two.submit(double, 4).result()) == 8


def test_on_a_loop_of_its_own_it_outlives_those_of_others():
    tm = TaskManager(own_loop=True)

    async def use(x):
        ours = asyncio.get_running_loop()
        tm.start()
        handle = tm.submit(double, x)

        async def where():
            return asyncio.get_running_loop()

        assert await tm.submit(where) is ours, "a coroutine still runs where it was submitted"
        return await handle

    assert asyncio.run(use(1)) == 2
    assert tm.is_open
    assert asyncio.run(use(2)) == 4
    assert tm.submit(double_async, 3).result(SOON) == 6

    async def leave():
        await tm.shutdown()

    asyncio.run(leave())
    assert not tm.is_open
    assert not windlass_threads()

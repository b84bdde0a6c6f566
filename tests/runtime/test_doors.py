"""Opening and leaving: by both doors, again and again, in order, and whatever happens inside."""

import asyncio
import logging
import signal
import sys
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

from .stage import SOON, Door, double, double_async, forever, on_a_loop, python


def windlass_threads():
    """The names of our threads, but for those that are just leaving."""
    ours = [t for t in threading.enumerate() if t.name.startswith("windlass-")]
    for thread in ours:
        thread.join(60)
    return [thread.name for thread in ours if thread.is_alive()]


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


# -- which loop ----------------------------------------------------------------------------------


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


# -- the end of the program ----------------------------------------------------------------------


def test_an_import_starts_no_thread_and_no_loop():
    python("""
        import threading, sys
        import windlass
        assert threading.active_count() == 1
        import asyncio
        assert asyncio._get_running_loop() is None
        try:
            asyncio.get_event_loop_policy()._local._loop
        except AttributeError:
            pass
        else:
            assert asyncio.get_event_loop_policy()._local._loop is None
    """)


def test_abandoned_threads_do_not_keep_the_interpreter():
    python("""
        import threading
        from windlass import TaskManager
        never = threading.Event()
        with TaskManager() as tm:
            began = threading.Event()
            def hangs():
                began.set()
                never.wait()
            handle = tm.submit(hangs)
            began.wait()
            handle.cancel()
    """)


def test_a_manager_that_was_never_closed_does_not_keep_the_interpreter():
    python("""
        import threading
        from windlass import TaskManager
        tm = TaskManager()
        tm.start()
        began = threading.Event()
        def hangs():
            began.set()
            threading.Event().wait()
        async def waits():
            import asyncio
            await asyncio.sleep(1000)
        tm.submit(hangs)
        tm.submit(waits)
        tm.subscribe(print)
        began.wait()
    """)


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("where", ["the body", "leaving"])
def test_ctrl_c_in_plain_code_cancels_the_rest_and_ends_the_program(where):
    done = python(
        f"""
        import os, signal, threading
        from windlass import TaskManager, current_task
        never, began, cleaned = threading.Event(), threading.Event(), threading.Event()
        async def forever():
            import asyncio
            current_task().defer(print, "cleaned up")
            began.set()
            await asyncio.sleep(1000)
        try:
            with TaskManager() as tm:
                handle = tm.submit(forever)
                began.wait()
                interrupt = lambda: os.kill(os.getpid(), signal.SIGINT)
                threading.Timer(0.1, interrupt).start()
                if {where == "the body"}:
                    handle.result()
        except KeyboardInterrupt:
            print("interrupted", handle.status)
        """
    )
    assert done.stdout.split("\n")[:2] == ["cleaned up", "interrupted cancelled"]


@pytest.fixture(params=[False, True])
def interrupted(request):
    """Has the next wake-up of a loop by this thread interrupted, just before it or just after."""
    me = threading.get_ident()

    def interrupt(loop):
        wake = loop.call_soon_threadsafe

        def interrupts(*args, **options):
            if threading.get_ident() != me:
                return wake(*args, **options)
            loop.call_soon_threadsafe = wake
            if request.param:
                wake(*args, **options)
            raise KeyboardInterrupt

        loop.call_soon_threadsafe = interrupts

    return interrupt


def test_ctrl_c_in_the_moment_in_which_closing_begins(interrupted):
    tm = TaskManager()
    with pytest.raises(KeyboardInterrupt), tm:
        handle = tm.submit(forever)
        tm.submit(double, 1).result(timeout=60)
        interrupted(tm._runtime.home.loop)
    assert not tm.is_open
    assert handle.status == "cancelled"


def test_ctrl_c_in_the_moment_in_which_the_pump_is_woken(interrupted):
    with TaskManager() as tm:
        tm.submit(double, 1).result(timeout=60)
        while tm._runtime.pump.awake:
            time.sleep(0.001)
        interrupted(tm._runtime.home.loop)
        with pytest.raises(KeyboardInterrupt):
            tm._runtime.pump.wake()
        assert tm.submit(double, 2).result(timeout=60) == 4


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_ctrl_c_that_does_not_wake_the_one_who_waits():
    """As one that comes in the very moment in which the main thread falls asleep."""

    def interrupts():
        while not tm._runtime.asleep:
            time.sleep(0.001)
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    with TaskManager() as tm:
        handle = tm.submit(forever)
        interrupting = threading.Thread(target=interrupts)
        interrupting.start()
        with pytest.raises(KeyboardInterrupt):
            handle.result()
        interrupting.join()
        handle.cancel()


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_ctrl_c_in_a_coroutine_cancels_the_rest_and_ends_the_program():
    done = python(
        """
        import asyncio, os, signal
        from windlass import TaskManager, current_task
        async def forever():
            current_task().defer(print, "cleaned up")
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(1000)
        async def main():
            global handle
            async with TaskManager() as tm:
                handle = tm.submit(forever)
        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            print("interrupted", handle.status)
        """
    )
    assert done.stdout.split("\n")[:2] == ["cleaned up", "interrupted cancelled"]


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

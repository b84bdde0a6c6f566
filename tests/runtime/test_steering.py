"""Pause and resume, the hook around every task, and the manager as somebody else's executor."""

import asyncio
import concurrent.futures
import contextlib
import contextvars
import threading

import pytest

from windlass import ManagerClosedError, Retry, TaskManager, current_task, task

from .stage import EVERYWHERE, SOON, Door, double, double_async, fail, on, on_a_loop


@on_a_loop
async def test_while_paused_nothing_starts_and_what_runs_goes_on():
    async with TaskManager() as tm:
        door = Door()
        running = tm.submit(door, 1)
        await door.came()
        tm.pause()
        waiting = tm.submit(double_async, 1)
        after = tm.submit(double_async, running.output)
        door.open()
        assert await running == 1
        await asyncio.sleep(0.01)
        assert waiting.status == after.status == "pending"
        tm.pause()
        tm.resume()
        assert await waiting == 2
        assert await after == 2
        tm.resume()


def test_pausing_before_opening_and_from_other_threads():
    tm = TaskManager()
    tm.pause()
    with tm:
        handle = tm.submit(double, 1)
        with pytest.raises(TimeoutError):
            handle.result(timeout=0.02)
        assert tm.get_metrics().paused
        threading.Timer(0.01, tm.resume).start()
        assert handle.result(timeout=60) == 2


# -- around --------------------------------------------------------------------------------------

who = contextvars.ContextVar("who", default=None)


@EVERYWHERE
@on_a_loop
async def test_managers_are_entered_around_every_attempt_the_first_one_outermost(executor):
    log = []

    def middleware(name):
        @contextlib.contextmanager
        def around(me):
            log.append(f"{name} enters {me.name} {me.attempt}")
            who.set(name)
            try:
                yield
            except ValueError as error:
                log.append(f"{name} sees {error}")
                raise
            finally:
                log.append(f"{name} leaves")

        return around

    def body():
        log.append(f"body in {who.get()}")
        if current_task().attempt == 1:
            raise ValueError("first")
        return 5

    async with TaskManager() as tm:
        tm.around(middleware("a"))
        tm.around(middleware("b"))
        handle = tm.submit(on(executor, body, name="t", retry=Retry(delay=0)))
        assert await handle == 5
    assert log == [
        "a enters t 1", "b enters t 1", "body in b", "b sees first", "b leaves", "a sees first",
        "a leaves", "a enters t 2", "b enters t 2", "body in b", "b leaves", "a leaves",
    ]  # fmt: skip


@on_a_loop
async def test_asynchronous_managers_are_entered_around_coroutines():
    log = []

    @contextlib.asynccontextmanager
    async def around(me):
        await asyncio.sleep(0)
        log.append("in")
        try:
            yield
        finally:
            await asyncio.sleep(0)
            log.append("out")

    async with TaskManager() as tm:
        tm.around(around)
        assert await tm.submit(double_async, 1) == 2
        assert log == ["in", "out"]
        door = Door()
        handle = tm.submit(door)
        await door.came()
        handle.cancel()
        await tm.gather(handle, return_errors=True)
        assert log == ["in", "out"] * 2


@on_a_loop
async def test_an_asynchronous_manager_around_a_plain_function_in_a_thread_is_refused_clearly():
    @contextlib.asynccontextmanager
    async def around(me):
        yield

    async with TaskManager() as tm:
        tm.around(around)
        with pytest.raises(TypeError, match="context manager"):
            await tm.submit(double, 1)


@EVERYWHERE
@on_a_loop
async def test_a_manager_that_fails_to_enter_fails_the_task(executor):
    @contextlib.contextmanager
    def around(me):
        raise PermissionError("not today")
        yield

    ran = []
    async with TaskManager() as tm:
        tm.around(around)
        with pytest.raises(PermissionError, match="not today"):
            await tm.submit(on(executor, ran.append), 1)
    assert ran == []


@EVERYWHERE
@on_a_loop
async def test_a_factory_that_makes_no_context_manager_fails_the_task(executor):
    async with TaskManager() as tm:
        tm.around(lambda me: 5)
        with pytest.raises(TypeError, match="context manager"):
            await tm.submit(on(executor, double), 1)
        with pytest.raises(TypeError, match=r"around\(\) takes a function"):
            tm.around(5)


@EVERYWHERE
@on_a_loop
async def test_a_manager_may_replace_or_swallow_an_error(executor):
    @contextlib.contextmanager
    def replaces(me):
        try:
            yield
        except ValueError as error:
            raise LookupError("instead") from error

    async with TaskManager() as tm:
        tm.around(replaces)
        with pytest.raises(LookupError, match="instead"):
            await tm.submit(on(executor, fail))
    async with TaskManager() as tm:
        tm.around(lambda me: contextlib.suppress(ValueError))
        assert await tm.submit(on(executor, fail)) is None
        assert await tm.submit(on(executor, double), 1) == 2


@EVERYWHERE
@on_a_loop
async def test_an_error_on_leaving_fails_the_task(executor):
    @contextlib.contextmanager
    def around(me):
        yield
        raise OSError("on the way out")

    async with TaskManager() as tm:
        tm.around(around)
        with pytest.raises(OSError, match="on the way out"):
            await tm.submit(on(executor, double), 1)


@on_a_loop
async def test_awaitables_of_plain_functions_are_awaited_inside():
    log = []

    @contextlib.contextmanager
    def around(me):
        yield
        log.append("left")

    async def later():
        await asyncio.sleep(0)
        log.append("awaited")

    async with TaskManager() as tm:
        tm.around(around)
        await tm.submit(lambda: later())
    assert log == ["awaited", "left"]


# -- as_executor ---------------------------------------------------------------------------------


def test_the_manager_is_an_executor_of_the_standard_library():
    with TaskManager() as tm:
        executor = tm.as_executor()
        assert isinstance(executor, concurrent.futures.Executor)
        future = executor.submit(double, 2)
        assert isinstance(future, concurrent.futures.Future)
        assert future.result(timeout=60) == 4
        assert executor.submit(double_async, 2).result(timeout=60) == 4
        assert executor.submit(pow, 2, exp=3).result(timeout=60) == 8
        assert list(executor.map(double, range(5))) == [0, 2, 4, 6, 8]
        with pytest.raises(ValueError, match="broken") as caught:
            executor.submit(fail).result(timeout=60)
        assert type(caught.value) is ValueError, "whoever takes an executor expects the original"
        assert tm.list_tasks(name="double")


def test_futures_can_be_waited_for_together():
    with TaskManager() as tm:
        executor = tm.as_executor()
        futures = [executor.submit(double, n) for n in range(10)]
        done, left = concurrent.futures.wait(futures, timeout=60)
        assert len(done) == 10
        assert not left
        futures = [executor.submit(double, n) for n in range(10)]
        ended = concurrent.futures.as_completed(futures, timeout=60)
        assert {future.result() for future in ended} == {2 * n for n in range(10)}
        bad, good = executor.submit(fail), executor.submit(double, 1)
        done, _ = concurrent.futures.wait([bad, good], timeout=60, return_when="ALL_COMPLETED")
        assert done == {bad, good}


def test_a_future_is_cancelled_while_it_waits_and_not_while_it_runs(gate):
    with TaskManager(max_concurrent_tasks=1) as tm:
        executor = tm.as_executor()
        running = executor.submit(gate, 1)
        gate.wait_for()
        waiting = executor.submit(double, 1)
        assert running.running()
        assert not running.cancel()
        assert not waiting.running()
        assert waiting.cancel()
        assert waiting.cancel()
        assert waiting.cancelled()
        done, _ = concurrent.futures.wait([waiting], timeout=60)
        assert done == {waiting}
        with pytest.raises(concurrent.futures.CancelledError):
            waiting.result(timeout=60)
        gate.open()
        assert running.result(timeout=60) == 1
        assert [info.status for info in tm.list_tasks()] == ["completed", "cancelled"]


def test_a_task_cancelled_by_the_manager_ends_its_future(gate):
    with TaskManager() as tm:
        future = tm.as_executor().submit(gate)
        gate.wait_for()
        tm.cancel_all()
        with pytest.raises(Exception, match="was cancelled"):
            future.result(timeout=60)


def test_shutting_it_down_waits_for_its_own_and_leaves_the_manager_open(gate):
    with TaskManager() as tm:
        with tm.as_executor() as executor:
            futures = [executor.submit(double, n) for n in range(20)]
        assert all(future.done() for future in futures)
        with pytest.raises(RuntimeError, match="after shutdown"):
            executor.submit(double, 1)
        assert tm.submit(double, 1).result(timeout=60) == 2
        tm.max_concurrent_tasks = 1
        other = tm.as_executor()
        running = other.submit(gate, 3)
        gate.wait_for()
        waiting = other.submit(double, 1)
        threading.Timer(0.01, gate.open).start()
        other.shutdown(cancel_futures=True)
        assert running.result() == 3
        assert waiting.cancelled()
    with pytest.raises(ManagerClosedError):
        tm.as_executor().submit(double, 1)


@on_a_loop
async def test_asyncio_takes_it_for_run_in_executor():
    async with TaskManager() as tm:
        loop = asyncio.get_running_loop()
        executor = tm.as_executor()
        assert await loop.run_in_executor(executor, double, 4) == 8
        with pytest.raises(ValueError, match="broken"):
            await loop.run_in_executor(executor, fail)
        handles = [loop.run_in_executor(executor, double, n) for n in range(20)]
        assert await asyncio.gather(*handles) == [2 * n for n in range(20)]


# -- many at once --------------------------------------------------------------------------------


def test_ten_thousand_tasks_from_eight_threads_are_all_accounted_for():
    ran = []
    with TaskManager(retention_count=None) as tm:
        handles = [[] for _ in range(8)]

        async def quick(n):
            ran.append(n)
            return n

        def plain(n):
            ran.append(n)
            return n

        def submits(share, mine):
            for n in range(1250):
                which = (quick, plain)[n % 5 == 0]
                mine.append(tm.submit(which, share * 1250 + n))
                if n % 7 == 0:
                    mine[-1].result(timeout=SOON)

        threads = [
            threading.Thread(target=submits, args=(share, mine))
            for share, mine in enumerate(handles)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        everything = [handle for mine in handles for handle in mine]
        assert tm.gather(*everything).result(timeout=SOON) == list(range(10_000))
        assert sorted(ran) == list(range(10_000))
        metrics = tm.get_metrics()
        assert metrics.by_status["completed"] == 10_000
        assert (metrics.taken, metrics.queued, metrics.stale_reports) == (0, 0, 0)
        assert len({handle.id for handle in everything}) == 10_000


@on_a_loop
async def test_chains_retries_cancels_and_failures_at_once_leave_nothing_behind():
    async def flaky(n):
        await asyncio.sleep(0)
        if current_task().attempt < 3 and n % 3 == 0:
            raise ValueError
        return n

    async with TaskManager(max_concurrent_tasks=10) as tm:

        def spawn(seed):
            mine = []
            for n in range(200):
                first = tm.submit(task(flaky, retry=Retry(delay=0)), n)
                mine += [first, tm.submit(double, first.output)]
                mine.append(tm.submit(fail if n % 10 == seed else double, mine[-1].output))
                if n % 6 == seed:
                    first.cancel()
            return mine

        shares = await asyncio.gather(*[asyncio.to_thread(spawn, seed) for seed in range(4)])
        handles = [handle for share in shares for handle in share]
        results = await tm.gather(*handles, return_errors=True)
        assert len(results) == 2400
        assert all(handle.done() for handle in handles)
        metrics = tm.get_metrics()
        assert (metrics.taken, metrics.queued) == (0, 0)
        assert sum(metrics.by_status.values()) == 2400
        assert all(pool.waiting == pool.taken == 0 for pool in metrics.executors.values())

"""The real manager in virtual time: coroutines, threads, processes and plain code."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from windlass import Retry, TaskManager, TaskStatus, TaskTimeoutError, current_task, task
from windlass._runtime.clock import SystemClock
from windlass.testing import VirtualClock, VirtualLoop, World

REAL = SystemClock()


class Flaky:
    """Fails so many times, then returns how often it was called."""

    def __init__(self, failures):
        self.calls, self.failures = 0, failures

    def __call__(self):
        self.calls += 1
        if self.calls <= self.failures:
            raise ValueError(f"call {self.calls}")
        return self.calls


def flaky(failures, **options):
    options.setdefault("retry", Retry(failures, delay=60, backoff=1, jitter=0))
    return task(Flaky(failures), name="flaky", **options)


def test_the_first_example_of_the_manual(windlass_world):
    async def scenario(manager):
        handle = manager.submit(flaky(3))
        assert await handle == 4
        assert windlass_world.elapsed == pytest.approx(180)

    windlass_world.run(scenario)


def test_run_returns_what_the_scenario_returns_and_raises_what_it_raises():
    async def returns(_):
        return 7

    async def raises(_):
        raise KeyError("the test's own")

    assert World().run(returns) == 7
    with pytest.raises(KeyError):
        World().run(raises)


def test_plain_code_lives_in_virtual_time_too():
    world = World()

    def scenario(manager):
        late = manager.submit(task(Flaky(0)).options(delay=7200))
        soon = manager.submit(task(Flaky(0)).options(delay=3600))
        assert world.elapsed == 0  # it is not over before all of this has been said
        assert soon.result() == 1
        assert (world.elapsed, late.status) == (3600, TaskStatus.PENDING)
        manager.join().result()
        assert world.elapsed == 7200

    world.run(scenario)


def test_plain_code_can_advance_step_by_step():
    world = World()

    def scenario(manager):
        handle = manager.submit(task(Flaky(0)).options(delay=100))
        world.advance(99)
        assert (world.elapsed, handle.status) == (99, TaskStatus.PENDING)
        world.advance(2)
        assert world.elapsed == 101
        assert handle.result() == 1

    world.run(scenario)


def test_a_thread_takes_no_time_however_long_it_really_takes():
    world = World(patience=20)

    async def scenario(manager):
        assert await manager.submit(task(time.sleep, timeout=0.01), 0.05) is None

    world.run(scenario)
    assert world.elapsed == 0


def test_a_process_takes_no_time_either():
    world = World(patience=50, processes=1)

    async def scenario(manager):
        return await manager.submit(task(divmod, executor="process", timeout=0.01), 7, 2)

    assert world.run(scenario) == (3, 1)
    assert world.elapsed == 0


def test_a_thread_that_hangs_runs_into_its_timeout_in_real_time():
    world, gate = World(patience=0.05), threading.Event()

    async def scenario(manager):
        with pytest.raises(TaskTimeoutError):
            await manager.submit(task(gate.wait, timeout=0.1))

    began = REAL.now()
    world.run(scenario)
    gate.set()
    assert REAL.now() - began >= 0.15
    assert world.elapsed == pytest.approx(0.1, abs=1e-3)


def test_a_thread_that_hangs_runs_into_its_timeout_when_the_test_says_so():
    world, gate = World(patience=50), threading.Event()

    async def scenario(manager):
        handle = manager.submit(task(gate.wait, timeout=3600))
        await world.advance(3600)
        assert handle.ended_by == "timeout"
        handle.exception()

    world.run(scenario)
    gate.set()
    assert world.elapsed == 3600


def test_a_thread_that_waits_for_another_task_does_not_hold_the_clock():
    world = World(patience=50)

    async def scenario(manager):
        def outer():
            return manager.submit(asyncio.sleep, 1000, "slept").result()

        return await manager.submit(task(outer, timeout=2000))

    assert world.run(scenario) == "slept"
    assert world.elapsed == 1000


def test_a_thread_that_was_called_holds_the_clock_again():
    world = World(patience=50)

    async def scenario(manager):
        def outer():
            manager.submit(asyncio.sleep, 10).result()
            time.sleep(0.05)
            return world.elapsed

        return await manager.submit(task(outer, timeout=11))

    assert world.run(scenario) == 10


def test_a_thread_that_is_in_line_for_its_slot_does_not_hold_the_clock():
    world = World(patience=50, max_concurrent_tasks=2)

    async def scenario(manager):
        def outer():
            manager.submit(asyncio.sleep, 10).result()
            return world.elapsed

        handle = manager.submit(outer)
        manager.submit(asyncio.sleep, 500)
        await asyncio.sleep(5)
        manager.max_concurrent_tasks = 1  # both of them sleep, and one of the slots will be gone
        return await handle

    assert world.run(scenario) == 500


def test_a_thread_that_stops_when_it_is_cancelled():
    world, begun = World(), threading.Event()

    def patient():
        begun.set()
        while not current_task().cancelled:
            time.sleep(0.001)

    async def scenario(manager):
        handle = manager.submit(patient)
        await asyncio.to_thread(begun.wait, 20)
        world.at(50, handle.cancel)
        await world.advance(50)
        assert handle.status is TaskStatus.CANCELLED

    world.run(scenario)


def test_code_that_opens_a_manager_of_its_own_is_in_the_world_as_well(windlass_world):
    async def program():
        async with TaskManager() as manager:
            await manager.submit(flaky(2))

    async def scenario(_):
        await program()

    windlass_world.run(scenario)
    assert windlass_world.elapsed == 120
    assert "flaky [w2-1]" in windlass_world.story()


def test_plain_code_that_opens_a_manager_of_its_own_is_in_the_world_as_well(windlass_world):
    with TaskManager() as manager:
        assert manager.submit(flaky(2)).result() == 3
    assert windlass_world.elapsed == 120


def test_a_manager_with_a_clock_of_its_own_is_left_alone(windlass_world):
    with TaskManager(clock=VirtualClock()) as manager:
        assert manager.submit(flaky(0)).result() == 1
    assert windlass_world.history == []


def test_nobody_is_taken_in_after_the_world_has_ended():
    with World() as world:
        pass
    with TaskManager() as manager:
        assert manager.submit(flaky(0)).result() == 1
    assert world.history == []


def test_a_loop_that_somebody_else_made_will_do(windlass_world):
    async def main():
        async with windlass_world.manager() as manager:
            await manager.submit(asyncio.sleep, 3600)
            await manager.submit(time.sleep, 0.01)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())
    assert windlass_world.elapsed == 3600


def test_several_loops_one_after_another():
    world = World()

    async def scenario(manager):
        await manager.submit(asyncio.sleep, 10)

    world.run(scenario)
    world.run(lambda manager: manager.submit(asyncio.sleep, 10).result())
    world.run(scenario)
    assert world.elapsed == 30


def test_something_can_be_arranged_for_a_moment(windlass_world):
    async def scenario(manager):
        handle = manager.submit(asyncio.sleep, 3600)
        windlass_world.at(90, handle.cancel)
        await manager.gather(handle, return_errors=True)
        assert windlass_world.elapsed == 90

    windlass_world.run(scenario)


def test_it_begins_on_the_date_that_is_wanted():
    world = World(start=datetime(2031, 5, 17, 12, tzinfo=UTC))

    async def scenario(manager):
        at = world.now + timedelta(minutes=90)
        handle = manager.submit(task(Flaky(0)).options(at=at))
        await handle
        assert handle.info.started_at == datetime(2031, 5, 17, 13, 30, tzinfo=UTC)

    world.run(scenario)


def test_what_needs_a_loop_says_so():
    with pytest.raises(RuntimeError, match="at\\(\\) needs an event loop"):
        World().at(5, print)
    with pytest.raises(RuntimeError, match=r"hold\(\) needs"), World().hold():
        pass


def test_the_story_tells_what_happened_and_when(windlass_world):
    async def scenario(manager):
        await manager.submit(flaky(1))

    windlass_world.run(scenario)
    lines = windlass_world.story().splitlines()
    failed = "failed, retry in 60.0 s"
    assert lines == [
        "       0.000 s  flaky [w1-1] pending: submitted",
        "       0.000 s  flaky [w1-1] pending -> running: started",
        f"       0.000 s  flaky [w1-1] running -> pending: {failed} (ValueError: call 1)",
        "      60.000 s  flaky [w1-1] pending -> running: started",
        "      60.000 s  flaky [w1-1] running -> completed: returned",
    ]
    assert windlass_world.story(2).splitlines() == ["(3 changes before that)", *lines[3:]]
    assert [change.after for change in windlass_world.history][-1] is TaskStatus.COMPLETED


def test_jitter_is_drawn_from_the_seed():
    def history(seed):
        world = World(seed=seed)

        async def scenario(manager):
            await manager.submit(flaky(3, retry=Retry(3, delay=60, jitter=0.5)))

        world.run(scenario)
        return world.story()

    assert history(1) == history(1)
    assert history(1) != history(2)

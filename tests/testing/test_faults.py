"""Seeded faults: each does what it would do in life, and the same seed does the same again."""

from __future__ import annotations

import asyncio
import threading

import pytest

from windlass import Retry, TaskCrashedError, TaskStatus, TaskTimeoutError, task
from windlass.testing import Faults, InjectedFault, World

EVERYTHING = Faults(crash=0.1, fail=0.2, slow=0.3, late=0.3, duplicate=0.3, lose=0.1, seconds=30)


async def sleeper(number):
    await asyncio.sleep(number)
    return number


def plain(number):
    return number


def life(seed, executor="async", faults=EVERYTHING, **settings):
    """Twenty tasks with retries and timeouts, some of which depend on others."""
    world = World(seed=seed, faults=faults, patience=50, **settings)
    function = sleeper if executor == "async" else plain
    step = task(function, retry=Retry(5, delay=10), timeout=50, executor=executor, name="step")

    async def scenario(manager):
        first = [manager.submit(step, number) for number in range(10)]
        second = [manager.submit(step, handle.output) for handle in first]
        return await manager.gather(*second, return_errors=True)

    return world, world.run(scenario)


def test_the_same_seed_has_the_same_history():
    stories = [life(seed)[0].story() for seed in (1, 2, 1, 2)]
    assert stories[:2] == stories[2:]
    assert stories[0] != stories[1]


def test_what_befalls_a_task_in_a_thread_does_not_depend_on_the_order_of_threads():
    def fates(seed):
        world, _ = life(seed, executor="thread", max_concurrent_tasks=4)
        changes = [c for c in world.history if c.task_id in {f"w1-{n}" for n in range(1, 11)}]
        return sorted((c.task_id, c.attempt, str(c.after), c.cause) for c in changes)

    assert fates(3) == fates(3)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("executor", ["async", "thread", "sequential"])
def test_whatever_happens_every_task_comes_to_one_end(seed, executor):
    world, results = life(seed, executor=executor)
    ends = [change.task_id for change in world.history if change.after.finished]
    assert sorted(ends) == sorted({change.task_id for change in world.history})
    for number, result in enumerate(results):
        assert result == number or isinstance(result, Exception)


def test_few_enough_faults_and_everything_gets_through():
    for seed in range(10):
        faults = Faults(crash=0.5, fail=0.5, lose=0.5, most=2)
        _, results = life(seed, faults=faults)
        assert results == list(range(10))


def hit(function=plain, **faults):
    """What becomes of one task that is hit for sure, and how often its function ran."""
    ran = []

    def counted(*args):
        ran.append(args)
        return function(*args)

    options = faults.pop("options", {})
    world = World(faults=Faults(**faults), patience=50)

    async def scenario(manager):
        handle = manager.submit(task(counted, **options), 7)
        await manager.gather(handle, return_errors=True)
        await asyncio.sleep(100)  # for what comes late
        return handle

    return world, world.run(scenario), len(ran)


def test_a_crash_costs_crashes_not_retries():
    world, handle, _ = hit(crash=1, options={"max_crashes": 4})
    assert (handle.status, handle.ended_by) == (TaskStatus.FAILED, "crash")
    assert isinstance(handle.exception(), TaskCrashedError)
    assert sum("crashed" in change.cause for change in world.history) == 4


def test_a_crash_comes_before_or_after_the_function_has_run():
    runs = {
        (seed, ran)
        for seed in range(10)
        for world in [World(seed=seed, faults=Faults(crash=1))]
        for ran in [_runs_before_one_crash(world)]
    }
    assert {ran for _, ran in runs} == {0, 1}


def _runs_before_one_crash(world):
    ran = []

    async def scenario(manager):
        handle = manager.submit(task(ran.append, max_crashes=1), 1)
        await manager.gather(handle, return_errors=True)

    world.run(scenario)
    return len(ran)


def test_a_failure_is_retried_as_any_other():
    world, handle, _ = hit(fail=1, options={"retry": Retry(2, delay=5, backoff=1, jitter=0)})
    assert isinstance(handle.exception().original_error, InjectedFault)
    assert "a fault that the test asked for" in str(handle.exception())
    assert world.elapsed == 110


def test_the_exception_can_be_chosen():
    _, handle, _ = hit(fail=1, error=ConnectionError, options={"retry": None})
    assert isinstance(handle.exception(), ConnectionError)


def test_a_slow_start_is_time_that_the_task_runs():
    _, handle, ran = hit(slow=1, seconds=40)
    assert ran == 1
    assert 0 < handle.info.ran < 40


def test_a_slow_start_may_run_into_the_timeout():
    _, handle, ran = hit(slow=1, seconds=1000, options={"timeout": 1e-6})
    assert isinstance(handle.exception(), TaskTimeoutError)
    assert ran == 0


def test_a_late_end_is_heard_of_late():
    _, handle, _ = hit(late=1, seconds=40)
    assert handle.result() == 7
    assert 0 < handle.info.ran < 40


def test_a_late_end_comes_too_late_for_the_timeout_and_is_ignored():
    _, handle, ran = hit(late=1, seconds=90, options={"timeout": 1e-6})
    assert isinstance(handle.exception(), TaskTimeoutError)
    assert ran == 1


def test_an_end_that_is_reported_twice_counts_once():
    world, handle, ran = hit(duplicate=1)
    assert (handle.result(), ran) == (7, 1)
    assert len([change for change in world.history if change.after.finished]) == 1


@pytest.mark.parametrize("limit", ["timeout", "total_timeout"])
def test_an_end_that_is_never_heard_of_ends_with_the_timeout(limit):
    world, handle, ran = hit(lose=1, options={limit: 30, "retry": None})
    assert isinstance(handle.exception(), TaskTimeoutError)
    assert (ran, world.elapsed) == (1, 130)


def test_a_lost_attempt_is_followed_by_the_next():
    retry = Retry(1, delay=5, jitter=0)
    _, handle, ran = hit(lose=1, most=1, options={"timeout": 30, "retry": retry})
    assert (handle.result(), ran) == (7, 2)


def test_a_task_without_a_timeout_is_not_lost():
    _, handle, _ = hit(lose=1)
    assert handle.result() == 7


def test_only_those_that_are_named_are_hit():
    world = World(faults=Faults(fail=1, only=["poor"]))

    async def scenario(manager):
        poor = manager.submit(task(plain, name="poor"), 1)
        lucky = manager.submit(task(plain, name="lucky"), 2)
        return await manager.gather(poor, lucky, return_errors=True)

    poor, lucky = world.run(scenario)
    assert lucky == 2
    assert isinstance(poor, InjectedFault)


def test_faults_can_be_switched_off_on_the_way():
    world = World(faults=Faults(fail=1))

    async def scenario(manager):
        first = await manager.gather(manager.submit(plain, 1), return_errors=True)
        world.faults = Faults()
        return first, await manager.submit(plain, 2)

    (first,), second = world.run(scenario)
    assert isinstance(first, InjectedFault)
    assert second == 2


def test_closing_does_not_wait_for_what_was_lost():
    world = World(faults=Faults(lose=1), patience=50)
    ran = threading.Event()

    async def scenario(manager):
        manager.submit(task(ran.set, timeout=1e6))
        await asyncio.to_thread(ran.wait, 20)
        await manager.stop()

    world.run(scenario)
    assert world.elapsed < 1e6
    assert world.history[-1].after is TaskStatus.CANCELLED


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"crash": 2}, "crash is a chance between 0 and 1, not 2"),
        ({"late": -0.1}, "late is a chance"),
        ({"lose": float("nan")}, "lose is a chance"),
        ({"seconds": -1}, "seconds must be zero or more"),
        ({"most": -1}, "most must be at least 0"),
    ],
)
def test_chances_are_numbers_between_0_and_1(wrong, says):
    with pytest.raises(ValueError, match=says):
        Faults(**wrong)

"""Owners share slots evenly, whoever has submitted more, and whoever was there first."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from windlass import Gate, TaskManager, task

from .stage import double, double_async, on_a_loop

TENANTS = [f"tenant {n}" for n in range(10)]


@pytest.fixture
def log(windlass_world):
    """(owner, when it started, when it ended), in the order of the ends."""

    class Log(list):
        def work(self, owner, seconds=1.0, **options):
            async def working():
                began = windlass_world.elapsed
                await asyncio.sleep(seconds)
                self.append((owner, began, windlass_world.elapsed))

            return task(working, owner=owner, **options)

        def first(self, count):
            return Counter(owner for owner, _, _ in self[:count])

    return Log()


async def all_at_once(tm, *functions):
    """Submit them in one go, so that all are there before the first starts."""
    tm.pause()
    for function in functions:
        tm.submit(function)
    tm.resume()
    await tm.join()


def test_ten_tenants_one_of_which_has_a_hundred_times_as_many(windlass_world, log):
    async def scenario(tm):
        big = [log.work("tenant 0")] * 1000
        small = [log.work(owner) for owner in TENANTS[1:]] * 10
        await all_at_once(tm, *big, *small)

    windlass_world.run(scenario, max_concurrent_tasks=10)
    # While everybody has something to do, everybody has one of the ten slots.
    assert log.first(100) == dict.fromkeys(TENANTS, 10)
    assert log.first(1090)["tenant 0"] == 1000, "and what the others leave is not wasted"
    assert windlass_world.elapsed == pytest.approx(109)


def test_by_slots_that_are_held_not_by_how_many_have_run(windlass_world, log):
    async def scenario(tm):
        slow, quick = log.work("slow", 10), log.work("quick", 1)
        await all_at_once(tm, *[slow] * 20, *[quick] * 300)

    windlass_world.run(scenario, max_concurrent_tasks=4)
    both = [entry for entry in log if entry[2] <= 100]
    assert Counter(owner for owner, _, _ in both) == {"slow": 20, "quick": 200}


def test_those_without_owner_share_one_turn(windlass_world, log):
    async def scenario(tm):
        await all_at_once(tm, *[log.work(None)] * 50, *[log.work("a")] * 50, *[log.work("b")] * 50)

    windlass_world.run(scenario, max_concurrent_tasks=3)
    assert log.first(90) == {None: 30, "a": 30, "b": 30}


def test_without_owners_first_come_first_served(windlass_world):
    order = []

    async def note(n):
        order.append(n)

    async def scenario(tm):
        tm.map(note, range(50))
        await tm.join()

    windlass_world.run(scenario, max_concurrent_tasks=3)
    assert order == list(range(50))


def test_an_owner_who_comes_late_does_not_make_up_for_it(windlass_world, log):
    async def scenario(tm):
        for _ in range(100):
            tm.submit(log.work("early"))
        await asyncio.sleep(10.5)
        for _ in range(100):
            tm.submit(log.work("late"))
        await tm.join()

    windlass_world.run(scenario, max_concurrent_tasks=2)
    after = [owner for owner, began, _ in log if 12 <= began < 22]
    assert Counter(after) == {"early": 10, "late": 10}


def test_priority_goes_before_fairness(windlass_world, log):
    async def scenario(tm):
        urgent = log.work("big", priority="HIGH")
        await all_at_once(tm, *[log.work("small")] * 10, *[urgent] * 10)

    windlass_world.run(scenario, max_concurrent_tasks=2)
    assert log.first(10) == {"big": 10}


def test_within_an_owner_first_come_first_served(windlass_world):
    order = {"a": [], "b": []}

    async def note(owner, n):
        order[owner].append(n)

    async def scenario(tm):
        for n in range(20):
            for owner in order:
                tm.submit(task(note, owner=owner), owner, n)
        await tm.join()

    windlass_world.run(scenario, max_concurrent_tasks=1)
    assert order == {"a": list(range(20)), "b": list(range(20))}


def test_a_gate_is_shared_evenly_too(windlass_world, log):
    async def scenario(tm):
        big = [log.work("big", gates=["gpu"])] * 200
        small = [log.work("small", gates=["gpu"])] * 20
        await all_at_once(tm, *big, *small)

    windlass_world.run(scenario, gates=[Gate("gpu", slots=2)])
    assert log.first(40) == {"big": 20, "small": 20}


def test_weights_count_for_their_owner(windlass_world, log):
    async def scenario(tm):
        heavy = [log.work("heavy", gates={"gpu": 3})] * 30
        light = [log.work("light", gates={"gpu": 1})] * 90
        await all_at_once(tm, *heavy, *light)

    windlass_world.run(scenario, gates=[Gate("gpu", slots=6)])
    while_both = [entry for entry in log if entry[2] <= 30]
    assert Counter(owner for owner, _, _ in while_both) == {"heavy": 30, "light": 90}


@pytest.mark.parametrize("executor", ["async", "thread", "process", "sequential"])
@on_a_loop
async def test_owners_in_every_executor(executor):
    function = double_async if executor == "async" else double
    async with TaskManager(max_concurrent_tasks=1) as tm:
        tm.pause()
        by_owner = {"big": range(20), "small": range(4)}
        handles = {
            owner: tm.map(task(function, executor=executor, owner=owner), numbers)
            for owner, numbers in by_owner.items()
        }
        tm.resume()
        for owner, numbers in by_owner.items():
            assert await tm.gather(*handles[owner]) == [2 * n for n in numbers]
        ran = sorted((h.info.started_at, h.info.owner) for line in handles.values() for h in line)
        assert Counter(owner for _, owner in ran[:8]) == {"big": 4, "small": 4}


def test_and_in_plain_code():
    order = []
    with TaskManager(threads=1) as tm:
        tm.pause()
        for owner in ["big"] * 9 + ["small"] * 3:
            tm.submit(task(order.append, executor="thread", owner=owner), owner)
        tm.resume()
    assert Counter(order[:6]) == {"big": 3, "small": 3}

"""Rates: never more than so many starts in any window, at the very moments when they may be."""

from __future__ import annotations

import asyncio

import pytest

from windlass import Breaker, Gate, Rate, Retry, TaskCancellationError, TaskManager, task

from .stage import double, double_async, on_a_loop


@pytest.fixture
def starts(windlass_world):
    """When tasks started."""

    class Starts(list):
        async def note(self, result=None):
            self.append(windlass_world.elapsed)
            return result

    return Starts()


def run(world, function, count, *gates, **options):
    """Run ``function`` so often behind all of ``gates``."""

    async def scenario(tm):
        behind = task(function, gates=[gate.name for gate in gates], **options)
        await tm.gather(*(tm.submit(behind) for _ in range(count)))

    world.run(scenario, gates=gates)


def test_so_many_at_once_and_the_next_when_the_window_has_passed(windlass_world, starts):
    run(windlass_world, starts.note, 8, Gate("api", rate=Rate(3, per=10)))
    assert starts == pytest.approx([0, 0, 0, 10, 10, 10, 20, 20])


def test_the_window_slides(windlass_world, starts):
    async def scenario(tm):
        behind = task(starts.note, gates=["api"])
        for pause in (0, 4, 3, 1, 1):
            await asyncio.sleep(pause)
            tm.submit(behind)
        await tm.join()

    windlass_world.run(scenario, gates=[Gate("api", rate=Rate(2, per=10))])
    assert starts == pytest.approx([0, 4, 10, 14, 20])


def test_with_a_burst_the_rest_is_spread_evenly(windlass_world, starts):
    run(windlass_world, starts.note, 8, Gate("api", rate=Rate(5, per=10, burst=2)))
    assert starts == pytest.approx([0, 0, 2, 4, 6, 10, 10, 12])


def test_a_burst_of_one_is_a_steady_pace(windlass_world, starts):
    run(windlass_world, starts.note, 6, Gate("api", rate=Rate(10, per=10, burst=1)))
    assert starts == pytest.approx([0, 1, 2, 3, 4, 5])


def test_a_weight_counts_that_often(windlass_world, starts):
    async def scenario(tm):
        for weight in (2, 2, 1):
            tm.submit(task(starts.note, gates={"api": weight}))
        await tm.join()

    windlass_world.run(scenario, gates=[Gate("api", rate=Rate(3, per=10))])
    assert starts == pytest.approx([0, 10, 10])


def test_nothing_wakes_up_before_the_next_one_may_go(windlass_world, starts):
    """An hour of waiting is one alarm, not a thousand looks."""
    turns = []

    async def scenario(tm):
        runtime = tm._runtime
        whole_turn = runtime.pump._turn

        def counted():
            turns.append(windlass_world.elapsed)
            whole_turn()

        behind = task(starts.note, gates=["api"])
        handles = [tm.submit(behind) for _ in range(1000)]
        await handles[0]
        runtime.pump._turn = counted
        await handles[1]
        tm.cancel_all()

    gates = [Gate("api", rate=Rate(1, per=3600))]
    windlass_world.run(scenario, gates=gates, retention_seconds=None)
    assert starts == pytest.approx([0, 3600])
    assert len([turn for turn in turns if 1 < turn < 3599]) == 0


def test_retries_count_and_a_failed_attempt_has_spent_its_start(windlass_world, starts):
    async def fails():
        await starts.note()
        raise ConnectionError

    async def scenario(tm):
        again = Retry(3, delay=1, backoff=1, jitter=0)
        await tm.gather(tm.submit(task(fails, gates=["api"], retry=again)), return_errors=True)

    windlass_world.run(scenario, gates=[Gate("api", rate=Rate(2, per=10))])
    assert starts == pytest.approx([0, 1, 10, 11])


def test_slots_and_a_rate_at_one_gate(windlass_world):
    spans = []

    async def work():
        began = windlass_world.elapsed
        await asyncio.sleep(7)
        spans.append((began, windlass_world.elapsed))

    run(windlass_world, work, 5, Gate("api", slots=2, rate=Rate(3, per=10)))
    assert [began for began, _ in spans] == pytest.approx([0, 0, 7, 10, 14])
    assert [ended for _, ended in spans] == pytest.approx([7, 7, 14, 17, 21])


def test_two_rates_hold_both(windlass_world, starts):
    gates = Gate("second", rate=Rate(2, per=1)), Gate("minute", rate=Rate(5, per=60))
    run(windlass_world, starts.note, 11, *gates)
    assert starts == pytest.approx([0, 0, 1, 1, 2, 60, 60, 61, 61, 62, 120])


def test_who_waits_for_its_turn_holds_nobody_up_who_needs_it_not(windlass_world, starts):
    async def scenario(tm):
        slow = [tm.submit(task(starts.note, gates=["api"])) for _ in range(3)]
        assert await tm.submit(task(double_async), 1) == 2
        assert windlass_world.elapsed == 0
        assert slow[1].cancel()
        with pytest.raises(TaskCancellationError):
            await slow[1]
        await slow[2]

    windlass_world.run(scenario, gates=[Gate("api", rate=Rate(1, per=10))], max_concurrent_tasks=1)
    assert starts == pytest.approx([0, 10]), "who was cancelled has not spent the start"


def test_a_rate_is_changed_while_tasks_wait(windlass_world, starts):
    async def scenario(tm):
        for _ in range(10):
            tm.submit(task(starts.note, gates=["api"]))
        await asyncio.sleep(5)
        assert tm.gate("api").rate == Rate(1, per=100)
        tm.gate("api").rate = Rate(3, per=10)
        await tm.join()

    windlass_world.run(scenario, gates=[Gate("api", rate=Rate(1, per=100))])
    assert starts == pytest.approx([0, 5, 5, 10, 15, 15, 20, 25, 25, 30])


def test_a_rate_that_comes_later(windlass_world, starts):
    async def scenario(tm):
        await tm.submit(task(starts.note, gates=["api"]))
        tm.gate("api").rate = Rate(1, per=10)
        await tm.gather(*(tm.submit(task(starts.note, gates=["api"])) for _ in range(2)))

    windlass_world.run(scenario, gates=[Gate("api")])
    assert starts == pytest.approx([0, 0, 10])


def test_who_was_let_in_when_the_rate_was_faster_takes_all_of_a_slower_one(windlass_world, starts):
    async def scenario(tm):
        handles = [
            tm.submit(task(starts.note, gates={"api": weight}).options(delay=1))
            for weight in (3, 1)
        ]
        tm.gate("api").rate = Rate(2, per=10)
        await tm.gather(*handles)

    windlass_world.run(scenario, gates=[Gate("api", rate=Rate(3, per=10))])
    assert starts == pytest.approx([1, 11])


@pytest.mark.parametrize("executor", ["async", "thread", "process", "sequential"])
@on_a_loop
async def test_in_real_time_and_in_every_executor(executor):
    limit, per, count = 4, 0.05, 14
    rate = Rate(limit, per=per)
    function = double_async if executor == "async" else double
    async with TaskManager(gates=[Gate("api", rate=rate)]) as tm:
        behind = task(function, executor=executor, gates=["api"])
        handles = tm.map(behind, range(count))
        assert await tm.gather(*handles) == [2 * n for n in range(count)]
        started = sorted(tm._runtime.find(h).started_at for h in handles)
        for first, last in zip(started, started[limit:], strict=False):
            assert last - first >= per, "wherever the window begins"


def test_a_breaker_and_a_rate_at_one_gate(windlass_world, starts):
    async def flaky():
        await starts.note()
        if len(starts) == 1:
            raise ConnectionError

    async def scenario(tm):
        behind = task(flaky, gates=["api"])
        await tm.gather(*(tm.submit(behind) for _ in range(4)), return_errors=True)

    breaker = Breaker(1, reset=25)
    windlass_world.run(scenario, gates=[Gate("api", rate=Rate(1, per=10), breaker=breaker)])
    assert starts == pytest.approx([0, 25, 35, 45])

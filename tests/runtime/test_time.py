"""What the manager makes of time, all of it through the real engine in virtual time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from windlass import (
    Retry,
    Snooze,
    TaskCancellationError,
    TaskExecutionError,
    TaskPriority,
    TaskStatus,
    TaskTimeoutError,
    current_task,
    task,
)

PENDING, RUNNING, CANCELLED = TaskStatus.PENDING, TaskStatus.RUNNING, TaskStatus.CANCELLED


@pytest.fixture
def world(windlass_world):
    return windlass_world


@pytest.fixture
def times(world):
    """When something happened, in seconds since the test began."""

    class Times(list):
        def note(self, result=None):
            self.append(world.elapsed)
            return result

    return Times()


async def nothing():
    """Return at once."""


def scenario(world, **settings):
    """Run the decorated function in the world, with an open manager."""
    return lambda function: world.run(function, **settings)


async def ended(handle):
    """Wait for a task's end, whatever it is; its error."""
    try:
        await handle
    except (TaskExecutionError, TaskTimeoutError, TaskCancellationError) as error:
        return error
    return None


# -- retries ---------------------------------------------------------------------------------------


def failing(times, failures):
    async def attempt():
        times.note()
        if len(times) <= failures:
            raise ConnectionError(f"attempt {len(times)}")

    return attempt


def test_pauses_double_up_to_a_cap(world, times):
    @scenario(world)
    async def _(manager):
        retry = Retry(5, delay=10, backoff=2, cap=45, jitter=0)
        await manager.submit(task(failing(times, 5), retry=retry))

    assert times == [0, 10, 30, 70, 115, 160]


def test_pauses_may_all_be_equally_long(world, times):
    @scenario(world)
    async def _(manager):
        retry = Retry(3, delay=7, backoff=1, jitter=0)
        await manager.submit(task(failing(times, 3), retry=retry))

    assert times == [0, 7, 14, 21]


def test_jitter_takes_a_random_share_off(world, times):
    @scenario(world)
    async def _(manager):
        retry = Retry(20, delay=100, backoff=1, cap=100, jitter=0.5)
        await manager.submit(task(failing(times, 20), retry=retry))

    pauses = [after - before for before, after in pairwise(times)]
    assert all(50 <= pause <= 100 for pause in pauses)
    assert max(pauses) - min(pauses) > 20


def test_a_pause_counts_from_the_end_of_the_attempt(world, times):
    async def slow():
        times.note()
        await asyncio.sleep(30)
        raise ConnectionError

    @scenario(world)
    async def _(manager):
        await ended(manager.submit(task(slow, retry=Retry(1, delay=10, jitter=0))))

    assert times == [0, 40]


def test_a_task_in_its_pause_takes_no_slot(world):
    @scenario(world, max_concurrent_tasks=1)
    async def _(manager):
        retry = Retry(1, delay=1000, jitter=0)
        pausing = manager.submit(task(failing([], 9), retry=retry))
        await manager.submit(nothing)
        assert (world.elapsed, pausing.status) == (0, PENDING)
        pausing.cancel()


def test_a_task_in_its_pause_is_cancelled_at_once(world, times):
    @scenario(world)
    async def _(manager):
        handle = manager.submit(task(failing(times, 9), retry=Retry(9, delay=1000)))
        await asyncio.sleep(5)
        assert handle.cancel()
        assert handle.status is CANCELLED

    assert world.elapsed == 5
    assert times == [0]


def test_a_pause_is_explained(world, times):
    world.now = datetime(2030, 1, 1, 12, 0, 0).astimezone()

    @scenario(world)
    async def _(manager):
        retry = Retry(2, delay=131, jitter=0, cap=1000)
        handle = manager.submit(task(failing(times, 1), retry=retry))
        await asyncio.sleep(1)
        assert handle.explain() == "failed 1 of 3, next try 12:02:11"
        await handle


# -- limits ----------------------------------------------------------------------------------------


def test_each_attempt_has_its_timeout(world, times):
    async def endless():
        times.note()
        await asyncio.sleep(10**6)

    @scenario(world)
    async def _(manager):
        retry = Retry(2, delay=10, backoff=1, jitter=0)
        handle = manager.submit(task(endless, timeout=5, retry=retry))
        assert isinstance(await ended(handle), TaskTimeoutError)
        assert (handle.ended_by, handle.info.attempt) == ("timeout", 3)

    assert times == [0, 15, 30]
    assert world.elapsed == 35


def test_a_timeout_counts_from_the_start_not_from_the_submit(world):
    @scenario(world, max_concurrent_tasks=1)
    async def _(manager):
        manager.submit(asyncio.sleep, 100)
        await manager.submit(task(asyncio.sleep, timeout=5), 4)

    assert world.elapsed == 104


def test_a_timeout_does_not_outlive_its_attempt(world):
    @scenario(world)
    async def _(manager):
        handle = manager.submit(task(asyncio.sleep, timeout=5), 4)
        await handle
        await asyncio.sleep(10)
        assert handle.status is TaskStatus.COMPLETED


def test_total_timeout_covers_all_attempts_and_the_pauses(world, times):
    @scenario(world)
    async def _(manager):
        retry = Retry(9, delay=10, backoff=1, jitter=0)
        options = {"total_timeout": 25, "retry": retry}
        handle = manager.submit(task(failing(times, 99), **options))
        assert isinstance(await ended(handle), TaskTimeoutError)

    assert times == [0, 10, 20]
    assert world.elapsed == 25


def test_total_timeout_strikes_in_the_middle_of_an_attempt(world):
    @scenario(world)
    async def _(manager):
        handle = manager.submit(task(asyncio.sleep, total_timeout=5, retry=Retry(9)), 99)
        assert isinstance(await ended(handle), TaskTimeoutError)
        assert handle.info.attempt == 1

    assert world.elapsed == 5


def test_total_timeout_covers_the_wait_for_other_tasks(world):
    @scenario(world)
    async def _(manager):
        first = manager.submit(asyncio.sleep, 100)
        second = manager.submit(task(nothing, total_timeout=30).options(after=[first]))
        assert isinstance(await ended(second), TaskTimeoutError)
        assert (world.elapsed, first.status) == (30, RUNNING)
        await first


def test_what_has_not_started_in_time_expires(world):
    @scenario(world, max_concurrent_tasks=1)
    async def _(manager):
        manager.submit(asyncio.sleep, 100)
        late = manager.submit(task(nothing, expires=99))
        in_time = manager.submit(task(asyncio.sleep, expires=101), 500)
        assert (await ended(late)).cause == "expired"
        assert world.elapsed == 99
        await in_time

    assert world.elapsed == 600


def test_what_waits_for_other_tasks_expires_as_well(world):
    @scenario(world)
    async def _(manager):
        first = manager.submit(asyncio.sleep, 100)
        second = manager.submit(task(nothing, expires=7).options(after=[first]))
        assert (await ended(second)).cause == "expired"
        assert world.elapsed == 7


def test_whoever_waits_may_give_up_and_the_task_goes_on(world):
    @scenario(world)
    async def _(manager):
        handle = manager.submit(asyncio.sleep, 100, "slept")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10):
                await handle
        assert (world.elapsed, handle.status) == (10, RUNNING)
        assert await handle == "slept"

    assert world.elapsed == 100


# -- later -----------------------------------------------------------------------------------------


def test_a_delay_is_kept(world, times):
    @scenario(world)
    async def _(manager):
        for delay in (30, 10, 20, 0):
            manager.submit(task(times.note, executor="async").options(delay=delay), delay)

    assert times == [0, 10, 20, 30]


def test_a_delay_counts_from_the_submit_also_for_those_that_wait(world):
    @scenario(world)
    async def _(manager):
        first = manager.submit(asyncio.sleep, 100)
        sooner = manager.submit(task(nothing).options(after=[first], delay=50))
        later = manager.submit(task(nothing).options(after=[first], delay=150))
        await sooner
        assert world.elapsed == 100
        await later
        assert world.elapsed == 150


def test_closing_waits_for_what_is_due_later(world, times):
    @scenario(world)
    async def _(manager):
        manager.submit(task(times.note, executor="async").options(delay=86400))

    assert times == [86400]


def test_a_pause_of_the_manager_puts_off_what_comes_due_in_it(world, times):
    @scenario(world)
    async def _(manager):
        handle = manager.submit(task(times.note, executor="async").options(delay=10))
        manager.pause()
        await asyncio.sleep(60)
        assert handle.status is PENDING
        manager.resume()
        await handle

    assert times == [60]


def at(world, **later):
    return world.now + timedelta(**later)


def test_at_a_date(world, times):
    @scenario(world)
    async def _(manager):
        noted = task(times.note, executor="async")
        await manager.submit(noted.options(at=at(world, hours=5)))
        await manager.submit(noted.options(at=at(world, hours=1).timestamp()))
        await manager.submit(noted.options(at=at(world, hours=-1)))

    assert times == pytest.approx([5 * 3600, 6 * 3600, 6 * 3600])


def test_when_the_wall_clock_is_put_forward_dates_come_sooner(world, times):
    @scenario(world)
    async def _(manager):
        handle = manager.submit(task(times.note, executor="async").options(at=at(world, hours=5)))
        await asyncio.sleep(60)
        world.now += timedelta(hours=5)
        await handle

    # Nobody tells of the change, so that it is noticed at the next look at the clock.
    assert 60 <= times[0] <= 60 + 30


def test_when_the_wall_clock_is_put_back_dates_come_later(world, times):
    @scenario(world)
    async def _(manager):
        handle = manager.submit(task(times.note, executor="async").options(at=at(world, hours=1)))
        await asyncio.sleep(60)
        world.now -= timedelta(hours=2)
        await handle

    assert times == pytest.approx([3 * 3600])


def test_the_wall_clock_has_no_say_in_delays_and_timeouts(world, times):
    @scenario(world)
    async def _(manager):
        handle = manager.submit(task(times.note, executor="async").options(delay=100))
        limited = manager.submit(task(asyncio.sleep, timeout=200), 10**6)
        await asyncio.sleep(50)
        world.now += timedelta(days=365)
        await handle
        world.now -= timedelta(days=3650)
        await ended(limited)

    assert times == [100]
    assert world.elapsed == 200


def test_a_snooze_costs_no_attempt(world, times):
    async def put_off():
        times.note()
        assert current_task().attempt == 1
        if len(times) < 4:
            raise Snooze(3600)

    @scenario(world)
    async def _(manager):
        handle = manager.submit(put_off)
        await handle
        assert handle.info.attempt == 1

    assert times == [0, 3600, 7200, 10800]


def test_after_a_snooze_the_timeout_begins_anew(world):
    snoozed = []

    async def put_off():
        await asyncio.sleep(8)
        if not snoozed:
            snoozed.append(True)
            raise Snooze(100)

    @scenario(world)
    async def _(manager):
        await manager.submit(task(put_off, timeout=10))

    assert world.elapsed == 116


# -- priorities ------------------------------------------------------------------------------------


def order(world, *waiting, age_every=60.0, steps=30, every=10):
    """Submit ``waiting`` first, then HIGH ones faster than they can run; who runs when."""
    started = []

    async def step(name):
        started.append((name, world.elapsed))
        await asyncio.sleep(every)

    async def run(manager):
        manager.submit(step, "first")
        await asyncio.sleep(1)
        for name, priority in waiting:
            manager.submit(task(step, priority=priority), name)
        for _ in range(steps):
            manager.submit(task(step, priority=TaskPriority.HIGH), "high")
            await asyncio.sleep(every)

    world.run(run, max_concurrent_tasks=1, age_every=age_every)
    return dict(started[::-1])  # when each name came up first


def test_who_waits_grows_more_urgent(world):
    times = order(world, ("normal", "NORMAL"), ("low", "LOW"))
    # After a minute a level, it is as urgent as HIGH, and has waited longer than all of them.
    assert times["normal"] == 70
    assert times["low"] == 130


def test_without_ageing_nobody_does(world):
    times = order(world, ("normal", "NORMAL"), ("low", "LOW"), age_every=None)
    assert times["normal"] == 310
    assert times["low"] == 320


def test_nothing_grows_as_urgent_as_critical(world):
    started = []

    async def step(name):
        started.append(name)
        await asyncio.sleep(10_000)

    @scenario(world, max_concurrent_tasks=1)
    async def _(manager):
        manager.submit(step, "first")
        await asyncio.sleep(1)
        manager.submit(task(step, priority="HIGH"), "old")
        await asyncio.sleep(9_000)
        manager.submit(task(step, priority="CRITICAL"), "critical")

    assert started == ["first", "critical", "old"]


# -- grace -----------------------------------------------------------------------------------------


async def tidy(seconds):
    """Take so long to clean up."""
    try:
        await asyncio.sleep(10**6)
    finally:
        await asyncio.sleep(seconds)


@pytest.mark.parametrize(("seconds", "ends"), [(3, 8), (9, 14), (30, 15)])
def test_a_cancelled_coroutine_gets_its_grace_to_clean_up(world, seconds, ends):
    @scenario(world, cancel_grace=10)
    async def _(manager):
        handle = manager.submit(tidy, seconds)
        await asyncio.sleep(5)
        assert handle.cancel()
        assert handle.status is RUNNING  # RUNNING means running
        assert isinstance(await ended(handle), TaskCancellationError)
        assert world.elapsed == ends


def test_a_swallowed_cancel_is_a_cancel_all_the_same(world):
    async def stubborn():
        try:
            await asyncio.sleep(10**6)
        except asyncio.CancelledError:
            await asyncio.sleep(2)
        return "a result that nobody asked for any more"

    @scenario(world)
    async def _(manager):
        handle = manager.submit(stubborn)
        await asyncio.sleep(1)
        handle.cancel()
        assert isinstance(await ended(handle), TaskCancellationError)
        assert world.elapsed == 3


def test_a_slot_is_taken_until_the_grace_is_over(world):
    @scenario(world, max_concurrent_tasks=1, cancel_grace=10)
    async def _(manager):
        handle = manager.submit(tidy, 4)
        await asyncio.sleep(1)
        handle.cancel()
        await manager.submit(nothing)
        assert world.elapsed == 5


def test_a_timed_out_coroutine_gets_its_grace_too_and_the_retry_waits(world, times):
    async def twice():
        times.note()
        await tidy(4)

    @scenario(world, cancel_grace=10)
    async def _(manager):
        retry = Retry(1, delay=1, jitter=0)
        await ended(manager.submit(task(twice, timeout=5, retry=retry)))

    assert times == [0, 10]
    assert world.elapsed == 19


def test_a_retry_waits_for_what_outlasts_its_grace(world, times):
    async def twice():
        times.note()
        await tidy(60 if len(times) == 1 else 0)

    @scenario(world, cancel_grace=10)
    async def _(manager):
        handle = manager.submit(task(twice, timeout=5, retry=Retry(1, delay=1, jitter=0)))
        await ended(handle)

    assert times == [0, 65]


def test_closing_with_a_timeout_cancels_what_is_left(world):
    @scenario(world)
    async def _(manager):
        quick = manager.submit(asyncio.sleep, 20)
        slow = manager.submit(asyncio.sleep, 10**6)
        await manager.shutdown(timeout=30)
        assert (quick.status, slow.status) == (TaskStatus.COMPLETED, CANCELLED)

    assert world.elapsed == 30


def test_closing_does_not_wait_longer_than_the_grace(world):
    @scenario(world, cancel_grace=10)
    async def _(manager):
        manager.submit(tidy, 1000)
        await asyncio.sleep(1)
        await manager.stop()

    assert world.elapsed == 11


# -- memory ----------------------------------------------------------------------------------------


def test_what_has_ended_is_remembered_for_a_while(world):
    @scenario(world, retention_seconds=600)
    async def _(manager):
        handle = manager.submit(nothing)
        await handle
        await asyncio.sleep(599)
        assert manager.get_task(handle.id) is not None
        await asyncio.sleep(20)
        assert manager.get_task(handle.id) is None
        assert await handle is None  # a handle knows what it knows


def test_a_quiet_manager_forgets_as_well(world):
    @scenario(world, retention_seconds=600)
    async def _(manager):
        await manager.gather(*(manager.submit(nothing) for _ in range(10)))
        await asyncio.sleep(700)
        assert not manager.list_tasks()
        assert not any(manager.get_metrics().by_status.values())


def test_for_ever_is_for_ever(world):
    @scenario(world, retention_seconds=None)
    async def _(manager):
        handle = manager.submit(nothing)
        await handle
        await asyncio.sleep(10 * 365 * 86400)
        assert manager.get_task(handle.id) is not None


def test_what_is_old_can_be_forgotten_by_hand(world):
    @scenario(world)
    async def _(manager):
        await manager.submit(nothing)
        await asyncio.sleep(100)
        await manager.submit(nothing)
        assert manager.cleanup(older_than=50) == 1
        assert manager.cleanup() == 1


def test_a_failure_that_nobody_looked_at_is_an_error_when_it_is_forgotten(world, caplog):
    @scenario(world, retention_seconds=60)
    async def _(manager):
        manager.submit(task(failing([], 1), name="unseen"))
        await asyncio.sleep(100)
        assert "unseen" in caplog.text
        assert "nobody looked" in caplog.text


# -- dates and figures -----------------------------------------------------------------------------


def test_a_task_knows_when_what_happened(world):
    world.now = datetime(2030, 1, 1, tzinfo=UTC)

    @scenario(world)
    async def _(manager):
        handle = manager.submit(task(asyncio.sleep).options(delay=30), 12)
        await handle
        info = handle.info
        assert (info.waited, info.ran) == pytest.approx((30, 12))
        assert info.created_at == datetime(2030, 1, 1, tzinfo=UTC)
        assert info.ended_at == datetime(2030, 1, 1, 0, 0, 42, tzinfo=UTC)


def test_changes_carry_the_date_they_happened_on(world):
    world.now = datetime(2030, 1, 1, tzinfo=UTC)

    @scenario(world)
    async def _(manager):
        await manager.submit(asyncio.sleep, 12)

    started = datetime(2030, 1, 1, tzinfo=UTC).timestamp()
    assert [change.at - started for change in world.history] == [0, 0, 12]

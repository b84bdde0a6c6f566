"""Attempts that are repeated by policy, and tasks that are given another run by hand."""

import contextvars

import pytest

from windlass import (
    InvalidTaskStateError,
    ManagerClosedError,
    Retry,
    Snooze,
    TaskDependencyError,
    TaskManager,
    TaskNotFoundError,
    current_task,
    task,
)

from .stage import double, double_async, fail, forever, on_a_loop


class Flaky:
    """Fails so many times."""

    def __init__(self, times, error=ValueError):
        self.left = times
        self.error = error
        self.attempts = []

    async def __call__(self, x=None):
        self.attempts.append(current_task().attempt)
        if self.left:
            self.left -= 1
            raise self.error("not yet")
        return x


@on_a_loop
async def test_three_retries_are_four_attempts():
    async with TaskManager() as tm:
        flaky = Flaky(9)
        handle = tm.submit(task(flaky, retry=Retry(retries=3, delay=0)))
        with pytest.raises(ValueError, match="attempt 4"):
            await handle
        assert flaky.attempts == [1, 2, 3, 4]
        assert handle.info.max_attempts == 4
        assert [past.ended for past in handle.info.attempts] == ["failed"] * 4
        flaky = Flaky(3)
        assert await tm.submit(task(flaky, max_retries=3, retry_delay=0), 7) == 7
        assert handle.info.attempt == 4


@on_a_loop
async def test_a_retry_can_choose_by_exception():
    async with TaskManager() as tm:
        on = task(Flaky(1, KeyError), retry=Retry(delay=0, on=(ValueError,)))
        with pytest.raises(KeyError):
            await tm.submit(on)
        unless = task(Flaky(1, KeyError), retry=Retry(delay=0, unless=LookupError))
        with pytest.raises(KeyError):
            await tm.submit(unless)
        assert await tm.submit(task(Flaky(1, KeyError), retry=Retry(delay=0, on=KeyError)), 1) == 1
        exits = Flaky(1, SystemExit)
        with pytest.raises(Exception, match="SystemExit"):
            await tm.submit(task(exits, retry=Retry(delay=0)))
        assert exits.attempts == [1]


@on_a_loop
async def test_a_snooze_spends_no_attempt():
    naps = [1, 2, 3]

    async def sleepy():
        if naps:
            naps.pop()
            raise Snooze(0)
        return current_task().attempt

    async with TaskManager() as tm:
        handle = tm.submit(sleepy)
        assert await handle == 1
        assert [past.ended for past in handle.info.attempts] == ["snoozed"] * 3
    for bad in (-1, float("nan"), float("inf"), "1"):
        with pytest.raises((ValueError, TypeError), match="delay"):
            Snooze(bad)


seen = contextvars.ContextVar("seen", default=0)


@pytest.mark.parametrize("executor", ["async", "thread"])
@on_a_loop
async def test_each_attempt_has_the_submitters_context_unchanged_by_earlier_ones(executor):
    values = []

    def look():
        values.append(seen.get())
        seen.set(99)
        if len(values) < 3:
            raise ValueError

    async def look_async():
        look()

    async with TaskManager() as tm:
        seen.set(1)
        function = look_async if executor == "async" else look
        await tm.submit(task(function, retry=Retry(delay=0)))
    assert values == [1, 1, 1]


@on_a_loop
async def test_a_checkpoint_is_there_for_the_next_attempt():
    async def counting():
        me = current_task()
        so_far = me.restored or 0
        me.checkpoint(so_far + 1)
        if so_far < 2:
            raise ValueError
        return so_far

    async with TaskManager() as tm:
        assert await tm.submit(task(counting, retry=Retry(delay=0))) == 2


# -- by hand -------------------------------------------------------------------------------------


@on_a_loop
async def test_a_failed_task_gets_another_run_through_a_new_handle():
    async with TaskManager() as tm:
        flaky = Flaky(1)
        old = tm.submit(flaky, 5)
        with pytest.raises(ValueError, match="not yet"):
            await old
        new = tm.retry(old)
        assert new.id == old.id
        assert await new == 5
        assert old.status == "failed", "settled handles stay settled"
        with pytest.raises(ValueError, match="not yet"):
            await old
        assert tm.get_task_status(old.id) == "completed"
        assert flaky.attempts == [1, 2]


@on_a_loop
async def test_a_cancelled_task_gets_another_run():
    async with TaskManager() as tm:
        old = tm.submit(double_async, 2)
        old.cancel()
        new = tm.retry(old.id)
        assert await new == 4
        assert old.status == "cancelled"


@on_a_loop
async def test_downstream_falls_and_rises_with_it_if_asked():
    async with TaskManager() as tm:
        flaky = Flaky(2)
        first = tm.submit(flaky, 1)
        second = tm.submit(double, first.output)
        third = tm.submit(double, second.output)
        other = tm.submit(task(double, run_if="all_done").options(after=[first]), 1)
        await tm.gather(first, second, third, other, return_errors=True)
        alone = tm.retry(first)
        await tm.gather(alone, return_errors=True)
        assert tm.get_task_status(third.id) == "failed"
        tm.retry(first, downstream=True)
        await tm.join()
        assert tm.get_task_result(third.id) == 4
        assert third.status == "failed"
        assert other.status == "completed"


@on_a_loop
async def test_dependents_of_a_new_run_get_its_result():
    async with TaskManager() as tm:
        flaky = Flaky(1)
        old = tm.submit(flaky, 3)
        await tm.gather(old, return_errors=True)
        new = tm.retry(old)
        assert await tm.submit(double, new.output) == 6
        assert await tm.submit(double, old.output) == 6, "the task is what counts"


@on_a_loop
async def test_only_what_failed_or_was_cancelled_can_be_retried():
    async with TaskManager() as tm:
        done, running = tm.submit(double, 1), tm.submit(forever)
        await done
        for handle in (done, running):
            with pytest.raises(InvalidTaskStateError, match="failed or was cancelled"):
                tm.retry(handle)
        with pytest.raises(TaskNotFoundError, match="no task 'nobody'"):
            tm.retry("nobody")
        running.cancel()


@on_a_loop
async def test_retry_all_takes_the_filters_of_list_tasks():
    async with TaskManager() as tm:
        flaky = [Flaky(1) for _ in range(4)]
        for n, one in enumerate(flaky):
            tm.submit(task(one, tags=["even" if n % 2 == 0 else "odd"]), n)
        await tm.join()
        handles = tm.retry_all(tag="even")
        assert await tm.gather(*handles) == [0, 2]
        assert len(tm.list_tasks(status="failed")) == 2
        assert len(tm.retry_all(status="failed")) == 2
        await tm.join()
        assert tm.retry_all() == []
        assert len(tm.list_tasks(status="completed")) == 4


@on_a_loop
async def test_retry_all_brings_back_whole_chains():
    async with TaskManager() as tm:
        flaky = Flaky(1)
        first = tm.submit(flaky, 1)
        second = tm.submit(double, first.output)
        third = tm.submit(double, second.output)
        await tm.join()
        assert {h.id for h in tm.retry_all()} == {first.id, second.id, third.id}
        await tm.join()
        assert tm.get_task_result(third.id) == 4
        assert not tm.list_tasks(status=["failed", "cancelled"])


def test_a_closed_manager_retries_nothing():
    with TaskManager() as tm:
        handle = tm.submit(fail)
        tm.gather(handle, return_errors=True).result(timeout=60)
    with pytest.raises(ManagerClosedError, match="not open"):
        tm.retry(handle)
    with pytest.raises(ManagerClosedError, match="not open"):
        tm.retry_all()
    assert tm.get_task_status(handle) == "failed"


@on_a_loop
async def test_the_root_of_a_failed_chain_is_named_after_a_retry_too():
    async with TaskManager() as tm:
        first = tm.submit(task(fail, name="root"))
        await tm.gather(first, return_errors=True)
        again = tm.retry(first)
        late = tm.submit(double, again.output)
        with pytest.raises(TaskDependencyError, match="root"):
            await late

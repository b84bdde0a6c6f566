"""Attempts, keys and ids reach across the lives of a program, and across its crashes."""

import pytest
from runtime.stage import on_a_loop

from windlass import DuplicateTaskError, Retry, TaskManager, current_task, task

from .stage import add, after_crash, attempt, door, double, fail_until, read, wait_at

LATER = 3600.0


@on_a_loop
async def test_failed_attempts_count_across_restarts(jobs):
    retry = Retry(retries=2, delay=LATER, jitter=0)
    async with TaskManager(jobs) as tm:
        handle = tm.submit(fail_until.options(retry=retry), 9)
        while not handle.info.attempts:
            await tm.flush()
        await tm.shutdown(wait=False)
    assert handle.status == "pending"
    async with TaskManager(jobs) as tm:
        info = tm.get_task(handle.id)
        assert (info.attempt, info.max_attempts) == (1, 3)
        (past,) = info.attempts
        assert (past.number, past.ended, repr(past.error)) == (
            1, "failed", "ValueError('attempt 1')",
        )  # fmt: skip
        assert "next try" in tm.explain(handle.id) or "due" in tm.explain(handle.id)
        await tm.shutdown(wait=False)


@on_a_loop
async def test_explicit_retry_before_and_after_a_restart(jobs):
    async with TaskManager(jobs) as tm:
        bad = tm.submit(fail_until, 3)
        dependent = tm.submit(double, bad.output)
        await tm.gather(bad, dependent, return_errors=True)
        second = tm.retry(bad)
        await tm.gather(second, return_errors=True)
        assert second.info.attempt == 2
    async with TaskManager(jobs) as tm:
        assert tm.get_task(bad.id).attempt == 2
        assert await tm.retry(bad.id) == 3
        assert await tm.retry(dependent.id) == 6
    async with TaskManager(jobs) as tm:
        assert tm.get_task(bad.id).attempt == 3
        assert [past.ended for past in tm.get_task(bad.id).attempts[:2]] == ["failed", "failed"]
        assert len(tm.list_tasks()) == 2


@on_a_loop
async def test_retry_downstream_after_a_restart(jobs):
    async with TaskManager(jobs) as tm:
        bad = tm.submit(fail_until, 2)
        dependent = tm.submit(double, tm.submit(double, bad.output).output)
        await tm.gather(dependent, return_errors=True)
    async with TaskManager(jobs) as tm:
        tm.retry(bad.id, downstream=True)
        await tm.join()
        assert tm.get_task_result(dependent.id) == 8


@on_a_loop
async def test_what_was_retried_is_not_forgotten_by_its_earlier_handle(jobs):
    hold = door()
    async with TaskManager(jobs) as tm:
        first = tm.submit(wait_at, "door", 1)
        await hold.came()
        assert first.cancel()
        await tm.gather(first, return_errors=True)
        hold = door()
        again = tm.retry(first)
        await hold.came()
        assert not tm.forget(first)
        await tm.flush()
        assert read(jobs, "SELECT id FROM windlass_tasks") == [(first.id,)]
        hold.open()
        assert await again == 1
        assert tm.forget(first)
        await tm.flush()
    assert read(jobs, "SELECT id FROM windlass_tasks") == []


@on_a_loop
async def test_keys_hold_across_restarts(jobs):
    async with TaskManager(jobs) as tm:
        ended = tm.submit(add.options(key="ended"), 1)
        later = tm.submit(add.options(key="later", delay=LATER), 1)
        await ended
    async with TaskManager(jobs) as tm:
        assert tm.submit(add.options(key="later"), 5).id == later.id
        again = tm.submit(add.options(key="ended"), 5)
        assert again.id == ended.id
        assert await again == 2
        assert (await tm.enqueue(add.options(key="ended"), 5)).id == ended.id
        assert [info.id for info in tm.list_tasks(key="later")] == [later.id]
        new = tm.submit(add.options(key="new"), 5)
        assert await new == 6


@on_a_loop
async def test_an_id_that_ended_in_an_earlier_life_is_taken(jobs):
    async with TaskManager(jobs) as tm:
        tm.register_task("once", add, 1, task_id="mine")
        await tm.execute_task("mine")
    async with TaskManager(jobs) as tm:
        with pytest.raises(DuplicateTaskError, match="already is a task with the id 'mine'"):
            tm.register_task("twice", add, 1, task_id="mine")


@on_a_loop
async def test_progress_and_a_checkpoint_survive_a_crash(jobs):
    hold = door()
    async with TaskManager(jobs) as tm:
        handle = tm.submit(half_way)
        await hold.came()
        await tm.flush()
        crashed = after_crash(jobs)
        hold.open()
    hold = door()
    hold.open()
    async with TaskManager(crashed) as tm:
        assert await tm.get_handle(handle.id) == ("half", 2)


@task
async def half_way():
    me = current_task()
    restored = me.restored
    if restored is None:
        me.checkpoint("half")
    await wait_at()
    return restored, me.attempt


@on_a_loop
async def test_a_crash_is_an_attempt_and_is_told(jobs, caplog):
    hold = door()
    async with TaskManager(jobs) as tm:
        handle, unstarted = tm.submit(wait_at), tm.submit(attempt.options(delay=LATER))
        await hold.came()
        crashed = after_crash(jobs)
        hold.open()
    door().open()
    async with TaskManager(crashed) as tm:
        again = tm.get_handle(handle.id)
        await again
        assert again.info.attempt == 2
        assert again.info.attempts[0].ended == "crashed"
        assert tm.get_task(unstarted.id).attempt == 0
    assert "1 task was running when the last process that led ended" in caplog.text


@on_a_loop
async def test_max_crashes_and_on_crash(jobs):
    hold = door()
    async with TaskManager(jobs) as tm:
        handles = [
            tm.submit(wait_at.options(max_crashes=1)),
            tm.submit(wait_at.options(on_crash="fail")),
            tm.submit(wait_at.options(max_crashes=3)),
        ]
        waits = tm.submit(add, handles[0].output)
        await hold.came(3)
        crashed = after_crash(jobs)
        hold.open()
    for life in (2, 3):
        hold = door()
        async with TaskManager(crashed) as tm:
            await hold.came()
            once, never, thrice = (tm.get_task(handle.id) for handle in handles)
            assert (once.status, never.status, thrice.status) == ("failed", "failed", "running")
            assert (once.attempt, never.attempt, thrice.attempt) == (1, 1, life)
            assert "max_crashes" in str(once.error)
            assert "on_crash is 'fail'" in str(never.error)
            assert tm.get_task_status(waits.id) == "failed"
            crashed = after_crash(crashed)
            hold.open()
    door()
    async with TaskManager(crashed) as tm:
        info = tm.get_task(handles[2].id)
        assert (info.status, info.attempt) == ("failed", 3)
        assert "was running when its process died, 3 times" in str(info.error)
        assert [past.ended for past in info.attempts][:3] == ["crashed"] * 3
        # An explicit retry begins anew.
        door().open()
        assert await tm.retry(handles[2].id) is None

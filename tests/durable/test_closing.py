"""Closing: nothing durable is cancelled by it, and everybody who waits is told."""

import asyncio
import logging
import sys
import threading

import pytest
from runtime.stage import SOON, on_a_loop, python

from windlass import (
    ManagerClosedError,
    Retry,
    Snooze,
    StoreError,
    TaskCancellationError,
    TaskManager,
    current_task,
    task,
)

from .stage import add, after_crash, door, echo, fail_until, read, wait_at
from .test_committed_first import slow

LATER = 3600.0


@task
async def put_off(delay):
    if current_task().attempt == 1:
        raise Snooze(delay)


def statuses(file):
    return dict(read(file, "SELECT id, status FROM windlass_tasks"))


@on_a_loop
async def test_leaving_waits_for_what_is_due_and_keeps_the_rest(jobs):
    async with TaskManager(jobs) as tm:
        due = tm.submit(echo.options(delay=0.0), 1)
        later, at = tm.submit(add.options(delay=LATER), 1), tm.submit(add.options(at=4e9), 1)
        after, held = tm.submit(add, later.output), tm.register_task("held", add, 1)
        fleeting = tm.submit(task(lambda: 1, durable=False).options(delay=0.01))
    assert fleeting.status == "completed"
    assert statuses(jobs) == {
        due.id: "completed", later.id: "pending", at.id: "pending", after.id: "waiting",
        held: "pending",
    }  # fmt: skip


@pytest.mark.parametrize("how", ["wait=False", "stop", "timeout", "the body raises", "cancelled"])
@on_a_loop
async def test_what_runs_goes_back_with_its_attempt(jobs, how):
    async def life():
        async with TaskManager(jobs) as tm:
            running, ready = tm.submit(wait_at), tm.submit(add.options(priority="low"), 1)
            in_memory = tm.submit(task(asyncio.sleep, durable=False), LATER)
            tm.max_concurrent_tasks = 2
            told.extend([running, ready, in_memory])
            await hold.came()
            if how == "wait=False":
                await tm.shutdown(wait=False)
            elif how == "stop":
                await tm.stop()
            elif how == "timeout":
                await tm.shutdown(timeout=0.01)
            elif how == "the body raises":
                raise KeyError("mine")
            else:
                asyncio.current_task().cancel()
                await asyncio.sleep(LATER)

    told, hold = [], door()
    try:
        await asyncio.ensure_future(life())
    except KeyError:
        assert how == "the body raises"
    except asyncio.CancelledError:
        assert how == "cancelled"
    running, ready, in_memory = told
    assert (running.status, in_memory.status) == ("pending", "cancelled")
    rows = dict(read(jobs, "SELECT id, status FROM windlass_tasks"))
    assert rows[running.id] == "pending"
    assert rows[ready.id] in {"pending", "completed"}
    hold = door()
    async with TaskManager(jobs) as tm:
        await hold.came()
        assert tm.get_task(running.id).attempt == 1
        assert tm.get_task(running.id).attempts[0].ended == "interrupted"
        hold.open()
        assert await tm.get_handle(ready.id) == 2


@on_a_loop
async def test_interrupting_does_not_cost_the_last_attempt(jobs):
    async with TaskManager(jobs) as tm:
        handle = tm.submit(wait_at.options(max_retries=0, max_crashes=1))
        hold = door()
        await hold.came()
        await tm.shutdown(wait=False)
    for _ in range(4):
        hold = door()
        async with TaskManager(jobs) as tm:
            await hold.came()
            await tm.shutdown(wait=False)
    hold = door()
    hold.open()
    async with TaskManager(jobs) as tm:
        await tm.get_handle(handle.id)
        assert tm.get_task(handle.id).attempt == 1


@task
async def swallow():
    """Finishes all the same when it is told to stop."""
    try:
        await wait_at("swallow")
    except asyncio.CancelledError:
        return "finished"


@on_a_loop
async def test_a_task_that_finishes_while_it_is_interrupted_has_finished(jobs):
    hold = door("swallow")
    async with TaskManager(jobs) as tm:
        handle = tm.submit(swallow)
        await hold.came()
        await tm.shutdown(wait=False)
    assert await handle == "finished"
    async with TaskManager(jobs) as tm:
        assert tm.get_task_result(handle.id) == "finished"


@on_a_loop
async def test_handles_say_what_happened(jobs):
    hold = door()
    async with TaskManager(jobs) as tm:
        running, later = tm.submit(wait_at), tm.submit(add.options(delay=LATER), 1)
        waiting = asyncio.ensure_future(asyncio.wait_for(later, SOON))
        gathering = asyncio.ensure_future(asyncio.wait_for(tm.gather(running, later), SOON))
        await hold.came()
        await tm.shutdown(wait=False)
    for wait in (waiting, gathering, running, later, tm.gather(later)):
        with pytest.raises(ManagerClosedError, match="was closed before .* it is kept in the file"):
            await wait
    with pytest.raises(ManagerClosedError, match="kept in the file"):
        await asyncio.to_thread(running.result)
    assert not running.done()
    with pytest.raises(ManagerClosedError, match="not open"):
        tm.submit(add, 1)


@on_a_loop
async def test_a_handle_goes_on_when_the_same_manager_is_opened_again(jobs):
    hold = door()
    tm = TaskManager(jobs)
    async with tm:
        handle = tm.submit(wait_at, result="at last")
        dependent = tm.submit(echo, handle.output)
        await hold.came()
        await tm.shutdown(wait=False)
    hold = door()
    hold.open()
    async with tm:
        assert await handle == "at last"
        assert await dependent == "at last"
    async with tm:
        assert tm.get_task(handle.id).attempt == 1
        assert len(tm.list_tasks()) == 2


@on_a_loop
async def test_somebody_else_was_there_in_between(jobs):
    first = TaskManager(jobs)
    async with first:
        later = first.submit(add.options(delay=LATER), 1)
    async with TaskManager(jobs) as other:
        other.cancel_task(later.id)
        new = other.submit(add, 5)
    async with first:
        assert first.get_task_status(later.id) == "cancelled"
        assert first.get_task_result(new.id) == 6
        assert await first.submit(add, 1) == 2


@on_a_loop
async def test_settings_made_before_opening_hold(jobs):
    tm = TaskManager(jobs)
    tm.pause()
    tm.max_concurrent_tasks = 3
    held = tm.register_task("held", add, 1)
    async with tm:
        handle = await tm.enqueue(add, 1)
        assert "paused" in handle.explain()
        assert tm.max_concurrent_tasks == 3
        assert statuses(jobs)[held] == "pending"
        tm.resume()
        assert await handle == 2
        assert await tm.execute_task(held) == 2


def test_another_event_loop(jobs):
    tm = TaskManager(jobs)

    async def life(*handles):
        async with tm:
            for handle in handles:
                assert await handle == 2
            return tm.submit(add.options(delay=0.01), 1)

    first = asyncio.run(life())
    second = asyncio.run(life(first))
    asyncio.run(life(first, second))


def test_both_doors(jobs):
    with TaskManager(jobs) as tm:
        handle = tm.submit(add, 1)
        later = tm.submit(add.options(delay=LATER), 1)
        assert handle.result(SOON) == 2

    async def look():
        async with TaskManager(jobs) as tm:
            assert tm.get_task_result(handle.id) == 2
            tm.cancel_task(later.id)

    asyncio.run(look())
    with TaskManager(jobs) as tm, pytest.raises(TaskCancellationError):
        tm.get_handle(later.id).result(SOON)


def test_threads_that_wait_are_told_in_plain_code(jobs):
    told = []

    def wait(handle):
        try:
            handle.result(SOON)
        except ManagerClosedError as error:
            told.append(str(error))

    with TaskManager(jobs) as tm:
        handle = tm.submit(add.options(delay=LATER), 1)
        thread = threading.Thread(target=wait, args=[handle])
        thread.start()
    thread.join(SOON)
    assert "kept in the file" in told[0]


@on_a_loop
async def test_a_full_disk_does_not_hold_up_closing(jobs, caplog):
    hold = door()
    tm, store = slow(jobs)
    async with tm:
        running, later = tm.submit(wait_at), tm.submit(add.options(delay=LATER), 1)
        await hold.came()
        store.error = StoreError("the disk is full")
        hold.open()
        while tm._runtime.journal.sick is None:
            await asyncio.sleep(0.01)
        await asyncio.wait_for(tm.shutdown(wait=False), SOON)
    assert not running.done()
    with pytest.raises(ManagerClosedError):
        await running
    assert "closed before everything was stored" in caplog.text
    assert statuses(jobs) == {running.id: "running", later.id: "pending"}
    async with TaskManager(jobs) as tm:
        assert await tm.get_handle(running.id) is None


@on_a_loop
async def test_an_opening_that_is_cancelled_leaves_nothing(jobs):
    async def life():
        async with TaskManager(jobs):
            await asyncio.sleep(LATER)

    opening = asyncio.ensure_future(life())
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert not [t for t in threading.enumerate() if t.name == "windlass-journal"]
    async with TaskManager(jobs) as tm:
        assert await asyncio.wait_for(tm.submit(add, 1), SOON) == 2


@on_a_loop
async def test_an_opening_that_fails_leaves_nothing_and_can_be_repeated(jobs):
    async with TaskManager(jobs) as tm:
        handle = tm.submit(add.options(delay=0.01), 1)
        await tm.shutdown(wait=False)
    tm = TaskManager(jobs)
    durable = tm._runtime.durable
    unfinished = durable.store.unfinished

    def broken():
        yield from unfinished()
        raise StoreError("the cable is out")

    durable.store.unfinished = broken
    with pytest.raises(StoreError, match="cable"):
        await tm.start()
    assert not tm.is_open
    assert not [t for t in threading.enumerate() if t.name == "windlass-journal"]
    durable.store.unfinished = unfinished
    async with tm:
        assert await tm.get_handle(handle.id) == 2
        assert len(tm.list_tasks()) == 1


@on_a_loop
async def test_leaving_does_not_wait_for_another_try_which_is_kept(jobs):
    failing = fail_until.options(retry=Retry(retries=1, delay=LATER, jitter=0))
    async with TaskManager(jobs) as tm:
        failed, snoozed = tm.submit(failing, 2), tm.submit(put_off, LATER)
        dependent = tm.submit(add, failed.output)
        joined = tm.join()
        async for change in tm.changes():
            if change.before == "running" and snoozed.status == failed.status == "pending":
                break
        assert not joined.done()  # who waits for all tasks waits for another try as well
    assert statuses(jobs) == {failed.id: "pending", snoozed.id: "pending", dependent.id: "waiting"}
    with pytest.raises(ManagerClosedError):
        await failed


@on_a_loop
async def test_the_loop_was_closed_before_the_manager(jobs, caplog):
    tm = TaskManager(jobs)
    hold = door()
    crashed = []

    async def forget_to_close():
        await tm.start()
        tm.submit(add.options(delay=LATER), 1)
        await tm.enqueue(wait_at)
        await hold.came()
        await tm.flush()
        crashed.append(after_crash(jobs))

    def elsewhere():
        asyncio.run(forget_to_close())
        tm.shutdown().result()

    caplog.set_level(logging.CRITICAL, "asyncio")
    await asyncio.to_thread(elsewhere)
    assert sorted(statuses(jobs).values()) == ["pending", "pending"]
    assert sorted(statuses(crashed[0]).values()) == ["pending", "running"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX")
@pytest.mark.parametrize("door_", ["async with", "with"])
def test_ctrl_c(jobs, door_):
    code = f"""
        import asyncio, os, signal, sys, threading, time
        from windlass import TaskManager, current_task, task

        @task(id="long")
        async def long():
            print(current_task().id, flush=True)
            threading.Timer(0.05, os.kill, [os.getpid(), signal.SIGINT]).start()
            await asyncio.sleep(3600)

        async def main():
            async with TaskManager({str(jobs)!r}) as tm:
                tm.submit(long)
                await asyncio.sleep(3600)

        try:
            if {door_ == "async with"}:
                asyncio.run(main())
            else:
                with TaskManager({str(jobs)!r}) as tm:
                    tm.submit(long)
        except KeyboardInterrupt:
            sys.exit(130)
    """
    done = python(code, check=False)
    assert done.returncode == 130, done.stderr
    assert read(jobs, "SELECT id, status FROM windlass_tasks") == [
        (done.stdout.strip(), "pending"),
    ]
    assert "Traceback" not in done.stderr

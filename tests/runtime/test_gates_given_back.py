"""However a task ends, it gives back all it had of its gates, once: not later, and not sooner."""

from __future__ import annotations

import asyncio
import sys

import pytest

from windlass import (
    Gate,
    Rate,
    Retry,
    Snooze,
    TaskCancellationError,
    TaskCrashedError,
    TaskExecutionError,
    TaskManager,
    TaskStatus,
    TaskTimeoutError,
    current_task,
    task,
)

from .stage import Door, Told, double, double_async, fail, forever, hangs_at_first, on_a_loop
from .stays import Pipes, die, stay

LOCK = Gate("lock", slots=1)


def nothing_is_held(tm, gate="lock"):
    now = tm.gate(gate).metrics()
    return (now.held, now.waiting, now.pending) == (0, 0, 0)


async def snooze_once():
    if not (me := current_task()).restored:
        me.checkpoint(value=True)
        raise Snooze(5)


ENDS = {
    "returns": (task(double_async), None),
    "raises": (task(fail), ValueError),
    "gives up after retries": (task(fail, retry=Retry(3, delay=1)), ValueError),
    "raises SystemExit": (task(sys.exit), TaskExecutionError),
    "times out": (task(forever, timeout=5), TaskTimeoutError),
    "times out in all": (task(forever, total_timeout=5), TaskTimeoutError),
    "times out, and again": (task(forever, timeout=5, retry=Retry(2, delay=1)), TaskTimeoutError),
    "is put off": (task(snooze_once), None),
    "in a thread": (task(double, executor="thread"), None),
    "one at a time": (task(fail, executor="sequential"), ValueError),
}


@pytest.mark.parametrize("how", ENDS)
def test_however_it_ends(how, windlass_world):
    function, expected = ENDS[how]
    arguments = (1,) if "double" in function.id else ()

    async def scenario(tm):
        behind = function.options(gates={"lock": 2, "other": 1})
        (error,) = await tm.gather(tm.submit(behind, *arguments), return_errors=True)
        assert expected is None or isinstance(error, expected)
        assert nothing_is_held(tm)
        assert nothing_is_held(tm, "other")
        door = Door()
        for _ in range(3):
            tm.submit(task(door, gates=["lock"]))
        await door.came(2)
        assert (tm.gate("lock").held, tm.gate("lock").waiting) == (2, 1), "two slots, as before"
        door.open()

    windlass_world.run(scenario, gates=[Gate("lock", slots=2), Gate("other", slots=1)])


def test_who_is_cancelled_behind_the_gate_or_in_its_line(windlass_world):
    async def scenario(tm):
        door, lock = Door(), tm.gate("lock")
        first, second, third = (tm.submit(task(door, gates=["lock"]), n) for n in range(3))
        await door.came()
        assert second.cancel()
        await asyncio.sleep(1)
        assert (lock.held, lock.waiting) == (1, 1)
        assert first.cancel()
        await door.came()
        assert third.status == "running"
        assert not first.cancel()
        assert (lock.held, lock.waiting) == (1, 0)
        door.open()
        assert await third == 2
        assert nothing_is_held(tm)

    windlass_world.run(scenario, gates=[LOCK])


def test_a_gate_is_held_while_a_cancelled_coroutine_cleans_up(windlass_world):
    async def tidy():
        try:
            await forever()
        finally:
            await asyncio.sleep(3)

    async def scenario(tm):
        first = tm.submit(task(tidy, gates=["lock"]))
        next_one = tm.submit(task(double_async, gates=["lock"]), 1)
        await asyncio.sleep(1)
        first.cancel()
        await asyncio.sleep(1)
        assert next_one.status == "pending"
        assert await next_one == 2
        assert windlass_world.elapsed == pytest.approx(4)

    windlass_world.run(scenario, gates=[LOCK])


def test_while_a_task_is_put_off_or_waits_for_its_retry_it_holds_nothing(windlass_world):
    async def twice():
        if current_task().attempt == 1:
            raise ValueError

    async def scenario(tm):
        once_more = tm.submit(task(twice, gates=["lock"], retry=Retry(1, delay=10, jitter=0)))
        await asyncio.sleep(1)
        lock = tm.gate("lock")
        assert (lock.held, lock.waiting, lock.metrics().pending) == (0, 0, 1)
        assert await tm.submit(task(double_async, gates=["lock"]), 1) == 2
        assert windlass_world.elapsed == pytest.approx(1)
        await once_more
        assert nothing_is_held(tm)

    windlass_world.run(scenario, gates=[LOCK])


def test_expired_while_parked(windlass_world):
    async def scenario(tm):
        door = Door()
        first = tm.submit(task(door, gates=["lock"]))
        late = tm.submit(task(double_async, gates=["lock"], expires=5), 1)
        heavy = tm.submit(task(double_async, gates=["lock", "rate"], total_timeout=7), 1)
        with pytest.raises(TaskCancellationError, match="expired"):
            await late
        assert windlass_world.elapsed == pytest.approx(5)
        assert tm.explain(late) == "cancelled: expired"
        with pytest.raises(TaskTimeoutError, match="total_timeout of 7"):
            await heavy
        assert (tm.gate("lock").waiting, tm.gate("lock").metrics().pending) == (0, 0)
        assert tm.gate("rate").metrics().pending == 0
        door.open()
        await first
        # What has started in time does not expire behind the gate.
        await tm.submit(task(asyncio.sleep, gates=["lock"], expires=1), 5)

    windlass_world.run(scenario, gates=[LOCK, Gate("rate", rate=Rate(1, per=1))])


def test_whoever_is_doomed_by_a_dependency_leaves_the_count(windlass_world):
    async def scenario(tm):
        broken = tm.submit(fail)
        tm.submit(task(double, gates=["lock"]), broken.output)
        held = tm.register_task("held", task(double, gates=["lock"]), 1)
        assert tm.gate("lock").metrics().pending == 2
        await tm.gather(broken, return_errors=True)
        assert tm.gate("lock").metrics().pending == 1
        tm.cancel_task(held)
        assert nothing_is_held(tm)

    windlass_world.run(scenario, gates=[LOCK])


def test_a_task_done_by_hand_passes_by_hand(windlass_world):
    async def scenario(tm):
        outside = tm.external("import", gates=["lock"])
        assert tm.gate("lock").metrics().pending == 1
        assert outside.start()
        assert nothing_is_held(tm), "nobody here can hold back what is done elsewhere"
        assert outside.complete(3)
        assert nothing_is_held(tm)

    windlass_world.run(scenario, gates=[LOCK])


def test_a_manual_retry_goes_through_the_gates_again(windlass_world):
    async def scenario(tm):
        door = Door()
        door.fail(ValueError("broken"))
        handle = tm.submit(task(door, gates=["lock"]))
        await tm.gather(handle, return_errors=True)
        held = tm.submit(task(asyncio.sleep, gates=["lock"]), 5)
        again = tm.retry(handle)
        await asyncio.sleep(1)
        assert (tm.gate("lock").held, tm.gate("lock").waiting) == (1, 1)
        await tm.gather(held, again, return_errors=True)
        assert nothing_is_held(tm)

    windlass_world.run(scenario, gates=[LOCK])


# -- threads and processes -------------------------------------------------------------------------


@on_a_loop
async def test_a_thread_that_is_left_behind_keeps_its_gate_but_not_its_slot(gate):
    async with TaskManager(threads=1, gates=[LOCK]) as tm:
        changes = tm.changes()
        left_behind = tm.submit(task(gate, gates=["lock"]))
        await gate.came()
        next_one = tm.submit(task(double, gates=["lock"]), 1)
        left_behind.cancel()
        with pytest.raises(TaskCancellationError):
            await left_behind
        assert await tm.submit(double, 2) == 4, "its slot is free"
        assert tm.gate("lock").held == 1
        assert next_one.status == "pending"
        assert next_one.explain() == "1st in line at gate `lock`, 1 of 1 taken"
        gate.open()
        assert await next_one == 2
        assert nothing_is_held(tm)
        started = [c.task_id async for c in _until(changes, next_one.id) if c.after == "running"]
        assert started.count(next_one.id) == 1


async def _until(changes, task_id):
    async for change in changes:
        yield change
        if change.task_id == task_id and change.after is TaskStatus.COMPLETED:
            return


@on_a_loop
async def test_a_retry_waits_until_the_last_attempt_has_left_its_gate(gate):
    work, attempts = hangs_at_first(gate)
    clock = Told()
    async with TaskManager(gates=[Gate("lock", slots=2)], clock=clock, watchdog=None) as tm:
        changes = tm.changes()
        patient = task(work, timeout=3600, retry=Retry(1, delay=0), gates={"lock": 2})
        handle = tm.submit(patient)
        await gate.came()
        clock.pass_for(tm)
        async for change in changes:
            if change.cause.startswith("timed out"):
                break
        assert await tm.submit(double, 1) == 2
        assert tm.gate("lock").held == 2
        assert "waiting for the thread of its last attempt to leave" in handle.explain()
        gate.open()
        assert await handle == 2
        assert attempts == [1, 2]
        assert nothing_is_held(tm)


@on_a_loop
async def test_one_that_may_overlap_waits_for_the_gate_itself(gate):
    work, attempts = hangs_at_first(gate)
    clock = Told()
    async with TaskManager(gates=[LOCK], clock=clock, watchdog=None) as tm:
        changes = tm.changes()
        retry = Retry(1, delay=0, overlap=True)
        handle = tm.submit(task(work, timeout=3600, retry=retry, gates=["lock"]))
        await gate.came()
        clock.pass_for(tm)
        async for change in changes:
            if change.cause.startswith("timed out"):
                break
        assert await tm.submit(double, 1) == 2
        assert (tm.gate("lock").held, tm.gate("lock").waiting) == (1, 1)
        gate.open()
        await handle
        assert attempts == [1, 2]
        assert nothing_is_held(tm)


needs_pipes = pytest.mark.skipif(sys.platform == "win32", reason="needs named pipes")


@on_a_loop
async def test_a_crashed_process_gives_its_gate_back():
    async with TaskManager(processes=1, gates=[Gate("gpu", slots=3)]) as tm:
        crash = task(die, executor="process", gates={"gpu": 3}, max_crashes=2)
        with pytest.raises(TaskCrashedError):
            await tm.submit(crash)
        assert nothing_is_held(tm, "gpu")
        again = task(double, executor="process", gates={"gpu": 3})
        assert await tm.submit(again, 2) == 4


@needs_pipes
@on_a_loop
async def test_a_killed_process_gives_its_gate_back(tmp_path):
    pipes = Pipes(tmp_path, 2)
    async with TaskManager(processes=2, gates=[LOCK]) as tm:
        changes = tm.changes()
        killed = tm.submit(task(stay, executor="process", gates=["lock"]), pipes.paths[0])
        waits = tm.submit(task(stay, executor="process", gates=["lock"]), pipes.paths[1])
        async for change in changes:
            if change.after is TaskStatus.RUNNING:
                break
        killed.cancel()
        await pipes.release_async(1)
        assert await waits == "1"
        assert killed.status == "cancelled"
        assert nothing_is_held(tm)


def test_a_closed_manager_holds_nothing_when_it_is_opened_again():
    manager = TaskManager(gates=[LOCK])
    for _ in range(2):
        with manager as tm:
            handles = [tm.submit(task(forever, gates=["lock"])) for _ in range(3)]
            tm.shutdown(wait=False).result(timeout=60)
        assert {handle.status for handle in handles} == {"cancelled"}
        assert nothing_is_held(manager)

"""Gates where it gets tight: max_pending, waits that would never end, and what explain says."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from windlass import (
    DeadlockError,
    Gate,
    QueueFullError,
    Rate,
    Retry,
    TaskExecutionError,
    TaskManager,
    call,
    current_task,
    task,
)

from .stage import SOON, Door, double, double_async, on_a_loop, root_of

# -- max_pending of a gate -------------------------------------------------------------------------


def behind(*gates, **options):
    return task(double_async, gates=gates, **options)


@on_a_loop
async def test_submit_raises_when_too_many_wait_for_the_gate():
    async with TaskManager(gates=[Gate("api", slots=1, max_pending=2), Gate("db")]) as tm:
        door = Door()
        running = tm.submit(task(door, gates=["api"]))
        await door.came()
        waiting = [tm.submit(behind("api", "db"), n) for n in range(2)]
        said = (
            r"2 tasks are waiting for the gate 'api'.* its max_pending is 2.* or raise max_pending="
        )
        for submit in (
            lambda: tm.submit(behind("api"), 2),
            lambda: tm.map(behind("api"), [2, 3]),
            lambda: tm.graph({"a": call(double_async, 1), "b": call(behind("api"), 2)}),
            lambda: tm.register_task("b", behind("api"), 2),
        ):
            with pytest.raises(QueueFullError, match=said) as caught:
                submit()
            assert caught.value.details == {"gate": "api"}
        assert len(tm.list_tasks()) == 3, "all of them or none"
        api = tm.gate("api").metrics()
        assert (api.pending, api.max_pending, api.refused) == (2, 2, 6)
        assert await tm.submit(behind("db"), 4) == 8, "others have room"
        waiting[0].cancel()
        waiting[0] = tm.submit(behind("api"), 0)
        tm.gate("api").max_pending = 3
        waiting.append(tm.submit(behind("api"), 2))
        tm.gate("api").max_pending = None
        waiting.append(tm.submit(behind("api"), 3))
        door.open()
        await running
        assert await tm.gather(*waiting) == [0, 2, 4, 6]


@on_a_loop
async def test_enqueue_waits_for_room_at_the_gate_and_delays_nobody_elsewhere():
    gates = [Gate("api", slots=1, max_pending=1), Gate("db", slots=1, max_pending=1)]
    async with TaskManager(gates=gates) as tm:
        door = Door()
        tm.submit(task(door, gates=["api"]))
        await door.came()
        at_api = [tm.enqueue(behind("api"), n) for n in range(4)]
        assert [wait.done() for wait in at_api] == [True, False, False, False]
        # Who does not need that gate is taken in at once, and so is who needs another.
        free, at_db = tm.enqueue(double_async, 7), tm.enqueue(behind("db"), 8)
        assert free.done()
        assert at_db.done()
        assert await (await free) == 14
        assert await (await at_db) == 16
        both = tm.enqueue(behind("api", "db"), 9)
        assert not both.done()
        assert await (await tm.enqueue(behind("db"), 10)) == 20
        door.open()
        handles = [await wait for wait in (*at_api, both)]
        assert await tm.gather(*handles) == [0, 2, 4, 6, 18]
        started = [tm._runtime.find(handle).started_at for handle in handles]
        assert started == sorted(started), "first come, first served"
        gates = tm.get_metrics().gates.values()
        assert [gate.refused for gate in gates] == [0, 0], "who waits is not refused"


@on_a_loop
async def test_enqueue_at_a_full_gate_and_a_full_manager():
    async with TaskManager(max_pending=2, gates=[Gate("api", slots=1, max_pending=1)]) as tm:
        door = Door()
        tm.submit(task(door, gates=["api"]))
        await door.came()
        tm.submit(behind("api"), 0)
        tm.pause()
        tm.submit(double_async, 1)
        waits = [tm.enqueue(behind("api"), 2), tm.enqueue(double_async, 3)]
        waits += [tm.enqueue(behind("api"), 4), tm.enqueue(double_async, 5)]
        assert not any(wait.done() for wait in waits)
        tm.resume()
        door.open()
        handles = [await wait for wait in waits]
        assert await tm.gather(*handles) == [4, 6, 8, 10]


def test_enqueue_waits_in_plain_code_too(gate):
    with TaskManager(gates=[Gate("api", slots=1, max_pending=1)]) as tm:
        tm.submit(task(gate, gates=["api"]))
        gate.wait_for()
        tm.submit(task(double, gates=["api"]), 1)
        wait = tm.enqueue(task(double, gates=["api"]), 2)
        assert tm.enqueue(double, 3).result(timeout=SOON).result(timeout=SOON) == 6
        assert not wait.done()
        tm.gate("api").max_pending = 2
        assert wait.result(timeout=SOON).status == "pending"
        gate.open()
        assert wait.result().result(timeout=SOON) == 4


@on_a_loop
async def test_ten_thousand_may_wait_for_room_at_a_gate():
    async with TaskManager(gates=[Gate("api", slots=5, max_pending=10)]) as tm:
        waits = [tm.enqueue(behind("api"), n) for n in range(10_000)]
        handles = [await wait for wait in waits]
        assert await tm.gather(*handles) == [2 * n for n in range(10_000)]


def test_a_retry_is_not_refused_because_the_gate_is_full(windlass_world):
    async def second_time():
        if current_task().attempt == 1:
            raise ConnectionError
        return "well"

    async def scenario(tm):
        again = task(second_time, gates=["api"], retry=Retry(1, delay=1))
        first = tm.submit(again)
        await asyncio.sleep(0)
        others = [tm.submit(behind("api"), n) for n in range(1)]
        assert await first == "well"
        assert await tm.gather(*others) == [0]

    windlass_world.run(scenario, gates=[Gate("api", slots=1, max_pending=1)])


# -- waits that would never end --------------------------------------------------------------------


async def waits_for(function, *args):
    return await current_task().submit(function, *args)


@on_a_loop
async def test_who_waits_for_what_needs_the_gate_it_holds_is_told():
    async with TaskManager(gates=[Gate("lock", slots=1)]) as tm:
        outer = task(waits_for, gates=["lock"], name="outer")
        inner = task(double_async, gates=["lock"], name="inner")
        with pytest.raises(TaskExecutionError) as caught:
            await tm.submit(outer, inner, 1)
        told = root_of(caught.value)
        assert isinstance(told, DeadlockError)
        assert "outer -> inner -> gate lock -> outer" in str(told)
        assert told.details["path"] == ["outer", "inner", "gate lock", "outer"]


def test_and_in_plain_code_and_threads():
    def outer():
        with pytest.raises(DeadlockError, match="outer -> inner -> gate lock -> outer"):
            current_task().submit(inner, 1).result()
        return "told"

    inner = task(double, gates=["lock"], name="inner")
    with TaskManager(gates=[Gate("lock", slots=1)]) as tm:
        handle = tm.submit(task(outer, gates=["lock"], name="outer"))
        assert handle.result(timeout=SOON) == "told"


@on_a_loop
async def test_what_only_depends_on_such_a_task_is_found_too():
    async def outer(tm):
        held_up = tm.submit(task(double_async, gates=["lock"], name="held up"), 1)
        last = tm.submit(task(double_async, name="last"), held_up.output)
        with pytest.raises(DeadlockError, match="outer -> last -> held up -> gate lock -> outer"):
            await last
        return "told"

    async with TaskManager(gates=[Gate("lock", slots=1)]) as tm:
        assert await tm.submit(task(outer, gates=["lock"], name="outer"), tm) == "told"


@on_a_loop
async def test_two_who_wait_at_a_gate_of_two_slots():
    async with TaskManager(gates=[Gate("gpu", slots=2)]) as tm:
        inner = task(double_async, gates=["gpu"])
        outer = task(waits_for, gates=["gpu"])
        # One alone can wait: there is the other slot. The second that waits would close the circle,
        # and when it has failed the first goes on.
        assert await tm.submit(outer, inner, 4) == 8
        began = asyncio.Barrier(2)

        async def together(n):
            await began.wait()
            return await waits_for(inner, n)

        both = [tm.submit(task(together, gates=["gpu"]), n) for n in range(2)]
        results = await tm.gather(*both, return_errors=True)
        assert sum(isinstance(root_of(result), DeadlockError) for result in results) == 1
        assert any(result == 2 * n for n, result in enumerate(results))
        assert tm.gate("gpu").held == 0


@on_a_loop
async def test_a_wait_for_somebody_who_will_leave_is_no_deadlock():
    async with TaskManager(gates=[Gate("gpu", slots=2)]) as tm:
        door = Door()
        leaves = tm.submit(task(door, gates=["gpu"]))
        await door.came()
        waits = tm.submit(task(waits_for, gates=["gpu"]), task(double_async, gates=["gpu"]), 3)
        changes = tm.changes()
        tm.submit(double_async, 1)
        async for change in changes:
            if change.after == "completed":
                break
        assert waits.status == "running"
        door.open()
        assert await waits == 6
        await leaves


@on_a_loop
async def test_a_circle_through_two_gates():
    async with TaskManager(gates=[Gate("left", slots=1), Gate("right", slots=1)]) as tm:
        began = asyncio.Barrier(2)

        async def hold_and_want(other):
            await began.wait()
            return await waits_for(task(double_async, gates=[other]), 1)

        sides = [
            tm.submit(task(hold_and_want, gates=[side]), other)
            for side, other in (("left", "right"), ("right", "left"))
        ]
        results = await tm.gather(*sides, return_errors=True)
        assert sum(isinstance(root_of(result), DeadlockError) for result in results) == 1
        assert 2 in results, "the other one got through"


@on_a_loop
async def test_a_waiter_lends_its_slot_but_never_its_gate():
    async def outer(tm, door):
        return await tm.submit(door)

    async with TaskManager(max_concurrent_tasks=1, gates=[Gate("lock", slots=1)]) as tm:
        door = Door()
        waits = tm.submit(task(outer, gates=["lock"]), tm, door)
        await door.came()
        other = tm.submit(task(double_async, gates=["lock"]), 1)
        assert tm.gate("lock").held == 1
        door.open()
        await waits
        assert await other == 2


# -- explain ---------------------------------------------------------------------------------------


def test_explain_tells_where_in_which_line_and_what_holds_it_up(windlass_world):
    async def scenario(tm):
        windlass_world.now = datetime(2030, 1, 1, 12, tzinfo=UTC)
        door = Door()
        held = [tm.submit(task(door, gates=["gpu"])) for _ in range(2)]
        await door.came(2)
        line = [tm.submit(task(double_async, gates=["gpu"]), n) for n in range(12)]
        rated = [tm.submit(task(double_async, gates=["api"]), n) for n in range(3)]
        await asyncio.sleep(1)
        said = [line[n].explain() for n in (0, 1, 2, 3, 10, 11)]
        assert said == [
            f"{place} in line at gate `gpu`, 2 of 2 taken"
            for place in ("1st", "2nd", "3rd", "4th", "11th", "12th")
        ]
        next_one = datetime(2030, 1, 1, 12, 1, tzinfo=UTC).astimezone()
        assert rated[2].explain() == (
            f"2nd in line at gate `api`, 1 per 60 s, the next {next_one:%H:%M:%S}"
        )
        urgent = tm.submit(task(double_async, gates=["gpu"], priority="HIGH"), 1)
        await asyncio.sleep(1)
        assert urgent.explain().startswith("1st in line at gate `gpu`")
        assert line[0].explain().startswith("2nd in line")
        waits = tm.submit(double_async, line[0].output)
        assert waits.explain() == "waiting for `double_async` (pending)"
        door.open()
        await tm.gather(*held)

    gates = [Gate("gpu", slots=2), Gate("api", rate=Rate(1, per=60))]
    windlass_world.run(scenario, gates=gates)


def test_explain_after_a_failed_attempt(windlass_world):
    async def fails():
        raise ConnectionError

    async def scenario(tm):
        door = Door()
        handle = tm.submit(task(fails, gates=["lock"], retry=Retry(1, delay=1, jitter=0)))
        await asyncio.sleep(0.5)
        holder = tm.submit(task(door, gates=["lock"]))
        await asyncio.sleep(1)
        assert handle.explain() == "failed 1 of 2, 1st in line at gate `lock`, 1 of 1 taken"
        door.open()
        await tm.gather(handle, holder, return_errors=True)

    windlass_world.run(scenario, gates=[Gate("lock", slots=1)])

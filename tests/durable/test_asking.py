"""What a client, or any process that follows, reads of what only the leader knows."""

import asyncio
import json
import sqlite3
import threading
from contextlib import closing

import pytest
from runtime.stage import on_a_loop

from windlass import (
    Breaker,
    Gap,
    Gate,
    GateChange,
    ManagerClosedError,
    Rate,
    StoreError,
    TaskCancellationError,
    TaskManager,
    TaskStatus,
    current_task,
    task,
)
from windlass._runtime import questions
from windlass.cli.app import app
from windlass.observe import TaskFile

from .stage import add, door, doors, read, wait_at

GATES = [
    Gate("api", slots=2, rate=Rate(5, per=60.0, burst=3), max_pending=9),
    Gate("bank", breaker=Breaker(1, reset=60)),
]

CHAIN = 500


@task(gates=["api"])
async def call(name="door"):
    return await doors[name]()


@task
async def half():
    current_task().progress(0.5, "half \ud800 of it")
    await doors["door"]()
    current_task().progress(0.9, "nearly \ud800 all")


@task(gates=["bank"])
async def break_it():
    raise ConnectionError("closed on Sundays")


@on_a_loop
async def test_a_client_has_the_figures_of_the_leader(jobs):
    hold = door()
    async with (
        TaskManager(jobs, gates=GATES, max_concurrent_tasks=7) as leader,
        TaskManager(jobs, role="client") as tm,
    ):
        await tm.submit(add, 1)
        first, second, third = [await tm.enqueue(call) for _ in range(3)]
        await hold.came(2)
        await tm.flush(handled=True)  # the leader has taken in the third as well
        told = tm.get_metrics()
        assert told == leader.get_metrics()
        assert told.by_status[TaskStatus.RUNNING] == 2
        assert (told.slots, told.taken) == (7, 2)
        assert told.gates["api"].rate == Rate(5, per=60.0, burst=3)
        assert told.running_time["add"].count == 1
        assert (
            told.executors["async"].queued.keys()
            == leader.get_metrics().executors["async"].queued.keys()
        )
        gate = tm.gate("api")
        assert (gate.slots, gate.held, gate.waiting, gate.max_pending) == (2, 2, 1, 9)
        assert "2 of 2 taken, 1 waiting" in repr(gate)
        assert tm.gate("bank").state == "closed"
        assert "gate `api`" in tm.explain(third)
        assert read(jobs, "SELECT * FROM windlass_notes WHERE name LIKE 'answer:%'") == []
        with pytest.raises(ValueError, match="there is no gate 'apj'; there are: 'api', 'bank'"):
            tm.gate("apj")
        with pytest.raises(StoreError, match="one of the process that leads"):
            gate.slots = 4
        hold.open()
        await tm.gather(first, second, third)


@on_a_loop
async def test_a_client_hears_of_breakers_and_of_what_it_missed(jobs):
    async with TaskManager(jobs, gates=GATES), TaskManager(jobs, role="client") as tm:
        heard, broken = [], asyncio.Event()
        loop = asyncio.get_running_loop()

        def note(batch):
            heard.extend(batch)
            if any(isinstance(one, GateChange) for one in batch):
                loop.call_soon_threadsafe(broken.set)

        tm.subscribe(note)
        await tm.gather(tm.submit(break_it), return_errors=True)
        await broken.wait()
        (change,) = [one for one in heard if isinstance(one, GateChange)]
        assert (change.gate, change.before, change.after) == ("bank", "closed", "open")
        changes = tm.changes()
        coming = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0)
        tm._runtime.bus.tell([Gap(3)])
        assert await coming == Gap(3)
        await changes.aclose()


@on_a_loop
async def test_with_nobody_there_the_answer_says_so(jobs):
    async with TaskManager(jobs) as tm:
        handle = await tm.enqueue(add.options(delay=3600), 1)
        await tm.shutdown(wait=False)
    async with TaskManager(jobs, role="client") as tm:
        with pytest.raises(StoreError, match="no process leads the file at present"):
            tm.get_metrics()
        with pytest.raises(StoreError, match="no process leads"):
            tm.gate("api")
        assert tm.explain(handle.id).startswith("pending; no process leads the file")
        assert [info.id for info in tm.list_tasks()] == [handle.id]
    assert read(jobs, "SELECT * FROM windlass_requests") == []


@on_a_loop
async def test_a_client_knows_how_far_a_task_is(jobs):
    hold = door()
    async with TaskManager(jobs) as leader, TaskManager(jobs, role="client") as tm:
        changes = tm.changes()
        handle = tm.submit(half)
        await hold.came()
        async for change in changes:
            if change.after is TaskStatus.RUNNING:
                break
        await changes.aclose()
        told = (0.5, "half \ud800 of it")
        assert tm.get_task_progress(handle) == told
        assert handle.progress == tm.get_task(handle.id).progress == 0.5
        assert [(info.progress, info.message) for info in tm.list_tasks()] == [told]
        assert tm.update_task_progress(handle, 0.75, "most of it")
        await tm.flush(handled=True)
        assert leader.get_task_progress(handle.id) == (0.75, "most of it")
        hold.open()
        await handle
        assert tm.get_task_progress(handle.id) == (1.0, "nearly ? all")
        assert not tm.update_task_progress(handle, 0.1)


@on_a_loop
async def test_a_client_sees_the_end_of_a_long_chain_of_tasks(jobs):
    hold = door()
    async with TaskManager(jobs) as leader, TaskManager(jobs, role="client") as tm:
        first = last = leader.submit(wait_at, "door", 1)
        for _ in range(CHAIN):
            last = leader.submit(add, last.output)
        await hold.came()
        await leader.flush()
        before_it = tm.get_task(last.id).dependencies
        assert len(tm.list_tasks(status="waiting")) == CHAIN
        assert [info.id for info in tm.list_tasks() if info.id in before_it] == [*before_it]
        mine = tm.submit(add, tm.get_handle(last.id).output)
        hold.open()
        assert await mine == CHAIN + 2
        assert tm.get_task_result(first.id) == 1


@on_a_loop
async def test_one_that_takes_the_lead_answers_itself(jobs):
    leader, tm = TaskManager(jobs, gates=GATES[:1]), TaskManager(jobs, gates=GATES[1:])
    await leader.start()
    await tm.start()
    assert [*tm.get_metrics().gates] == ["api"]
    follower = tm._runtime.follower
    take_lead, may = follower._take_lead, threading.Event()
    follower._take_lead = lambda silent: may.is_set() and take_lead(silent)
    await leader.stop()
    asking = asyncio.ensure_future(asyncio.to_thread(tm.get_metrics))
    assert tm._runtime.follower is follower
    may.set()
    assert [*(await asking).gates] == ["bank"]
    await tm.stop()


@on_a_loop
async def test_a_leader_that_does_not_answer_is_not_waited_for_long(jobs, monkeypatch):
    async with TaskManager(jobs) as leader, TaskManager(jobs, role="client") as tm:
        desk = leader._runtime.durable._desk
        look, desk.look = desk.look, lambda: None
        with monkeypatch.context() as hurried:
            hurried.setattr(questions, "PATIENCE", 0.2)
            with pytest.raises(StoreError, match=r"has not answered for 0.2 s.*doctor"):
                tm.get_metrics()
            desk.look = look
            await tm.flush(handled=True)
        # The question was too old by then, and left nothing behind.
        assert read(jobs, "SELECT * FROM windlass_notes WHERE name LIKE 'answer:%'") == []
        assert tm.get_metrics().total == 0


@on_a_loop
async def test_who_waits_at_a_client_is_told_when_that_closes(jobs):
    hold = door()
    async with TaskManager(jobs) as leader:
        async with TaskManager(jobs, role="client") as tm:
            handle = await tm.enqueue(wait_at)
            await hold.came()
            waiting = asyncio.ensure_future(tm.gather(handle, return_errors=True))
            await asyncio.sleep(0)
            await tm.stop()
            with pytest.raises(ManagerClosedError, match="it is kept in the file"):
                await handle
        assert isinstance((await waiting)[0], ManagerClosedError)
        hold.open()
        assert await leader.get_handle(handle.id) is None


def test_stats_shows_slots_and_gates_while_a_program_runs(jobs, capsys):
    hold = []

    async def live():
        hold.append(door())
        async with TaskManager(jobs, gates=GATES) as tm:
            handles = [await tm.enqueue(call) for _ in range(3)]
            await hold[0].came(2)
            await asyncio.to_thread(app, ["stats", str(jobs)], standalone_mode=False)
            await asyncio.to_thread(app, ["stats", str(jobs), "--json"], standalone_mode=False)
            hold[0].open()
            await tm.gather(*handles)

    asyncio.run(live())
    text, _, told = capsys.readouterr().out.partition("{")
    assert "slots: 2 of 100 taken" in text
    assert "gate api: 2 of 2 taken, 1 waiting" in text
    assert "gate bank: 0 taken, 0 waiting, closed" in text
    live = json.loads("{" + told)["live"]
    assert live["gates"]["api"]["held"] == live["taken"] == 2
    app(["stats", str(jobs), "--json"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["live"] is None
    with closing(sqlite3.connect(jobs)):
        assert not TaskFile(jobs).is_led


@on_a_loop
async def test_a_client_cancels_and_retries_all(jobs):
    hold = door()
    async with TaskManager(jobs), TaskManager(jobs, role="client") as tm:
        handles = [tm.submit(wait_at), tm.submit(wait_at), tm.submit(add, 1)]
        await hold.came(2)
        await handles[2]
        assert tm.cancel_all(name="wait_at") == 2
        await tm.flush(handled=True)
        assert {tm.get_task_status(handle.id) for handle in handles[:2]} == {"cancelled"}
        again = tm.retry_all()
        assert {handle.id for handle in again} == {handle.id for handle in handles[:2]}
        hold.open()
        assert [await handle for handle in again] == [None, None]


@on_a_loop
async def test_a_client_has_a_task_forgotten(jobs):
    hold = door()
    async with TaskManager(jobs), TaskManager(jobs, role="client") as tm:
        done, waits = tm.submit(add, 1), tm.submit(wait_at)
        after = tm.submit(add, waits.output, 1)
        await done
        assert tm.forget(done)
        assert not tm.forget(waits)
        await tm.flush(handled=True)
        assert tm.get_task(done.id) is None
        hold.open()
        with pytest.raises(TypeError):
            await after


@on_a_loop
async def test_what_failed_in_an_earlier_process_is_among_all_that_is_retried(jobs):
    hold = door()
    async with TaskManager(jobs) as tm:
        handle = tm.submit(wait_at)
        await hold.came()
        handle.cancel()
        await tm.join()
    hold = door()
    hold.open()
    async with TaskManager(jobs) as tm:
        assert [await again for again in tm.retry_all()] == [None]


@on_a_loop
async def test_a_client_knows_what_it_has_left_and_nobody_has_taken_in(jobs):
    async with TaskManager(jobs, role="client") as tm:
        first = tm.submit(add, 1)
        second = tm.submit(add.options(after=[first.id]), 2)
        third = tm.submit(add.options(delay=60), 3)
        await third.stored
        assert tm.get_task_status(first.id) == "pending"
        assert [info.id for info in tm.list_tasks()] == [first.id, second.id, third.id]
        assert tm.cancel_task(third.id)
        async with TaskManager(jobs):
            assert [await first, await second] == [2, 3]
            with pytest.raises(TaskCancellationError):
                await third
            assert await tm.submit(add.options(after=[first.id]), 4) == 5
            assert len(tm.list_tasks()) == 4

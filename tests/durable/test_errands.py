"""What is done to a file on an errand, beside a leader and without one, and what a look shows."""

import os

import pytest
from runtime.stage import on_a_loop

from windlass import StoreError, TaskManager, task
from windlass.observe import TaskFile
from windlass.stores.sqlite import SqliteStore

from .stage import add, after_crash, door, double, fail, nobody_is_there, wait_at


@task(on_crash="fail")
async def once():
    return await door_of_once()


async def door_of_once():
    return await doors["once"](None)


doors = {}


def errand(file):
    return TaskManager(file, role="errand", watchdog=None)


@on_a_loop
async def test_with_nobody_there_it_leads_and_runs_nothing(jobs):
    async with TaskManager(jobs) as tm:
        tm.register_task("add", add, 1, task_id="held")
        await tm.gather(tm.submit(add.options(name="done"), 1))
        kept = tm.submit(add.options(delay=3600), 2).id
        await tm.shutdown(wait=False)
    tm = errand(jobs)
    await tm.start()
    assert tm.cancel_task(kept, "of no use")
    tm.execute_task("held")
    await tm.flush(handled=True)
    await tm.stop()
    nobody_is_there(jobs)
    look = TaskFile(jobs)
    assert (look.get_task(kept).status, look.get_task(kept).cause) == ("cancelled", "of no use")
    assert look.get_task("held").status == "pending"
    async with TaskManager(jobs) as tm:
        assert await tm.get_handle("held") == 2


@on_a_loop
async def test_what_ran_when_its_process_died_is_left_to_a_program(jobs):
    doors["once"] = door("once")
    async with TaskManager(jobs) as tm:
        running = tm.submit(once)
        other = tm.submit(double, running.output)
        await doors["once"].came()
        crashed = after_crash(jobs)
        await tm.stop()
    tm = errand(crashed)
    await tm.start()
    await tm.flush()
    await tm.stop()
    look = TaskFile(crashed)
    assert look.get_task(running.id).status == "running"
    assert "when its process died" in look.explain(running.id)
    async with TaskManager(crashed) as tm:
        assert tm.get_handle(running.id).ended_by == "crash"
        assert tm.get_task_status(other.id) == "failed"


@on_a_loop
async def test_beside_a_leader_it_asks_and_waits_for_the_answer(jobs):
    async with TaskManager(jobs) as leader:
        bad = leader.submit(fail)
        await leader.gather(bad, return_errors=True)
        held = leader.register_task("add", add, 1)
        await leader.flush()
        tm = errand(jobs)
        await tm.start()
        tm.cancel_task(held)
        tm.retry(bad.id)
        await tm.flush(handled=True)
        assert leader.get_task_status(held) == "cancelled"
        assert leader.get_task(bad.id).attempt or leader.get_task_status(bad.id) != "failed"
        await leader.join()
        assert leader.get_task(bad.id).attempt == 2
        await tm.stop()


@on_a_loop
async def test_cleaning_up_by_status_and_number(jobs):
    for file in (None, jobs):
        async with TaskManager(file) as tm:
            done = [tm.submit(add, number) for number in range(5)]
            bad = tm.submit(fail)
            await tm.gather(*done, bad, return_errors=True)
            await tm.flush()
            assert tm.cleanup(status="completed", keep=3) == 2
            assert tm.cleanup(3600, status="failed") == 0
            await tm.flush()
            assert {info.id for info in tm.list_tasks()} == {
                *(handle.id for handle in done[2:]), bad.id
            }  # fmt: skip
            assert tm.cleanup() == 4
            await tm.flush()
            assert tm.list_tasks() == []


@on_a_loop
async def test_a_look_beside_the_leader(jobs):
    way = door()
    async with TaskManager(jobs) as tm:
        running = tm.submit(wait_at)
        await way.came()
        await tm.flush()
        look = TaskFile(jobs)
        state = look.state()
        assert (state.leader.pid, state.leader.alive) == (os.getpid(), True)
        assert look.is_led
        assert [info.id for info in look.list_tasks(status=["running"])] == [running.id]
        assert state.counts == {"running": 1}
        way.open()
        await running
    assert not look.is_led
    assert look.get_task(running.id).status == "completed"
    (figures,) = look.statistics().functions.values()
    assert figures.ran == 1


@on_a_loop
async def test_the_lead_is_seen_without_a_trace(jobs, tmp_path):
    async with TaskManager(jobs):
        pass
    (tmp_path / "jobs.db.lock").unlink()
    before = sorted(tmp_path.iterdir())
    assert not TaskFile(jobs).is_led
    assert sorted(tmp_path.iterdir()) == before


def test_a_look_cannot_write(jobs):
    with TaskManager(jobs) as tm:
        tm.submit(add, 1).result(60)
    store = SqliteStore(jobs, look_only=True)
    store.open()
    for do in (store.take_lead, store.shrink, lambda: store.write_note("x", "y")):
        with pytest.raises(StoreError, match="to be looked at"):
            do()
    store.close()


def test_roles_have_names(jobs):
    with pytest.raises(ValueError, match="'any', 'client' or 'errand'"):
        TaskManager(jobs, role="boss")

"""The process executor against real processes: crashes, kills, and who survives them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import errands
import pytest
from errands import Errand, gone
from office import Office, all_seen_off, heard, on_a_loop, opened

from windlass._core.outcome import Cancelled
from windlass.errors import TaskCrashedError
from windlass.executors.processes import ProcessExecutor

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX")


# -- running ---------------------------------------------------------------------------------------


@on_a_loop
async def test_workers_start_as_needed_and_are_kept():
    async with opened(slots=3) as office:
        assert office.executor.figures()["workers"] == 0
        first = await office.value(errands.process_id)
        assert first != os.getpid()
        assert await office.value(errands.process_id) == first
        assert office.executor.figures() == {"workers": 1, "idle": 1, "killed": 0, "crashed": 0}


@on_a_loop
async def test_there_are_never_more_workers_than_slots():
    async with opened(slots=2) as office:
        calls = [Errand(errands.process_id) for _ in range(50)]
        office.start(*calls)
        pids = {(await office.outcome(call)).value for call in calls}
        assert 1 <= len(pids) <= 2
        assert office.executor.figures()["workers"] <= 2


@on_a_loop
async def test_whoever_hears_a_result_may_close_and_open_the_executor():
    executor, ended = ProcessExecutor(1), asyncio.Queue()

    def close_when_there_is_one():
        if not ended.empty():
            executor.close()

    for number in range(2):
        executor.open(
            asyncio.get_running_loop(),
            lambda _, outcome, *, wake=True: ended.put_nowait(outcome.value),
            close_when_there_is_one,
        )
        executor.start([Errand(errands.identity, number)])
        assert await ended.get() == number
        assert executor.figures()["workers"] == 0
    await all_seen_off()


@on_a_loop
async def test_a_worker_heads_a_session_of_its_own():
    async with opened() as office:
        pid, session, group = await office.value(errands.session)
        assert pid == session == group


@on_a_loop
async def test_large_values_cross_both_ways_without_blocking_the_loop():
    value = os.urandom(1 << 20) * 20
    async with opened() as office:
        await office.value(errands.nothing)
        calls = [Errand(errands.identity, value) for _ in range(4)]
        turns = 0
        office.start(*calls)
        while any(call not in office.outcomes for call in calls):
            turns += 1
            await asyncio.sleep(0)
        assert all(office.outcomes[call].value == value for call in calls)
        assert turns > 100


@on_a_loop
async def test_what_a_task_prints_appears_when_it_ends(capfd):
    async with opened() as office:
        await office.value(errands.print_there, "hello from over there")
        assert capfd.readouterr().out == "hello from over there\n"


@on_a_loop
async def test_a_worker_takes_no_notice_of_an_interrupt():
    async with opened() as office:
        pid = await office.value(errands.process_id)
        assert await office.value(errands.interrupt_yourself) == "unimpressed"
        os.kill(pid, signal.SIGINT)
        assert await office.value(errands.process_id) == pid


@on_a_loop
async def test_a_fork_that_comes_back_does_not_report():
    async with opened() as office:
        assert await office.value(errands.fork_and_come_back) == "the parent's"
        assert await office.value(errands.identity, 1) == 1


# -- crashes ---------------------------------------------------------------------------------------


@on_a_loop
async def test_a_segfault_costs_its_own_task_only(tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    async with opened() as office:
        survivor = Errand(errands.wait_for, str(gate))
        office.start(survivor)
        outcome = await office.error(errands.segfault)
        assert outcome.crashed
        assert not outcome.raised
        assert isinstance(outcome.error, TaskCrashedError)
        assert "died with SIGSEGV" in str(outcome.error)
        assert "while it ran segfault [" in str(outcome.error)
        assert "errands.py" in outcome.error.details["stderr"]
        gate.write_text("well")
        assert (await office.outcome(survivor)).value == "well"
        assert await office.value(errands.identity, 1) == 1
        assert office.executor.figures()["crashed"] == 1


@on_a_loop
async def test_a_sudden_exit_is_told_with_its_code_and_last_words(capfd):
    async with opened() as office:
        outcome = await office.error(errands.leave, 3)
        assert outcome.crashed
        assert "exited with code 3" in str(outcome.error)
        assert str(outcome.error).endswith("its stderr:\nfamous last words")
        assert capfd.readouterr().err == "famous last words\n"


@on_a_loop
async def test_a_kill_from_outside_is_a_crash():
    async with opened() as office:
        call = Errand(errands.say_and_hang, talks=True)
        office.start(call)
        pid = await heard(call)
        os.kill(pid, signal.SIGKILL)
        outcome = await office.outcome(call)
        assert outcome.crashed
        assert f"the worker process {pid} died with SIGKILL" in str(outcome.error)


@on_a_loop
async def test_a_worker_that_dies_idle_is_replaced_and_costs_nothing():
    async with opened(slots=1) as office:
        pid = await office.value(errands.process_id)
        os.kill(pid, signal.SIGKILL)
        assert await asyncio.to_thread(gone, pid)
        # Whether or not the loop has heard of it by now.
        assert await office.value(errands.process_id) != pid


@on_a_loop
async def test_the_children_of_a_dead_worker_die_with_it():
    async with opened() as office:
        call = Errand(errands.hang_with_child, talks=True)
        office.start(call)
        pid, child = await heard(call)
        os.kill(pid, signal.SIGKILL)
        assert (await office.outcome(call)).crashed
        assert await asyncio.to_thread(gone, child)


@on_a_loop
async def test_a_worker_that_cuts_its_own_line_is_given_up():
    async with opened() as office:
        outcome = await office.error(errands.close_everything)
        assert outcome.crashed
        assert "closed its connection to the manager" in str(outcome.error)


@on_a_loop
async def test_workers_that_cannot_start_fail_the_call(monkeypatch):
    async with opened() as office:
        monkeypatch.setattr(sys, "executable", "/nowhere/python")
        outcome = await office.error(errands.nothing)
        assert "no worker process can be started" in str(outcome.error)
        monkeypatch.undo()
        await office.value(errands.nothing)


@on_a_loop
async def test_a_worker_that_dies_while_it_starts_fails_the_call(monkeypatch):
    async with opened() as office:
        monkeypatch.setattr(sys, "executable", "/bin/false")
        outcome = await office.error(errands.nothing)
        assert outcome.crashed
        assert "exited with code 1 while it started" in str(outcome.error)


# -- stopping --------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [errands.until_cancelled, errands.check_now_and_then])
@on_a_loop
async def test_a_stopped_task_may_end_by_itself_and_its_worker_lives_on(function):
    async with opened(grace=30) as office:
        call = Errand(function, talks=True)
        office.start(call)
        pid = await heard(call)
        office.executor.stop(call)
        outcome = await office.outcome(call)
        assert isinstance(outcome, Cancelled)
        assert outcome.cause == "saw it"
        assert await office.value(errands.process_id) == pid


@pytest.mark.parametrize("grace", [0, 0.2])
@on_a_loop
async def test_a_stopped_task_is_killed_with_its_children_when_the_grace_is_over(tmp_path, grace):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    async with opened(grace=grace) as office:
        survivor = Errand(errands.wait_for, str(gate))
        call = Errand(errands.hang_with_child, talks=True)
        office.start(survivor, call)
        pid, child = await heard(call)
        office.executor.stop(call)
        office.executor.stop(call)
        assert isinstance(await office.outcome(call), Cancelled)
        assert await asyncio.to_thread(gone, pid)
        assert await asyncio.to_thread(gone, child)
        assert await office.value(errands.identity, 1) == 1  # replaced
        gate.write_text("well")
        assert (await office.outcome(survivor)).value == "well"
        assert office.executor.figures()["killed"] == 1
        assert office.executor.figures()["crashed"] == 0


@on_a_loop
async def test_stopping_what_waits_for_a_worker_or_has_ended():
    async with opened(slots=1) as office:
        busy, waiting = Errand(errands.say_and_hang, talks=True), Errand(errands.nothing)
        office.start(waiting)
        office.executor.stop(waiting)
        assert isinstance(await office.outcome(waiting), Cancelled)
        office.start(busy)
        await heard(busy)
        office.executor.stop(busy)
        assert isinstance(await office.outcome(busy), Cancelled)
        office.executor.stop(busy)
        assert await office.value(errands.identity, 1) == 1


@on_a_loop
async def test_a_stop_does_not_hit_the_next_call():
    async with opened(slots=1, grace=0.2) as office:
        for _ in range(200):
            call = Errand(errands.nothing)
            office.start(call)
            office.executor.stop(call)
            await office.outcome(call)
        pid = await office.value(errands.process_id)
        await asyncio.sleep(0.3)  # longer than the grace: no kill may be under way
        assert await office.value(errands.process_id) == pid


# -- opening and closing ---------------------------------------------------------------------------


def open_descriptors():
    return sum(1 for _ in Path("/dev/fd").iterdir())


@on_a_loop
async def test_closing_sends_the_idle_home_kills_the_busy_and_waits_for_nobody():
    await all_seen_off()
    before = open_descriptors()
    executor = ProcessExecutor(2)
    for _ in range(2):
        office = Office(executor)
        busy = Errand(errands.say_and_hang, talks=True)
        idle = Errand(errands.process_id)
        office.start(busy, idle)
        pids = [await heard(busy), (await office.outcome(idle)).value]
        executor.close()
        assert executor.figures()["workers"] == 0
        for pid in pids:
            assert await asyncio.to_thread(gone, pid)
        await all_seen_off()
        assert busy not in office.outcomes
    assert open_descriptors() == before


def test_closing_after_the_loop_is_gone():
    executor = ProcessExecutor(1)

    async def run():
        return await Office(executor).value(errands.process_id)

    pid = asyncio.run(run())
    executor.close()
    assert gone(pid)

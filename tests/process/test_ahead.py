"""Calls that are sent to a busy worker: they begin at once, or are taken back for certain."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections import Counter

import chores
import errands
import pytest
from errands import Errand
from office import heard, on_a_loop, opened

from windlass import TaskManager, TaskStatus
from windlass._core.outcome import Cancelled, Ok, Unbegun
from windlass.executors._workers import ahead, crew
from windlass.executors._workers.ahead import DEPTH

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX")


async def prove(office):
    """Quick calls, one after another, until their worker is trusted."""
    before = office.executor.capacity
    while office.executor.capacity == before:
        await office.value(errands.nothing)


@pytest.fixture
def gates(tmp_path):
    paths = [tmp_path / "gate", tmp_path / "other gate"]
    for path in paths:
        os.mkfifo(path)
    return paths


@pytest.fixture
def trace(tmp_path):
    return tmp_path / "trace"


def lines(path):
    return path.read_text().splitlines() if path.exists() else []


def start_many(office, count):
    calls = [Errand(errands.identity, n) for n in range(count)]
    office.start(*calls)
    return calls


async def run_all(office, calls):
    """Start what was taken back as often as it takes; the outcomes."""
    for call in calls:
        while isinstance(await office.outcome(call), Unbegun):
            office.start(call)
    return [office.outcomes[call] for call in calls]


# -- trust -----------------------------------------------------------------------------------------


@on_a_loop
async def test_there_is_room_for_more_while_calls_are_quick():
    async with opened(slots=1) as office:
        await office.value(errands.nothing)
        assert office.executor.capacity == 1
        await prove(office)
        assert office.executor.capacity == DEPTH
        for _ in range(2):
            await office.value(errands.nap)
        assert office.executor.capacity == 1


@on_a_loop
async def test_many_quick_calls_all_end_with_their_own_results():
    async with opened(slots=2) as office:
        calls = [Errand(errands.identity, n) for n in range(2000)]
        office.start(*calls)
        assert [outcome.value for outcome in await run_all(office, calls)] == list(range(2000))


@on_a_loop
async def test_large_calls_may_be_ahead_as_well():
    value = os.urandom(1 << 20) * 5
    async with opened(slots=1) as office:
        await prove(office)
        calls = [Errand(errands.identity, value) for _ in range(DEPTH)]
        office.start(*calls)
        assert all(outcome.value == value for outcome in await run_all(office, calls))


# -- taken back ------------------------------------------------------------------------------------


@on_a_loop
async def test_what_stands_behind_a_long_call_goes_back_and_does_not_run(gates, trace):
    async with opened(slots=1) as office:
        await prove(office)
        long = Errand(errands.wait_for, str(gates[0]))
        behind = [Errand(errands.append_line, str(trace)) for _ in range(3)]
        office.start(long, *behind)
        for call in behind:
            assert isinstance(await office.outcome(call), Unbegun)
        assert long not in office.outcomes
        assert office.executor.capacity == 1
        await asyncio.to_thread(gates[0].write_text, "well")
        assert (await office.outcome(long)).value == "well"
        assert await office.value(errands.identity, 1) == 1
        assert not lines(trace)
        office.start(*behind)
        await run_all(office, behind)
        assert len(lines(trace)) == 3


@on_a_loop
async def test_what_stands_behind_a_long_call_goes_to_who_is_idle(gates, monkeypatch):
    monkeypatch.setattr(crew, "PATIENCE", 1_000_000)
    async with opened(slots=2) as office:
        calls = [Errand(errands.wait_for, str(gate)) for gate in gates]
        office.start(*calls)  # so that there are two workers
        for gate, call in zip(gates, calls, strict=True):
            await asyncio.to_thread(gate.write_text, "")
            await office.outcome(call)
        while office.executor.figures()["idle"] < 2:
            await asyncio.sleep(0)
        await prove(office)
        trusted = await office.value(errands.process_id)
        calls = [Errand(errands.wait_for, str(gate)) for gate in gates]
        behind = Errand(errands.process_id)
        office.start(*calls, behind)
        await asyncio.to_thread(gates[1].write_text, "")
        assert (await office.outcome(behind)).value != trusted
        assert calls[0] not in office.outcomes
        await asyncio.to_thread(gates[0].write_text, "")
        await office.outcome(calls[0])


@on_a_loop
async def test_a_worker_that_does_nothing_at_all_has_not_begun(trace):
    async with opened(slots=1) as office:
        await prove(office)
        pid = await office.value(errands.process_id)
        os.kill(pid, signal.SIGSTOP)
        calls = [Errand(errands.append_line, str(trace)) for _ in range(3)]
        office.start(*calls)
        for call in calls[1:]:
            assert isinstance(await office.outcome(call), Unbegun)
        os.kill(pid, signal.SIGCONT)
        await office.outcome(calls[0])
        assert await office.value(errands.process_id) == pid
        assert len(lines(trace)) == 1


@on_a_loop
async def test_a_reply_overtakes_the_calls_ahead():
    async with opened(slots=1) as office:
        await prove(office)
        call = Errand(errands.converse, 3, talks=True, heard=lambda _, n: n + 1)
        behind = [Errand(errands.identity, n) for n in range(3)]
        office.start(call, *behind)
        assert (await office.outcome(call)).value == [1, 2, 3]
        assert [outcome.value for outcome in await run_all(office, behind)] == [0, 1, 2]


# -- stopped and killed ----------------------------------------------------------------------------


@on_a_loop
async def test_one_that_is_stopped_before_it_began_stops_nobody_else(gates, trace):
    async with opened(slots=1) as office:
        await prove(office)
        long = Errand(errands.wait_for, str(gates[0]))
        stopped, other = [Errand(errands.append_line, str(trace)) for _ in range(2)]
        office.start(long, stopped, other)
        office.executor.stop(stopped)
        assert isinstance(office.outcomes[stopped], Unbegun)
        await asyncio.to_thread(gates[0].write_text, "well")
        assert (await office.outcome(long)).value == "well"
        assert isinstance((await run_all(office, [other]))[0], Ok)
        assert len(lines(trace)) == 1
        assert office.executor.figures()["killed"] == 0


@on_a_loop
async def test_there_is_room_again_where_one_was_stopped(gates):
    async with opened(slots=2) as office:
        while office.executor.capacity < 2 * DEPTH:
            await run_all(office, start_many(office, 100))
        calls = [Errand(errands.wait_for, str(gate)) for gate in gates]
        office.start(*calls)
        start_many(office, 2 * DEPTH - 2)
        for worker in office.executor._crew.workers.values():
            last = [*worker.calls.values()][-1]
            office.executor.stop(last)
            assert isinstance(office.outcomes.pop(last), Unbegun)
        assert not any(isinstance(outcome, Unbegun) for outcome in office.outcomes.values())
        for gate, call in zip(gates, calls, strict=True):
            await asyncio.to_thread(gate.write_text, "")
            await office.outcome(call)


@on_a_loop
async def test_workers_that_are_missing_are_started_all_the_same(gates):
    async with opened(slots=2) as office:
        await prove(office)
        calls = [Errand(errands.wait_for, str(gate)) for gate in gates]
        office.start(*calls)
        for gate, call in reversed([*zip(gates, calls, strict=True)]):
            await asyncio.to_thread(gate.write_text, "")
            await office.outcome(call)
        assert office.executor.figures()["workers"] == 2


@pytest.mark.parametrize("grace", [0, 0.2])
@on_a_loop
async def test_a_kill_hits_one_call_only(grace):
    async with opened(slots=1, grace=grace) as office:
        await prove(office)
        call = Errand(errands.say_and_hang, talks=True)
        behind = [Errand(errands.identity, n) for n in range(3)]
        office.start(call, *behind)
        await heard(call)
        office.executor.stop(call)
        assert isinstance(await office.outcome(call), Cancelled)
        assert [outcome.value for outcome in await run_all(office, behind)] == [0, 1, 2]
        assert office.executor.figures()["killed"] == 1


@on_a_loop
async def test_a_crash_hits_one_call_only():
    async with opened(slots=1) as office:
        await prove(office)
        call = Errand(errands.leave, 3)
        behind = [Errand(errands.identity, n) for n in range(3)]
        office.start(call, *behind)
        assert (await office.outcome(call)).crashed
        assert [outcome.value for outcome in await run_all(office, behind)] == [0, 1, 2]
        assert office.executor.figures()["crashed"] == 1


@on_a_loop
async def test_a_stop_that_crosses_the_result_hits_nobody_else():
    async with opened(slots=1, grace=60) as office:
        await prove(office)
        pid = await office.value(errands.process_id)
        for _ in range(100):
            calls = [Errand(errands.identity, n) for n in range(4)]
            office.start(*calls)
            office.executor.stop(calls[0])
            others = await run_all(office, calls[1:])
            assert [outcome.value for outcome in others] == [1, 2, 3]
            await office.outcome(calls[0])
            assert office.executor._crew.workers[pid].death is None  # nor is it to be killed later
        assert await office.value(errands.process_id) == pid


# -- through the manager ---------------------------------------------------------------------------


@on_a_loop
async def test_what_does_not_run_is_not_shown_as_running_for_long(gates, trace):
    async with TaskManager(processes=1) as tm:
        executor = tm._runtime.executors["process"]
        while executor.capacity == 1:
            await tm.submit(chores.double, 1)
        long = tm.submit(chores.report_progress, str(gates[0]))
        others = [tm.submit(chores.append, str(trace), n) for n in range(2 * DEPTH)]
        while long.status is not TaskStatus.RUNNING:
            await asyncio.sleep(0)
        while any(other.status is TaskStatus.RUNNING for other in others):
            await asyncio.sleep(0)
        assert long.status is TaskStatus.RUNNING
        assert [past.ended for past in others[0].info.attempts] == ["taken back"]
        assert others[0].info.attempt == 0
        assert tm.cancel_task(others[1])
        await asyncio.to_thread(gates[0].write_text, "on")
        await tm.gather(*others, return_errors=True)
        # In line as before, and with an attempt each.
        assert lines(trace) == [str(n) for n in range(2 * DEPTH) if n != 1]
        assert {other.info.attempt for other in others} == {0, 1}


@pytest.mark.parametrize("seed", range(3))
@on_a_loop
async def test_whatever_happens_each_task_runs_once(trace, seed, monkeypatch):
    """Quick tasks, slow ones and some that take their worker with them, cancelled at random."""
    monkeypatch.setattr(ahead, "PROOF", 2)
    monkeypatch.setattr(crew, "PATIENCE", 0)
    chance = random.Random(seed)
    kinds = [chores.append] * 60 + [chores.append_slowly] * 2 + [chores.append_and_die]
    async with TaskManager(processes=2) as tm:
        handles = []
        for n in range(600):
            handles.append(tm.submit(chance.choice(kinds), str(trace), n))
            if chance.random() < 0.1:
                tm.cancel_task(chance.choice(handles))
            if chance.random() < 0.1:
                await asyncio.sleep(0)
        await tm.gather(*handles, return_errors=True)
    runs = Counter(map(int, lines(trace)))
    assert set(runs.values()) <= {1}
    for n, handle in enumerate(handles):
        if handle.status is TaskStatus.COMPLETED:
            assert (runs[n], handle.info.attempt) == (1, 1)
        elif handle.status is TaskStatus.FAILED:
            assert (runs[n], handle.info.name) == (1, "append_and_die")

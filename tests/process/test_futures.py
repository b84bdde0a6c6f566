"""Executors made of the standard library's pools, and of a real Dask cluster."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor

import errands
import pytest
from errands import Errand
from office import Office, on_a_loop

from windlass._core.outcome import Cancelled
from windlass.errors import RemoteError, SerializationError, TaskCrashedError
from windlass.executors.futures import FuturesExecutor


@contextlib.contextmanager
def threads():
    with ThreadPoolExecutor(2) as pool:
        yield FuturesExecutor(pool)


@contextlib.contextmanager
def processes():
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield FuturesExecutor(pool)


@contextlib.contextmanager
def made(kind, request):
    if kind == "dask":
        yield FuturesExecutor(request.getfixturevalue("dask_client").get_executor(), slots=4)
    else:
        with {"threads": threads, "processes": processes}[kind]() as executor:
            yield executor


@pytest.fixture(params=["threads", "processes", "dask"])
def executor(request):
    with made(request.param, request) as executor:
        yield executor


@pytest.fixture(params=["processes", "dask"])
def crossing(request):
    """Only those whose calls leave this process."""
    with made(request.param, request) as executor:
        yield executor


@on_a_loop
async def test_many_calls(executor):
    office = Office(executor)
    calls = [Errand(errands.identity, n) for n in range(50)]
    office.start(*calls)
    assert [(await office.outcome(call)).value for call in calls] == list(range(50))
    assert executor.figures() == {"handed_over": 0}


@on_a_loop
async def test_where_calls_run(executor):
    elsewhere = await Office(executor).value(errands.process_id) != os.getpid()
    assert executor.traits.crosses is elsewhere
    assert executor.traits.local is not elsewhere
    assert executor.traits.reports_progress is not elsewhere
    assert executor.traits.lingers


@on_a_loop
async def test_equal_calls_are_run_each(executor, tmp_path):
    office = Office(executor)
    calls = [Errand(errands.append_line, str(tmp_path / "lines")) for _ in range(5)]
    office.start(*calls)
    for call in calls:
        await office.outcome(call)
    assert (tmp_path / "lines").read_text() == "line\n" * 5


@on_a_loop
async def test_exceptions_keep_type_and_text(executor):
    outcome = await Office(executor).error(errands.raise_, KeyError, "missing")
    assert type(outcome.error) is KeyError
    assert outcome.error.args == ("missing",)
    assert outcome.raised
    if executor.traits.crosses:
        assert "errands.py" in outcome.traceback


@on_a_loop
async def test_what_cannot_cross_fails_its_task_only(crossing):
    office = Office(crossing)
    assert type((await office.error(errands.a_lock)).error) is SerializationError
    assert type((await office.error(errands.identity, threading.Lock())).error) is (
        SerializationError
    )
    outcome = await office.error(errands.raise_, errands.RefusesPickleError, "no")
    assert type(outcome.error) is RemoteError
    assert await office.value(errands.identity, 1) == 1


@on_a_loop
async def test_a_packed_call_is_told_that_it_cannot_ask(crossing):
    outcome = await Office(crossing).error(errands.converse, 1, talks=True)
    assert "has no way to reach it" in str(outcome.error)


@on_a_loop
async def test_functions_that_cannot_cross_are_refused_where_they_would_have_to(executor):
    reason = executor.why_not(lambda: None)
    assert (reason is not None) is executor.traits.crosses


@on_a_loop
async def test_a_call_that_has_not_begun_is_taken_back(tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    with ThreadPoolExecutor(1) as pool:
        executor = FuturesExecutor(pool, slots=3)
        office = Office(executor)
        begun, waiting = Errand(errands.wait_for, str(gate)), Errand(errands.nothing)
        office.start(begun, waiting)
        office.executor.stop(waiting)
        assert isinstance(await office.outcome(waiting), Cancelled)
        office.executor.stop(begun)  # it lingers
        assert begun not in office.outcomes
        gate.write_text("well")
        assert (await office.outcome(begun)).value == "well"


@on_a_loop
async def test_a_broken_pool_is_a_crash():
    with processes() as executor:
        office = Office(executor)
        outcome = await office.error(errands.leave, 3)
        assert outcome.crashed
        assert not outcome.raised
        assert type(outcome.error) is TaskCrashedError
        assert "BrokenProcessPool" in str(outcome.error)
        # For good: the pool refuses from now on.
        assert (await office.error(errands.nothing)).crashed


@on_a_loop
async def test_a_dask_worker_that_dies_is_a_crash(dask_client):
    office = Office(FuturesExecutor(dask_client.get_executor(), slots=1))
    outcome = await office.error(errands.leave, 3)
    assert outcome.crashed
    assert "KilledWorker" in str(outcome.error)
    assert await office.value(errands.identity, 1) == 1  # Dask has replaced the worker


@on_a_loop
async def test_a_pool_that_was_shut_down_refuses():
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    outcome = await Office(FuturesExecutor(pool)).error(errands.nothing)
    assert "cannot schedule new futures after shutdown" in str(outcome.error)
    assert not outcome.crashed


@on_a_loop
async def test_closing_takes_back_what_has_not_begun_and_leaves_the_pool_alone(tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    with ThreadPoolExecutor(1) as pool:
        executor = FuturesExecutor(pool, slots=2)
        office = Office(executor)
        begun, waiting = Errand(errands.wait_for, str(gate)), Errand(errands.nothing)
        office.start(begun, waiting)
        executor.close()
        gate.write_text("well")
        reopened = Office(executor)
        assert await reopened.value(errands.identity, 1) == 1
        assert office.outcomes == {}


class Strange(Executor):
    """A pool of another make, which runs everything at once, here."""

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        future.set_result(fn(*args, **kwargs))
        return future


@on_a_loop
async def test_any_pool_will_do_if_told_its_slots():
    with pytest.raises(TypeError, match="say slots="):
        FuturesExecutor(Strange())
    executor = FuturesExecutor(Strange(), slots=1)
    assert executor.traits.crosses
    assert await Office(executor).value(errands.identity, 1) == 1
    assert (
        await Office(FuturesExecutor(Strange(), 1, crosses=False)).value(errands.identity, 1) == 1
    )

"""The network between the manager, Redis and the workers is cut in the middle of tasks."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

import pytest
from cable import Cable
from test_faults import LEASE, LIMIT, Told, app_at, arrival

from windlass import TaskManager

if TYPE_CHECKING:
    from windlass.testing.contracts.gate import Gate

SHORT = "?socket_timeout=2"  # of Redis's client; five seconds where nothing is said

SOME_SECONDS = 3.0


@pytest.fixture
def cable(server):
    cable = Cable(server.port)
    yield cable
    cable.close()


def notices(text: str) -> Told:
    """Who waits for that log line."""
    told = Told(text)
    logging.getLogger("windlass").addHandler(told)
    return told


@pytest.mark.parametrize("what", ["all", "broker"])
def test_the_network_of_the_manager_is_gone_for_a_while(
    program, server, cable, own_worker, gate, what, monkeypatch
):
    """Who is cut off notices it by itself, and what happened meanwhile is there afterwards."""
    from windlass.celery import CeleryExecutor

    monkeypatch.setattr("windlass.executors._celery.post._SOCKET_TIMEOUT", 2.0)
    own_worker("-c", "2", "-Q", "cut")
    news = cable.url + SHORT if what == "all" else server.url
    executor = CeleryExecutor(app_at(cable.url), redis=news, queue="cut", lease=LIMIT)
    with TaskManager(executors={"celery": executor}) as manager:
        first, second = (manager.submit(program.visit_and_tell, gate.address) for _ in range(2))
        visitors = [arrival(gate)[0] for _ in range(2)]
        deaf, mute = notices("Redis does not answer"), notices("it is tried again")
        cable.cut()
        third = manager.submit(program.visit_and_tell, gate.address)
        visitors[0].let_go()
        if what == "all":
            deaf.wait()
            assert [first.done(), second.done()] == [False, False]  # one is, but who knows
        else:
            manager._doors.when(lambda: first.done() or second.done(), "one end").result(LIMIT)
        assert "Celery's broker" in mute.wait() or what == "all"
        cable.mend()  # what was connected stays dead: its other end is never told
        arrival(gate)[0].let_go()
        visitors[1].let_go()
        ends = [handle.result(LIMIT) for handle in (first, second, third)]
        assert [(letter, attempt) for letter, _, attempt in ends] == [("!", 1)] * 3
        assert manager._runtime.engine.stale_reports == 0
    assert cable.swallowed > 0
    nobody_comes(gate)


@pytest.mark.parametrize("lease", [LIMIT, LEASE])
def test_a_worker_is_cut_off_from_redis_for_a_while(program, server, own_worker, gate, lease):
    """For less than its lease, and what it does is taken when it is back; or for more."""
    from windlass.celery import CeleryExecutor

    cable = Cable(server.port)
    worker = own_worker("-c", "1", "-Q", "cut", address=cable.url)
    executor = CeleryExecutor(program.app, queue="cut", lease=lease)
    with TaskManager(executors={"celery": executor}) as manager:
        handle = manager.submit(program.visit_and_tell, gate.address)
        visitor, *_ = arrival(gate)
        cable.cut()
        visitor.let_go()
        assert visitor.has_left()
        if lease < LIMIT:
            own_worker("-c", "1", "-Q", "cut")
            visitor, *_ = arrival(gate)
        else:
            threading.Event().wait(SOME_SECONDS)
        assert not handle.done()
        cable.mend(reset=True)
        worker.says("succeeded in")  # it has told how the first attempt has ended
        if lease < LIMIT:
            assert not handle.done()
            visitor.let_go()
        assert handle.result(LIMIT)[0] == "!"
        assert handle.info.attempt == (1 if lease == LIMIT else 2)
        assert manager._runtime.engine.stale_reports == 0
    cable.close()
    nobody_comes(gate)


def test_the_results_of_signatures_are_there_when_the_network_is_back(
    program, cable, worker, gate, monkeypatch
):
    from windlass.celery import CeleryExecutor

    monkeypatch.setattr("windlass.executors._celery.signatures._QUIET", 1.0)
    app = app_at(cable.url)
    app.conf.redis_socket_timeout = 2.0  # Celery waits for two minutes
    with TaskManager(executors={"celery": CeleryExecutor(app, redis=cable.url + SHORT)}) as manager:
        handle = manager.submit(app.signature("plain.visit", (gate.address,)))
        visitor = gate.arrival()
        deaf = notices("no results of Celery's tasks")
        cable.cut()
        visitor.let_go()
        assert visitor.has_left()
        deaf.wait()
        cable.mend()
        assert handle.result(LIMIT) == "!"


def nobody_comes(gate: Gate) -> None:
    """All that were to come to the gate have come, and once."""
    gate._server.settimeout(0.3)
    with pytest.raises(TimeoutError):
        gate.arrival()

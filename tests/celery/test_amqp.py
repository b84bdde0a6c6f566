"""Over RabbitMQ: what is different there is that nobody answers when a letter is sent."""

from __future__ import annotations

import logging
import os
import signal
import threading
from time import monotonic  # noqa: TID251  # the post tells time by it

import pytest
from cable import Cable
from celery_worker import Worker
from rabbit_server import HOW_TO_GET_ONE, RabbitServer, find_rabbit_server
from test_faults import LEASE, LIMIT, Told, arrival, in_the_air, let_everybody_in

from windlass import TaskError, TaskManager
from windlass.testing import ExecutorContract

SECONDS = 2.0


@pytest.fixture(scope="session")
def rabbit(tmp_path_factory):
    pytest.importorskip("celery", reason="needs Celery: pip install 'windlass[celery]'")
    program = find_rabbit_server()
    if program is None:
        pytest.skip(HOW_TO_GET_ONE)
    server = RabbitServer(program, tmp_path_factory.mktemp("rabbit"))
    server.start()
    yield server
    server.close()


@pytest.fixture
def managed(program, server, rabbit):
    """Opens a manager whose broker is the RabbitMQ, at the end of a cable perhaps."""
    from celery import Celery

    from windlass.celery import CeleryExecutor

    opened = []

    def open_one(url: str = rabbit.url, **settings) -> TaskManager:
        app = Celery("far", broker=url, backend=server.url)
        app.conf.broker_connection_timeout = 1
        given = {"queue": "rabbit", "lease": LIMIT, "redis": server.url, **settings}
        manager = TaskManager(executors={"celery": CeleryExecutor(app, **given)})
        manager.start().result(LIMIT)
        opened.append((manager, app))
        return manager

    yield open_one
    for manager, app in opened:
        manager.stop().result(LIMIT)
        app.close()


def sent_and_confirmed(manager) -> None:
    """Wait until RabbitMQ has all letters for certain."""
    post, there = manager._runtime.executors["celery"]._post, threading.Event()

    def hear(_: None) -> None:
        while post._confirms:
            post._hear_confirms(None)
        there.set()

    post.do(hear, None)
    assert there.wait(LIMIT)


def test_tasks_run_and_their_workers_are_killed(managed, program, rabbit, own_worker, gate):
    first = own_worker("-c", "1", "-Q", "rabbit", broker=rabbit.url)
    manager = managed(lease=LEASE)
    assert manager.submit(program.add, 1, 2).result(LIMIT) == 3
    handles = [manager.submit(program.visit_and_tell, gate.address) for _ in range(3)]
    _, pid, *_ = arrival(gate)
    os.kill(pid, signal.SIGKILL)
    arrival(gate)
    first.kill_all()  # with one under way, and the others in its hands
    own_worker("-c", "3", "-Q", "rabbit", broker=rabbit.url)
    let_everybody_in(gate, *handles)
    assert sum(handle.result(0)[2] for handle in handles) == 5  # two attempts were killed
    assert manager._runtime.engine.stale_reports == 0


def test_a_letter_that_the_network_swallows_is_sent_again_long_before_it_is_asked_about(
    managed, program, rabbit, own_worker, monkeypatch
):
    monkeypatch.setattr("windlass.executors._celery.post._SOCKET_TIMEOUT", SECONDS)
    own_worker("-c", "1", "-Q", "rabbit", broker=rabbit.url)
    cable = Cable(rabbit.port)
    manager = managed(f"amqp://guest:guest@127.0.0.1:{cable.port}//", start_timeout=10 * LIMIT)
    assert manager.submit(program.add, 1).result(LIMIT) == 1
    told = Told("it is tried again")
    logging.getLogger("windlass").addHandler(told)
    cable.cut()
    handle = manager.submit(program.add, 2)
    assert "was not confirmed for 2 s" in told.wait()
    logging.getLogger("windlass").removeHandler(told)
    cable.mend()
    assert handle.result(LIMIT) == 2
    cable.close()


def test_rabbitmq_is_killed_and_started_with_what_it_has_confirmed(
    managed, program, rabbit, own_worker
):
    manager = managed(start_timeout=LIMIT)
    before = [manager.submit(program.add, n) for n in range(20)]
    in_the_air(manager, 20)
    sent_and_confirmed(manager)
    rabbit.kill()
    meanwhile = manager.submit(program.add, 20)
    rabbit.start()
    own_worker("-c", "1", "-Q", "rabbit", broker=rabbit.url)
    assert [handle.result(LIMIT) for handle in (*before, meanwhile)] == list(range(21))


def test_all_that_was_sent_is_confirmed_before_it_hangs_up(managed, program, monkeypatch):
    from windlass.executors._celery.confirms import Confirms

    manager, drop, dropped = managed(queue="nobody"), Confirms.drop, []
    manager.submit(program.add, 1)
    in_the_air(manager, 1)
    post = manager._runtime.executors["celery"]._post
    sent_and_confirmed(manager)
    with monkeypatch.context() as watched:
        watched.setattr(Confirms, "drop", lambda self: dropped.append(drop(self)) or dropped[-1])
        flights = manager._runtime.executors["celery"]._flights.unopened()
        post._listened = monotonic() + LIMIT  # it is not heard in between
        post.send(flights * 100)
        post.send_again(flights)  # it hangs up first, with all of them on their way
        sent_and_confirmed(manager)  # by the second connection
    assert dropped == [[]]


def test_a_wrong_password_is_told_at_once(managed, program, rabbit):
    manager = managed(f"amqp://guest:wrong@127.0.0.1:{rabbit.port}//")
    with pytest.raises(TaskError, match=r"could not be handed over: .*ACCESS_REFUSED") as caught:
        manager.submit(program.add, 1).result(LIMIT)
    assert "wrong@" not in str(caught.value)


@pytest.fixture(scope="module")
def workers(server, rabbit):
    worker = Worker(server.url, "-c", "4", "-n", "rabbit@here", broker=rabbit.url)
    yield worker
    worker.stop()


class TestRabbit(ExecutorContract):
    """The contract of executors, with four processes."""

    own_workers = False

    @pytest.fixture
    def executor(self, program, server, rabbit, workers):
        from celery import Celery

        from windlass.celery import CeleryExecutor

        app = Celery("far", broker=rabbit.url, backend=server.url)
        yield CeleryExecutor(app, slots=4)
        app.close()

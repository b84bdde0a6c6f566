"""What goes wrong: workers that are killed or were never there, letters that come twice, Redis."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from windlass import TaskCrashedError, TaskError, TaskManager

if TYPE_CHECKING:
    from windlass.testing.contracts.gate import Gate

LIMIT = 60.0
LEASE = 6.0
"""Of workers whose death is to be noticed: no longer than it takes, and a busy machine may hold up
the beats of another for some seconds."""
QUEUE = {"celery": {"queue": "own"}}


@pytest.fixture
def managed(program):
    """A manager whose tasks go to the queue of a worker of the test's own."""
    from windlass.celery import CeleryExecutor

    opened: list[TaskManager] = []

    def open_one(**settings) -> TaskManager:
        given = {"lease": LIMIT, "queue": "own", **settings}
        manager = TaskManager(executors={"celery": CeleryExecutor(program.app, **given)})
        manager.start().result(LIMIT)
        opened.append(manager)
        return manager

    yield open_one
    for manager in opened:
        manager.stop().result(LIMIT)


def arrival(gate: Gate) -> tuple:
    """Who comes to the gate next: the visitor, its process and its parent, and its attempt."""
    visitor = gate.arrival()
    pid, parent, attempt = map(int, visitor.says().split())
    return visitor, pid, parent, attempt


def let_everybody_in(gate: Gate, *handles) -> None:
    """Let everybody go who comes to the gate, until the tasks have ended."""
    gate._server.settimeout(0.1)
    while any(handle.info.ended_at is None for handle in handles):
        try:
            gate.arrival().let_go()
        except TimeoutError:
            continue


def test_a_worker_that_is_killed_is_noticed_and_its_tasks_are_run_by_another(
    managed, program, own_worker, gate
):
    first = own_worker("-c", "1", "-Q", "own", "--prefetch-multiplier", "4")
    manager = managed(lease=LEASE)
    handles = [manager.submit(program.visit_and_tell, gate.address) for _ in range(3)]
    _, _, parent, _ = arrival(gate)
    assert parent == first.process.pid
    first.kill_all()  # with one task under way, and the others in its hands
    own_worker("-c", "3", "-Q", "own")
    attempts = []
    for _ in handles:
        visitor, _, _, attempt = arrival(gate)
        attempts.append(attempt)
        visitor.let_go()
    assert sorted(attempts) == [1, 1, 2]
    assert all(handle.result(LIMIT)[0] == "!" for handle in handles)
    assert manager._runtime.engine.stale_reports == 0


def test_children_of_a_dead_worker_leave_as_well(managed, program, own_worker, gate):
    worker = own_worker("-c", "1", "-Q", "own")
    manager = managed(lease=LEASE)
    handle = manager.submit(program.visit_and_tell.options(max_crashes=1), gate.address)
    visitor, *_ = arrival(gate)
    worker.kill()
    assert visitor.has_left()
    with pytest.raises(TaskCrashedError, match=r"worker own0@here has not been heard of for 6 s"):
        handle.result(LIMIT)


def test_the_late_result_of_a_worker_that_was_cut_off_counts_for_nothing(
    managed, program, own_worker, gate
):
    worker = own_worker("-c", "1", "-Q", "own")
    manager = managed(lease=LEASE)
    handle = manager.submit(program.visit_and_tell, gate.address)
    late, *_ = arrival(gate)
    os.killpg(worker.process.pid, signal.SIGSTOP)
    own_worker("-c", "1", "-Q", "own")
    visitor, _, _, attempt = arrival(gate)
    os.killpg(worker.process.pid, signal.SIGCONT)
    late.let_go("l")
    assert late.has_left()
    worker.says("succeeded in")  # it has been told
    assert not handle.done()
    visitor.let_go()
    assert (attempt, handle.result(LIMIT)[0]) == (2, "!")


def test_a_worker_that_is_shut_down_says_good_bye(managed, program, own_worker, gate):
    worker = own_worker("-c", "1", "-Q", "own")
    manager = managed()
    handle = manager.submit(program.visit_and_tell, gate.address)
    visitor, *_ = arrival(gate)
    worker.process.terminate()  # it waits for what is under way
    visitor.let_go()
    assert handle.result(LIMIT)[0] == "!"
    worker.process.wait(LIMIT)


def test_a_letter_that_comes_twice_is_opened_once(managed, program, own_worker, gate):
    own_worker("-c", "2", "-Q", "own")
    manager = managed()
    executor = manager._runtime.executors["celery"]
    handle = manager.submit(program.visit_and_tell, gate.address)
    visitor, *_ = arrival(gate)
    in_the_air(manager, 1)
    letter = letter_once_more(executor)
    program.app.send_task("windlass.run", (letter,), queue="own")
    last = manager.submit(program.add, 1)  # it comes behind the copy, and there are two processes
    assert last.result(LIMIT) == 1
    visitor.let_go()
    assert handle.result(LIMIT)[2] == 1
    gate._server.settimeout(0.3)
    with pytest.raises(TimeoutError):
        gate.arrival()


def in_the_air(manager, count) -> None:
    """Wait until so many calls are with Celery."""
    flights = manager._runtime.executors["celery"]._flights
    manager._doors.when(lambda: len(flights) == count, "handing over").result(LIMIT)


def letter_once_more(executor):
    """The letter of the one flight there is."""
    (flight,) = [*executor._flights.begun(), *executor._flights.unopened()]
    letter = executor._words.letter(flight.call.parcel())
    return {**letter, "key": flight.key, "manager": executor._manager, "max_bytes": 1 << 20}


def test_what_is_left_of_a_manager_that_is_gone_is_not_run(managed, program, own_worker, gate):
    manager = managed()
    manager.submit(program.visit_and_tell, gate.address)
    in_the_air(manager, 1)
    letter = letter_once_more(manager._runtime.executors["celery"])
    manager.stop().result(LIMIT)
    worker = own_worker("-c", "1", "-Q", "own")
    letter["key"] = "another.1.1"
    program.app.send_task("windlass.run", (letter,), queue="own")
    assert "its manager is gone" in worker.says("letter another.1.1 is dropped")


def test_somebody_revokes_a_task(managed, program, own_worker, gate):
    own_worker("-c", "1", "-Q", "own")
    manager = managed()
    handle = manager.submit(program.visit_and_tell, gate.address)
    visitor, *_ = arrival(gate)
    executor = manager._runtime.executors["celery"]
    manager._doors.when(executor._flights.begun, "the news of it").result(LIMIT)
    (flight,) = executor._flights.begun()
    id = f"{executor._manager}/{flight.key}"
    program.app.control.revoke(id, terminate=True, signal="SIGKILL")
    assert visitor.has_left()
    with pytest.raises(TaskError, match="revoked"):
        handle.result(LIMIT)


# -- nobody there ----------------------------------------------------------------------------------


def test_a_worker_without_install_is_named(managed, program, own_worker):
    own_worker("-c", "1", "-Q", "own", program="plain_program")
    manager = managed(start_timeout=1.0)
    handle = manager.submit(program.add, 1)
    expected = r"\(own0@here\) have no task 'windlass.run': call windlass.celery.install\(app\)"
    with pytest.raises(TaskError, match=expected):
        handle.result(LIMIT)


def test_a_queue_that_nobody_listens_to_is_told(managed, program, worker, caplog):
    manager = managed(start_timeout=1.0, queue="nobody")
    # Should the worker be too busy to answer, the manager asks again later.
    told = Told("Nobody listens to the queue 'nobody'; there are workers for: celery")
    logging.getLogger("windlass").addHandler(told)
    handle = manager.submit(program.add, 1)
    line = told.wait()
    logging.getLogger("windlass").removeHandler(told)
    assert "no worker has begun add" in line
    situation = line.partition(". ")[2]
    handed_over = "handed over to 'celery', for a worker to begin it. "
    assert manager.explain(handle) == handed_over + situation
    lines = manager.get_task_log(handle)
    assert (lines[-1].level, lines[-1].text) == ("WARNING", situation)


class Told(logging.Handler):
    """Waits for a log line."""

    def __init__(self, text: str) -> None:
        from queue import SimpleQueue

        super().__init__()
        self._text, self._found = text, SimpleQueue()

    def emit(self, record: logging.LogRecord) -> None:
        if self._text in record.getMessage():
            self._found.put(record.getMessage())

    def wait(self) -> str:
        return self._found.get(timeout=LIMIT)


def app_at(url: str):
    from celery import Celery

    app = Celery("elsewhere", broker=url, backend=url)
    app.conf.broker_connection_timeout = 1
    return app


@pytest.mark.parametrize("beside", [True, False])
def test_no_broker(program, server, beside):
    from windlass.celery import CeleryExecutor

    url = "redis://127.0.0.1:1/0"
    executor = CeleryExecutor(app_at(url), redis=server.url if beside else None, patience=0.5)
    with TaskManager(executors={"celery": executor}) as manager:
        who = r"Celery's broker at redis://.*127.0.0.1:1/0" if beside else "Redis, .*"
        expected = rf"could not be handed over: {who} cannot be reached: .* refused"
        with pytest.raises(TaskError, match=expected):
            manager.submit(program.add, 1).result(LIMIT)


def test_a_wrong_password_is_told_at_once(program, mortal):
    import redis

    from windlass.celery import CeleryExecutor

    with redis.Redis(port=mortal.port) as client:
        client.config_set("requirepass", "right")
    url = f"redis://:wrong@127.0.0.1:{mortal.port}/0"
    with (
        TaskManager(executors={"celery": CeleryExecutor(app_at(url))}) as manager,
        pytest.raises(TaskError, match="could not be handed over") as caught,
    ):
        manager.submit(program.add, 1).result(60)
    assert "wrong@" not in str(caught.value)


def test_what_is_no_app_and_an_app_without_redis(program):
    from celery import Celery

    from windlass.celery import CeleryExecutor

    with pytest.raises(TypeError, match="takes a Celery app"):
        CeleryExecutor("redis://")
    with pytest.raises(ValueError, match="say redis="):
        CeleryExecutor(Celery("none", broker="amqp://nowhere"))
    with pytest.raises(ValueError, match="without slashes"):
        CeleryExecutor(program.app, name="a/b")


def test_without_the_client_of_redis_the_remedy_is_named(program, monkeypatch):
    from windlass.celery import CeleryExecutor

    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ImportError, match=r"pip install 'windlass\[celery\]'"):
        CeleryExecutor(program.app)


# -- Redis itself ----------------------------------------------------------------------------------


@pytest.mark.parametrize("emptied", [False, True])
def test_redis_is_restarted(program, mortal, own_worker, gate, emptied, tmp_path):
    """With its data, or without: nothing is lost, whatever becomes of the worker.

    Celery's worker does not always survive it, so there is another, as there is in life.
    """
    from windlass.celery import CeleryExecutor

    executor = CeleryExecutor(app_at(mortal.url), lease=LEASE)
    own_worker("-c", "1", address=mortal.url)
    with TaskManager(executors={"celery": executor}) as manager:
        runs, waits = (manager.submit(program.visit_and_tell, gate.address) for _ in range(2))
        visitor, *_ = arrival(gate)
        in_the_air(manager, 2)
        mortal.kill()
        if emptied:
            for kept in (tmp_path / "redis").glob(
                "appendonly*"
            ):  # a folder; of older servers a file
                shutil.rmtree(kept) if kept.is_dir() else kept.unlink()
        mortal.start()
        visitor.let_go()
        own_worker("-c", "1", address=mortal.url)
        let_everybody_in(gate, runs, waits)
        assert (runs.result(0)[0], waits.result(0)[0]) == ("!", "!")
        assert manager._runtime.engine.stale_reports == 0

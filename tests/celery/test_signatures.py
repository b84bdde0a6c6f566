"""Tasks that Celery has already: their signatures are awaited like any handle."""

from __future__ import annotations

import pytest

from windlass import Retry, SerializationError, TaskCancellationError, TaskManager, task
from windlass.testing.contracts.gate import Gate

LIMIT = 60.0


@pytest.fixture
def manager(program, worker):
    from windlass.celery import CeleryExecutor

    with TaskManager(executors={"celery": CeleryExecutor(program.app)}) as manager:
        yield manager


@pytest.fixture
def gate():
    gate = Gate(LIMIT)
    yield gate
    gate.close()


def test_a_signature_is_awaited_and_can_be_a_dependency(manager, program):
    first = manager.submit(program.plain_add.s(1, 2))
    second = manager.submit(program.add, first.output, 10)  # one of ours, on the same workers
    third = manager.submit(program.plain_add.s(100), second)  # what is passed comes first
    assert third.result(LIMIT) == 113
    assert first.info.name == "plain.add"


def test_a_chain_is_one_task(manager, program):
    chained = program.plain_add.s(1, 2) | program.plain_add.s(3)
    assert manager.submit(chained).result(LIMIT) == 6


def test_many_are_heard_of_by_one_subscription(manager, program):
    handles = [manager.submit(program.plain_add.s(n, n)) for n in range(50)]
    assert manager.gather(*handles).result(LIMIT) == [2 * n for n in range(50)]


def test_what_it_raises_and_how_often_it_is_tried(manager, program):
    with pytest.raises(ValueError, match="bad") as caught:
        manager.submit(program.plain_fail.s("bad")).result(LIMIT)
    assert "in plain_fail" in str(caught.value.remote_traceback)
    again = task(program.plain_fail.s("bad"), retry=Retry(retries=2, delay=0))
    handle = manager.submit(again)
    with pytest.raises(ValueError, match="bad"):
        handle.result(LIMIT)
    assert handle.info.attempt == 3


def test_a_task_of_ours_has_left_nothing_of_itself(manager, program):
    manager.gather(*manager.map(program.add, range(12))).result(LIMIT)
    inside = [manager.submit(program.plain_inside.s()) for _ in range(12)]
    assert set(manager.gather(*inside).result(LIMIT)) == {""}


def test_it_is_cancelled(manager, program, gate):
    handle = manager.submit(program.plain_visit.s(gate.address))
    visitor = gate.arrival()
    assert handle.cancel()
    assert visitor.has_left()
    with pytest.raises(TaskCancellationError):
        handle.result(LIMIT)


def test_what_is_refused(manager, program):
    from celery import Celery, group

    from windlass.celery import CeleryExecutor

    with pytest.raises(TypeError, match=r"submit its signature, plain_add.s\(...\)"):
        manager.submit(program.plain_add, 1, 2)
    with pytest.raises(SerializationError, match="submit its members"):
        manager.submit(group(program.plain_add.s(1, 1), program.plain_add.s(2, 2)))
    nowhere = Celery("nowhere", broker=program.ADDRESS)
    with (
        TaskManager(executors={"celery": CeleryExecutor(nowhere)}) as other,
        pytest.raises(SerializationError, match="a result backend in Redis"),
    ):
        other.submit(program.plain_add.s(1, 2))
    with TaskManager() as other, pytest.raises(ValueError, match="no executor 'celery'"):
        other.submit(program.plain_add.s(1, 2))

"""A durable manager is killed and started again: what is under way is found, and not run twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from test_faults import in_the_air

from windlass import Gate, SerializationError, TaskManager
from windlass.observe import TaskFile

LIMIT = 60.0
PROGRAM = """
import sys
import far_program
from windlass import Gate, TaskManager
from windlass.celery import CeleryExecutor

file, host, port, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
gates = [Gate("door", slots=count)]
executor = CeleryExecutor(far_program.app, name="kept", slots=10)
with TaskManager(file, executors={"celery": executor}, gates=gates) as manager:
    for n in range(count):
        visit = far_program.visit_and_tell.options(key=f"visit {n}", gates=["door"])
        manager.enqueue(visit, (host, port)).result(60)
    print("submitted", flush=True)
"""


def another_manager(folder, gate, count):
    """A process that leads the file, with so many tasks that stop at ``gate``."""
    script = folder / "program.py"
    script.write_text(PROGRAM)
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, str(script), folder / "tasks.db", *map(str, gate.address), str(count)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )


def handed_over_to_workers(app):
    """The letters of the manager ``kept`` that workers have, and have not begun."""
    reserved = (app.control.inspect().reserved() or {}).values()
    return [one for some in reserved for one in some if one["id"].startswith("kept/")]


def test_tasks_under_way_are_found_again(program, worker, gate, tmp_path):
    from windlass.celery import CeleryExecutor

    with another_manager(tmp_path, gate, 6) as first:
        visitors = [gate.arrival() for _ in range(4)]  # the other two are in the queue
        assert first.stdout is not None
        assert first.stdout.readline() == "submitted\n"
        while len(handed_over_to_workers(program.app)) < 2:
            pass  # they are stored, but perhaps not sent
        first.send_signal(signal.SIGKILL)
    visitors[0].let_go("a")  # one ends while there is nobody to hear of it
    gate.arrival()
    executor = CeleryExecutor(program.app, name="kept", slots=10)
    gates = [Gate("door", slots=6)]
    with TaskManager(tmp_path / "tasks.db", executors={"celery": executor}, gates=gates) as manager:
        for visitor in visitors[1:]:
            visitor.let_go("b")
        visitors = [*gate._visitors[4:], gate.arrival()]
        for visitor in visitors:
            visitor.let_go("c")
        tasks = [
            manager.submit(program.visit_and_tell.options(key=f"visit {n}"), gate.address)
            for n in range(6)
        ]
        letters = sorted(task.result(LIMIT)[0] for task in tasks)
        assert letters == ["a", "b", "b", "b", "c", "c"]
        assert {task.info.attempt for task in tasks} == {1}
    gate._server.settimeout(0.3)
    with pytest.raises(TimeoutError):  # nobody came twice
        gate.arrival()


def test_what_is_under_way_is_found_however_late_its_turn_comes(
    program, worker, gate, tmp_path, monkeypatch
):
    from windlass.celery import CeleryExecutor

    monkeypatch.setattr("windlass.executors._celery.ear._SETTLING_SECONDS", 0.0)
    with another_manager(tmp_path, gate, 2) as first:
        visitors = [gate.arrival() for _ in range(2)]
        first.send_signal(signal.SIGKILL)
    executor = CeleryExecutor(program.app, name="kept")
    gates = [Gate("door", slots=1)]  # there was room for both when they were handed over
    with TaskManager(tmp_path / "tasks.db", executors={"celery": executor}, gates=gates) as manager:
        tasks = [
            manager.submit(
                program.visit_and_tell.options(key=f"visit {n}", gates=["door"]), gate.address
            )
            for n in range(2)
        ]
        begun = executor._flights.begun
        manager._doors.when(begun, "the news of the first").result(LIMIT)
        at_its_turn, behind = (
            visitors if begun()[0].call.task_id == tasks[0].id else reversed(visitors)
        )
        behind.let_go("b")
        while executor._ear._taken_in or not executor._ear._early:
            pass  # its end is heard, and deleted from the stream
        at_its_turn.let_go("a")
        assert sorted(task.result(LIMIT)[0] for task in tasks) == ["a", "b"]
        assert {task.info.attempt for task in tasks} == {1}
    gate._server.settimeout(0.3)
    with pytest.raises(TimeoutError):  # nobody came twice
        gate.arrival()


def test_what_was_handed_over_has_not_begun_in_the_file_either(program, tmp_path):
    from windlass.celery import CeleryExecutor

    path = tmp_path / "tasks.db"
    executor = CeleryExecutor(program.app, queue="nobody")
    with TaskManager(path, executors={"celery": executor}) as manager:
        handle = manager.enqueue(program.add, 1).result(LIMIT)
        in_the_air(manager, 1)
        for info in handle.info, TaskFile(path).get_task(handle.id):
            assert (info.status, info.attempt, info.started_at) == ("pending", 1, None)
        handle.cancel()


def test_what_was_retried_by_hand_and_not_handed_over_is_not_taken_for_under_way(program, tmp_path):
    from windlass.celery import CeleryExecutor

    path = tmp_path / "tasks.db"
    too_small = CeleryExecutor(program.app, name="again", max_bytes=1)
    with TaskManager(path, executors={"celery": too_small}) as manager:
        handle = manager.enqueue(program.add, 1).result(LIMIT)
        with pytest.raises(SerializationError):
            handle.result(LIMIT)
        manager.pause()
        again = manager.retry(handle.id)
        assert again.stored.result(LIMIT)
        assert (again.info.status, again.info.attempt) == ("pending", 1)
        manager.shutdown(wait=False).result(LIMIT)
    executor = CeleryExecutor(program.app, name="again", queue="nobody")
    with TaskManager(path, executors={"celery": executor}) as manager:
        in_the_air(manager, 1)
        assert manager.get_task(handle.id).attempt == 2
        assert manager.cancel_task(handle.id)

"""A durable manager is killed and started again: what is under way is found, and not run twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from test_faults import in_the_air

from windlass import SerializationError, TaskManager
from windlass.observe import TaskFile

LIMIT = 60.0
PROGRAM = """
import sys
import far_program
from windlass import SerializationError, TaskManager
from windlass.celery import CeleryExecutor

file, host, port, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
executor = CeleryExecutor(far_program.app, name="kept", slots=10)
with TaskManager(file, executors={"celery": executor}) as manager:
    for n in range(count):
        visit = far_program.visit_and_tell.options(key=f"visit {n}")
        manager.enqueue(visit, (host, port)).result(60)
    print("submitted", flush=True)
"""


def handed_over_to_workers(app):
    """The letters of the manager ``kept`` that workers have, and have not begun."""
    reserved = (app.control.inspect().reserved() or {}).values()
    return [one for some in reserved for one in some if one["id"].startswith("kept/")]


def test_tasks_under_way_are_found_again(program, worker, gate, tmp_path):
    from windlass.celery import CeleryExecutor

    script, file = tmp_path / "program.py", str(tmp_path / "tasks.db")
    script.write_text(PROGRAM)
    with subprocess.Popen(
        [sys.executable, str(script), file, *map(str, gate.address), "6"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    ) as first:
        visitors = [gate.arrival() for _ in range(4)]  # the other two are in the queue
        assert first.stdout is not None
        assert first.stdout.readline() == "submitted\n"
        while len(handed_over_to_workers(program.app)) < 2:
            pass  # they are stored, but perhaps not sent
        first.send_signal(signal.SIGKILL)
    visitors[0].let_go("a")  # one ends while there is nobody to hear of it
    gate.arrival()
    executor = CeleryExecutor(program.app, name="kept", slots=10)
    with TaskManager(file, executors={"celery": executor}) as manager:
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

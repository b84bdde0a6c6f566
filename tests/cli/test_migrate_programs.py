"""``windlass migrate --write`` on whole programs, which are run before and after."""

import old_programs
import pytest
from old_programs import migrate, run
from programs import write

CERTAIN = {
    name: getattr(old_programs, name)
    for name in ("PLAIN", "UNIFIED", "ALL_AWAITED", "BRIDGE", "CLASSES")
}


@pytest.mark.parametrize("name", CERTAIN)
def test_a_program_gives_the_same_results_on_windlass_alone(tmp_path, name):
    program = write(tmp_path, CERTAIN[name])
    before = run(program, cwd=tmp_path)
    assert before
    done = migrate(program, "--write", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    text = (tmp_path / program).read_text()
    assert "core" not in text
    assert "windlass migrate:" not in text
    assert run(program, cwd=tmp_path, compat=False) == before
    again = migrate(program, cwd=tmp_path)
    assert (again.returncode, again.stdout) == (0, "Nothing here uses an old path.\n")


def lines_of(path):
    return [line.strip() for line in path.read_text().splitlines()]


def test_what_a_person_must_decide_gets_a_comment_and_goes_on_as_it_was(tmp_path):
    program = write(tmp_path, old_programs.MIXED)
    before = run(program, cwd=tmp_path)
    done = migrate(program, "--write", cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    lines = lines_of(tmp_path / program)
    assert "from windlass import TaskPriority" in lines
    at = lines.index("error = manager.get_task_error(task_id)")
    assert lines[at - 1] == (
        "# windlass migrate: manager.windlass.get_task_error(id), a TaskError; what the function "
        "raised is manager.windlass.get_task(id).error"
    )
    at = lines.index("print(task_manager.execute_task(mine, wait=False)[:5])")
    assert "it returned an id, and returns a handle now" in lines[at - 1]
    assert sum("windlass migrate:" in line for line in lines) == 2
    assert run(program, cwd=tmp_path) == before


def test_when_a_person_has_decided_the_rest_follows(tmp_path):
    program = write(tmp_path, old_programs.MIXED)
    before = run(program, cwd=tmp_path)
    migrate(program, "--write", cwd=tmp_path)
    path = tmp_path / program
    decided = path.read_text()
    decided = decided.replace(
        "= manager.get_task_error(task_id)", "= manager.windlass.get_task(task_id).error"
    ).replace("print(task_manager.execute_task(mine, wait=False)[:5])", 'print("exec_")')
    path.write_text(decided)
    assert run(program, cwd=tmp_path) == before, "old and new beside each other"
    done = migrate(program, "--write", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "windlass migrate:" not in path.read_text(), "the comments have served"
    assert run(program, cwd=tmp_path, compat=False) == before


def test_coroutine_managers_are_listed_and_left_as_they_are(tmp_path):
    program = write(tmp_path, old_programs.COROUTINES)
    before = run(program, cwd=tmp_path)
    done = migrate(program, "--write", cwd=tmp_path)
    assert done.returncode == 1
    assert "task_manager.engine.submit(task(func, timeout=..., metadata=...), *args)" in done.stdout
    assert "here there is a limit, so choose it" in (tmp_path / program).read_text()
    assert run(program, cwd=tmp_path) == before


JOBS = """
from core.task import task_manager

def double(x):
    return 2 * x

def register(x):
    task_id = task_manager.register_task("double", double, x)
    return task_id
"""
MAIN = """
import jobs
from core.task.unified_manager import unified_task_manager
from core.task_management.task_manager import task_manager as tasks
import asyncio

async def main():
    first = jobs.register(21)
    last = await unified_task_manager.register_task("last", sum, args=([1],), dependencies=[first])
    print(await unified_task_manager.execute_task(last, wait=True))
    print(tasks.get_task_result(first))

asyncio.run(main())
"""


def test_files_that_shared_one_engine_still_do(tmp_path):
    write(tmp_path, JOBS, "jobs.py")
    write(tmp_path, MAIN, "main.py")
    before = run("main.py", cwd=tmp_path)
    assert before == "1\n42\n"
    done = migrate(".", "--write", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    for name in ("jobs.py", "main.py"):
        lines = lines_of(tmp_path / name)
        assert "from core.task import task_manager as old_manager" in lines
        assert sum("core" in line for line in lines) == 1
    assert run("main.py", cwd=tmp_path) == before
    # The last step is a person's, and is said again; nothing more is changed.
    texts = [(tmp_path / name).read_text() for name in ("jobs.py", "main.py")]
    again = migrate(".", "--write", cwd=tmp_path)
    assert again.returncode == 1
    assert again.stdout.count("when no other file uses the old paths any more") == 2
    assert texts == [(tmp_path / name).read_text() for name in ("jobs.py", "main.py")]


def test_stopping_what_others_use_is_for_a_person_to_decide(tmp_path):
    write(tmp_path, JOBS, "jobs.py")
    write(
        tmp_path,
        MAIN.replace("print(tasks.get_task_result(first))", "await tasks.stop()"),
        "main.py",
    )
    said = migrate(".", cwd=tmp_path).stdout
    assert "it would stop the tasks of the other files as well" in said


def test_a_package_of_the_same_name_makes_room(tmp_path):
    core = tmp_path / "core"
    core.mkdir()
    write(core, '"""Ours."""\n\nfrom __future__ import annotations\nVERSION = 3\n', "__init__.py")
    write(core, "OURS = 1\n", "settings.py")
    write(
        core,
        """
        from .settings import OURS
        from .task import AsyncTaskManager, TaskPriority

        def make():
            return AsyncTaskManager, OURS, TaskPriority.LOW.name
        """,
        "jobs.py",
    )
    write(tmp_path, "from core.jobs import make\nprint(make())\n", "main.py")
    assert "No module named 'core.task'" in old_programs.python("main.py", cwd=tmp_path).stderr
    done = migrate(".", "--write", cwd=tmp_path)
    assert "core/__init__.py:1: done: the program's own core -> add: __path__ = " in done.stdout
    assert run("main.py", cwd=tmp_path) == (
        "(<class 'core.task.async_task_manager.AsyncTaskManager'>, 1, 'LOW')\n"
    )
    text = (core / "__init__.py").read_text()
    assert text.count("extend_path") == 1
    migrate(".", "--write", cwd=tmp_path)
    assert (core / "__init__.py").read_text() == text


def test_a_program_that_needs_no_old_package_any_more_needs_no_room_for_it(tmp_path):
    (tmp_path / "core").mkdir()
    write(tmp_path / "core", "", "__init__.py")
    write(tmp_path / "core", "", "event_system.py")
    write(tmp_path, "from core.task import TaskPriority as P\nprint(P.LOW)\n", "main.py")
    assert migrate(".", "--write", cwd=tmp_path).returncode == 0
    assert not (tmp_path / "core" / "__init__.py").read_text()
    assert (tmp_path / "main.py").read_text() == (
        "from windlass import TaskPriority as P\nprint(P.LOW)\n"
    )


def test_the_programs_own_copy_of_an_old_system_is_in_the_way(tmp_path):
    (tmp_path / "core").mkdir()
    write(tmp_path / "core", "", "__init__.py")
    write(tmp_path / "core", "class TaskManager: ...\n", "task_manager.py")
    said = migrate(".", cwd=tmp_path).stdout
    assert "core/task_manager.py:1: decide: core.task_manager -> delete it" in said

"""Whole programs: how they end, what they leave behind, and whose functions cross over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from errands import gone

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX")


OFFICE = """
import asyncio, os, sys
sys.path.insert(0, {here!r})
import errands
from errands import Errand
from office import Office, heard
from windlass.executors.processes import ProcessExecutor
"""


def program(text):
    return OFFICE.format(here=str(Path(__file__).parent)) + textwrap.dedent(text)


def run_python(*args, **kwargs):
    return subprocess.run(
        [sys.executable, "-W", "error", *args],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **kwargs,
    )


@pytest.mark.parametrize("function", ["hang_with_child", "hold_the_gil"])
@pytest.mark.parametrize("fork", [False, True])
def test_no_orphans_are_left_when_the_program_is_killed(tmp_path, function, fork):
    if function == "hold_the_gil" and sys.platform != "linux":
        pytest.skip("only Linux can kill what holds the GIL")
    script = tmp_path / "script.py"
    script.write_text(
        program(f"""
        async def main():
            office = Office(ProcessExecutor(2))
            await office.value(errands.nothing)
            call = Errand(errands.{function}, talks=True)
            office.start(call)
            pids = await heard(call)
            if {fork} and os.fork() == 0:
                import time
                time.sleep(1000)
            print(pids, *office.executor._crew.workers, flush=True)
            await asyncio.sleep(1000)

        if __name__ == "__main__":
            asyncio.run(main())
        """)
    )
    parent = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    with parent:
        try:
            line = parent.stdout.readline()
            pids = [int(word.strip("(,)")) for word in line.split()]
            assert len(pids) >= 2
            os.kill(parent.pid, signal.SIGKILL)
            assert all(gone(pid) for pid in pids)
        finally:
            os.killpg(parent.pid, signal.SIGKILL)  # a forked copy of it


@pytest.mark.parametrize("closes", [False, True])
def test_the_exit_of_the_program_is_not_delayed(tmp_path, closes):
    script = tmp_path / "script.py"
    script.write_text(
        program(f"""
        async def main():
            office = Office(ProcessExecutor(2))
            await office.value(errands.nothing)
            call = Errand(errands.hang_with_child, talks=True)
            office.start(call)
            print(*await heard(call), *office.executor._crew.workers, flush=True)
            if {closes}:
                office.executor.close()

        if __name__ == "__main__":
            asyncio.run(main())
        """)
    )
    done = run_python(str(script))
    assert done.stderr == ""
    assert done.returncode == 0
    assert all(gone(int(pid)) for pid in done.stdout.split())


MAIN = """
class Custom(Exception):
    pass

def double(x):
    return 2 * x

def fail():
    raise Custom("of main")

print("imported as", __name__, flush=True)

async def main():
    executor = ProcessExecutor(1)
    office = Office(executor)
    print(executor.why_not(double), await office.value(double, 21))
    outcome = await office.error(fail)
    print(type(outcome.error) is Custom, outcome.error)
    executor.close()

if __name__ == "__main__":
    asyncio.run(main())
"""

MAIN_SAYS = "imported as __main__\nimported as __mp_main__\nNone 42\nTrue of main\n"


def test_the_functions_of_a_script_cross_over(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(program(MAIN))
    done = run_python(str(script))
    assert (done.stdout, done.stderr) == (MAIN_SAYS, "")


def test_the_functions_of_a_module_run_with_m_cross_over(tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "program.py").write_text(program(MAIN))
    done = run_python("-m", "package.program", cwd=tmp_path)
    assert (done.stdout, done.stderr) == (MAIN_SAYS, "")


def test_a_script_without_a_guard_is_told_of_it(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        program("""
        async def main():
            executor = ProcessExecutor(1)
            outcome = await Office(executor).run(errands.nothing)
            executor.close()
            if outcome.error:
                raise outcome.error

        asyncio.run(main())
        """)
    )
    done = run_python(str(script))
    assert done.returncode == 1
    assert "importing the program's main module" in done.stderr
    assert 'if __name__ == "__main__":' in done.stderr


WHY_NOT = """
def here():
    pass

import functools
print(ProcessExecutor(1).why_not(here))
print(ProcessExecutor(1).why_not(functools.partial(here)))
print(ProcessExecutor(1).why_not(errands.nothing))
"""


@pytest.mark.parametrize("how", ["-c", "-", "-m"])
def test_the_functions_of_a_prompt_are_refused(tmp_path, how):
    text = program(WHY_NOT)
    if how == "-c":
        done = run_python("-c", text)
    elif how == "-":
        done = run_python("-", input=text)
    else:
        (tmp_path / "package").mkdir()
        (tmp_path / "package" / "__main__.py").write_text(text)
        done = run_python("-m", "package", cwd=tmp_path)
    words = (
        "a package's __main__.py" if how == "-m" else "no file that another process could import"
    )
    first, second, third = done.stdout.splitlines()
    assert words in first
    assert second == first
    assert third == "None"


def test_who_starts_no_processes_does_not_import_what_that_takes():
    done = run_python(
        "-c",
        "import sys, windlass\n"
        "with windlass.TaskManager() as tm: print(tm.submit(abs, -1).result())\n"
        "print({'pickle', 'windlass.executors._workers.crew'} & sys.modules.keys())",
    )
    assert (done.stdout, done.stderr) == ("1\nset()\n", "")

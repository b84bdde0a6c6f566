"""``windlass run`` without a terminal: what it runs, what it says, and how it ends."""

import os
import subprocess
import venv
from pathlib import Path

import pytest
from programs import python, started, windlass, write

import windlass as package

WORLD = """
import os, sys
print(__name__, __file__, __spec__, sys.argv, sys.path[0])
print(sys.modules["__main__"].__dict__ is globals())
print(__builtins__ is not None, __package__, __doc__, sys.flags.safe_path)
"""


@pytest.mark.parametrize("place", ["program.py", "inner/program.py", "{here}/program.py"])
def test_a_file_finds_the_world_as_with_python(tmp_path, place):
    (tmp_path / "inner").mkdir()
    place = place.format(here=tmp_path)
    write(tmp_path, WORLD, place)
    expected = python(place, "one", "--two", "-p", cwd=tmp_path)
    assert expected.returncode == 0, expected.stderr
    assert started("run", place, "one", "--two", "-p", cwd=tmp_path).stdout == expected.stdout


def test_a_file_behind_a_link_imports_from_where_it_really_is(tmp_path):
    (tmp_path / "real").mkdir()
    write(tmp_path / "real", "import beside", "program.py")
    write(tmp_path / "real", "print('found')", "beside.py")
    (tmp_path / "link.py").symlink_to("real/program.py")
    assert started("run", "link.py", cwd=tmp_path).stdout == "found\n"


def test_options_before_the_program_are_ours_and_after_it_its_own(tmp_path):
    name = write(tmp_path, "import sys; print(sys.argv[1:])")
    said = windlass("run", "--plain", name, "--plain", "--help", "--", "x", cwd=tmp_path).stdout
    assert said == "['--plain', '--help', '--', 'x']\n"


FUNCTIONS = """
import asyncio, sys
from windlass import TaskManager, task

print("argv", sys.argv[1:], "first", sys.path[0])

def double(n): return 2 * n

@task
async def decorated():
    async with TaskManager() as tm:
        print(await tm.submit(double, 1))

async def coroutine():
    await decorated()

def plain():
    with TaskManager() as tm:
        print(tm.submit(double, 1).result())

def future():
    class Awaitable:
        def __await__(self): return coroutine().__await__()
    return Awaitable()

class Inner:
    @staticmethod
    def method(): plain()

number = 3
"""


@pytest.mark.parametrize("function", ["plain", "coroutine", "decorated", "future", "Inner.method"])
def test_a_function_is_called_and_awaited(tmp_path, function):
    (tmp_path / "package").mkdir()
    write(tmp_path / "package", FUNCTIONS, "module.py")
    done = started("run", f"package.module:{function}", "a", "-b", cwd=tmp_path)
    assert done.stdout == f"argv ['a', '-b'] first {tmp_path}\n2\n", done.stderr
    assert done.returncode == 0
    assert "1 task in" in done.stderr


def test_tasks_of_a_file_run_in_processes(tmp_path):
    name = write(
        tmp_path,
        """
        import os
        from windlass import TaskManager, task

        @task(executor="process")
        def elsewhere(): return os.getpid()

        if __name__ == "__main__":
            with TaskManager() as tm:
                print(tm.submit(elsewhere).result() != os.getpid())
        """,
    )
    done = started("run", name, cwd=tmp_path)
    assert (done.stdout, done.returncode) == ("True\n", 0), done.stderr


# -- how it ends ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "end", ["pass", "sys.exit()", "sys.exit(0)", "sys.exit(7)", "sys.exit('words')", "1 / 0"]
)
def test_the_programs_own_end_is_that_of_the_command(tmp_path, end):
    name = write(tmp_path, f"import sys\ndef inner():\n    {end}\ninner()\n")
    expected = python(name, cwd=tmp_path)
    done = started("run", name, cwd=tmp_path)
    assert done.returncode == expected.returncode
    # A traceback is the program's alone, to the letter.
    assert done.stderr.startswith(expected.stderr)


def test_a_syntax_error_is_shown_as_by_python(tmp_path):
    name = write(tmp_path, "def f(:\n")
    done = windlass("run", name, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(python(name, cwd=tmp_path).stderr)


def test_the_programs_own_hook_is_shown_its_errors(tmp_path):
    name = write(tmp_path, "import sys\nsys.excepthook = lambda *e: print('mine', e[1])\n1 / 0")
    assert windlass("run", name, cwd=tmp_path).stdout == "mine division by zero\n"


TASKS = """
import asyncio, sys
from windlass import TaskManager, task, current_task, Retry

@task(max_retries=2, retry_delay=0)
def flaky():
    if current_task().attempt < 3:
        raise OSError("not yet")

@task(max_retries=1, retry_delay=0)
def broken(): raise ValueError("broken for good\\nand a second line")

def fine(): pass

def after(x): pass

def main():
    with TaskManager() as tm:
        for name in sys.argv[2:]:
            handle = tm.submit(globals()[name])
            tm.gather(handle, return_errors=True).result()
        if "broken" in sys.argv:
            tm.submit(after, handle.output)
    sys.exit(int(sys.argv[1]))

main()
"""


@pytest.mark.parametrize(
    ("args", "code"),
    [("0 fine", 0), ("0 fine flaky", 0), ("0 fine broken", 1), ("5 broken", 5), ("5 fine", 5)],
)
def test_a_failed_task_makes_it_one(tmp_path, args, code):
    name = write(tmp_path, TASKS)
    assert windlass("run", name, *args.split(), cwd=tmp_path).returncode == code


def test_what_failed_and_what_was_slow_is_summed_up(tmp_path):
    name = write(tmp_path, TASKS)
    said = windlass("run", name, "0", "fine", "flaky", "broken", cwd=tmp_path).stderr
    head, _, rest = said.partition("✘ 4 tasks in ")[2].partition("\n")
    assert head.endswith("s: 2 completed, 2 failed, 3 retried")
    slowest, failed = rest.split("  failed\n")
    assert "fine" in slowest
    assert "flaky" in slowest
    assert "3 attempts" in slowest
    cause, consequence = failed.splitlines()
    assert "broken" in cause
    assert cause.endswith("2 attempts  ValueError: broken for good")
    assert "after" in consequence


def test_a_failure_that_was_retried_by_hand_is_none(tmp_path):
    name = write(
        tmp_path,
        """
        from windlass import TaskManager
        tries = []
        def second_time():
            tries.append(1)
            if len(tries) == 1: raise OSError
        with TaskManager() as tm:
            first = tm.submit(second_time)
            tm.gather(first, return_errors=True).result()
            tm.retry(first).result()
        """,
    )
    done = windlass("run", name, cwd=tmp_path)
    assert done.returncode == 0
    assert "1 completed" in done.stderr
    assert "  failed\n" not in done.stderr


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("nowhere.py", "there is no file nowhere.py"),
        ("folder", "folder is a folder"),
        ("module", "neither a file nor of the form package.module:function"),
        ("nowhere:f", "there is no module nowhere"),
        ("module.inner:f", "there is no module module.inner"),
        ("module:f", "module has no function f"),
        ("module:number", "module:number is not a function"),
    ],
)
def test_nothing_to_run(tmp_path, target, reason):
    (tmp_path / "folder").mkdir()
    write(tmp_path, "number = 3", "module.py")
    done = windlass("run", target, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("windlass run: ")
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


def test_a_module_that_lacks_another_one_shows_its_traceback(tmp_path):
    write(tmp_path, "import nowhere", "module.py")
    done = windlass("run", "module:f", cwd=tmp_path)
    assert done.returncode == 1
    assert "module.py" in done.stderr
    assert done.stderr.count("\n  File") == 1
    assert "No module named 'nowhere'" in done.stderr


# -- lines ----------------------------------------------------------------------------------------


def test_lines_go_to_stderr_and_say_what_happens(tmp_path):
    name = write(tmp_path, TASKS + "\n")
    done = windlass("run", name, "0", "fine", "flaky", "broken", cwd=tmp_path)
    assert done.stdout == ""
    assert "\x1b" not in done.stderr
    lines = [line.split(" s  ", 1)[1] for line in done.stderr.splitlines() if " s  " in line]
    told = [(line.split()[1], " ".join(line.split()[3:])) for line in lines if line[0] in "✔✘↻"]
    assert ("fine", "completed") in told
    assert ("flaky", "attempt 1 failed, retry in 0.0 s: OSError: not yet") in told
    assert ("flaky", "completed") in told
    assert ("broken", "failed after 2 attempts: ValueError: broken for good") in told


def test_forced_colours_are_no_terminal(tmp_path):
    name = write(tmp_path, TASKS)
    said = windlass("run", name, "0", "fine", cwd=tmp_path, FORCE_COLOR="1").stderr
    assert "\x1b[32m✔" in said
    assert "╭" not in said
    assert "broke" not in said


def test_many_lines_are_summed_up(tmp_path):
    name = write(
        tmp_path,
        """
        from windlass import TaskManager
        async def noop(): pass
        with TaskManager() as tm:
            tm.gather(*tm.map(lambda n: n, range(5000))).result()
        """,
    )
    said = windlass("run", name, cwd=tmp_path).stderr
    assert "more\n" in said
    assert said.count("completed\n") < 500
    assert "✔ 5,000 tasks in" in said


def test_without_logging_set_up_nothing_is_told_twice(tmp_path):
    name = write(tmp_path, TASKS)
    said = windlass("run", name, "0", "flaky", cwd=tmp_path).stderr
    assert said.count("not yet") == 2


def test_a_program_keeps_the_logging_that_it_sets_up(tmp_path):
    name = write(tmp_path, "import logging; logging.basicConfig(stream=open('log', 'w'))\n" + TASKS)
    windlass("run", name, "0", "flaky", cwd=tmp_path)
    assert (tmp_path / "log").read_text().count("not yet") == 2


def test_managers_come_and_go(tmp_path):
    name = write(
        tmp_path,
        """
        import asyncio
        from windlass import TaskManager
        async def job(): pass
        async def main(tm):
            async with tm, TaskManager() as other:
                await tm.gather(tm.submit(job), tm.submit(job))
                await other.submit(job)
        again = TaskManager()
        for _ in range(3):
            asyncio.run(main(again))
        with again:
            again.submit(job)
        """,
    )
    done = started("run", name, cwd=tmp_path)
    assert "✔ 10 tasks in" in done.stderr
    assert done.returncode == 0


def test_the_program_survives_the_view(tmp_path):
    name = write(
        tmp_path,
        """
        import os
        from windlass import TaskManager
        os.close(2)
        with TaskManager() as tm:
            print(tm.gather(*tm.map(str, range(5000))).result()[-1])
        """,
    )
    done = started("run", name, cwd=tmp_path)
    assert (done.stdout, done.returncode) == ("4999\n", 0)


# -- the command itself ---------------------------------------------------------------------------


def test_without_the_extra_the_error_names_it(tmp_path):
    venv.create(tmp_path / "bare", with_pip=False)
    source = Path(package.__file__).parent.parent
    done = subprocess.run(
        [tmp_path / "bare/bin/python", "-c", "from windlass.cli import main; main()", "run", "x"],
        env={**os.environ, "PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "pip install 'windlass[cli]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_importing_the_command_line_needs_no_extra(tmp_path):
    code = "import sys, windlass.cli; print({'typer', 'rich', 'click'} & sys.modules.keys())"
    assert python("-c", code, cwd=tmp_path).stdout == "set()\n"


def test_the_installed_command_is_main():
    from importlib.metadata import entry_points

    from windlass.cli import main

    (entry,) = entry_points(group="console_scripts", name="windlass") or [None]
    if entry is None:
        pytest.skip("windlass is on the path, not installed")
    assert entry.load() is main


def test_version_and_help(tmp_path):
    assert started("--version", cwd=tmp_path).stdout == f"windlass {package.__version__}\n"
    said = windlass("run", "--help", cwd=tmp_path).stdout
    assert "1 if a task failed" in said
    assert "package.module:function" in said

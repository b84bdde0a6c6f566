"""The process executor against real processes: crashes, kills, orphans, and what crosses over."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import errands
import pytest
from errands import Errand, gone
from office import Office, heard, on_a_loop

from windlass._core.outcome import Cancelled
from windlass.errors import RemoteError, SerializationError, TaskCrashedError
from windlass.executors.processes import ProcessExecutor

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX")


@contextlib.asynccontextmanager
async def opened(slots=2, grace=0.2):
    """An office, of which no process is left afterwards."""
    executor = ProcessExecutor(slots, grace=grace)
    office = Office(executor)
    try:
        yield office
    finally:
        pids = list(executor._crew.workers)
        executor.close()
        assert all([await asyncio.to_thread(gone, pid) for pid in pids])


async def all_seen_off():
    """Wait for the threads that close the pipes of closed executors."""
    for thread in threading.enumerate():
        if thread.name == "windlass-leaving":
            await asyncio.to_thread(thread.join)


def open_descriptors():
    return sum(1 for _ in Path("/dev/fd").iterdir())


# -- running ---------------------------------------------------------------------------------------


@on_a_loop
async def test_workers_start_as_needed_and_are_kept():
    async with opened(slots=3) as office:
        assert office.executor.figures()["workers"] == 0
        first = await office.value(errands.process_id)
        assert first != os.getpid()
        assert await office.value(errands.process_id) == first
        assert office.executor.figures() == {"workers": 1, "idle": 1, "killed": 0, "crashed": 0}


@on_a_loop
async def test_there_are_never_more_workers_than_slots():
    async with opened(slots=2) as office:
        calls = [Errand(errands.process_id) for _ in range(50)]
        office.start(*calls)
        pids = {(await office.outcome(call)).value for call in calls}
        assert 1 <= len(pids) <= 2
        assert office.executor.figures()["workers"] <= 2


@on_a_loop
async def test_a_worker_heads_a_session_of_its_own():
    async with opened() as office:
        pid, session, group = await office.value(errands.session)
        assert pid == session == group


@on_a_loop
async def test_large_values_cross_both_ways_without_blocking_the_loop():
    value = os.urandom(1 << 20) * 20
    async with opened() as office:
        await office.value(errands.nothing)
        calls = [Errand(errands.identity, value) for _ in range(4)]
        turns = 0
        office.start(*calls)
        while any(call not in office.outcomes for call in calls):
            turns += 1
            await asyncio.sleep(0)
        assert all(office.outcomes[call].value == value for call in calls)
        assert turns > 100


@on_a_loop
async def test_what_a_task_prints_appears_when_it_ends(capfd):
    async with opened() as office:
        await office.value(errands.print_there, "hello from over there")
        assert capfd.readouterr().out == "hello from over there\n"


@on_a_loop
async def test_a_worker_takes_no_notice_of_an_interrupt():
    async with opened() as office:
        pid = await office.value(errands.process_id)
        assert await office.value(errands.interrupt_yourself) == "unimpressed"
        os.kill(pid, signal.SIGINT)
        assert await office.value(errands.process_id) == pid


@on_a_loop
async def test_a_fork_that_comes_back_does_not_report():
    async with opened() as office:
        assert await office.value(errands.fork_and_come_back) == "the parent's"
        assert await office.value(errands.identity, 1) == 1


# -- crashes ---------------------------------------------------------------------------------------


@on_a_loop
async def test_a_segfault_costs_its_own_task_only(tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    async with opened() as office:
        survivor = Errand(errands.wait_for, str(gate))
        office.start(survivor)
        outcome = await office.error(errands.segfault)
        assert outcome.crashed
        assert not outcome.raised
        assert isinstance(outcome.error, TaskCrashedError)
        assert "died with SIGSEGV" in str(outcome.error)
        assert "while it ran segfault [" in str(outcome.error)
        assert "errands.py" in outcome.error.details["stderr"]
        gate.write_text("well")
        assert (await office.outcome(survivor)).value == "well"
        assert await office.value(errands.identity, 1) == 1
        assert office.executor.figures()["crashed"] == 1


@on_a_loop
async def test_a_sudden_exit_is_told_with_its_code_and_last_words(capfd):
    async with opened() as office:
        outcome = await office.error(errands.leave, 3)
        assert outcome.crashed
        assert "exited with code 3" in str(outcome.error)
        assert str(outcome.error).endswith("its stderr:\nfamous last words")
        assert capfd.readouterr().err == "famous last words\n"


@on_a_loop
async def test_a_kill_from_outside_is_a_crash():
    async with opened() as office:
        call = Errand(errands.say_and_hang, talks=True)
        office.start(call)
        pid = await heard(call)
        os.kill(pid, signal.SIGKILL)
        outcome = await office.outcome(call)
        assert outcome.crashed
        assert f"the worker process {pid} died with SIGKILL" in str(outcome.error)


@on_a_loop
async def test_a_worker_that_dies_idle_is_replaced_and_costs_nothing():
    async with opened(slots=1) as office:
        pid = await office.value(errands.process_id)
        os.kill(pid, signal.SIGKILL)
        assert await asyncio.to_thread(gone, pid)
        # Whether or not the loop has heard of it by now.
        assert await office.value(errands.process_id) != pid


@on_a_loop
async def test_the_children_of_a_dead_worker_die_with_it():
    async with opened() as office:
        call = Errand(errands.hang_with_child, talks=True)
        office.start(call)
        pid, child = await heard(call)
        os.kill(pid, signal.SIGKILL)
        assert (await office.outcome(call)).crashed
        assert await asyncio.to_thread(gone, child)


@on_a_loop
async def test_a_worker_that_cuts_its_own_line_is_given_up():
    async with opened() as office:
        outcome = await office.error(errands.close_everything)
        assert outcome.crashed
        assert "closed its connection to the manager" in str(outcome.error)


@on_a_loop
async def test_workers_that_cannot_start_fail_the_call(monkeypatch):
    async with opened() as office:
        monkeypatch.setattr(sys, "executable", "/nowhere/python")
        outcome = await office.error(errands.nothing)
        assert "no worker process can be started" in str(outcome.error)
        monkeypatch.undo()
        await office.value(errands.nothing)


@on_a_loop
async def test_a_worker_that_dies_while_it_starts_fails_the_call(monkeypatch):
    async with opened() as office:
        monkeypatch.setattr(sys, "executable", "/bin/false")
        outcome = await office.error(errands.nothing)
        assert outcome.crashed
        assert "exited with code 1 while it started" in str(outcome.error)


# -- stopping --------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [errands.until_cancelled, errands.check_now_and_then])
@on_a_loop
async def test_a_stopped_task_may_end_by_itself_and_its_worker_lives_on(function):
    async with opened(grace=30) as office:
        call = Errand(function, talks=True)
        office.start(call)
        pid = await heard(call)
        office.executor.stop(call)
        outcome = await office.outcome(call)
        assert isinstance(outcome, Cancelled)
        assert outcome.cause == "saw it"
        assert await office.value(errands.process_id) == pid


@pytest.mark.parametrize("grace", [0, 0.2])
@on_a_loop
async def test_a_stopped_task_is_killed_with_its_children_when_the_grace_is_over(tmp_path, grace):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    async with opened(grace=grace) as office:
        survivor = Errand(errands.wait_for, str(gate))
        call = Errand(errands.hang_with_child, talks=True)
        office.start(survivor, call)
        pid, child = await heard(call)
        office.executor.stop(call)
        office.executor.stop(call)
        assert isinstance(await office.outcome(call), Cancelled)
        assert await asyncio.to_thread(gone, pid)
        assert await asyncio.to_thread(gone, child)
        assert await office.value(errands.identity, 1) == 1  # replaced
        gate.write_text("well")
        assert (await office.outcome(survivor)).value == "well"
        assert office.executor.figures()["killed"] == 1
        assert office.executor.figures()["crashed"] == 0


@on_a_loop
async def test_stopping_what_waits_for_a_worker_or_has_ended():
    async with opened(slots=1) as office:
        busy, waiting = Errand(errands.say_and_hang, talks=True), Errand(errands.nothing)
        office.start(busy, waiting)
        await heard(busy)
        office.executor.stop(waiting)
        assert isinstance(await office.outcome(waiting), Cancelled)
        office.executor.stop(busy)
        assert isinstance(await office.outcome(busy), Cancelled)
        office.executor.stop(busy)
        assert await office.value(errands.identity, 1) == 1


@on_a_loop
async def test_a_stop_does_not_hit_the_next_call():
    async with opened(slots=1, grace=0.2) as office:
        for _ in range(200):
            call = Errand(errands.nothing)
            office.start(call)
            office.executor.stop(call)
            await office.outcome(call)
        pid = await office.value(errands.process_id)
        await asyncio.sleep(0.3)  # longer than the grace: no kill may be under way
        assert await office.value(errands.process_id) == pid


# -- talking ---------------------------------------------------------------------------------------


@on_a_loop
async def test_a_task_can_talk_to_its_manager():
    def heard_of(kind, payload):
        assert kind == "add"
        if payload == 3:
            raise LookupError("no three")
        return payload + 1

    async with opened() as office:
        assert await office.value(errands.converse, 3, talks=True, heard=heard_of) == [1, 2, 3]
        outcome = await office.error(errands.converse, 5, talks=True, heard=heard_of)
        assert isinstance(outcome.error, LookupError)
        assert str(outcome.error) == "no three"


@on_a_loop
async def test_all_threads_of_a_task_can_talk():
    async with opened() as office:
        answers = await office.value(
            errands.ask_in_threads, 4, 50, talks=True, heard=lambda _, payload: payload
        )
        assert answers == list(range(200))


@on_a_loop
async def test_what_a_task_says_after_its_end_is_not_heard(tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    async with opened(slots=1) as office:
        call = Errand(errands.leave_a_thread_behind, str(gate), talks=True)
        office.start(call)
        await office.outcome(call)
        await asyncio.to_thread(gate.write_text, "speak")
        assert "has ended" in await asyncio.to_thread(gate.read_text)
        assert await office.value(errands.identity, 1) == 1
        assert call.messages == []


@on_a_loop
async def test_what_cannot_be_said_raises_where_it_is_said():
    async with opened() as office:
        outcome = await office.error(errands.say_the_unsayable, talks=True)
        assert isinstance(outcome.error, SerializationError)
        assert "cannot send this to the manager (progress)" in str(outcome.error)


# -- what crosses over -----------------------------------------------------------------------------


@on_a_loop
async def test_an_exception_keeps_type_text_and_traceback():
    async with opened() as office:
        outcome = await office.error(errands.raise_, KeyError, "missing")
        assert type(outcome.error) is KeyError
        assert outcome.error.args == ("missing",)
        assert outcome.raised
        assert not outcome.crashed
        assert "errands.py" in outcome.traceback
        assert outcome.traceback.endswith("KeyError: 'missing'\n")
        assert "windlass/executors" not in outcome.traceback


@pytest.mark.parametrize(
    ("error", "args", "text"),
    [
        (errands.PicklesBadlyError, ("this", "that"), "this and that"),
        (errands.RefusesPickleError, ("no",), "no"),
        (errands.HasNoTextError, (), "<HasNoTextError whose text cannot be had>"),
    ],
)
@on_a_loop
async def test_an_exception_that_cannot_cross_is_told_of(error, args, text):
    async with opened() as office:
        pid = await office.value(errands.process_id)
        outcome = await office.error(errands.raise_, error, *args)
        assert type(outcome.error) is RemoteError
        assert outcome.error.type_name == f"errands.{error.__name__}"
        assert outcome.error.text == text
        assert "errands.py" in outcome.error.traceback
        assert await office.value(errands.process_id) == pid


@on_a_loop
async def test_sys_exit_ends_the_task_and_not_the_worker():
    async with opened() as office:
        pid = await office.value(errands.process_id)
        outcome = await office.error(errands.quit_)
        assert type(outcome.error) is SystemExit
        assert await office.value(errands.process_id) == pid


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (errands.a_lock, "its result cannot be sent back: it is of type _thread.lock"),
        (errands.refuses_unpickle, "cannot be rebuilt in this process: cannot be rebuilt"),
    ],
)
@on_a_loop
async def test_a_result_that_cannot_cross_fails_its_task_only(function, words):
    async with opened() as office:
        pid = await office.value(errands.process_id)
        outcome = await office.error(function)
        assert type(outcome.error) is SerializationError
        assert not outcome.raised
        assert words in str(outcome.error)
        assert await office.value(errands.process_id) == pid


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        (threading.Lock(), "identity [t"),
        (errands.RefusesUnpickle(), "cannot be unpacked in the other process"),
    ],
)
@on_a_loop
async def test_an_argument_that_cannot_cross_fails_its_task_only(argument, words):
    async with opened() as office:
        outcome = await office.error(errands.identity, argument)
        assert type(outcome.error) is SerializationError
        assert not outcome.raised
        assert words in str(outcome.error)
        assert await office.value(errands.identity, 1) == 1


# -- opening and closing ---------------------------------------------------------------------------


@on_a_loop
async def test_closing_sends_the_idle_home_kills_the_busy_and_waits_for_nobody():
    await all_seen_off()
    before = open_descriptors()
    executor = ProcessExecutor(2)
    for _ in range(2):
        office = Office(executor)
        busy = Errand(errands.say_and_hang, talks=True)
        idle = Errand(errands.process_id)
        office.start(busy, idle)
        pids = [await heard(busy), (await office.outcome(idle)).value]
        executor.close()
        assert executor.figures()["workers"] == 0
        for pid in pids:
            assert await asyncio.to_thread(gone, pid)
        await all_seen_off()
        assert busy not in office.outcomes
    assert open_descriptors() == before


def test_closing_after_the_loop_is_gone():
    executor = ProcessExecutor(1)

    async def run():
        return await Office(executor).value(errands.process_id)

    pid = asyncio.run(run())
    executor.close()
    assert gone(pid)


# -- whole programs --------------------------------------------------------------------------------

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
        timeout=40,
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


# -- why not ---------------------------------------------------------------------------------------


def nested():
    def inner():
        pass

    return inner


def iter_nothing():
    yield


class Outer:
    @classmethod
    def made(cls):
        pass

    @staticmethod
    def static():
        pass


@pytest.mark.parametrize(
    "function",
    [
        errands.nothing,
        functools.partial(errands.identity, 1),
        errands.Holder,
        errands.Holder().method,
        errands.Holder(),
        Outer.made,
        Outer.static,
        len,
        [].append,
        str.upper,
        os.getpid,
    ],
)
def test_what_can_cross(function):
    assert ProcessExecutor(1).why_not(function) is None


renamed = nested()
renamed.__qualname__ = "renamed_and_gone"


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda: None, "it is a lambda"),
        (nested(), "it is defined inside a function (nested.<locals>.inner)"),
        (functools.partial(functools.partial(nested())), "inside a function"),
        (functools.wraps(errands.nothing)(lambda: None), "is something else"),
        (renamed, "is missing"),
        (threading.Lock().acquire, "cannot be pickled"),
        (iter_nothing().send, "a generator, cannot be pickled"),
    ],
)
def test_what_cannot_cross_is_said_why(function, words):
    assert words in ProcessExecutor(1).why_not(function)

"""Process tasks as a user meets them: through a manager."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import chores
import pytest
from errands import gone
from office import on_a_loop

from windlass import (
    DeadlockError,
    SerializationError,
    TaskCancellationError,
    TaskCrashedError,
    TaskExecutionError,
    TaskManager,
    TaskTimeoutError,
    task,
)
from windlass.executors.processes import ProcessExecutor
from windlass.testing import VirtualClock

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX")


@on_a_loop
async def test_decorated_functions_travel_by_their_id():
    async with TaskManager() as tm:
        assert await tm.submit(chores.double, 21) == 42
        assert await tm.submit(chores.where) != os.getpid()
        assert await tm.submit(chores.later, 1) == 1


def test_without_an_event_loop():
    with TaskManager() as tm:
        assert tm.submit(chores.double, 21).result(timeout=60) == 42


@on_a_loop
async def test_chunks():
    async with TaskManager() as tm:
        halves = tm.map(chores.double, range(5), chunksize=3)
        assert await halves == [0, 2, 4, 6, 8]
        assert await tm.map(chores.double, [halves[4].output, "a"], chunksize=2) == [16, "aa"]
        assert await tm.submit(task(sum, executor="process"), halves) == 20
        assert await tm.submit(task(sum, executor="process"), tm.map(chores.double, [])) == 0


@pytest.fixture
def gate(tmp_path):
    """A named pipe: whoever reads waits for whoever writes, and the other way round."""
    path = tmp_path / "gate"
    os.mkfifo(path)
    return path


@on_a_loop
async def test_progress_crosses_over(gate):
    async with TaskManager() as tm:
        handle = tm.submit(chores.report_progress, str(gate))
        await asyncio.to_thread(gate.write_text, "on")
        assert await handle == "on"
        assert tm.get_task_progress(handle) == (1.0, "attempt 1 of report_progress")


@on_a_loop
async def test_a_cancel_is_seen_over_there_and_clean_ups_run(gate, tmp_path):
    async with TaskManager(executors={"process": ProcessExecutor(1, grace=60)}) as tm:
        pid = await tm.submit(chores.where)
        handle = tm.submit(chores.until_cancelled, str(gate), str(tmp_path / "file"))
        assert await asyncio.to_thread(gate.read_text) == "started"
        assert tm.cancel_task(handle)
        with pytest.raises(TaskCancellationError):
            await handle
        assert (tmp_path / "file").read_text() == "cleaned up"
        assert await tm.submit(chores.where) == pid  # it went by itself: no need to kill


@on_a_loop
async def test_a_cancelled_task_that_does_not_listen_is_killed_with_its_children(gate):
    async with TaskManager() as tm:
        handle = tm.submit(chores.hang_with_child, str(gate))
        pids = (await asyncio.to_thread(gate.read_text)).split()
        tm.cancel_task(handle)
        with pytest.raises(TaskCancellationError):
            await handle
        assert all(gone(int(pid)) for pid in pids)
        assert await tm.submit(chores.double, 1) == 2


@on_a_loop
async def test_a_timeout_kills_too(gate):
    clock = VirtualClock()
    async with TaskManager(processes=1, clock=clock, watchdog=None) as tm:
        handle = tm.submit(chores.hang_with_child.options(timeout=3600), str(gate))
        pids = (await asyncio.to_thread(gate.read_text)).split()
        clock.advance(3600)
        tm._runtime.pump.wake()
        with pytest.raises(TaskTimeoutError):
            await handle
        assert all(gone(int(pid)) for pid in pids)


@on_a_loop
async def test_crashes_are_retried_and_counted():
    async with TaskManager() as tm:
        assert await tm.submit(chores.crash_until, 3) == 3
        with pytest.raises(TaskCrashedError, match="SIGSEGV"):
            await tm.submit(chores.crash_until.options(max_crashes=2), 3)


@on_a_loop
async def test_failures_are_retried():
    async with TaskManager() as tm:
        assert await tm.submit(chores.fail_until, 3) == 3
        with pytest.raises(LookupError, match="not yet"):  # TaskExecutionError is one, too
            await tm.submit(chores.fail_until, 4)


@on_a_loop
async def test_children():
    async with TaskManager() as tm:
        child = await tm.submit(chores.have_a_child)
        await tm.join()
        assert tm.get_task_result(child) == 42
        with pytest.raises(TaskExecutionError, match="Make it a dependency") as failed:
            await tm.submit(chores.wait_for_a_child)
        assert type(failed.value.original_error) is DeadlockError


@on_a_loop
async def test_what_cannot_cross_is_refused_at_submit():
    async with TaskManager() as tm:
        with pytest.raises(SerializationError, match="it is a lambda"):
            tm.submit(task(lambda: None, executor="process"))


SCRIPT = """
from windlass import TaskManager, task

@task(executor="process")
def double(x):
    return 2 * x

def plain(x):
    return -x

if __name__ == "__main__":
    with TaskManager() as tm:
        print(tm.submit(double, 21).result())
        print(tm.submit(task(plain, executor="process"), 1).result())
"""


@pytest.mark.parametrize("how", ["script", "-m"])
def test_the_tasks_of_a_program(tmp_path, how):
    (tmp_path / "program.py").write_text(SCRIPT)
    arguments = ["-m", "program"] if how == "-m" else ["program.py"]
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("42\n-1\n", "")


@pytest.mark.parametrize("arguments", [["-c", SCRIPT], ["-"]])
def test_the_tasks_of_a_prompt_are_refused(arguments):
    done = subprocess.run(
        [sys.executable, *arguments],
        input=SCRIPT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "SerializationError: double cannot run on 'process'" in done.stderr
    assert "put it in a module of its own" in done.stderr

"""Several processes on one file: one leads, the others ask it, and follow it when it is gone."""

import asyncio
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from runtime.stage import on_a_loop

from windlass import TaskCancellationError, TaskManager, TaskStatus, task
from windlass._runtime import follower

from . import sharer

PROGRAM = Path(sharer.__file__)


def program(*arguments):
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def leader(tmp_path):
    """Another process that leads on ``tmp_path / jobs.db``."""
    process = program(tmp_path / "jobs.db", "lead")
    assert process.stdout.readline() == "open\n"
    yield process
    process.kill()
    process.communicate()


async def until(condition):
    while not condition():  # a test on a loop is given up in time
        await asyncio.sleep(0.02)


def test_each_task_of_three_processes_is_run_once(tmp_path):
    log = tmp_path / "log"
    processes = [program(tmp_path / "jobs.db", "add", log, k, 240) for k in range(3)]
    said = [process.communicate(timeout=60) for process in processes]
    assert [out for out, _ in said] == ["done 80\n"] * 3, said
    assert sorted(map(int, log.read_text().split())) == list(range(240))


@pytest.mark.parametrize("number", [1, 100])
def test_a_client_that_submits_and_leaves_has_left_its_tasks(jobs, number):
    with TaskManager(jobs, role="client") as tm:  # nobody leads, nobody tells it anything
        for _ in range(number):
            tm.submit(sharer.who)
    with TaskManager(jobs) as tm:
        while len(tm.list_tasks(status=TaskStatus.COMPLETED)) < number:
            time.sleep(0.01)


def test_a_client_submits_while_its_follower_looks_for_what_became_of_all(tmp_path):
    often = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    enough, seen = threading.Event(), set()
    try:
        with TaskManager(tmp_path / "jobs.db", role="client") as tm:
            durable = tm._runtime.durable

            def look():
                while not enough.is_set():
                    seen.add(len(durable.all_mine()))

            looking = tm.submit(task(look, durable=False))
            left = []  # what nobody has a handle of is not looked for
            while len(seen) < 20 and len(left) < 3000:
                left.append(tm.submit(sharer.wait.options(delay=3600), "never"))
            enough.set()
            looking.result()
    finally:
        enough.set()
        sys.setswitchinterval(often)


@on_a_loop
async def test_a_client_asks_and_is_told_what_became_of_it(tmp_path, leader):
    async with TaskManager(tmp_path / "jobs.db", role="client") as tm:
        heard = []
        tm.subscribe(heard.extend)
        pid = tm.submit(sharer.who)
        assert await pid == leader.pid
        assert await tm.submit(sharer.mark, str(tmp_path / "log"), pid) == leader.pid
        with pytest.raises(ValueError, match="no good"):
            await tm.submit(sharer.fail, "no good")
        long = await tm.enqueue(sharer.wait, str(tmp_path / "never"))
        await until(lambda: long.status is TaskStatus.RUNNING)
        assert "running" in tm.explain(long)
        assert long.cancel()
        with pytest.raises(TaskCancellationError):
            await long
        assert tm.get_task(pid.id).result == leader.pid
        assert {info.name for info in tm.list_tasks(status=TaskStatus.COMPLETED)} == {
            "who",
            "mark",
        }
        await until(lambda: any(change.after is TaskStatus.CANCELLED for change in heard))


@on_a_loop
async def test_a_key_holds_between_processes(tmp_path, leader, monkeypatch):
    monkeypatch.setattr(follower, "_RESYNC_EVERY", 3600.0)  # it is told what became of the other
    async with TaskManager(tmp_path / "jobs.db", role="client") as tm:
        keyed = sharer.mark.options(key="once")
        log = str(tmp_path / "log")
        assert await tm.submit(keyed, log, 1) == 1
        assert await tm.submit(keyed, log, 2) == 1
        go = tmp_path / "go"
        twice = [tm.submit(sharer.wait.options(key="both"), str(go)) for _ in range(2)]
        await until(lambda: twice[0].status is TaskStatus.RUNNING)
        go.touch()
        assert await tm.gather(*twice) == [leader.pid] * 2
    assert (tmp_path / "log").read_text() == "1\n"


@on_a_loop
async def test_when_the_leader_is_killed_a_follower_goes_on_with_its_tasks(tmp_path, leader):
    async with TaskManager(tmp_path / "jobs.db") as tm:
        go = tmp_path / "go"
        handles = [tm.submit(sharer.wait, str(go)) for _ in range(3)]
        await until(lambda: all(handle.status is TaskStatus.RUNNING for handle in handles))
        leader.send_signal(signal.SIGKILL)
        await until(lambda: tm._runtime.follower is None)
        go.touch()
        assert set(await tm.gather(*handles)) != {leader.pid}
        assert {handle.info.attempt for handle in handles} == {2}
        assert await tm.submit(sharer.who) != leader.pid


@on_a_loop
async def test_a_leader_that_was_frozen_writes_nothing_more(tmp_path, leader, monkeypatch):
    monkeypatch.setattr(follower, "SILENT", 3.0)
    async with TaskManager(tmp_path / "jobs.db") as tm:
        go = tmp_path / "go"
        handle = tm.submit(sharer.wait, str(go))
        await until(lambda: handle.status is TaskStatus.RUNNING)
        leader.send_signal(signal.SIGSTOP)
        await until(lambda: tm._runtime.follower is None)
        go.touch()
        assert await handle != leader.pid
        leader.send_signal(signal.SIGCONT)
        leader.stdin.close()
        leader.stdin = None
        _, said = await asyncio.to_thread(leader.communicate, None, 60)
        assert "another process has taken over the file" in said
        assert await tm.submit(sharer.who) != leader.pid
        assert tm.get_task(handle.id).attempt == 2


@on_a_loop
async def test_a_task_within_a_transaction_is_there_with_it_or_not_at_all(tmp_path):
    file = tmp_path / "jobs.db"
    async with TaskManager(file) as tm:
        with closing(sqlite3.connect(file)) as own:
            own.execute("CREATE TABLE orders (number INTEGER)")
            own.execute("BEGIN")
            own.execute("INSERT INTO orders VALUES (1)")
            never = tm.enqueue_in(own, sharer.mark, str(tmp_path / "log"), 1)
            own.rollback()
            own.execute("BEGIN")
            own.execute("INSERT INTO orders VALUES (2)")
            handle = tm.enqueue_in(own, sharer.mark, str(tmp_path / "log"), 2)
            assert not handle.done()
            own.commit()
            tm.wake()
            assert await handle == 2
        assert not never.done()
        assert tm.get_task(never.id) is None
        assert tm.explain(never).startswith("written in a transaction: it comes in when that is")
    assert (tmp_path / "log").read_text() == "2\n"

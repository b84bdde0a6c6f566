"""What tasks say in the log, in a file: written with the rest, and read there by anybody."""

import asyncio
import json
import logging
import threading

import pytest
from runtime.stage import on_a_loop

from windlass import ManagerClosedError, TaskManager, current_task, task
from windlass.cli.app import app
from windlass.observe import TaskFile

from .stage import SOON, add, after_crash, door, doors, nobody_is_there, read

news = logging.getLogger("newsroom")


@pytest.fixture(autouse=True)
def level():
    news.setLevel(logging.INFO)
    yield
    news.setLevel(logging.NOTSET)


@task
async def talk(*lines, name=None):
    for line in lines:
        news.info(line.replace("?", "\ud800"))  # which UTF-8 has no form for
    return await doors[name]() if name is not None else None


@task(max_crashes=1)
async def talk_to_the_end(name):
    news.info("so far so good")
    return await doors[name]()


@task
def chatter(times):
    for number in range(times):
        news.info("line %d", number)


@task
async def unlucky():
    news.info("attempt %d", current_task().attempt)
    raise ValueError("no")


def texts(lines):
    return [line.text for line in lines]


@on_a_loop
async def test_what_was_said_is_there_after_a_restart(jobs):
    async with TaskManager(jobs) as tm:
        handle = tm.submit(talk, "one", "two", "three?")
        await handle
        lines = tm.get_task_log(handle)
        assert texts(lines) == ["one", "two", "three?"]
        assert handle._job.notes.log.lines.maxlen == 100
        assert not handle._job.notes.log.lines
    with pytest.raises(ManagerClosedError, match="is in the file"):
        tm.get_task_log(handle)
    async with TaskManager(jobs) as tm:
        assert tm.get_task_log(handle.id) == lines
        assert [line async for line in tm.get_handle(handle.id).log(since=1)] == lines[1:]
    nobody_is_there(jobs)


@on_a_loop
async def test_lines_ask_for_no_commit_of_their_own_and_are_written_within_a_second(jobs):
    hold = door()
    async with TaskManager(jobs) as tm:
        commits = []
        store = tm._runtime.durable.store
        commit = store.commit

        def counted(epoch, batch):
            commits.append(len(batch.lines))
            commit(epoch, batch)

        store.commit = counted
        handle = await tm.enqueue(talk, *(f"line {n}" for n in range(50)), name="door")
        await hold.came()
        stream = handle.log()
        seen = [(await anext(stream)).text for _ in range(50)]
        assert seen == [f"line {n}" for n in range(50)]
        assert [count for count in commits if count] == [50]
        hold.open()
        assert [line async for line in stream] == []


@on_a_loop
async def test_the_newest_lines_stay_in_the_file(jobs):
    async with TaskManager(jobs, keep_lines=10) as tm:
        handle, other = tm.submit(chatter, 1_000), tm.submit(chatter, 3)
        await tm.gather(handle, other)
        lines = tm.get_task_log(handle)
        assert [line.number for line in lines] == [*range(991, 1001)]
        assert len(tm.get_task_log(other)) == 3
    assert read(jobs, "SELECT count(*) FROM windlass_lines") == [(13,)]


@on_a_loop
async def test_the_log_of_a_task_goes_with_it(jobs):
    async with TaskManager(jobs) as tm:
        handle = tm.submit(talk, "one")
        await handle
        assert tm.cleanup() == 1
        await tm.flush()
        assert tm.get_task_log(handle.id) == []
    assert read(jobs, "SELECT * FROM windlass_lines") == []


@on_a_loop
async def test_the_next_process_goes_on_counting(jobs):
    hold = door()
    async with TaskManager(jobs) as tm:
        handle = await tm.enqueue(talk, "one", "two", name="door")
        await hold.came()
        assert [line.text async for line in until(handle, 2)] == ["one", "two"]
        crashed = after_crash(jobs)
        await tm.stop()
    hold = door()
    hold.open()
    async with TaskManager(crashed) as tm:
        await tm.get_handle(handle.id)
        lines = tm.get_task_log(handle.id)
    assert [(line.number, line.attempt, line.text) for line in lines] == [
        (1, 1, "one"),
        (2, 1, "two"),
        (3, 2, "one"),
        (4, 2, "two"),
    ]


@on_a_loop
async def test_a_retry_in_a_later_process_goes_on_counting(jobs):
    async with TaskManager(jobs) as tm:
        handle = tm.submit(unlucky)
        await tm.gather(handle, return_errors=True)
    async with TaskManager(jobs) as tm:
        await tm.gather(tm.retry(handle.id), return_errors=True)
        lines = tm.get_task_log(handle.id)
    assert [(line.number, line.text) for line in lines] == [(1, "attempt 1"), (2, "attempt 2")]


@on_a_loop
async def test_the_last_lines_go_with_the_error_of_a_task_whose_process_died(jobs):
    hold = door()
    async with TaskManager(jobs) as tm:
        handle = await tm.enqueue(talk_to_the_end, "door")
        await hold.came()
        assert [line.text async for line in until(handle, 1)] == ["so far so good"]
        crashed = after_crash(jobs)
        await tm.stop()
    async with TaskManager(crashed) as tm:
        error = tm.get_task_error(handle.id)
    assert error.details["log"] == ["INFO newsroom: so far so good"]
    assert "so far so good" in error.message
    async with TaskManager(crashed) as tm:
        assert tm.get_task_error(handle.id).details == error.details


async def until(handle, number):
    """The first lines of a task that goes on."""
    async for line in handle.log():
        yield line
        if line.number == number:
            return


@on_a_loop
async def test_a_client_reads_and_follows_the_log_of_the_leader(jobs):
    hold = door()
    async with TaskManager(jobs) as leader, TaskManager(jobs, role="client") as tm:
        handle = tm.submit(talk, "one", name="door")
        stream = handle.log()
        assert (await anext(stream)).text == "one"
        assert tm.get_task_log(handle.id) == leader.get_task_log(handle.id)
        rest = asyncio.ensure_future(anext(stream, None))
        hold.open()
        assert await rest is None
        await handle
        assert texts(tm.get_task_log(handle)) == ["one"]


@on_a_loop
async def test_a_stream_ends_when_the_manager_closes(jobs):
    hold = door()
    async with TaskManager(jobs) as tm:
        handle = await tm.enqueue(talk, "one", name="door")
        await hold.came()
        stream = handle.log()
        assert (await anext(stream)).text == "one"
        rest = asyncio.ensure_future(anext(stream, None))
        await asyncio.sleep(0)
        await tm.stop()
    assert await rest is None


@on_a_loop
async def test_while_the_disk_takes_nothing_what_is_kept_is_bounded(jobs):
    """Lines that are handed over wait for the disk; so they are, at most once, while it is busy."""
    may, began = threading.Event(), threading.Event()
    async with TaskManager(jobs, keep_lines=5) as tm:
        store, journal = tm._runtime.durable.store, tm._runtime.journal
        commit = store.commit
        hold = door("held")
        talker = await tm.enqueue(talk, "one", name="held")
        await hold.came()

        def slow(epoch, batch):
            began.set()
            assert may.wait(60)
            commit(epoch, batch)

        store.commit = slow
        job = talker._job
        for number in range(100):
            job.call.keep_line(("INFO", "newsroom", f"more {number}"))
            tm.submit(add, number)
            await asyncio.to_thread(began.wait, 20)
            tm._runtime.pump.turn()
        assert sum(len(entry.lines) for entry in journal._waiting) <= 10
        may.set()
        hold.open()
        await talker
        assert texts(tm.get_task_log(talker)) == [f"more {number}" for number in range(95, 100)]


def test_the_command_line_shows_it(jobs, capsys):
    with TaskManager(jobs, keep_lines=2) as tm:
        handle = tm.submit(talk, "one", "two", "three\nand more")
        handle.result(60)
    look = TaskFile(jobs)
    assert texts(look.get_task_log(handle.id)) == ["two", "three\nand more"]
    assert texts(look.get_task_log(handle.id, since=2)) == ["three\nand more"]
    assert look.get_task_log("no such task") == []
    told = run(capsys, "show", str(jobs), handle.id)
    assert "1 earlier lines were not kept" in told
    assert "INFO newsroom: two" in told
    assert "      and more" in told
    (first, second) = json.loads(run(capsys, "show", str(jobs), handle.id, "--json"))["log"]
    assert first["number"] == 2
    assert second["text"] == "three\nand more"
    assert second["level"] == "INFO"


def run(capsys, *arguments):
    app([*arguments], standalone_mode=False)
    return capsys.readouterr().out


@on_a_loop
async def test_what_is_said_does_not_wait_for_the_next_look_for_requests(jobs, monkeypatch):
    monkeypatch.setattr("windlass._runtime.desk.LOOK_EVERY", 60.0)
    first, second = door("first"), door("second")
    async with TaskManager(jobs) as tm:
        written = asyncio.Queue()
        loop, store = asyncio.get_running_loop(), tm._runtime.durable.store
        commit = store.commit

        def told(epoch, batch):
            commit(epoch, batch)
            if batch.lines:
                loop.call_soon_threadsafe(written.put_nowait, [line.text for line in batch.lines])

        store.commit = told
        for hold, name in ((first, "first"), (second, "second")):
            tm.submit(talk, name, name=name)
            await hold.came()
            assert await asyncio.wait_for(written.get(), SOON) == [name]
        first.open()
        second.open()

"""What the store refuses for itself: one task's affair, and not that of those stored with it."""

import logging
import sqlite3
import sys
import threading
from contextlib import closing

import pytest
from runtime.stage import on_a_loop

from windlass import StoreError, TaskCancellationError, TaskManager, current_task, task

from .stage import add, door, doors, echo, read, wait_at

MOST = 3_000


@task
async def swell(size):
    return "x" * size


@task
async def fail_at_length(size):
    raise ValueError("x" * size)


@task
async def checkpoint(size, name="door"):
    current_task().checkpoint("x" * size)
    return await doors[name]()


@task
async def talk(size):
    logging.getLogger("newsroom").warning("x" * size)
    logging.getLogger("newsroom").warning("short")


def test_who_was_refused_can_be_asked_while_others_are(jobs):
    often, asked = sys.getswitchinterval(), threading.Event()
    sys.setswitchinterval(1e-6)
    try:
        with TaskManager(jobs) as tm, tm._runtime.pump.between_turns():  # nobody is taken back
            journal, stored = tm._runtime.journal, tm.submit(add, 1)._job
            journal.refused.extend([(None, None)] * 1_000)

            def refuse():
                while not asked.is_set():
                    journal.refused.append((None, None))
                    journal.refused.pop()

            refusing = threading.Thread(target=refuse)
            refusing.start()
            try:
                assert not any(journal.has_refused(stored) for _ in range(500))
            finally:
                asked.set()
                refusing.join()
                journal.refused.clear()
    finally:
        sys.setswitchinterval(often)


def small(manager):
    """Let the file of ``manager`` take no value of more than so many bytes."""
    with manager._runtime.durable.store._connections.maintaining() as connection:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST)


@on_a_loop
async def test_a_task_that_is_too_big_is_refused_and_its_neighbours_are_stored(jobs):
    async with TaskManager(jobs) as tm:
        small(tm)
        first, big, last = (tm.submit(echo, "x" * size) for size in (1, MOST, 2))
        with pytest.raises(StoreError, match=r"never ran.*no room for a value of that size"):
            await big
        assert [await first, await last] == ["x", "xx"]
        assert await tm.submit(add, 1) == 2
        assert tm._runtime.journal.sick is None
    assert read(jobs, "SELECT count(*) FROM windlass_tasks") == [(3,)]


@on_a_loop
async def test_a_result_that_is_too_big_is_given_and_not_kept(jobs, caplog):
    async with TaskManager(jobs) as tm:
        small(tm)
        big, fine = tm.submit(swell, MOST), tm.submit(swell, 3)
        assert len(await big) == MOST
        assert await fine == "xxx"
    assert f"what became of {big._job.label} cannot be stored" in caplog.text
    async with TaskManager(jobs) as tm:
        assert tm.get_task_status(big.id) == "completed"
        assert "no room for a value of that size" in str(tm.get_task_error(big.id))
        assert tm.get_task_result(fine.id) == "xxx"


@on_a_loop
async def test_an_error_that_is_too_big_is_told_in_short(jobs):
    async with TaskManager(jobs) as tm:
        small(tm)
        big, fine = tm.submit(fail_at_length, MOST), tm.submit(add, 3)
        with pytest.raises(ValueError, match="x{3000}"):
            await big
        assert await fine == 4
    async with TaskManager(jobs) as tm:
        assert tm.get_task_status(big.id) == "failed"
        assert "no room for a value of that size" in str(tm.get_task_error(big.id))


@pytest.mark.parametrize("function", [checkpoint, talk])
@on_a_loop
async def test_a_checkpoint_or_a_line_that_is_too_big_is_left_out(jobs, caplog, function):
    door().open()
    async with TaskManager(jobs) as tm:
        small(tm)
        big, fine = tm.submit(function, MOST), tm.submit(add, 3)
        assert [await big, await fine] == [None, 4]
        await tm.flush()
    assert f"of {big._job.label} cannot be stored" in caplog.text
    assert dict(read(jobs, "SELECT id, status FROM windlass_tasks")) == {
        big.id: "completed",
        fine.id: "completed",
    }


@on_a_loop
async def test_a_purge_of_many_lets_others_write_in_between(jobs, monkeypatch):
    monkeypatch.setattr("windlass._runtime.journal._PAGE", 100)
    hold = door()
    async with TaskManager(jobs) as tm:
        await tm.gather(*tm.map(add, range(450)))
        running = await tm.enqueue(wait_at)
        await hold.came()
        pages = []
        store = tm._runtime.durable.store
        commit = store.commit

        def counted(epoch, batch):
            pages.append(len(batch.deletes))
            commit(epoch, batch)

        store.commit = counted
        assert tm.cleanup() == 450
        await tm.flush()
        assert [count for count in pages if count] == [100, 100, 100, 100, 50]
        hold.open()
        await running
    assert read(jobs, "SELECT id FROM windlass_tasks") == [(running.id,)]


@on_a_loop
async def test_a_request_that_is_too_big_is_refused_and_its_neighbours_are_left(jobs, caplog):
    async with TaskManager(jobs), TaskManager(jobs, role="client") as tm:
        small(tm)
        handles = tm.map(echo, ["x", "x" * MOST, "xx"])
        with pytest.raises(StoreError, match="no room for a value of that size"):
            await handles[1]
        assert [await handles[0], await handles[2]] == ["x", "xx"]
        tm.cancel_task(handles[0].id, "x" * MOST)
        await tm.flush(handled=True)
    assert "'cancel' could not be left" in caplog.text


@on_a_loop
async def test_what_was_retried_before_it_was_refused_is_not_safe_either(jobs):
    async with TaskManager(jobs) as tm:
        small(tm)
        big, fine = tm.submit(echo, "x" * MOST), tm.submit(add, 1)
        big.cancel()
        again = tm.retry(big)
        with pytest.raises(TaskCancellationError):
            await big.stored
        with pytest.raises(StoreError, match="never ran"):
            await again
        assert await fine == 2
    assert read(jobs, "SELECT id FROM windlass_tasks") == [(fine.id,)]


@on_a_loop
async def test_nor_is_what_was_retried_in_a_later_turn_of_the_same_commit(jobs):
    async with TaskManager(jobs) as tm:
        small(tm)
        with closing(sqlite3.connect(jobs, isolation_level=None)) as somebody:
            somebody.execute("BEGIN IMMEDIATE")  # so that what follows goes into one commit
            fine, big = tm.submit(add, 1), tm.submit(echo.options(delay=60), "x" * MOST)
            tm._runtime.pump.turn()
            big.cancel()
            tm._runtime.pump.turn()
            again = tm.retry(big)
            tm._runtime.pump.turn()
            somebody.execute("ROLLBACK")
        with pytest.raises(StoreError, match="never ran"):
            await again
        assert await fine == 2
        assert not tm._runtime.engine.unfinished
    assert read(jobs, "SELECT id FROM windlass_tasks") == [(fine.id,)]

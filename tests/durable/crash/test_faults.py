"""Files and disks that fail: a clear error, and what was acknowledged stays."""

import asyncio
import os
import random
import shutil
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from runtime.stage import SOON, on_a_loop, python

from durable.stage import add, door, echo, read, wait_at
from durable.test_committed_first import turns
from windlass import (
    StoreCorruptError,
    StoreError,
    StoreFullError,
    TaskError,
    TaskManager,
)
from windlass._runtime import journal

LATER = 3600.0
posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX")


@posix
def test_a_full_disk_and_then_room_again(jobs):
    done = python(
        f"""
        import asyncio, resource, signal
        from windlass import StoreFullError, TaskManager, task

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

        @task(id="echo")
        async def echo(value):
            return len(value)

        async def main():
            async with TaskManager({str(jobs)!r}) as tm:
                kept = await tm.enqueue(echo.options(delay=0.3), "kept")
                first = await tm.submit(echo, "x")
                room = resource.getrlimit(resource.RLIMIT_FSIZE)
                resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, room[1]))
                acknowledged = refused = 0
                while not refused:
                    try:
                        await tm.enqueue(echo.options(delay=3600), "x" * 20_000)
                        acknowledged += 1
                    except StoreFullError as error:
                        refused += 1
                        text = str(error)
                assert acknowledged and "cannot grow" in text and "was not stored" in text, text
                try:
                    tm.submit(echo, "at once")
                except StoreFullError as error:
                    assert "cannot be stored" in str(error)
                else:
                    raise AssertionError("it was taken in")
                resource.setrlimit(resource.RLIMIT_FSIZE, room)
                assert await kept == 4  # it was there before, and goes on when there is room
                assert await tm.submit(echo, "room again") == 10
                print(acknowledged)

        asyncio.run(main())
        """,
        check=True,
    )
    (pending,) = read(jobs, "SELECT count(*) FROM windlass_tasks WHERE status = 'pending'")
    assert pending[0] == int(done.stdout)
    assert "new ones are refused until that ends" in done.stderr
    assert "tasks are stored again" in done.stderr


def test_what_full_means():
    assert issubclass(StoreFullError, StoreError)


@posix
@pytest.mark.parametrize("what", ["file", "folder"])
def test_read_only(request, tmp_path, what):
    # Not in pytest's own place, where it lets nobody else in.
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    request.addfinalizer(lambda: shutil.rmtree(folder))
    folder.chmod(0o755)
    file = folder / "jobs.db"
    asyncio.run(_submit_later(file))
    # The superuser may write everywhere, so it becomes somebody else first.
    done = python(
        f"""
        import asyncio, os, sys
        from windlass import StoreError, TaskManager

        async def main(file):
            async with TaskManager(file):
                pass

        asyncio.run(main({str(tmp_path / "warm.db")!r}))
        os.chmod({str(file)!r}, 0o444)
        if {what == "folder"}:
            os.chmod({str(folder)!r}, 0o555)
        if os.getuid() == 0:
            os.seteuid(65534)
        try:
            asyncio.run(main({str(file)!r}))
        except StoreError as error:
            print(error)
        """,
    )
    folder.chmod(0o755)
    assert str(file) in done.stdout
    assert "right" in done.stdout
    assert "Traceback" not in done.stderr
    file.chmod(0o644)
    assert read(file, "SELECT status FROM windlass_tasks") == [("pending",)]


async def _submit_later(file):
    async with TaskManager(file) as tm:
        await tm.enqueue(add.options(delay=LATER), 1)


@on_a_loop
async def test_somebody_elses_transaction_holds_things_up_and_breaks_nothing(jobs, caplog):
    async with TaskManager(jobs) as tm:
        tm._runtime.durable.store._connections._writer.execute("PRAGMA busy_timeout = 20")
        with closing(sqlite3.connect(jobs, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            handle = tm.submit(echo, 1)
            enqueued = tm.enqueue(echo, 2)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(handle.stored, 0.2)
            assert not handle.done()
            other.execute("COMMIT")
        assert await asyncio.wait_for(handle, SOON) == 1
        assert await (await enqueued) == 2


@on_a_loop
async def test_a_reader_holds_up_nobody(jobs):
    async with TaskManager(jobs) as tm:
        await tm.submit(echo, 1)
        with closing(sqlite3.connect(jobs, isolation_level=None)) as other:
            other.execute("BEGIN")
            assert other.execute("SELECT count(*) FROM windlass_tasks").fetchone() == (1,)
            assert await asyncio.wait_for(tm.submit(echo, 2), SOON) == 2
            assert other.execute("SELECT count(*) FROM windlass_tasks").fetchone() == (1,)


async def some_tasks(file):
    async with TaskManager(file) as tm:
        ended = tm.map(echo, [{"n": n, "text": "x" * 50} for n in range(30)])
        later = tm.map(add.options(delay=LATER, tags=["later"]), range(30))
        tm.submit(add, later[0].output)
        await tm.gather(*ended)
        return [handle.id for handle in [*ended, *later]]


async def look(file, ids):
    """Open a file and look at everything in it; what is wrong with it must be said in words."""
    seen = 0
    try:
        async with TaskManager(file) as tm:
            tm.list_tasks()
            for id in ids:
                info = tm.get_task(id)
                if info is not None:
                    seen += 1
                    tm.explain(id)
                    tm.get_task_result(id)
                    assert isinstance(tm.get_task_error(id), TaskError | None)
            await tm.shutdown(wait=False)
    except StoreError:
        pass  # it says so
    return seen


def test_a_truncated_file(jobs, tmp_path):
    ids = asyncio.run(some_tasks(jobs))
    size = jobs.stat().st_size
    for share in (0.0, 0.01, 0.3, 0.6, 0.9, 0.999):
        copy = tmp_path / "cut.db"
        shutil.copy(jobs, copy)
        os.truncate(copy, int(size * share))
        if share in {0.01, 0.3, 0.6}:
            with pytest.raises(StoreCorruptError, match=r"damaged.*restore a backup"):
                asyncio.run(_open(copy))
        else:
            asyncio.run(look(copy, ids))


async def _open(file):
    async with TaskManager(file) as tm:
        tm.list_tasks()
        await tm.shutdown(wait=False)


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_flipped_bits(jobs, tmp_path, seed):
    ids = asyncio.run(some_tasks(jobs))
    good = jobs.read_bytes()
    draw = random.Random(seed)
    copy = tmp_path / "flipped.db"
    for _ in range(15):
        data = bytearray(good)
        for _ in range(draw.choice([1, 1, 8])):
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        for left in (f"{copy}-wal", f"{copy}-shm"):
            Path(left).unlink(missing_ok=True)
        copy.write_bytes(data)
        asyncio.run(asyncio.wait_for(look(copy, ids), SOON))


@pytest.mark.parametrize("column", ["id", "function", "key"])
@on_a_loop
async def test_a_damaged_text_is_one_task_s_affair(jobs, column):
    async with TaskManager(jobs) as tm:
        tm.pause()
        later, fine = (tm.submit(echo.options(key=text), text) for text in ("later", "fine"))
        await tm.shutdown(wait=False)
    with closing(sqlite3.connect(jobs)) as file, file:
        spoilt = f"UPDATE windlass_tasks SET {column} = CAST(? AS TEXT) WHERE id = ?"
        file.execute(spoilt, [b"late\xf2", later.id])
    async with TaskManager(jobs) as tm:
        assert await tm.get_handle(fine.id) == "fine"
        assert len(tm.list_tasks()) == 2


@pytest.mark.parametrize("column", ["created_at", "started_at", "ended_at"])
@pytest.mark.parametrize("time", [2e86, float("inf")])
@on_a_loop
async def test_a_damaged_time_is_one_task_s_affair(jobs, column, time):
    async with TaskManager(jobs) as tm:
        spoilt, fine = (tm.submit(echo, text) for text in ("spoilt", "fine"))
        await tm.gather(spoilt, fine)
    with closing(sqlite3.connect(jobs)) as file, file:
        file.execute(f"UPDATE windlass_tasks SET {column} = ? WHERE id = ?", [time, spoilt.id])
    async with TaskManager(jobs) as tm:
        assert await tm.get_handle(fine.id) == "fine"
        assert {info.id for info in tm.list_tasks()} == {spoilt.id, fine.id}
        with pytest.raises(StoreCorruptError, match=r"is no time\. Restore the file"):
            await tm.get_handle(spoilt.id)


@on_a_loop
async def test_a_full_disk_is_remembered_aloud(jobs, monkeypatch, caplog):
    monkeypatch.setattr(journal, "_AGAIN", 0.001)
    monkeypatch.setattr(journal, "_REMIND_EVERY", 0.0)
    async with TaskManager(jobs) as tm:
        store, said = tm._runtime.durable.store, asyncio.Event()
        loop, commit = asyncio.get_running_loop(), store.commit

        def full(epoch, batch):
            if caplog.text.count("tasks cannot be stored") > 1:
                loop.call_soon_threadsafe(said.set)
            raise StoreFullError("no room")

        store.commit = full
        handle = tm.submit(echo, "x")
        await asyncio.wait_for(said.wait(), SOON)
        store.commit = commit
        with pytest.raises(StoreFullError):
            await handle


@on_a_loop
async def test_a_damaged_row_fails_its_task_alone(jobs):
    async with TaskManager(jobs) as tm:
        ended, other = tm.submit(echo, "text"), tm.submit(echo, "other")
        await tm.gather(ended, other)
        tm.pause()
        later, fine = (tm.submit(echo, text) for text in ("later", "fine"))
        needs = tm.submit(add, later.output)
        await tm.shutdown(wait=False)
    with closing(sqlite3.connect(jobs)) as file, file:
        for column, id in (("outcome", ended.id), ("call", later.id)):
            ((data,),) = file.execute(f"SELECT {column} FROM windlass_tasks WHERE id = ?", [id])
            spoilt = data[:-1] + bytes([data[-1] ^ 4])
            file.execute(f"UPDATE windlass_tasks SET {column} = ? WHERE id = ?", [spoilt, id])
    async with TaskManager(jobs) as tm:
        with pytest.raises(StoreCorruptError):
            await tm.get_handle(later.id)
        with pytest.raises(TaskError, match="damaged, its checksum"):
            await tm.get_handle(ended.id)
        assert tm.get_task_status(needs.id) == "failed"
        assert await tm.get_handle(fine.id) == "fine"
        assert tm.get_task_result(other.id) == "other"


@on_a_loop
async def test_no_folder_and_no_file(tmp_path):
    for file, text in ((tmp_path / "no" / "jobs.db", "no folder"), (tmp_path, "is a folder")):
        with pytest.raises(StoreError, match=text):
            await TaskManager(file).start()


@posix
@on_a_loop
async def test_a_forked_child_harms_nothing(jobs):
    hold = door()
    async with TaskManager(jobs) as tm:
        handle = await tm.enqueue(wait_at)
        await hold.came()
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                for touch in (tm._runtime.durable.store.last_seq, lambda: tm.submit(add, 1)):
                    try:
                        touch()
                    except StoreError as error:
                        os.write(write_end, f"{error}\n".encode())
            finally:
                os._exit(0)
        await asyncio.to_thread(os.waitpid, child, 0)
        os.close(write_end)
        with os.fdopen(read_end) as pipe:
            store, manager = pipe.read().splitlines()
        assert "forked" in store
        assert "was opened before this process was forked" in manager
        await turns(tm)
        hold.open()
        assert await handle is None
        assert await tm.submit(add, 1) == 2
    assert read(jobs, "PRAGMA integrity_check") == [("ok",)]

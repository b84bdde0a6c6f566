"""Nothing starts, and nobody hears of anything, before it is on disk."""

import asyncio
import threading

import pytest
from runtime.stage import SOON, on_a_loop

from windlass import StoreError, TaskCancellationError, TaskDependencyError, TaskManager, task
from windlass.stores.sqlite import SqliteStore

from .stage import add, door, echo, fail, read, wait_at


class Slow(SqliteStore):
    """A store whose commits wait until they are told to go on."""

    def __init__(self, path):
        super().__init__(path)
        self.may_commit = threading.Event()
        self.may_commit.set()
        self.came = threading.Semaphore(0)
        self.error = None

    def commit(self, epoch, batch):
        if not self.may_commit.is_set():
            self.came.release()
            assert self.may_commit.wait(SOON)
        if self.error is not None:
            raise self.error
        super().commit(epoch, batch)

    async def held_up(self):
        """Wait until a commit is held up."""
        assert await asyncio.to_thread(self.came.acquire, timeout=SOON)


def slow(file, **settings):
    """A manager with a slow store, and the store."""
    tm = TaskManager(file, watchdog=None, **settings)
    store = Slow(file)
    durable = tm._runtime.durable
    durable.store = durable.journal._store = store
    return tm, store


async def turns(tm, number=5):
    """Have the pump turn some times, so that what could happen does."""
    for _ in range(number):
        tm._runtime.pump.wake()
        await asyncio.sleep(0)


started = []


@task
async def start(name):
    started.append(name)
    return name


@on_a_loop
async def test_nothing_starts_before_it_is_stored(jobs):
    started.clear()
    tm, store = slow(jobs)
    async with tm:
        store.may_commit.clear()
        handle = tm.submit(start, "a")
        stored, flushed = handle.stored, tm.flush()
        enqueued = tm.enqueue(start, "b")
        await store.held_up()
        await turns(tm)
        assert started == []
        assert not any(wait.done() for wait in (stored, flushed, enqueued, handle))
        assert read(jobs, "SELECT count(*) FROM windlass_tasks") == [(0,)]
        # A read shows what was accepted, though.
        assert len(tm.list_tasks()) == 2
        store.may_commit.set()
        assert (await stored) is handle
        await flushed
        assert await handle == "a"
        assert await (await enqueued) == "b"


@on_a_loop
async def test_no_end_is_heard_of_before_it_is_stored(jobs):
    tm, store = slow(jobs)
    heard = []
    hold = door()
    async with tm:
        tm.subscribe(heard.extend)
        good, bad = tm.submit(wait_at, result=7), tm.submit(fail)
        dependent = tm.submit(echo, good.output)
        await hold.came()
        await tm.flush()
        await asyncio.gather(bad, return_exceptions=True)
        store.may_commit.clear()
        hold.open()
        await store.held_up()
        await turns(tm)
        assert not good.done()
        waiter = asyncio.ensure_future(asyncio.wait_for(good, SOON))
        await turns(tm)
        assert not waiter.done()
        assert not any(getattr(change, "after", None) == "completed" for change in heard)
        assert dependent.status != "completed"
        store.may_commit.set()
        assert await waiter == 7


@pytest.mark.parametrize("how", ["cancel", "external", "doomed"])
@on_a_loop
async def test_an_end_that_comes_from_outside_is_not_heard_of_before_either(jobs, how):
    tm, store = slow(jobs)
    async with tm:
        handle = tm.submit(add.options(delay=60), 1)
        external, gone = tm.external("by hand"), tm.submit(add.options(delay=60), 1)
        gone.cancel()
        assert external.start()
        await tm.flush()
        store.may_commit.clear()
        tm.submit(add, 1)
        await store.held_up()
        if how == "cancel":
            assert handle.cancel()
        elif how == "external":
            assert external.complete(7)
            handle = external
        else:
            handle = tm.submit(echo, gone.output)
        assert not handle.done()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(handle, 0.05)
        store.may_commit.set()
        if how == "external":
            assert await handle == 7
        else:
            with pytest.raises(TaskCancellationError):
                await handle
        external.cancel()


@on_a_loop
async def test_what_cannot_be_stored_never_ran(jobs, caplog):
    started.clear()
    tm, store = slow(jobs)
    async with tm:
        before = await tm.enqueue(add.options(delay=60), 1)
        store.may_commit.clear()
        handle = tm.submit(start, "a")
        waits = tm.submit(echo, handle.output)
        stored, enqueued = handle.stored, tm.enqueue(start, "b")
        await store.held_up()
        store.error = StoreError("the disk is on fire")
        store.may_commit.set()
        for wait in (handle, stored, enqueued):
            with pytest.raises(StoreError, match="was not stored, and never ran.*on fire"):
                await wait
        with pytest.raises(TaskDependencyError, match="failed with StoreError"):
            await waits
        with pytest.raises(StoreError, match="on fire"):
            tm.submit(start, "c")
        assert started == []
        assert before.status == "pending"
        assert "new ones are refused until that ends" in caplog.text
        store.error = None
        while tm._runtime.journal.sick is not None:
            await asyncio.sleep(0.01)
        assert await tm.submit(start, "d") == "d"
    assert started == ["d"]
    async with TaskManager(jobs) as tm:
        assert tm.get_task(handle.id) is None
        assert {info.id for info in tm.list_tasks(status="pending")} == {before.id}


@on_a_loop
async def test_a_run_that_was_cancelled_before_its_commit_does_not_begin(jobs):
    started.clear()
    tm, store = slow(jobs)
    async with tm:
        tm.pause()
        handle = await tm.enqueue(start, "a")
        store.may_commit.clear()
        tm.resume()
        await store.held_up()  # its start is being written
        assert handle.status == "running"
        handle.cancel()
        store.may_commit.set()
        with pytest.raises(TaskCancellationError):
            await handle
    assert started == []


@on_a_loop
async def test_a_retry_is_stored_before_it_starts(jobs):
    tm, store = slow(jobs)
    async with tm:
        handle = tm.submit(fail)
        await asyncio.gather(handle, return_exceptions=True)
        store.may_commit.clear()
        again = tm.retry(handle)
        await store.held_up()
        await turns(tm)
        assert not again.done()
        assert read(jobs, "SELECT status, run FROM windlass_tasks") == [("failed", 1)]
        store.may_commit.set()
        with pytest.raises(ValueError, match="broken"):
            await again
        assert again.info.attempt == 2


def test_plain_code_waits_for_the_disk_as_well(jobs):
    tm, store = slow(jobs)
    with tm:
        store.may_commit.clear()
        handle = tm.submit(start, "plain")
        with pytest.raises(TimeoutError):
            handle.stored.result(0.05)
        with pytest.raises(TimeoutError):
            tm.flush().result(0.05)
        store.may_commit.set()
        assert handle.stored.result(SOON) is handle
        assert tm.enqueue(add, 1).result(SOON).result(SOON) == 2


@on_a_loop
async def test_without_a_file_there_is_nothing_to_wait_for():
    async with TaskManager() as tm:
        handle = tm.submit(add, 1)
        assert (await handle.stored) is handle
        await tm.flush()
        assert await (await tm.enqueue(add, 2)) == 3

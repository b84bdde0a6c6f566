"""What tasks say in the log, kept with them: by whom, how much of it, and what it costs nobody."""

import asyncio
import gc
import logging
import threading

import pytest

from windlass import LogLine, TaskManager, current_task, task

from .stage import SOON, Door, on_a_loop

news = logging.getLogger("newsroom")


@pytest.fixture(autouse=True)
def level():
    news.setLevel(logging.INFO)
    yield
    news.setLevel(logging.NOTSET)


async def said_by_a_coroutine():
    news.info("page %d", 1)
    await asyncio.sleep(0)
    news.warning("page 2 is late")


def said_by_a_thread():
    news.info("page %d", 1)
    news.warning("page 2 is late")


@pytest.mark.parametrize("function", [said_by_a_coroutine, said_by_a_thread])
@on_a_loop
async def test_what_a_task_says_is_kept_with_it(function):
    async with TaskManager() as tm:
        handle, other = tm.submit(function), tm.submit(asyncio.sleep, 0)
        await tm.gather(handle, other)
        lines = tm.get_task_log(handle.id)
        assert [line[:1] + line[2:] for line in lines] == [
            (1, "INFO", "newsroom", "page 1", 1),
            (2, "WARNING", "newsroom", "page 2 is late", 1),
        ]
        assert str(lines[1]) == "WARNING newsroom: page 2 is late"
        assert handle.info.started_at.timestamp() <= lines[0].at <= handle.info.ended_at.timestamp()
        assert tm.get_task_log(handle, since=1) == lines[1:]
        assert tm.get_task_log(other) == tm.get_task_log("no such task") == []
    assert tm.get_task_log(handle) == lines


@on_a_loop
async def test_all_attempts_speak_in_one_log():
    @task(max_retries=1, retry_delay=0.001)
    async def unlucky():
        news.info("trying")
        raise ValueError("no")

    async with TaskManager() as tm:
        handle = tm.submit(unlucky)
        await tm.gather(handle, return_errors=True)
        again = tm.retry(handle)
        await tm.gather(again, return_errors=True)
        lines = tm.get_task_log(handle.id)
    assert [(line.number, line.attempt) for line in lines] == [(1, 1), (2, 2), (3, 3), (4, 4)]


@on_a_loop
async def test_the_newest_lines_are_kept_and_the_numbers_tell_how_many_were_not():
    def talk():
        for number in range(5_000):
            news.info("%d", number)

    async with TaskManager(keep_lines=3) as tm:
        handle = tm.submit(talk)
        await handle
        lines = tm.get_task_log(handle)
        assert [(line.number, line.text) for line in lines] == [
            (4998, "4997"),
            (4999, "4998"),
            (5000, "4999"),
        ]


def test_while_the_loop_is_blocked_no_more_is_kept_either():
    with TaskManager(keep_lines=3) as tm:
        book = tm._runtime.log_book

        async def talk():
            for number in range(20_000):
                news.info("%d", number)
            return len(book._heard)

        assert tm.submit(talk).result(SOON) <= 1_000


@on_a_loop
async def test_none_is_kept_where_none_is_wanted():
    async with TaskManager(keep_lines=0) as tm:
        handle = tm.submit(said_by_a_thread)
        await handle
        assert tm.get_task_log(handle) == []
    with pytest.raises(ValueError, match="keep_lines"):
        TaskManager(keep_lines=-1)


@on_a_loop
async def test_a_task_that_says_nothing_has_no_log_and_a_level_that_is_off_says_nothing():
    async def quiet():
        news.debug("not at all")

    async with TaskManager() as tm:
        handle = tm.submit(quiet)
        await handle
        assert handle._job.notes is None
        assert tm.get_task_log(handle) == []


@on_a_loop
async def test_a_failure_is_kept_with_its_traceback_and_a_long_line_is_cut():
    async def talk():
        try:
            raise ValueError("no page 3")
        except ValueError:
            news.exception("what now")
        news.info("%s", "x" * 20_000)
        news.info("%d pages", "three")

    news.addHandler(logging.NullHandler())
    news.propagate = False  # or the handlers would complain of the last record, as they should
    try:
        async with TaskManager() as tm:
            handle = tm.submit(talk)
            await handle
            first, second, third = tm.get_task_log(handle)
    finally:
        news.propagate = True
    assert first.text.startswith("what now\nTraceback")
    assert first.text.endswith("ValueError: no page 3")
    assert second.text.endswith("… (10,000 more characters)")
    assert "cannot be made" in third.text


@on_a_loop
async def test_lines_are_a_stream_that_ends_with_the_task():
    door = Door()

    async def talk():
        news.info("first")
        await door()
        news.info("second")

    async with TaskManager() as tm:
        handle = tm.submit(talk)
        lines = handle.log()
        first = await anext(lines)
        coming = asyncio.ensure_future(anext(lines))
        await door.came()
        assert not coming.done()
        door.open()
        second = await coming
        assert [line async for line in lines] == []
        assert (first.text, second.text) == ("first", "second")
        assert [line async for line in handle.log(since=first.number)] == [second]
        assert tm._runtime.log_book.readers == 0


@on_a_loop
async def test_a_stream_hears_what_is_said_while_nothing_else_happens():
    door = Door()

    async def talk():
        await door()
        news.info("second")
        await asyncio.Event().wait()

    async with TaskManager() as tm:
        handle = tm.submit(talk)
        lines = handle.log()
        coming = asyncio.ensure_future(anext(lines))
        await door.came()
        door.open()
        assert (await coming).text == "second"
        handle.cancel()
        assert [line async for line in lines] == []


def test_a_record_may_be_made_where_the_engine_is_locked():
    """By a finalizer, say: it must not wait for the lock that its own thread holds."""
    with TaskManager() as tm:
        runtime = tm._runtime

        class Noisy:
            def __del__(self):
                news.info("collected")

        def talk():
            noisy = Noisy()
            noisy.me = noisy
            del noisy
            with runtime.lock:
                gc.collect()
            for _ in range(3_000):
                news.info("more")

        handle = tm.submit(talk)
        handle.result(SOON)
        numbers = [line.number for line in tm.get_task_log(handle)]
        assert numbers == [*range(2_902, 3_002)]


def test_nobody_else_is_disturbed():
    """No handler is added, so that ``logging.basicConfig`` still does what it should."""
    before = logging.getLogger().handlers[:]
    with TaskManager() as tm:
        tm.submit(said_by_a_thread).result(SOON)
        assert logging.getLogger().handlers == before
    news.info("outside")  # of any task
    assert current_task().id == ""


def test_threads_that_talk_at_once_are_counted_right():
    ready = threading.Barrier(4)

    def talk():
        ready.wait(SOON)
        for number in range(500):
            news.info("%d", number)

    with TaskManager(keep_lines=500) as tm:
        handles = [tm.submit(talk) for _ in range(4)]
        tm.gather(*handles).result(SOON)
        for handle in handles:
            lines = tm.get_task_log(handle)
            assert [(line.number, line.text) for line in lines] == [
                (number + 1, str(number)) for number in range(500)
            ]
            assert isinstance(lines[0], LogLine)

"""Who hears of changes: in order, in batches, and however slow or broken, never in the way."""

import asyncio
import logging
import threading

import pytest

from windlass import Change, Gap, Retry, Snooze, TaskManager, TaskStatus, current_task, task

from .stage import SOON, Door, double, double_async, fail, on_a_loop

LIFE = [(None, "pending"), ("pending", "running"), ("running", "completed")]


class Ears:
    """A subscriber that remembers what it heard."""

    def __init__(self):
        self.batches = []
        self.threads = set()

    def __call__(self, batch):
        self.batches.append(batch)
        self.threads.add(threading.current_thread().name)

    @property
    def heard(self):
        return [change for batch in self.batches for change in batch]

    def story(self, handle):
        return [(c.before, c.after) for c in self.heard if c.task_id == handle.id]


def test_a_subscriber_hears_of_every_change_in_order():
    ears = Ears()
    with TaskManager() as tm:
        tm.subscribe(ears)
        tm.pause()
        first = tm.submit(double_async, 1)
        second = tm.submit(double, first.output)
        bad = tm.submit(fail)
        after = tm.submit(double, bad.output)
        tm.resume()
        tm.join().result(timeout=60)
        gone = tm.submit(task(double).options(delay=60), 1)
        gone.cancel()
        bad.exception()
    assert ears.story(first) == LIFE
    assert ears.story(second) == [(None, "waiting"), ("waiting", "pending"), *LIFE[1:]]
    assert ears.story(bad) == [*LIFE[:2], ("running", "failed")]
    assert ears.story(after) == [(None, "waiting"), ("waiting", "failed")]
    assert ears.story(gone) == [(None, "pending"), ("pending", "cancelled")]
    assert ears.threads == {"windlass-observer"}
    change = ears.heard[0]
    assert isinstance(change, Change)
    assert (change.name, change.type, change.attempt, change.error) == (
        "double_async", "default", 0, None
    )  # fmt: skip
    assert change.cause == "submitted"
    (failure,) = [c for c in ears.heard if c.task_id == bad.id and c.after is TaskStatus.FAILED]
    assert isinstance(failure.error, ValueError)
    assert failure.attempt == 1


def test_changes_come_in_batches():
    ears = Ears()
    with TaskManager() as tm:
        tm.subscribe(ears)
        tm.gather(*tm.map(double_async, range(1000))).result(timeout=60)
    assert len(ears.heard) == 3000
    assert len(ears.batches) < 1000


@on_a_loop
async def test_retries_are_told_with_their_errors():
    attempts = []

    async def flaky():
        attempts.append(1)
        if len(attempts) < 3:
            raise ValueError(len(attempts))

    ears = Ears()
    async with TaskManager() as tm:
        tm.subscribe(ears)
        handle = tm.submit(task(flaky, retry=Retry(delay=0)))
        await handle
    assert ears.story(handle) == [
        *LIFE[:2], ("running", "pending"), LIFE[1], ("running", "pending"), *LIFE[1:]
    ]  # fmt: skip
    retried = [c for c in ears.heard if c.before == "running" and c.after == "pending"]
    assert all(isinstance(change.error, ValueError) for change in retried)
    assert "retry in" in retried[0].cause
    assert [c.attempt for c in ears.heard if c.after == "running"] == [1, 2, 3]


def test_the_time_of_a_change_is_wall_time():
    ears = Ears()
    with TaskManager() as tm:
        tm.subscribe(ears)
        handle = tm.submit(double, 1)
    moments = [change.at for change in ears.heard]
    assert moments == sorted(moments)
    created = tm.get_task(handle).created_at.timestamp()
    assert moments[0] == pytest.approx(created, abs=0.1)


def test_a_subscriber_may_cease_to_listen():
    ears = Ears()
    with TaskManager() as tm:
        subscription = tm.subscribe(ears)
        tm.submit(double, 1).result(timeout=60)
    count = len(ears.heard)
    assert count == 3
    subscription.cancel()
    subscription.cancel()
    with tm:
        tm.submit(double, 1).result(timeout=60)
    assert len(ears.heard) == count


def test_a_subscriber_stays_when_the_manager_is_opened_again():
    ears = Ears()
    tm = TaskManager()
    tm.subscribe(ears)
    for _ in range(2):
        with tm:
            tm.submit(double, 1)
    assert len(ears.heard) == 6


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_a_subscriber_that_raises_is_logged_and_harms_nobody(error, caplog):
    def broken(batch):
        raise error

    ears = Ears()
    with TaskManager() as tm:
        tm.subscribe(broken)
        tm.subscribe(ears)
        for n in range(3):
            assert tm.submit(double, n).result(timeout=60) == 2 * n
        tm.join().result(timeout=60)
    assert len(ears.heard) == 9
    assert any("a subscriber raised" in record.getMessage() for record in caplog.records)


def test_a_slow_subscriber_loses_the_oldest_and_is_told_how_many(gate):
    batches = []

    def slow(batch):
        batches.append(batch)
        gate()

    with TaskManager() as tm:
        tm.subscribe(slow, buffer=50)
        first = tm.submit(double_async, 0)
        assert first.result(timeout=60) == 0
        gate.wait_for()
        results = tm.gather(*tm.map(double_async, range(200))).result(timeout=60)
        assert results[-1] == 398, "nobody waits for a slow subscriber"
        assert tm.get_metrics().dropped_changes >= 540
        gate.open()
    assert isinstance(batches[1][0], Gap)
    heard = [c for batch in batches for c in batch]
    missed = sum(c.missed for c in heard if isinstance(c, Gap))
    assert missed + sum(isinstance(c, Change) for c in heard) == 603
    assert heard[-1].after == "completed"


def test_a_subscriber_that_hangs_does_not_keep_the_manager_from_closing(gate):
    with TaskManager() as tm:
        tm.subscribe(lambda batch: gate())
        assert tm.submit(double, 1).result(timeout=60) == 2
        gate.wait_for()
    assert not tm.is_open


def test_a_subscriber_may_use_the_manager():
    handles = []
    done = threading.Event()

    def spawns(batch):
        for change in batch:
            if change.name == "double" and change.after == "completed" and not handles:
                handles.append(tm.submit(double_async, 5))
                assert tm.get_task_status(change.task_id) == "completed"
                done.set()

    with TaskManager() as tm:
        tm.subscribe(spawns)
        tm.submit(double, 1)
        assert done.wait(SOON)
        assert handles[0].result(timeout=60) == 10


def test_nobody_hears_of_an_end_before_it_can_be_read():
    wrong = []

    def check(batch):
        for change in batch:
            if change.after == "completed" and tm.get_task_status(change.task_id) != "completed":
                wrong.append(change)

    with TaskManager() as tm:
        tm.subscribe(check)
        tm.gather(*tm.map(double, range(100))).result(timeout=60)
    assert wrong == []


# -- changes() -----------------------------------------------------------------------------------


@on_a_loop
async def test_changes_are_an_async_iterator_from_now_on():
    async with TaskManager() as tm:
        tm.submit(double, 0)
        await tm.join()
        changes = tm.changes()
        handle = tm.submit(double_async, 1)
        seen = []
        async for change in changes:
            seen.append(change)
            if change.after is TaskStatus.COMPLETED:
                break
        assert [(c.task_id, c.before, c.after) for c in seen] == [
            (handle.id, before, after) for before, after in LIFE
        ]
        await changes.aclose()


@on_a_loop
async def test_changes_end_when_the_manager_closes():
    seen = []

    async def listen():
        async for change in changes:
            seen.append(change)

    async with TaskManager() as tm:
        changes = tm.changes()
        listening = asyncio.create_task(listen())
        await asyncio.sleep(0)
        tm.submit(double, 1)
    await listening
    assert len(seen) == 3


@on_a_loop
async def test_a_reader_that_falls_behind_finds_one_gap():
    async with TaskManager() as tm:
        changes = tm.changes(buffer=10)
        await tm.gather(*tm.map(double_async, range(100)))
        gap = await anext(changes)
        assert gap == Gap(290)
        rest = [await anext(changes) for _ in range(10)]
        assert all(isinstance(change, Change) for change in rest)
        handle = tm.submit(double_async, 1)
        assert (await anext(changes)).task_id == handle.id
        await changes.aclose()


@on_a_loop
async def test_several_readers_hear_the_same_also_on_other_loops():
    async def listen(count):
        changes = tm.changes()
        ready.release()
        seen = [(await anext(changes)).after.value for _ in range(count)]
        await changes.aclose()
        return seen

    async with TaskManager() as tm:
        ready = threading.Semaphore(0)
        here = asyncio.create_task(listen(3))
        there = asyncio.create_task(asyncio.to_thread(asyncio.run, listen(3)))
        for _ in range(2):
            await asyncio.to_thread(ready.acquire)
        tm.submit(double, 1)
        assert await here == await there == ["pending", "running", "completed"]


# -- logs ----------------------------------------------------------------------------------------


class Log(logging.Handler):
    """Records of the given loggers, as they are made."""

    def __init__(self, *names, level=logging.DEBUG):
        super().__init__()
        self.records = []
        self.loggers = [logging.getLogger(name) for name in names]
        self.wanted = level

    def emit(self, record):
        self.records.append(record)

    def __enter__(self):
        self.before = [logger.level for logger in self.loggers]
        for logger in self.loggers:
            logger.addHandler(self)
            logger.setLevel(self.wanted)
        return self

    def __exit__(self, *_):
        for logger, level in zip(self.loggers, self.before, strict=True):
            logger.removeHandler(self)
            logger.setLevel(level)

    def levels(self, handle):
        return [r.levelname for r in self.records if getattr(r, "task_id", "") == handle.id]


def test_every_event_of_a_life_is_logged_at_a_sensible_level():
    flaky, tired = iter([ValueError("first"), None]), iter([Snooze(0), None])

    def sometimes(errors):
        error = next(errors)
        if error:
            raise error

    with Log("windlass") as log, TaskManager() as tm:
        good = tm.submit(task(double, type="io"), 1)
        retried = tm.submit(task(sometimes, retry=Retry(delay=0)), flaky)
        put_off = tm.submit(sometimes, tired)
        bad = tm.submit(fail, "details")
        gone = tm.submit(task(double).options(delay=60), 1)
        gone.cancel()
        tm.join().result(timeout=60)
        bad.exception()
    assert log.levels(good) == ["DEBUG", "DEBUG", "INFO"]
    assert log.levels(retried) == ["DEBUG", "DEBUG", "WARNING", "DEBUG", "INFO"]
    assert log.levels(put_off) == ["DEBUG", "DEBUG", "INFO", "DEBUG", "INFO"]
    assert log.levels(bad) == ["DEBUG", "DEBUG", "WARNING"]
    assert log.levels(gone) == ["DEBUG", "INFO"]
    (failure,) = [r for r in log.records if r.task_id == bad.id and r.levelname == "WARNING"]
    assert "fail" in failure.getMessage()
    assert bad.id in failure.getMessage()
    assert "ValueError: details" in failure.getMessage()
    assert (failure.task_name, failure.task_attempt) == ("fail", 1)
    (end,) = [r for r in log.records if r.task_id == good.id and r.levelname == "INFO"]
    assert (end.task_type, end.task_status) == ("io", "completed")
    assert "io task double" in end.getMessage()


@pytest.mark.parametrize("executor", ["async", "thread", "sequential"])
def test_every_record_made_inside_a_task_carries_it(executor):
    def work():
        logging.getLogger("mine").warning("hello")
        current_task().defer(logging.getLogger("mine").warning, "bye")

    async def work_async():
        work()

    function = task(work_async if executor == "async" else work, executor=executor, name="w")
    with Log("mine") as log, TaskManager() as tm:
        handle = tm.submit(function)
        handle.result(timeout=60)
        logging.getLogger("mine").warning("outside")
    assert [(r.getMessage(), r.task_id, r.task_name, r.task_attempt) for r in log.records] == [
        ("hello", handle.id, "w", 1),
        ("bye", handle.id, "w", 1),
        ("outside", None, None, None),
    ]


def test_a_failure_nobody_looked_at_is_logged_as_an_error_when_the_manager_closes():
    with Log("windlass", level=logging.ERROR) as log:
        with TaskManager() as tm:
            tm.submit(task(fail, name="unseen"))
            seen = [tm.submit(fail) for _ in range(6)]
            with pytest.raises(ValueError, match="broken"):
                seen[0].result(timeout=60)
            tm.gather(*seen[1:3], return_errors=True).result(timeout=60)
            tm.join().result(timeout=60)
            seen[3].exception()
            tm.get_task_error(seen[4].id)
            tm.submit(task(len, run_if="all_done"), [seen[5]]).result(timeout=60)
        messages = [record.getMessage() for record in log.records]
        assert len(messages) == 1
        assert "unseen" in messages[0]
        assert "nobody looked" in messages[0]
        assert log.records[0].exc_info


def test_a_failure_nobody_looked_at_is_logged_when_it_is_forgotten():
    with Log("windlass", level=logging.ERROR) as log, TaskManager() as tm:
        tm.submit(task(fail, name="unseen"))
        tm.join().result(timeout=60)
        assert not log.records
        assert tm.cleanup() == 1
        assert "unseen" in log.records[0].getMessage()
        tm.cleanup()
    assert len(log.records) == 1


@on_a_loop
async def test_what_the_pump_logs_is_not_said_in_the_name_of_another_task():
    async def awaits():
        for _ in range(5):
            await tm.submit(double_async, 1)

    with Log("windlass", level=logging.ERROR) as log:
        async with TaskManager(retention_count=2) as tm:
            bad = tm.submit(task(fail, name="unseen"))
            await tm.join()
            await tm.submit(awaits)
    (record,) = log.records
    assert record.task_id in {None, bad.id}


@on_a_loop
async def test_tasks_that_the_pump_starts_for_another_do_not_inherit_from_it():
    import contextvars

    mark = contextvars.ContextVar("mark", default="clean")
    seen = []

    class Spy(logging.Handler):
        def emit(self, record):
            seen.append(mark.get())

    async def marked():
        mark.set("marked")
        await tm.submit(double_async, 1)
        await asyncio.sleep(0)

    async with TaskManager() as tm:
        await tm.submit(marked)
        tm.submit(fail)
        spy = Spy()
        logging.getLogger("windlass").addHandler(spy)
        await tm.join()
        tm.cleanup()
        await tm.submit(double_async, 1)
        logging.getLogger("windlass").removeHandler(spy)
    assert set(seen) <= {"clean"}


# -- figures -------------------------------------------------------------------------------------


@on_a_loop
async def test_the_figures_of_a_manager():
    async with TaskManager(max_concurrent_tasks=3, threads=2) as tm:
        door = Door()
        running = [tm.submit(door) for _ in range(2)]
        await door.came(2)
        tm.pause()
        for priority in ("low", "high", "high"):
            tm.submit(task(double, priority=priority), 1)
        waiting = tm.submit(double, running[0])
        metrics = tm.get_metrics()
        assert metrics.by_status["running"] == 2
        assert metrics.by_status["pending"] == 3
        assert metrics.by_status["waiting"] == 1
        assert metrics.total == 6
        assert (metrics.slots, metrics.taken, metrics.free) == (3, 2, 1)
        assert metrics.queued == 3
        threads = metrics.executors["thread"]
        assert (threads.slots, threads.taken, threads.free) == (2, 0, 1)
        assert threads.queued == {0: 1, 1: 0, 2: 2, 3: 0}
        assert metrics.executors["async"].taken == 2
        assert metrics.paused
        assert metrics.abandoned_threads == 0
        door.fail(ValueError())
        tm.resume()
        await tm.gather(*running, waiting, return_errors=True)
        await tm.join()
        metrics = tm.get_metrics()
        assert metrics.taken == metrics.queued == 0
        assert metrics.running_time["double"].count == 3
        assert metrics.waiting_time["double"].count == 3
        times = metrics.running_time["Door"]
        assert times.count == 2
        assert 0 <= times.p50 <= times.p95 <= times.max
        assert times.mean <= times.max


# -- the watchdog --------------------------------------------------------------------------------


def blocks_the_loop(event):
    event.wait(SOON)  # this line is named


@on_a_loop
async def test_the_watchdog_names_the_task_the_file_and_the_line_that_block_the_loop():
    told = threading.Event()

    class Tell(logging.Handler):
        def emit(self, record):
            if "culprit" in record.getMessage():  # before it a busy machine may have stood still
                messages.append(record.getMessage())
                told.set()

    async def inner():
        blocks_the_loop(told)

    async def culprit():
        await inner()

    messages = []
    handler = Tell(logging.WARNING)
    root = logging.getLogger()  # the last to hear: or the next test would hear the rest of it
    root.addHandler(handler)
    try:
        async with TaskManager(watchdog=0.05) as tm:
            handle = tm.submit(culprit)
            await handle
    finally:
        root.removeHandler(handler)
    line = blocks_the_loop.__code__.co_firstlineno + 1
    assert f"task culprit [{handle.id}] blocks the event loop" in messages[0]
    assert f"{__file__}:{line} in blocks_the_loop" in messages[0]


@on_a_loop
async def test_the_watchdog_says_nothing_of_those_who_await_or_have_a_thread(caplog, gate):
    async with TaskManager(watchdog=0.01) as tm:
        door = Door()
        thread, awaits = tm.submit(gate), tm.submit(door)
        await asyncio.sleep(0.1)
        gate.open()
        door.open()
        await tm.gather(thread, awaits)
    # On a busy machine the loop may have stood still: but none of the two is said to be why.
    assert not [record for record in caplog.records if record.getMessage().startswith("task ")]


@on_a_loop
async def test_without_a_watchdog_nobody_watches():
    before = set(threading.enumerate())
    async with TaskManager(watchdog=None) as tm:
        await tm.submit(double_async, 1)
        assert not set(threading.enumerate()) - before


# -- explain -------------------------------------------------------------------------------------


@on_a_loop
async def test_explain_says_why_a_task_does_not_run_and_how_it_ended():
    async with TaskManager(max_concurrent_tasks=1) as tm:
        door = Door()
        running = tm.submit(task(door, name="slow"))
        await door.came()
        line = [tm.submit(task(double_async, name=f"n{n}"), n) for n in range(3)]
        waiting = tm.submit(double_async, running.output)
        held = tm.register_task("held", double, 1)
        later = tm.submit(task(double).options(delay=3600), 1)
        assert tm.explain(running).startswith("running for ")
        assert line[2].explain() == "3rd in line, 1 of 1 slots taken"
        assert waiting.explain() == "waiting for `slow` (running)"
        assert tm.explain(held) == "held until it is executed"
        assert "next try" in tm.explain(later) or "due" in tm.explain(later)
        tm.pause()
        assert "paused: call resume()" in line[0].explain()
        tm.resume()
        door.open()
        await tm.gather(*line)
        assert line[0].explain().startswith("completed after ")
        later.cancel()
        assert later.explain() == "cancelled: asked"
        bad = tm.submit(fail)
        await tm.gather(bad, return_errors=True)
        assert "ValueError" in bad.explain()
        await tm.gather(waiting, return_errors=True)

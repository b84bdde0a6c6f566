"""``ailf.async_tasks``: every name, what it returns, and what it does with bad input."""

import asyncio
import gc
import threading

import pytest
import windlass

from ailf import TaskManager, TaskStatus
from ailf.async_tasks import TaskInfo


async def nap(seconds, result="rested"):
    await asyncio.sleep(seconds)
    return result


async def fail(error):
    await asyncio.sleep(1)
    raise error


# -- one task, from its submission to its end ------------------------------------------------------


async def test_a_task_through_its_life(virtual_time):
    manager = TaskManager()
    await manager.start()
    before = virtual_time.wall()
    id = await manager.submit(nap(2), metadata={"user": "u1"})
    info = manager.get_task_info(id)
    assert info == TaskInfo(
        id, TaskStatus.PENDING, pytest.approx(before), None, None, None, None, 0, {"user": "u1"}
    )
    await asyncio.sleep(1)
    info = manager.get_task_info(id)
    assert info.status is TaskStatus.RUNNING
    assert info.started_at == pytest.approx(before)
    assert info.completed_at is None
    await asyncio.sleep(2)
    info = manager.get_task_info(id)
    assert (info.status, info.result, info.error, info.progress) == (
        TaskStatus.COMPLETED, "rested", None, 100,
    )  # fmt: skip
    assert info.completed_at - info.created_at == pytest.approx(2)
    assert isinstance(info.created_at, float)
    await manager.stop()


async def test_it_takes_no_step_before_submit_returns_and_starts_the_manager(virtual_time):
    manager = TaskManager()
    steps = []

    async def work():
        steps.append(id)

    id = await manager.submit(work())
    assert steps == []
    await manager.wait_for_task(id)
    assert steps == [id]
    await manager.stop()


async def test_a_failure_is_kept_as_text(virtual_time):
    manager = TaskManager()
    ids = [await manager.submit(fail(error)) for error in (ValueError("went wrong"), KeyError())]
    await asyncio.sleep(2)
    infos = [manager.get_task_info(id) for id in ids]
    assert [info.status for info in infos] == [TaskStatus.FAILED] * 2
    assert [info.error for info in infos] == ["went wrong", "KeyError"]
    assert [info.result for info in infos] == [None, None]
    await manager.stop()


async def test_a_failure_that_was_looked_at_is_not_logged(virtual_time, caplog):
    manager = TaskManager(retention=5)
    seen = await manager.submit(fail(ValueError("seen")))
    await manager.submit(fail(ValueError("unseen")))
    await asyncio.sleep(2)
    assert manager.get_task_info(seen).error == "seen"
    await asyncio.sleep(10)
    logged = [record.getMessage() for record in caplog.records]
    await manager.stop()
    unnoticed = [line.split(": ")[-1] for line in logged if "nobody looked" in line]
    assert unnoticed == ["unseen"]


# -- time limits -----------------------------------------------------------------------------------


async def test_timeouts_of_the_task_and_of_the_manager(virtual_time):
    manager = TaskManager(task_timeout=3)
    own = await manager.submit(nap(10), timeout=1)
    default = await manager.submit(nap(10))
    longer = await manager.submit(nap(10), timeout=20)
    await asyncio.sleep(2)
    info = manager.get_task_info(own)
    assert info.status is TaskStatus.FAILED
    assert "timed out" in info.error
    assert "timeout of 1 s" in info.error
    assert manager.get_task_info(default).status is TaskStatus.RUNNING
    await asyncio.sleep(2)
    assert manager.get_task_info(default).status is TaskStatus.FAILED
    assert await manager.wait_for_task(longer) == "rested"
    await manager.stop()


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
async def test_a_timeout_that_is_none_is_refused(timeout, virtual_time):
    manager = TaskManager()
    with pytest.raises(ValueError, match="timeout must be more than zero"):
        await manager.submit(nap(1), timeout=timeout)
    gc.collect()  # the coroutine was closed, or this would be a warning, which is an error
    assert manager.list_tasks() == []
    await manager.stop()


# -- progress --------------------------------------------------------------------------------------


async def test_progress_in_percent(virtual_time):
    manager = TaskManager()
    seen = []

    async def work():
        for percent in (-5, 7, 33.5, 150):
            assert manager.update_progress(id, percent)
            seen.append(manager.get_task_info(id).progress)

    id = await manager.submit(work())
    await manager.wait_for_task(id)
    assert seen == [0, 7, 33.5, 100]
    assert isinstance(seen[1], int)  # programs print it
    assert not manager.update_progress(id, 10), "it has ended"
    assert not manager.update_progress("nobody", 10)
    with pytest.raises(TypeError):
        manager.update_progress(id, "half")
    await manager.stop()


# -- cancelling ------------------------------------------------------------------------------------


async def test_cancelling_waits_for_the_clean_up(virtual_time):
    manager = TaskManager()
    left = []

    async def work():
        try:
            await asyncio.sleep(30)
        finally:
            await asyncio.sleep(1)
            left.append("tidy")

    id = await manager.submit(work())
    await asyncio.sleep(2)
    assert await manager.cancel_task(id) is True
    assert left == ["tidy"]
    info = manager.get_task_info(id)
    assert (info.status, info.result, info.error) == (TaskStatus.CANCELLED, None, None)
    assert await manager.cancel_task(id) is False
    assert await manager.cancel_task("nobody") is False
    await manager.stop()


async def test_cancelled_work_never_completes_afterwards(virtual_time):
    manager = TaskManager()

    async def stubborn():
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            return "went on"

    id = await manager.submit(stubborn())
    await asyncio.sleep(1)
    assert await manager.cancel_task(id)
    await asyncio.sleep(60)
    info = manager.get_task_info(id)
    assert (info.status, info.result) == (TaskStatus.CANCELLED, None)
    assert await manager.wait_for_task(id) is None
    await manager.stop()


async def test_cancelled_before_it_began_it_never_runs(virtual_time):
    manager = TaskManager(retention=1)
    ran = []

    async def work():
        ran.append(1)

    id = await manager.submit(work())
    assert await manager.cancel_task(id)
    assert manager.get_task_info(id).started_at is None
    await asyncio.sleep(5)
    gc.collect()  # a coroutine that was never awaited would warn, which is an error
    assert ran == []
    await manager.stop()


async def test_a_task_may_cancel_itself(virtual_time):
    manager = TaskManager()

    async def work():
        await manager.cancel_task("me")
        await asyncio.sleep(100)

    await manager.submit(work(), task_id="me")
    assert await manager.wait_for_task("me") is None
    assert manager.get_task_info("me").status is TaskStatus.CANCELLED
    await manager.stop()


# -- waiting ---------------------------------------------------------------------------------------


async def test_what_waiting_gives(virtual_time):
    manager = TaskManager()
    good = await manager.submit(nap(1, {"n": 1}))
    bad = await manager.submit(fail(ValueError("no")))
    gone = await manager.submit(nap(100))
    assert await manager.wait_for_task(good) == {"n": 1}
    assert await manager.wait_for_task(good) == {"n": 1}, "again, now that it has ended"
    assert await manager.wait_for_task(bad) is None
    assert await manager.wait_for_task(bad) is None
    await manager.cancel_task(gone)
    assert await manager.wait_for_task(gone) is None
    assert await manager.wait_for_task("nobody") is None
    await manager.stop()


async def test_a_wait_that_ends_leaves_the_task_alone(virtual_time):
    manager = TaskManager()
    id = await manager.submit(nap(10))
    assert await manager.wait_for_task(id, timeout=1) is None
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await manager.wait_for_task(id)
    assert manager.get_task_info(id).status is TaskStatus.RUNNING
    assert await manager.wait_for_task(id, timeout=100) == "rested"
    await manager.stop()


async def test_a_task_that_raises_timeouterror_has_failed(virtual_time):
    manager = TaskManager()
    id = await manager.submit(fail(TimeoutError("the server's")))
    assert await manager.wait_for_task(id) is None
    assert manager.get_task_info(id).error == "the server's"
    await manager.stop()


async def test_a_task_that_waits_for_itself_fails_rather_than_hangs(virtual_time):
    manager = TaskManager()

    async def work():
        return await manager.wait_for_task("me")

    await manager.submit(work(), task_id="me")
    await manager.wait_for_task("me")
    info = manager.get_task_info("me")
    assert info.status is TaskStatus.FAILED
    assert "waits in a circle" in info.error
    await manager.stop()


# -- lists -----------------------------------------------------------------------------------------


async def test_lists_by_status(virtual_time):
    manager = TaskManager()
    done = await manager.submit(nap(0))
    await asyncio.sleep(1)
    running = await manager.submit(nap(100))
    await asyncio.sleep(1)
    pending = await manager.submit(nap(100))

    def ids(*status):
        return [info.id for info in manager.list_tasks(*status)]

    assert ids() == [done, running, pending]
    for wanted in (TaskStatus.RUNNING, "running", "RUNNING"):
        assert ids(wanted) == [running]
    assert ids(TaskStatus.PENDING) == [pending]
    assert ids("completed") == [done]
    assert ids("failed") == []
    with pytest.raises(ValueError, match="'lost' is not a valid TaskStatus"):
        manager.list_tasks("lost")
    await manager.stop()
    assert ids("CANCELLED") == [running, pending]


def test_the_statuses():
    assert [status.name for status in TaskStatus] == [
        "PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED",
    ]  # fmt: skip
    assert all(status == status.name.lower() for status in TaskStatus)
    assert isinstance(TaskStatus.RUNNING, str)
    assert str(TaskStatus.RUNNING) == "TaskStatus.RUNNING"
    assert TaskStatus("FAILED") is TaskStatus.FAILED


async def test_the_mappings(virtual_time):
    manager = TaskManager()
    id = await manager.submit(nap(2))
    other = await manager.submit(nap(50))
    assert list(manager.tasks) == list(manager.task_info) == [id, other]
    assert len(manager.tasks) == 2
    assert id in manager.tasks
    assert "nobody" not in manager.task_info
    assert manager.task_info[id] == manager.get_task_info(id)
    assert not manager.tasks[id].done()
    assert await manager.tasks[id] == "rested"
    assert manager.tasks[id].done()
    assert not manager.tasks[id].cancel()
    assert manager.tasks[other].cancel()
    assert await manager.tasks[other] is None
    assert manager.tasks[other].cancelled()
    with pytest.raises(KeyError):
        manager.tasks["nobody"]
    await manager.stop()


# -- ids -------------------------------------------------------------------------------------------


async def test_a_taken_id_is_refused_and_the_live_task_goes_on(virtual_time):
    manager = TaskManager()
    await manager.submit(nap(5, "first"), task_id="job")
    with pytest.raises(windlass.DuplicateTaskError, match="'job'"):
        await manager.submit(nap(1, "second"), task_id="job")
    gc.collect()
    assert await manager.wait_for_task("job") == "first"
    await manager.submit(nap(1, "next"), task_id="job")
    assert await manager.wait_for_task("job") == "next", "now the id is free"
    assert len(manager.list_tasks()) == 1
    await manager.stop()


@pytest.mark.parametrize("work", [nap, 3, None, "nap(1)"])
async def test_what_is_no_coroutine_is_refused(work, virtual_time):
    manager = TaskManager()
    with pytest.raises(TypeError, match="takes a coroutine"):
        await manager.submit(work)
    assert not manager.windlass.is_open, "nothing was started for it"


async def test_any_awaitable_will_do(virtual_time):
    manager = TaskManager()
    future = asyncio.get_running_loop().create_future()
    id = await manager.submit(future)
    await asyncio.sleep(1)
    future.set_result("there")
    assert await manager.wait_for_task(id) == "there"
    await manager.stop()


# -- many, long, and again -------------------------------------------------------------------------


async def test_there_is_no_limit(virtual_time):
    manager = TaskManager()
    for _ in range(3000):
        await manager.submit(nap(100))
    await asyncio.sleep(1)
    assert len(manager.list_tasks("running")) == 3000, "no task waits for another to end"
    await manager.stop()


async def test_ended_tasks_are_forgotten_after_an_hour(virtual_time):
    manager = TaskManager()
    for make in (nap(1), fail(ValueError()), nap(7200)):
        await manager.submit(make)
    await asyncio.sleep(3500)
    assert len(manager.tasks) == len(manager.task_info) == 3
    await asyncio.sleep(200)
    assert [info.status for info in manager.list_tasks()] == [TaskStatus.RUNNING]
    assert len(manager.tasks) == 1
    await manager.stop()


async def test_stop_waits_for_clean_up_and_the_manager_starts_again(virtual_time):
    manager = TaskManager()
    left = []

    async def work():
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(2)
            left.append("tidy")

    id = await manager.submit(work())
    await asyncio.sleep(1)
    await manager.stop()
    assert left == ["tidy"]
    assert manager.get_task_info(id).status is TaskStatus.CANCELLED
    await manager.stop()
    again = await manager.submit(nap(1, "again"))
    assert await manager.wait_for_task(again) == "again"
    await manager.stop()


async def test_a_task_may_stop_its_own_manager(virtual_time):
    manager = TaskManager()

    async def work():
        await manager.stop()
        return "and went on"

    id = await manager.submit(work())
    other = await manager.submit(nap(100))
    assert await manager.wait_for_task(id) == "and went on"
    assert manager.get_task_info(other).status is TaskStatus.CANCELLED


def test_one_manager_in_one_loop_after_another():
    manager = TaskManager()

    async def life(n):
        id = await manager.submit(nap(0.001, n))
        assert await manager.wait_for_task(id) == n
        if n:
            await manager.stop()

    asyncio.run(life(1))
    asyncio.run(life(2))


async def test_both_faces_show_the_same_tasks(virtual_time):
    manager = TaskManager()
    id = await manager.submit(nap(1), metadata={"a": 1})
    assert manager.windlass.get_task(id).metadata == {"a": 1}
    assert manager.windlass.get_task(id).name == "nap"
    first = manager.windlass.submit(nap, 1, "new")
    second = manager.windlass.submit(nap, 1, first.output)
    assert manager.get_task_info(second.id).status is TaskStatus.PENDING, "it waits for the other"
    assert await manager.wait_for_task(second.id) == "new"
    assert [info.id for info in manager.list_tasks()] == [id, first.id, second.id]
    await manager.stop()


def test_ten_thousand_tasks_from_eight_threads():
    """Each thread has a loop of its own, and the manager lives on another."""
    manager = TaskManager()
    results: dict[int, list[int]] = {}

    async def work(n):
        await asyncio.sleep(0)
        return n

    async def submit_and_wait(thread):
        ids = [await manager.submit(work(n), f"{thread}-{n}") for n in range(1250)]
        results[thread] = [await manager.wait_for_task(id) for id in ids]

    async def main():
        await manager.start()
        threads = [
            threading.Thread(target=asyncio.run, args=(submit_and_wait(n),)) for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            await asyncio.to_thread(thread.join)
        assert {info.status for info in manager.list_tasks()} == {TaskStatus.COMPLETED}
        assert len(manager.task_info) == 10_000
        await manager.stop()

    asyncio.run(main())
    assert results == {thread: list(range(1250)) for thread in range(8)}

"""The unified task manager: `core.task_management`."""

import asyncio
import threading

import pytest

from core.task_management import (
    AsyncExecutor,
    Executor,
    InvalidTaskStateError,
    SequentialExecutor,
    Task,
    TaskCancellationError,
    TaskDependencyError,
    TaskExecutionError,
    TaskManager,
    TaskNotFoundError,
    TaskPriority,
    TaskStatus,
    TaskTimeoutError,
    ThreadPoolExecutor,
    exceptions,
)
from core.task_management.task import create_task_id
from core.task_management.task_manager import task_manager


def add(a, b=0):
    return a + b


async def add_async(a, b=0):
    return a + b


async def broken():
    raise KeyError("boom")


async def forever():
    await asyncio.get_running_loop().create_future()


def test_execute_gives_the_result(new):
    tm = new(TaskManager, max_concurrent_tasks=4)
    id = tm.register_task(
        "My Task", add, 1,
        kwargs={"b": 2}, priority=TaskPriority.HIGH, max_retries=3, retry_delay=1.0, timeout=60.0,
        description="adds", tags=["t"], metadata={"k": "v"},
    )  # fmt: skip

    async def main():
        assert await tm.execute_task(id) == 3
        assert await tm.execute_task(tm.register_task("n", add_async, args=(4,), b=1)) == 5
        assert await tm.execute_task(tm.register_task("n", add, 1), wait=False) is None

    asyncio.run(main())
    assert tm.get_task_status(id) is TaskStatus.COMPLETED
    assert tm.get_task_result(id) == 3
    assert tm.get_task_progress(id) == (1.0, "")
    assert [task.task_id for task in tm.get_tasks_by_tag("t")] == [id]
    assert [task.task_id for task in tm.get_tasks_by_metadata("k", "v")] == [id]
    assert tm.get_tasks_by_metadata("k", "w") == []
    assert id in [task.task_id for task in tm.get_tasks_by_status("completed")]


def test_what_cannot_be_executed_says_so(new, gate):
    tm = new(TaskManager)

    async def main():
        with pytest.raises(TaskNotFoundError):
            await tm.execute_task("nobody")
        id = tm.register_task("x", gate)
        await tm.execute_task(id, wait=False)
        await gate.came()
        with pytest.raises(InvalidTaskStateError, match="pending or waiting"):
            await tm.execute_task(id)
        gate.open()
        await tm.windlass.join()
        with pytest.raises(InvalidTaskStateError):
            await tm.execute_task(id)

    asyncio.run(main())
    assert tm.get_task("nobody") is None
    assert tm.get_task_error("nobody") is None
    assert tm.get_task_progress("nobody") == (0.0, "")
    assert tm.update_task_progress("nobody", 0.5) is False


def test_an_error_is_the_functions_own_and_a_task_execution_error(new):
    tm = new(TaskManager)
    id = tm.register_task("x", broken)

    async def main():
        with pytest.raises(KeyError) as caught:
            await tm.execute_task(id)
        assert isinstance(caught.value, TaskExecutionError)

    asyncio.run(main())
    assert type(tm.get_task_error(id)) is KeyError, "as it was raised"
    assert tm.get_task(id).error is tm.get_task_error(id)


def test_a_timeout_a_cancellation_and_a_failed_dependency(new):
    tm = new(TaskManager)

    async def main():
        late = tm.register_task("late", forever, timeout=0.01)
        with pytest.raises(TaskTimeoutError):
            await tm.execute_task(late)
        stopped = tm.register_task("stopped", forever)
        await tm.execute_task(stopped, wait=False)
        after = tm.register_task("after", add, 1, dependencies=[stopped])
        assert await tm.cancel_task(stopped) is True
        assert await tm.cancel_task(stopped) is False
        assert await tm.cancel_task("nobody") is False
        assert tm.get_task_status(stopped) == tm.get_task_status(after) == "cancelled"
        assert isinstance(tm.get_task_error(stopped), TaskCancellationError)
        bad = tm.register_task("bad", broken)
        doomed = tm.register_task("doomed", add, 1, dependencies=[bad])
        with pytest.raises(TaskDependencyError, match="bad"):
            await tm.execute_task(doomed)
        assert tm.get_task_status(doomed) == "failed"

    asyncio.run(main())


def test_a_task_may_cancel_itself(new):
    tm = new(TaskManager)

    async def main():
        async def give_up():
            assert await tm.cancel_task(id)
            await asyncio.sleep(0)

        id = tm.register_task("x", give_up)
        with pytest.raises(TaskCancellationError):
            await tm.execute_task(id)

    asyncio.run(main())


def test_it_works_before_and_after_start_and_in_another_loop(new):
    tm = new(TaskManager)
    assert not tm.is_running

    async def main():
        assert await tm.execute_task(tm.register_task("before", add_async, 1)) == 1
        await tm.start()
        assert tm.is_running
        assert await tm.execute_task(tm.register_task("after", add_async, 2)) == 2
        await tm.stop()
        assert not tm.is_running
        assert await tm.execute_task(tm.register_task("again", add_async, 3)) == 3

    asyncio.run(main())
    asyncio.run(main())


def test_tasks_wait_for_tasks_within_a_limit_of_one(new):
    tm = new(TaskManager, 1)

    async def deep(n):
        return n and await tm.execute_task(tm.register_task("deeper", deep, n - 1)) + 1

    async def main():
        return await tm.execute_task(tm.register_task("deep", deep, 5))

    assert asyncio.run(main()) == 5


def test_the_executor_says_where_it_runs(new):
    tm = new(TaskManager)

    async def in_async():
        return threading.get_ident()

    async def main():
        here = threading.get_ident()

        async def where(func, **options):
            return await tm.execute_task(tm.register_task("x", func, **options))

        assert await where(in_async) == here
        assert await where(threading.get_ident) != here, "a plain function never blocks the loop"
        assert await where(threading.get_ident, executor_type="thread_pool") != here
        assert await where(in_async, executor_type="thread_pool") != here
        assert await where(threading.get_ident, executor_type="sequential") == here
        with pytest.warns(UserWarning, match="no executor 'gpu'"):
            assert await where(in_async, executor_type="gpu") == here

    asyncio.run(main())
    assert set(tm.executors) == {"sequential", "thread_pool", "async"}
    with pytest.raises(ValueError, match="default_executor_type is one of"):
        TaskManager(default_executor_type="gpu")
    threads = new(TaskManager, 2, "thread_pool")
    id = threads.register_task("x", in_async)
    assert asyncio.run(threads.execute_task(id)) != threading.get_ident()


def test_metrics_and_the_dicts_of_tasks(new, gate):
    tm = new(TaskManager, 2)

    async def main():
        ids = [tm.register_task(f"t{n}", gate) for n in range(3)]
        for id in ids:
            await tm.execute_task(id, wait=False)
        await gate.came(2)
        held = tm.register_task("held", add, 1)
        waits = tm.register_task("waits", add, 1, dependencies=[held])
        gone = tm.register_task("gone", add, 1)
        await tm.cancel_task(gone)
        assert list(tm.running_tasks) == ids[:2]
        assert list(tm.waiting_tasks) == [waits]
        assert list(tm.cancelled_tasks) == [gone]
        assert list(tm.tasks) == [*ids, held, waits, gone]
        metrics = tm.get_metrics()
        executors = metrics.pop("executors")
        assert metrics == {
            "total_tasks": 6, "pending_tasks": 2, "running_tasks": 2, "completed_tasks": 0,
            "failed_tasks": 0, "cancelled_tasks": 1, "waiting_tasks": 1,
            "max_concurrent_tasks": 2, "default_executor_type": "async", "is_running": True,
        }  # fmt: skip
        assert executors["thread_pool"] == {
            "executor_type": "thread_pool", "is_idle": False, "max_workers": 2, "active_workers": 2,
        }  # fmt: skip
        assert executors["async"]["available_slots"] == 0
        assert executors["sequential"] == {
            "executor_type": "sequential", "is_idle": True, "running_task": None,
        }  # fmt: skip
        gate.open()
        await tm.windlass.join()
        bad = tm.register_task("bad", broken)
        await asyncio.gather(tm.execute_task(bad), return_exceptions=True)
        assert list(tm.failed_tasks) == [bad]
        assert list(tm.completed_tasks) == ids

    asyncio.run(main())
    assert gate.most == 2


def test_progress_is_clamped(new, gate):
    tm = new(TaskManager)

    async def main():
        id = tm.register_task("x", gate)
        assert tm.update_task_progress(id, 0.5) is False, "it is not running"
        await tm.execute_task(id, wait=False)
        await gate.came()
        assert tm.update_task_progress(id, 0.5, "half")
        assert tm.get_task_progress(id) == (0.5, "half")
        assert tm.get_task(id).update_progress(7, "much")
        assert tm.get_task_progress(id) == (1.0, "much")
        assert tm.update_task_progress(id, -1)
        task = tm.get_task(id)
        assert (task.progress, task.progress_message) == (0.0, "")
        gate.open()
        await tm.windlass.join()

    asyncio.run(main())


def test_a_task_by_itself():
    task = Task(name="x", func=add, args=(1,), dependencies=["a", "b"], metadata={"k": 1})
    assert task.task_id
    assert task.status is TaskStatus.PENDING
    assert not task.is_ready({"a"})
    assert task.is_ready({"a", "b", "c"})
    assert task.update_progress(2.0, "far")
    assert (task.progress, task.progress_message) == (1.0, "far")
    told = task.to_dict()
    assert (told["status"], told["priority"], told["metadata"]) == ("PENDING", "NORMAL", {"k": 1})
    assert Task().name == "Unnamed Task"
    assert (task.result, task.error, task.retry_count, task.started_at) == (None, None, 0, None)
    with pytest.raises(ValueError, match="a priority is one of"):
        Task(priority="urgent")


@pytest.mark.parametrize("kind", [SequentialExecutor, ThreadPoolExecutor, AsyncExecutor])
def test_an_executor_runs_tasks_by_itself(new, kind):
    async def main():
        executor = kind()
        assert executor.get_metrics()["is_idle"]
        tasks = [Task(func=add_async, args=(n,)) for n in range(3)]
        assert await asyncio.gather(*map(executor.execute, tasks)) == [0, 1, 2]
        assert [task.status for task in tasks] == ["completed"] * 3
        bad = Task(func=broken)
        with pytest.raises(KeyError):
            await executor.execute(bad)
        slow = Task(func=forever)
        running = asyncio.ensure_future(executor.execute(slow))
        while slow.status != "running":
            await asyncio.sleep(0)
        assert await executor.cancel(slow)
        assert not await executor.cancel(slow)
        assert not await executor.cancel(Task(func=add_async))
        with pytest.raises(TaskCancellationError):
            await running
        await executor.shutdown(wait=True)
        assert slow.status == "cancelled", "it is still told when the executor is gone"

    asyncio.run(main())


def test_the_sequential_executor_really_runs_one_at_a_time():
    inside = most = 0

    async def work():
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0)
        inside -= 1

    async def main():
        executor = SequentialExecutor()
        await asyncio.gather(*(executor.execute(Task(func=work)) for _ in range(20)))
        assert executor.get_metrics()["running_task"] is None
        await executor.shutdown()

    asyncio.run(main())
    assert most == 1


def test_limits_of_executors(gate):
    async def main():
        for executor in (ThreadPoolExecutor(max_workers=2), AsyncExecutor(max_concurrency=2)):
            running = [asyncio.ensure_future(executor.execute(Task(func=gate))) for _ in range(5)]
            await gate.came(2)
            metrics = executor.get_metrics()
            assert metrics.get("active_workers", metrics.get("active_tasks")) == 2
            await executor.stop()
            ended = await asyncio.gather(*running, return_exceptions=True)
            assert all(isinstance(one, TaskCancellationError) for one in ended)

    asyncio.run(main())
    assert gate.most == 4, "what was abandoned goes on, and no more than the limit at a time"
    with pytest.raises(TypeError, match="use SequentialExecutor"):
        Executor()


def test_the_names_of_the_submodules():
    assert isinstance(task_manager, TaskManager)
    assert asyncio.run(task_manager.execute_task(task_manager.register_task("x", add, 1))) == 1
    assert exceptions.TaskExecutionError is TaskExecutionError
    cause = ValueError("boom")
    older = exceptions.TaskError("m", {"k": 1}, cause)
    newer = exceptions.TaskError("m", task_id="t", details={"k": 1})
    assert (older.details, older.__cause__, newer.task_id) == ({"k": 1}, cause, "t")
    assert create_task_id() != create_task_id()

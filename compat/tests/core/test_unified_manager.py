"""The manager whose methods are all awaited: `core.task.unified_manager`."""

import asyncio
import inspect
import logging

import pytest
from windlass import TaskDependencyError, TaskError

from core.config import config
from core.task.unified_manager import UnifiedTaskManager, unified_task_manager


def add(a, b=0):
    return a + b


async def add_async(a, b=0):
    return a + b


async def forever():
    await asyncio.get_running_loop().create_future()


def broken():
    raise ValueError("boom")


def test_registered_then_executed(new):
    um = new(UnifiedTaskManager)

    async def main():
        id = await um.register_task(
            name="My Task", func=add, args=(1,), kwargs={"b": 2}, task_type="mine",
            description="adds", metadata={"focus_id": "f"},
        )  # fmt: skip
        assert await um.get_task_status(id) == "pending"
        assert type(await um.get_task_status(id)) is str
        assert await um.execute_task(id) == id
        await um.windlass.join()
        assert await um.get_task_result(id) == 3
        other = await um.register_task("other", add_async, (1,), {"b": 4}, "HIGH")
        assert await um.execute_task(other, wait=True) == 5
        by_keyword = await um.register_task("third", add, a=7)
        assert await um.execute_task(by_keyword, wait=True) == 7
        assert list(await um.get_all_tasks()) == [id, other, by_keyword]
        assert list(await um.get_tasks_by_type("mine")) == [id]
        assert len(await um.get_tasks_by_status("COMPLETED")) == 3
        (info,) = await um.get_tasks_by_focus("f")
        assert {key: info[key] for key in ("task_id", "task_type", "description", "status")} == {
            "task_id": id, "task_type": "mine", "description": "adds", "status": "completed",
        }  # fmt: skip
        assert info["created_at"] <= info["started_at"] <= info["completed_at"]
        assert info["updated_at"] == info["completed_at"]
        assert (info["result"], info["error"], info["progress"]) == (3, None, 1.0)

    asyncio.run(main())


def test_failures_cancellations_and_unknown_ids(new):
    um = new(UnifiedTaskManager)

    async def main():
        bad = await um.register_task("bad", broken, max_retries=1, retry_delay=0)
        with pytest.raises(TaskError, match="boom"):
            await um.execute_task(bad, wait=True)
        assert await um.get_task_error(bad) == "boom"
        slow = await um.register_task("slow", forever)
        await um.execute_task(slow)
        assert await um.cancel_task(slow) is True
        assert await um.get_task_status(slow) == "cancelled"
        assert await um.cancel_task(slow) is False
        assert await um.cancel_task("nobody") is False
        assert await um.execute_task("nobody") is False
        for read in (um.get_task_status, um.get_task_result, um.get_task_error):
            assert await read("nobody") is None
        with pytest.raises(TaskDependencyError, match="nobody"):
            await um.register_task("x", add, (1,), dependencies=["nobody"])
        with pytest.raises(TypeError, match="kwargs= takes a dict"):
            await um.register_task("x", add, (1,), ["no dict"])

    asyncio.run(main())


def test_the_call_may_sit_in_the_metadata(new):
    um = new(UnifiedTaskManager)

    async def main():
        call = {"func": add, "args": (1,), "kwargs": {"b": 1}}
        id = await um.register_task("x", metadata={**call, "k": 1})
        assert await um.execute_task(id, wait=True) == 2
        monitored = um.task_monitor.register_task(metadata=call)
        assert await um.execute_task(monitored, wait=True) == 2
        empty = await um.register_task("no function")
        with pytest.raises(TaskError, match="driven by hand"):
            await um.execute_task(empty, wait=True)

    asyncio.run(main())


def test_the_thread_pool_and_the_monitor_share_its_tasks(new):
    um = new(UnifiedTaskManager)

    async def main():
        assert await um.thread_pool.submit(add, 1, b=2) == 3
        ticket = um.thread_pool.submit(add, 1)
        await ticket
        assert await um.get_task_result(ticket) == 1
        assert um.task_monitor.get_task_status(ticket) == "completed"

    asyncio.run(main())


def test_old_tasks_are_cleaned_up(new):
    um = new(UnifiedTaskManager)

    async def main():
        for n in range(3):
            await um.execute_task(await um.register_task("x", add, (n,)), wait=True)
        assert await um.cleanup_completed_tasks() == 0
        assert await um.cleanup_completed_tasks(0) == 3
        assert await um.get_all_tasks() == {}

    asyncio.run(main())


def test_start_stop_and_shutdown_may_be_awaited(new):
    um = new(UnifiedTaskManager)

    async def main():
        um.start()
        id = await um.register_task("x", add_async, (1,))
        await um.execute_task(id)
        await um.shutdown()
        assert await um.get_task_result(id) == 1
        await um.start()
        await um.stop()

    asyncio.run(main())
    um.shutdown()


@pytest.mark.parametrize("where", ["config", "environment"])
@pytest.mark.parametrize("value", [True, False])
def test_the_switch_between_old_and_new_changes_nothing(new, where, value, monkeypatch, caplog):
    if where == "config":
        monkeypatch.setitem(config, "USE_NEW_TASK_SYSTEM", value)
    else:
        monkeypatch.setenv("USE_NEW_TASK_SYSTEM", str(value))
    um = new(UnifiedTaskManager)

    async def main():
        with caplog.at_level(logging.WARNING):
            id = await um.register_task("x", add, (1,), {"b": 1})
        assert await um.execute_task(id, wait=True) == 2
        await um.register_task("y", add, (1,))

    asyncio.run(main())
    assert caplog.text.count("deprecated") == (not value), "said once"
    monkeypatch.undo()
    asyncio.run(um.register_task("x", add, (1,)))  # it is switched back, and may be told of again


def test_the_global_manager_in_loop_after_loop():
    async def main():
        id = await unified_task_manager.register_task("x", add_async, (1,))
        return await unified_task_manager.execute_task(id, wait=True)

    assert [asyncio.run(main()), asyncio.run(main())] == [1, 1]
    names = [name for name in vars(UnifiedTaskManager) if name.startswith(("get_", "re", "ex"))]
    assert all(inspect.iscoroutinefunction(getattr(UnifiedTaskManager, name)) for name in names)

"""Programs written for the older task systems, in the style of their documents."""

from __future__ import annotations

from pathlib import Path

from programs import python, windlass

COMPAT = Path(__file__).parents[2] / "compat" / "src"
"""The packages that serve the old paths."""

WORK = """
def scaled(a, b, scale=1):
    return (a + b) * scale


"""
FETCHED = """
async def fetched(name, param=None):
    await asyncio.sleep(0)
    return f"{name}: {param}"


"""

PLAIN = (
    '''
"""Registers, executes, waits: without an event loop."""
import asyncio

from core.task import (
    AsyncTaskManager, Task, TaskPriority, TaskStatus,
    TaskDependencyError, TaskError, create_task_id, task_manager
)
'''
    + WORK
    + FETCHED
    + """
task_id = task_manager.register_task(
    name="My Task",
    func=scaled,
    args=(1, 2),  # in a tuple
    priority=TaskPriority.HIGH,
    scale=10,
)
execution_id = task_manager.execute_task(task_id)
dependent = task_manager.register_task(
    "Dependent Task", scaled, 3, 4, dependencies=[task_id], focus_id="focus-1", tags=["tag1"]
)
print(task_manager.execute_task(dependent, wait=True))
print(task_manager.get_task_result(task_id))
print(task_manager.get_task_status(dependent) == TaskStatus.COMPLETED)
print(len(task_manager.get_tasks_by_status("completed")))
print(len(task_manager.get_tasks_by_tag("tag1")))

paged = task_manager.register_task("paged", fetched, "page", param=3)
print(task_manager.execute_task(paged, wait=True))
own = AsyncTaskManager(max_workers=2)


def broken():
    raise ValueError("no")


failing = own.register_task("failing", broken, max_retries=1, retry_delay=0.0)
try:
    own.execute_task(failing, wait=True)
except TaskError as error:
    print(type(error).__mro__[1].__name__, isinstance(error, ValueError))
print(own.get_task(failing).status)
own.stop()
task_manager.shutdown(wait=True)
"""
)

UNIFIED = (
    """
import asyncio
from core.task_management import TaskManager, TaskPriority, TaskTimeoutError
"""
    + WORK
    + FETCHED
    + """
task_manager = TaskManager(max_concurrent_tasks=4)


async def main():
    task_id = task_manager.register_task(
        "My Task",
        fetched,
        "page",
        kwargs={"param": "value"},
        priority=TaskPriority.HIGH,
        max_retries=3,
        retry_delay=1.0,
        timeout=60.0,
        description="This is my task",
        tags=["tag1", "tag2"],
        executor_type="async",
    )
    print(await task_manager.execute_task(task_id))
    print(task_manager.get_task_status(task_id), task_manager.get_task_result(task_id))
    await task_manager.start()
    ids = [
        task_manager.register_task(
            name=f"t{n}", func=scaled, args=[n, n], executor_type="thread_pool"
        )
        for n in range(3)
    ]
    print(await asyncio.gather(*(task_manager.execute_task(id) for id in ids)))
    slow = task_manager.register_task("slow", asyncio.sleep, 60)
    await task_manager.execute_task(slow, wait=False)
    cancelled = await task_manager.cancel_task(slow)
    print(cancelled, task_manager.get_task_status(slow))
    late = task_manager.register_task("late", asyncio.sleep, 60, timeout=0.01)
    try:
        await task_manager.execute_task(late)
    except TaskTimeoutError:
        print("timed out", len(task_manager.get_tasks_by_tag("tag1")))
    await task_manager.stop()


asyncio.run(main())
"""
)

ALL_AWAITED = (
    """
import asyncio

from core.task.unified_manager import unified_task_manager
"""
    + WORK
    + FETCHED
    + """

async def main():
    task_id = await unified_task_manager.register_task(
        name="My Task",
        func=scaled,
        args=(1, 2),
        kwargs={"scale": 5},
        task_type="my_task_type",
        description="Description of my task",
        metadata={"key": "value"},
    )
    # Execute the task
    await unified_task_manager.execute_task(task_id)
    after = await unified_task_manager.register_task(
        name="After", func=fetched, args=("page",), dependencies=[task_id], max_retries=3
    )
    print(await unified_task_manager.execute_task(after, wait=True))
    print(await unified_task_manager.get_task_status(task_id))
    print(await unified_task_manager.get_task_result(task_id))
    print(len(await unified_task_manager.get_tasks_by_type("my_task_type")))
    print(await unified_task_manager.thread_pool.submit(scaled, 1, 2, scale=3))
    cleaned_up = await unified_task_manager.cleanup_completed_tasks(86400.0)
    print(f"Cleaned up {cleaned_up} completed tasks")
    await unified_task_manager.shutdown()


asyncio.run(main())
"""
)

BRIDGE = (
    """
import asyncio

from core.task import task_bridge
from core.task_manager import TaskPriority
"""
    + WORK
    + """
dependency_task_id = task_bridge.register_task("First", scaled, (1, 2))
task_id = task_bridge.register_task(
    name="Example Task",
    func=scaled,
    args=(1, 2),
    kwargs={"scale": 3},
    priority=TaskPriority.NORMAL,
    dependencies=[dependency_task_id],
    max_retries=3,
    retry_delay=1.0,
    timeout=60.0
)
print(task_bridge.start_task(task_id), task_bridge.get_task_status(task_id))
print(task_bridge.complete_task(dependency_task_id))
print(task_bridge.start_task(task_id))
task_bridge.update_task_progress(task_id, 0.5, "Halfway done")
print(task_bridge.complete_task(task_id, result="the result"))
print(task_bridge.fail_task(task_id, "too late"))
other = task_bridge.register_task("Other", scaled, (1, 2), {}, "HIGH")
done = task_bridge.cancel_task(other, "no need")
print(done, task_bridge.get_task_status(other), task_bridge.get_task_result(task_id))
print(task_bridge.cleanup_task(other), task_bridge.get_task_status(other))
"""
)

CLASSES = (
    """
import asyncio

from core.thread_pool_manager import ThreadPoolManager, TaskPriority
from core.task_manager import TaskManager
"""
    + WORK
    + """
class Service:
    def __init__(self):
        self.pool = ThreadPoolManager(min_workers=1, max_workers=2)
        self.tasks = TaskManager(history_limit=50)

    def work(self, n):
        id = self.pool.submit(scaled, n, 1, name="scaled", priority=TaskPriority.HIGH)
        task_id = self.tasks.register_task(
            name="My Task",
            func=scaled,
            args=(n, n),
            kwargs={"scale": 2},
            priority=TaskPriority.HIGH,
        )
        self.tasks.execute_task(task_id, wait=True)
        while self.pool.get_task_status(id) != "completed":
            pass
        print(self.pool.get_task_result(id), len(self.tasks.get_completed_tasks()))
        return self.tasks.get_task_result(task_id)

    def close(self):
        self.pool.shutdown(wait=True)
        self.tasks.stop()


service = Service()
print(service.work(3), service.work(4))
service.close()
"""
)

MIXED = """
import asyncio

from core.task_management import TaskManager
from core.task import TaskPriority, task_manager


def failing():
    raise ValueError("Something went wrong")


async def main():
    manager = TaskManager()
    task_id = manager.register_task("failing", failing, priority=TaskPriority.LOW)
    try:
        await manager.execute_task(task_id)
    except ValueError:
        error = manager.get_task_error(task_id)
        print(f"Task failed with error: {error}")
    await manager.stop()


asyncio.run(main())
mine = task_manager.register_task(name="sum", func=sum, args=([1, 2, 3],))
print(task_manager.execute_task(mine, wait=False)[:5])
print(task_manager.execute_task(mine, wait=True))
task_manager.stop()
"""

COROUTINES = """
import asyncio
from ailf.async_tasks import TaskManager, TaskStatus


async def my_task():
    await asyncio.sleep(0)
    return "Task completed"


async def main():
    task_manager = TaskManager()
    await task_manager.start()
    task_id = await task_manager.submit(my_task(), timeout=5, metadata={"user_id": "user-123"})
    result = await task_manager.wait_for_task(task_id, timeout=5)
    info = task_manager.get_task_info(task_id)
    print(result, info.status, info.status == TaskStatus.COMPLETED, info.metadata)
    await task_manager.stop()


asyncio.run(main())
"""


def run(program, *, cwd, compat=True):
    """What a program prints, with the packages for the old paths or without."""
    path = {"PYTHONPATH": str(COMPAT)} if compat else {}
    done = python("-W", "error", "-W", _MAY_WARN, program, cwd=cwd, **path)
    if done.returncode or "Exception ignored" in done.stderr:
        raise AssertionError(f"{program} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


_MAY_WARN = "ignore::DeprecationWarning:__main__"
"""The oldest paths say that they are."""


def migrate(*args, cwd):
    """``windlass migrate``, run as a command."""
    return windlass("migrate", *args, cwd=cwd)

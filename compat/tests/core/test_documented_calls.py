"""The calls that the documents of the older managers show, in their order, numbered as there.

A number is that of the document and of the block of code in it; see ``test_documents``.
"""

import asyncio

import pytest
from windlass import TaskError

from core.task import task_bridge, task_manager
from core.task.unified_manager import unified_task_manager
from core.task_management import TaskManager

SOON = 60
pytestmark = pytest.mark.filterwarnings("ignore:core[.].* is deprecated:DeprecationWarning")


def area(width, height=1):
    return width * height


def broken():
    raise ValueError("flat")


class Tape:
    """A resource that counts how often it was taken and given back."""

    def __init__(self):
        self.out = self.back = 0

    def take(self):
        self.out += 1
        return self

    def give(self, _=None):
        self.back += 1

    def measure(self):
        return 7

    async def __aenter__(self):
        return self.take()

    async def __aexit__(self, *_):
        self.give()


def result_of(id):
    task_manager.windlass.join().result(SOON)
    return task_manager.get_task_result(id)


# -- document 0 ------------------------------------------------------------------------------------


def test_0_1_both_generations_are_imported():
    from core import task
    from core.task import (
        AsyncTaskManager,
        Task,
        TaskDependencyError,
        TaskPriority,
        TaskStatus,
        create_task_id,
    )
    from core.task_manager import TaskManager as Oldest
    from core.task_manager import TaskPriority as OldPriority
    from core.task_manager import TaskStatus as OldStatus
    from core.thread_pool_manager import ThreadPoolManager

    assert (OldPriority, OldStatus) == (TaskPriority, TaskStatus)
    assert issubclass(TaskDependencyError, TaskError)
    assert Oldest().get_task(create_task_id()) is None
    assert ThreadPoolManager().get_task(Task().task_id) is None
    assert isinstance(task.task_manager, AsyncTaskManager)


def test_0_2_a_manager_of_ones_own_or_the_global_one(oldest):
    own = oldest.TaskManager()
    from core.task import AsyncTaskManager, task_manager

    assert own.get_all_tasks() == {}
    assert AsyncTaskManager() is not task_manager


def test_0_3_from_the_pool_to_register_and_execute(new, pool):
    thread_pool = new(pool.ThreadPoolManager)
    submitted = thread_pool.submit(area, 2, height=3)
    thread_pool.windlass.join().result(SOON)
    assert thread_pool.get_task_result(submitted) == 6
    task_id = task_manager.register_task("Area", area, 2, height=3)
    execution_id = task_manager.execute_task(task_id)
    assert execution_id
    assert result_of(task_id) == 6


def test_0_4_arguments_in_a_tuple_or_directly(new, oldest):
    from core.task import TaskPriority

    old = new(oldest.TaskManager)
    first = old.register_task(
        name="Area", func=area, args=(2,), kwargs={"height": 3}, priority=TaskPriority.HIGH
    )
    old.start()
    old.windlass.join().result(SOON)
    assert old.get_task_result(first) == 6
    second = task_manager.register_task("Area", area, 2, priority=TaskPriority.HIGH, height=3)
    task_manager.execute_task(second)
    assert result_of(second) == 6


def test_0_5_dependencies_are_executed_along(new, oldest):
    old = new(oldest.TaskManager)
    base = old.register_task(name="Base", func=area, args=(2,))
    old.register_task(name="Dependent", func=area, args=(3,), dependencies=[base])
    id1 = task_manager.register_task("Base", area, 2)
    id2 = task_manager.register_task(name="Dependent", func=area, width=3, dependencies=[id1])
    execution_id = task_manager.execute_task(id2)
    assert execution_id
    assert result_of(id2) == 3
    assert task_manager.get_task_result(id1) == 2


def test_0_6_a_missing_result_leads_to_the_error():
    task_id = task_manager.register_task("Flat", broken)
    task_manager.execute_task(task_id)
    assert result_of(task_id) is None
    handled = []
    for _ in range(2):
        try:
            result = task_manager.get_task_result(task_id)
            if not result:
                error = task_manager.get_task_error(task_id)
                if error:
                    handled.append(error)
        except TaskError as error:
            handled.append(error)
    assert handled == ["flat", "flat"]


def test_0_7_resources_by_hand_and_by_the_function(oldest, new):
    tape, old = Tape(), new(oldest.TaskManager)
    resource = tape.take()
    task_id = old.register_task(name="Measure", func=Tape.measure, args=(resource,))
    if old.get_task_status(task_id) == oldest.TaskStatus.COMPLETED:
        tape.give()
    assert tape.back == 0, "it has not run yet"

    def measure_and_give(tape):
        try:
            return tape.measure()
        finally:
            tape.give()

    task_id = task_manager.register_task("Measure", measure_and_give, resource)
    assert task_manager.execute_task(task_id)
    assert result_of(task_id) == 7
    assert tape.back == 1


# -- document 1 ------------------------------------------------------------------------------------


def test_1_1_the_unified_manager_from_registration_to_cancellation():
    from core.task_management import TaskManager, TaskPriority

    async def main():
        tm = TaskManager(max_concurrent_tasks=4)
        task_id = tm.register_task(
            "Area", area, 2,
            kwargs={"height": 3}, priority=TaskPriority.HIGH, max_retries=3, retry_delay=1.0,
            timeout=60.0, description="multiplies", tags=["a", "b"],
        )  # fmt: skip
        assert await tm.execute_task(task_id) == 6
        assert tm.get_task_status(task_id) == "completed"
        assert tm.get_task_result(task_id) == 6
        assert await tm.cancel_task(task_id) is False
        await tm.stop()

    asyncio.run(main())


def test_1_2_legacy_and_unified_names(oldest):
    from core.task_management import Task, TaskManager, TaskPriority, TaskStatus

    assert oldest.TaskManager is not TaskManager
    assert (oldest.Task, oldest.TaskPriority, oldest.TaskStatus) == (Task, TaskPriority, TaskStatus)


def test_1_3_registration_then_and_now(new, oldest):
    old, unified = new(oldest.TaskManager), new(TaskManager)
    priority = oldest.TaskPriority.HIGH
    old.register_task(name="Area", func=area, args=(2,), kwargs={"height": 3}, priority=priority)
    task_id = unified.register_task(
        "Area", area, 2,
        kwargs={"height": 3}, priority=priority, description="multiplies", tags=["a", "b"],
    )  # fmt: skip
    assert asyncio.run(unified.execute_task(task_id)) == 6


def test_1_4_start_ignored_then_and_awaited_now(new, oldest):
    old, unified = new(oldest.TaskManager), new(TaskManager)
    task_id = unified.register_task("Area", area, 2)

    async def main():
        old.start()
        await unified.start()
        assert await unified.execute_task(task_id) == 2

    asyncio.run(main())
    assert old.is_running


# -- document 2 ------------------------------------------------------------------------------------


def on_a_loop(test):
    def run():
        asyncio.run(test())

    run.__name__ = test.__name__
    return run


@on_a_loop
async def test_2_1_register_and_execute():
    task_id = await unified_task_manager.register_task(
        name="Area", func=area, args=(2,), kwargs={"height": 3}, task_type="geometry",
        description="multiplies", metadata={"unit": "m"},
    )  # fmt: skip
    await unified_task_manager.execute_task(task_id)
    await unified_task_manager.windlass.join()
    assert await unified_task_manager.get_task_result(task_id) == 6


@on_a_loop
async def test_2_2_a_semaphore_limits_what_goes_on_at_once():
    semaphore, inside, most = asyncio.Semaphore(2), 0, 0

    async def process(_):
        nonlocal inside, most
        async with semaphore:
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    ids = [await unified_task_manager.register_task("x", process, (n,)) for n in range(6)]
    await asyncio.gather(*(unified_task_manager.execute_task(id, wait=True) for id in ids))
    assert most == 2


@on_a_loop
async def test_2_3_the_thread_pool_is_awaited():
    assert await unified_task_manager.thread_pool.submit(area, *(2,), height=3) == 6


@on_a_loop
async def test_2_4_an_error_is_logged_and_raised_again():
    logged = []

    async def work(*args, **kwargs):
        try:
            return area(*args, **kwargs) if args else broken()
        except ValueError as error:
            logged.append(str(error))
            raise

    good = await unified_task_manager.register_task("good", work, (2,))
    assert await unified_task_manager.execute_task(good, wait=True) == 2
    bad = await unified_task_manager.register_task("bad", work)
    with pytest.raises(ValueError, match="flat"):
        await unified_task_manager.execute_task(bad, wait=True)
    assert logged == ["flat"]


@on_a_loop
async def test_2_5_retries_are_registered():
    tries = []

    def shaky():
        tries.append(1)
        return area(2) if len(tries) > 2 else broken()

    task_id = await unified_task_manager.register_task(
        name="Shaky", func=shaky, max_retries=3, retry_delay=0.01
    )
    assert await unified_task_manager.execute_task(task_id, wait=True) == 2
    assert len(tries) == 3


@on_a_loop
async def test_2_6_a_resource_is_released_in_the_end():
    tape = Tape()

    def work():
        try:
            return tape.take().measure()
        finally:
            tape.give()

    task_id = await unified_task_manager.register_task("x", work)
    assert await unified_task_manager.execute_task(task_id, wait=True) == 7
    assert (tape.out, tape.back) == (1, 1)


@on_a_loop
async def test_2_7_a_context_manager_releases_it():
    tape = Tape()

    async def work():
        async with tape as resource:
            return resource.measure()

    task_id = await unified_task_manager.register_task("x", work)
    assert await unified_task_manager.execute_task(task_id, wait=True) == 7
    assert (tape.out, tape.back) == (1, 1)


@on_a_loop
async def test_2_8_a_time_limit_inside_the_task():
    async def work():
        return await asyncio.wait_for(asyncio.sleep(SOON), timeout=0.01)

    task_id = await unified_task_manager.register_task("x", work)
    with pytest.raises(TaskError):
        await unified_task_manager.execute_task(task_id, wait=True)
    assert await unified_task_manager.get_task_error(task_id) == "TimeoutError"


@on_a_loop
async def test_2_9_what_ended_a_day_ago_is_cleaned_up():
    task_id = await unified_task_manager.register_task("x", area, (2,))
    await unified_task_manager.execute_task(task_id, wait=True)
    assert await unified_task_manager.cleanup_completed_tasks(86400.0) == 0
    assert await unified_task_manager.cleanup_completed_tasks(0.0) == 1


@on_a_loop
async def test_2_10_dependencies_are_registered():
    first = await unified_task_manager.register_task("first", area, (2,))
    task_id = await unified_task_manager.register_task(
        name="second", func=area, args=(3,), dependencies=[first]
    )
    assert await unified_task_manager.execute_task(task_id, wait=True) == 3
    assert await unified_task_manager.get_task_result(first) == 2


def test_2_11_the_switch_is_a_setting(monkeypatch):
    from core import config

    assert config.use_new_task_system()
    monkeypatch.setitem(config.config, "USE_NEW_TASK_SYSTEM", False)
    assert not config.use_new_task_system()
    monkeypatch.undo()
    assert config.use_new_task_system()


# -- document 3 ------------------------------------------------------------------------------------


def test_3_1_a_task_is_driven_over_the_bridge(oldest):
    first = task_bridge.register_task("first", area, (1,))
    assert task_bridge.complete_task(first)
    task_id = task_bridge.register_task(
        name="Area", func=area, args=(2,), kwargs={"height": 3},
        priority=oldest.TaskPriority.NORMAL, dependencies=[first], max_retries=3,
        retry_delay=1.0, timeout=60.0,
    )  # fmt: skip
    assert task_bridge.start_task(task_id) is True
    assert task_bridge.update_task_progress(task_id, 0.5, "half") is True
    assert task_bridge.complete_task(task_id, "measured") is True
    assert task_bridge.fail_task(task_id, "late") is False
    assert task_bridge.cancel_task(task_id) is False
    assert task_bridge.get_task_status(task_id) == "completed"
    assert task_bridge.get_task_result(task_id) == "measured"
    assert task_bridge.get_task_error(task_id) is None
    assert task_bridge.cleanup_task(task_id) is True
    assert task_bridge.get_task_status(task_id) is None

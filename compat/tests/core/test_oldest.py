"""The oldest paths: `core.task_manager` and `core.thread_pool_manager`."""

import asyncio
import importlib
import sys
import threading

import pytest
from windlass import TaskDependencyError, TaskError

from core._engine import Engine
from core.task import TaskBridge

SOON = 60


def add(a, b=0, **more):
    return (a + b, more) if more else a + b


async def add_async(a):
    return a


def broken():
    raise ValueError("boom")


@pytest.mark.parametrize("name", ["core.task_manager", "core.thread_pool_manager"])
def test_the_old_modules_say_what_to_use_instead(name):
    sys.modules.pop(name, None)
    with pytest.warns(DeprecationWarning, match="use core.task_management") as told:
        importlib.import_module(name)
    assert len(told) == 1


# -- the task manager ------------------------------------------------------------------------------


def test_what_is_registered_runs_once_it_is_started(new, oldest):
    tm = new(oldest.TaskManager)
    before = tm.register_task("before", add, args=(1,), kwargs={"b": 1})
    after_it = tm.register_task("after it", add, 5, dependencies=[before])
    assert tm.get_task_status(before) is oldest.TaskStatus.PENDING
    assert list(tm.get_waiting_tasks()) == [after_it]
    tm.start()
    tm.windlass.join().result(SOON)
    assert (tm.get_task_result(before), tm.get_task_result(after_it)) == (2, 5)
    later = tm.register_task("later", add, 1, b=5, c=6)
    tm.windlass.join().result(SOON)
    assert tm.get_task_result(later) == (6, {"c": 6})
    tm.stop()
    held = tm.register_task("held", add, 1)
    tm.execute_task(tm.register_task("executed", add, 1), wait=True)
    later = tm.register_task("later", add, 1)
    for id in (held, later):
        assert tm.windlass.get_task(id).held, "it was stopped, and not started again"


def test_starting_runs_what_is_its_own_and_has_a_function(new, oldest):
    tm = new(oldest.TaskManager)
    bridge = TaskBridge(engine=tm.engine)
    others = bridge.register_task("others", add, (1,))
    by_hand = tm.register_task("by hand", None)
    mine = tm.register_task("mine", add, 1)
    tm.start()
    later = tm.register_task("by hand as well", None)
    tm.windlass.join().result(SOON)
    assert tm.get_task_result(mine) == 1
    assert [tm.windlass.get_task(id).held for id in (others, by_hand, later)] == [True] * 3
    assert bridge.complete_task(by_hand)


def test_it_is_used_by_programs_of_both_colours(new, oldest):
    tm = new(oldest.TaskManager, thread_pool=None, resource_monitor=None, history_limit=1000)
    id = tm.register_task("x", add, 1)
    execution = tm.execute_task(id, wait=True)
    assert isinstance(execution, str)
    assert tm.get_task_result(id) == 1

    async def main():
        await tm.start()
        assert await tm.execute_task(tm.register_task("y", add_async, 2)) == 2
        assert await tm.execute_task(tm.register_task("z", add, 3), wait=True) == 3
        await tm.stop()

    asyncio.run(main())
    asyncio.run(main())
    assert tm.execute_task("nobody") is False


def test_a_waiters_timeout_leaves_the_task_alone(new, oldest, gate):
    tm = new(oldest.TaskManager)
    id = tm.register_task("slow", gate, "there")
    with pytest.raises(TimeoutError):
        tm.execute_task(id, wait=True, timeout=0.01)

    async def main():
        with pytest.raises(TimeoutError):
            await tm.execute_task(id, timeout=0.01)

    asyncio.run(main())
    gate.wait_for(1)
    assert tm.get_task_status(id) == "running"
    gate.open()
    tm.windlass.join().result(SOON)
    assert tm.get_task_result(id) == "there"


def test_errors_are_exceptions_and_all_kinds_are_listed(new, oldest, gate):
    tm = new(oldest.TaskManager)
    bad = tm.register_task("bad", broken, tags=["t"])
    with pytest.raises(TaskError, match="boom"):
        tm.execute_task(bad, wait=True)
    assert type(tm.get_task_error(bad)) is ValueError
    gone = tm.register_task("gone", add, 1)
    assert tm.cancel_task(gone)
    assert not tm.cancel_task(gone)
    assert not tm.cancel_task("nobody")
    good = tm.register_task("good", add, 1)
    tm.execute_task(good, wait=True)
    running = tm.register_task("running", gate)
    tm.execute_task(running)
    gate.wait_for(1)
    tm.stop  # noqa: B018  # a name that must be there
    assert [list(getattr(tm, f"get_{kind}_tasks")()) for kind in
            ("failed", "cancelled", "completed", "running", "waiting", "pending")] == [
        [bad], [gone], [good], [running], [], [],
    ]  # fmt: skip
    assert list(tm.get_all_tasks()) == [bad, gone, good, running]
    assert [task.task_id for task in tm.get_tasks_by_tag("t")] == [bad]
    assert tm.get_task(good).to_dict()["status"] == "COMPLETED"
    assert tm.get_metrics()["failed_tasks"] == 1
    with pytest.raises(TaskDependencyError):
        tm.register_task("x", add, 1, dependencies=["nobody"])


def test_the_history_is_bounded(new, oldest):
    tm = new(oldest.TaskManager, history_limit=10)
    for n in range(50):
        tm.execute_task(tm.register_task("x", add, n), wait=True)
    assert len(tm.get_all_tasks()) <= 11


def test_names_of_the_module(oldest):
    assert isinstance(oldest.task_manager, oldest.TaskManager)
    assert oldest.Task(name="x").status == oldest.TaskStatus.PENDING
    assert oldest.create_task_id()
    assert oldest.TaskPriority.LOW.value < oldest.TaskPriority.CRITICAL.value


# -- the thread pool -------------------------------------------------------------------------------


def test_submitting_returns_an_id_that_can_be_awaited(new, pool):
    tp = new(pool.ThreadPoolManager)
    id = tp.submit(add, 1, b=2, name="adds", task_id="mine", c=3)
    assert id == "mine"

    async def main():
        assert await tp.submit(add, 5) == 5
        with pytest.raises(ValueError, match="boom"):
            await tp.submit(broken)
        return await id

    assert asyncio.run(main()) == (3, {"c": 3})
    task = tp.get_task(id)
    assert task["func"] is add
    assert {key: task[key] for key in ("task_id", "name", "args", "kwargs", "priority")} == {
        "task_id": "mine", "name": "adds", "args": (1,), "kwargs": {"b": 2, "c": 3}, "priority": 1,
    }  # fmt: skip
    assert (task["status"], task["result"], task["error"]) == ("completed", (3, {"c": 3}), None)
    assert task["created_at"] <= task["started_at"] <= task["completed_at"]


def test_priority_is_honoured(new, pool, gate):
    tp = new(pool.ThreadPoolManager, max_workers=1)
    order = []
    tp.submit(gate)
    gate.wait_for(1)
    for level in ("LOW", "NORMAL", "HIGH", "CRITICAL"):
        tp.submit(order.append, level, priority=pool.TaskPriority[level])
    gate.open()
    tp.windlass.join().result(SOON)
    assert order == ["CRITICAL", "HIGH", "NORMAL", "LOW"]


def test_nothing_ages_into_a_higher_priority(new, pool, gate, clock):
    order = []
    engine = Engine(max_concurrent_tasks=1, clock=clock)
    tp = new(pool.ThreadPoolManager, engine=engine)
    tp.submit(gate)
    gate.wait_for(1)
    tp.submit(order.append, "old and low", priority="LOW")
    clock.ahead = 3600.0
    tp.submit(order.append, "new and normal")
    gate.open()
    tp.windlass.join().result(SOON)
    assert order == ["new and normal", "old and low"]


def test_the_pool_tells_of_its_tasks(new, pool, gate):
    tp = new(pool.ThreadPoolManager, 1, 2)
    running = [tp.submit(gate, n) for n in range(2)]
    gate.wait_for(2)
    queued, gone = tp.submit(add, 1), tp.submit(add, 1)
    assert tp.cancel(gone)
    assert not tp.cancel(gone)
    assert not tp.cancel("nobody")
    metrics = tp.get_metrics()
    assert {key: value for key, value in metrics.items() if value} == {
        "worker_count": 2, "active_workers": 2, "queue_size": 1, "pending_tasks": 1,
        "running_tasks": 2, "current_workers": 2, "min_workers": 1, "max_workers": 2,
        "total_tasks": 4, "cancelled_tasks": 1, "is_running": True,
    }  # fmt: skip
    assert {"completed_tasks", "failed_tasks"} <= metrics.keys()
    assert tp.get_stats().keys() == metrics.keys()
    assert list(tp.get_running_tasks()) == running
    assert list(tp.get_pending_tasks()) == [queued]
    assert list(tp.get_cancelled_tasks()) == [gone]
    gate.open()
    bad = tp.submit(broken)
    tp.windlass.join().result(SOON)
    assert tp.get_task_error(bad) == "boom"
    assert tp.get_task_status(bad) == "failed"
    assert list(tp.get_failed_tasks()) == [bad]
    assert list(tp.get_completed_tasks()) == [*running, queued]
    assert len(tp.get_all_tasks()) == 5
    assert tp.get_task_result(running[1]) == 1
    assert gate.most == 2
    for read in (tp.get_task, tp.get_task_status, tp.get_task_result, tp.get_task_error):
        assert read("nobody") is None


def test_resources_of_the_pool_are_closed(new, pool, gate):
    tp, closed = new(pool.ThreadPoolManager), threading.Event()

    class Resource:
        close = closed.set

    id = tp.submit(gate)
    assert tp.register_resource(id, Resource)
    assert not tp.register_resource("nobody", Resource)
    gate.open()
    assert closed.wait(SOON)


def test_the_pool_stops_and_starts_again(new, pool, gate):
    tp = new(pool.ThreadPoolManager)
    tp.start()
    done = tp.submit(add, 1)
    tp.shutdown(wait=True)
    assert tp.get_task_result(done) == 1
    stuck = tp.submit(gate)
    gate.wait_for(1)
    tp.stop()
    assert tp.get_task_status(stuck) == "cancelled"
    assert isinstance(pool.thread_pool_manager, pool.ThreadPoolManager)
    assert pool.TaskStatus.PENDING == "pending"

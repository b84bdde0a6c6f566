"""The manager of plain code and running loops alike: `core.task`."""

import asyncio
import functools
import operator
import threading

import pytest
from windlass import task

from core.task import (
    AsyncTaskManager,
    AsyncTaskStatus,
    Task,
    TaskConfig,
    TaskDependencyError,
    TaskError,
    TaskPriority,
    TaskStatus,
    create_task_id,
    task_manager,
)

SOON = 60


def add(a, b=0, **more):
    return (a + b, more) if more else a + b


def broken():
    raise ValueError("boom")


async def loop_here():
    return asyncio.get_running_loop()


def test_registering_does_not_run_it(new, gate):
    tm = new(AsyncTaskManager)
    id = tm.register_task("held", gate)
    assert tm.get_task_status(id) is TaskStatus.PENDING
    assert tm.get_task_status(id) == "pending"
    assert not tm.is_running
    assert gate.inside == 0


def test_arguments_come_all_three_ways(new):
    tm = new(AsyncTaskManager)
    direct = tm.register_task("direct", add, 1, b=2)
    by_kwargs = tm.register_task("kwargs", add, 1, kwargs={"b": 3, "timeout": 5})
    by_args = tm.register_task(name="args", func=add, args=(1,), kwargs={"b": 4}, c=5)
    assert tm.execute_task(direct, wait=True) == 3
    assert tm.execute_task(by_kwargs, wait=True) == (4, {"timeout": 5})
    assert tm.execute_task(by_args, wait=True) == (5, {"c": 5})
    both = tm.register_task("both", add, 1, b=6, kwargs={"b": 7})
    assert tm.execute_task(both, wait=True) == 8
    assert tm.get_task(by_kwargs).timeout is None, "kwargs= reaches any name"


def test_executing_returns_an_id_that_can_be_awaited(new):
    tm = new(AsyncTaskManager)
    id = tm.register_task("x", add, 1)
    execution = tm.execute_task(id)
    assert isinstance(execution, str)
    assert execution.startswith("exec_")
    assert tm.get_task(id).execution_id == execution
    assert tm.execute_task("nobody") is None

    async def main():
        return await tm.execute_task(tm.register_task("y", add, 5))

    assert asyncio.run(main()) == 5


def test_a_dependency_may_be_executed_after_it_was_brought_along(new):
    tm = new(AsyncTaskManager)
    first = tm.register_task("first", add, 1)
    second = tm.register_task("second", add, 2, dependencies=[first])
    assert tm.execute_task(second, wait=True) == 2
    assert tm.execute_task(first, wait=True) == 1
    assert tm.execute_task(first).startswith("exec_")


def test_wait_gives_the_result_or_a_task_error(new):
    tm = new(AsyncTaskManager)
    id = tm.register_task("bad", broken)
    with pytest.raises(TaskError, match="boom"):
        tm.execute_task(id, wait=True)
    assert tm.get_task_status(id) == "failed"
    assert tm.get_task_error(id) == "boom"
    assert tm.get_task_result(id) is None
    assert tm.get_task(id).error == "boom"


def test_in_a_running_loop_plain_functions_are_waited_for_and_coroutines_refused(new):
    tm = new(AsyncTaskManager)

    async def main():
        id = tm.register_task("thread", threading.get_ident)
        assert tm.execute_task(id, wait=True) != threading.get_ident()
        here = tm.register_task("here", loop_here)
        after = tm.register_task("after", add, 1, dependencies=[here])
        for hopeless in (here, after):
            with pytest.raises(TaskError, match="would never end"):
                tm.execute_task(hopeless, wait=True)
        assert tm.windlass.get_task(here).held, "refused before it was executed"
        assert await tm.execute_task(after) == 1
        assert tm.get_task_result(here) is asyncio.get_running_loop()

    asyncio.run(main())


def test_coroutines_run_where_they_were_executed_else_on_a_loop_of_their_own(new):
    tm = new(AsyncTaskManager)
    id = tm.register_task("from plain code", loop_here)

    async def main():
        assert await tm.execute_task(id) is asyncio.get_running_loop()

    asyncio.run(main())
    own = tm.execute_task(tm.register_task("own", loop_here), wait=True)
    assert own.is_running()


def test_an_awaitable_for_the_loop_that_is_blocked_is_refused_not_waited_for(new):
    tm = new(AsyncTaskManager)

    plain = tm.register_task("registered where no loop runs", lambda: loop_here())

    async def main():
        for id in (plain, tm.register_task("returns a coroutine", lambda: loop_here())):
            with pytest.raises(TaskError, match="never end"):
                tm.execute_task(id, wait=True)
        waits, goes_on = asyncio.Event(), tm.register_task("x", lambda: waits.wait())
        execution = tm.execute_task(goes_on)
        while not tm.engine.records[goes_on].awaiting:
            await asyncio.sleep(0)
        with pytest.raises(TaskError, match="never end"):
            tm.execute_task(goes_on, wait=True)
        with pytest.raises(TaskError, match="never end"):  # it began after the first look
            tm.engine.block(tm.engine.records[goes_on], tm.windlass.get_handle(goes_on))
        waits.set()
        assert await execution is True
        assert await tm.execute_task(tm.register_task("y", lambda: loop_here())) is not None

    asyncio.run(main())


@pytest.mark.parametrize("registered", ["in plain code", "on the loop"])
def test_that_holds_for_dependencies_as_well(new, registered):
    tm = new(AsyncTaskManager)

    def register():
        first = tm.register_task("first", lambda: loop_here())
        return tm.register_task("after", add, 1, dependencies=[first])

    async def main(after):
        # The first may have come to that before or after somebody waits.
        with pytest.raises(TaskError, match=r"DeadlockError|never end"):
            tm.execute_task(after or register(), wait=True)
        assert await tm.execute_task(register()) == 1

    asyncio.run(main(register() if registered == "in plain code" else None))


def test_what_runs_on_another_loop_can_be_waited_for_on_this_one(new, gate):
    tm = new(AsyncTaskManager)

    async def work():
        await asyncio.to_thread(gate)
        return asyncio.get_running_loop()

    id = tm.register_task("x", work)
    tm.execute_task(id)
    gate.wait_for(1)
    gate.open()

    async def main():
        assert tm.execute_task(id, wait=True) is not asyncio.get_running_loop()

    asyncio.run(main())


def test_callables_of_all_kinds(new):
    tm = new(AsyncTaskManager)

    class Adder:
        def __call__(self, a, b):
            return a + b

    class AsyncAdder:
        async def __call__(self, a, b):
            return a + b

    for func in (Adder(), AsyncAdder(), functools.partial(add, 1), task(add), operator.add):
        args = (2,) if isinstance(func, functools.partial) else (1, 2)
        assert tm.execute_task(tm.register_task("x", func, *args), wait=True) == 3
        with pytest.raises(TypeError):
            tm.register_task("x", func, 1, 2, 3, 4)


@pytest.mark.parametrize("times", [2])
def test_it_is_used_in_one_loop_after_another_and_after_a_stop(new, times):
    tm = new(AsyncTaskManager)
    for _ in range(times):

        async def main():
            await tm.start()
            assert tm.is_running
            for func in (add, loop_here):
                args = (1,) if func is add else ()
                await tm.execute_task(tm.register_task("x", func, *args))
            await tm.stop()
            assert not tm.is_running

        asyncio.run(main())
    assert tm.execute_task(tm.register_task("again", add, 2), wait=True) == 2
    assert len(tm.get_tasks_by_status("completed")) == 2 * times + 1


def test_start_and_stop_need_not_be_awaited(new, gate):
    tm = new(AsyncTaskManager)
    tm.start()
    assert tm.is_running
    id = tm.register_task("x", gate)
    tm.execute_task(id)
    gate.wait_for(1)
    tm.stop()
    assert not tm.is_running
    assert tm.get_task_status(id) == "cancelled", "in plain code, stop comes back when it is done"

    async def main():
        tm.start()
        tm.register_task("y", add, 1)
        tm.shutdown(wait=True)

    asyncio.run(main())


def test_a_stop_that_nobody_waited_for_is_waited_for_by_the_next_use(new, gate):
    tm, running = new(AsyncTaskManager), threading.Event()

    async def work():
        running.set()
        try:
            await asyncio.sleep(SOON)
        finally:
            await asyncio.to_thread(gate)

    tm.execute_task(tm.register_task("slow to clean up", work))
    assert running.wait(SOON)

    async def leave():
        tm.stop()  # and nobody awaits it

    asyncio.run(leave())
    gate.wait_for(1)
    assert not tm.windlass.is_open
    threading.Timer(0.05, gate.open).start()
    assert tm.execute_task(tm.register_task("next", add, 1), wait=True) == 1


def test_in_a_running_loop_too_what_comes_after_a_stop_is_not_stopped(new, gate):
    tm = new(AsyncTaskManager)

    async def main():
        before = tm.register_task("before", gate)
        tm.execute_task(before)
        await gate.came()
        tm.stop()  # and nobody awaits it
        after = tm.register_task("after", add, 1)
        tm.start()
        assert tm.is_running
        assert await tm.execute_task(after) == 1
        assert tm.get_task_status(before) == "cancelled"
        tm.stop()
        assert await tm.execute_task(tm.register_task("again", add, 2)) == 2

    asyncio.run(main())


def test_clean_up_that_needs_the_loop_is_not_held_up_by_it(new):
    tm = new(AsyncTaskManager)

    async def main():
        running, cleaned = asyncio.Event(), asyncio.Event()

        async def work():
            running.set()
            try:
                await asyncio.sleep(SOON)
            finally:
                await asyncio.sleep(0)
                cleaned.set()

        tm.execute_task(tm.register_task("slow to clean up", work))
        await running.wait()
        stopping = tm.stop()
        with pytest.raises(TaskError, match=r"await stop\(\)"):
            tm.register_task("too soon", add, 1)
        await stopping
        assert cleaned.is_set()
        assert await tm.execute_task(tm.register_task("next", add, 1)) == 1

    asyncio.run(main())


def test_shutdown_waits_for_what_was_executed(new, gate):
    tm = new(AsyncTaskManager)
    done = tm.register_task("done", gate, "kept")
    never = tm.register_task("never executed", add, 1)
    tm.execute_task(done)
    gate.wait_for(1)
    threading.Timer(0.05, gate.open).start()
    tm.shutdown(wait=True)
    assert tm.get_task_result(done) == "kept"
    assert tm.get_task_status(never) == "cancelled"


def test_stopping_what_never_ran_cancels_what_was_registered(new):
    tm = new(AsyncTaskManager)
    id = tm.register_task("x", add, 1)
    tm.stop()
    assert tm.get_task_status(id) == "cancelled"


def test_in_plain_code_cancelling_comes_back_when_the_task_has_cleaned_up(new):
    tm, running, cleaned = new(AsyncTaskManager), threading.Event(), threading.Event()

    async def work():
        running.set()
        try:
            await asyncio.sleep(SOON)
        finally:
            await asyncio.sleep(0.02)
            cleaned.set()

    id = tm.register_task("x", work)
    tm.execute_task(id)
    assert running.wait(SOON)
    assert tm.cancel_task(id)
    assert cleaned.is_set()
    assert tm.get_task_status(id) == "cancelled"


def test_max_workers_is_honoured(new, gate):
    tm = new(AsyncTaskManager, 2)
    ids = [tm.register_task(f"t{n}", gate, n) for n in range(6)]
    for id in ids:
        tm.execute_task(id)
    gate.wait_for(2)
    assert len(tm.get_tasks_by_status(TaskStatus.RUNNING)) == 2
    assert len(tm.get_tasks_by_status("PENDING")) == 4, "what queues is not called running"
    gate.open()
    tm.windlass.join().result(SOON)
    assert [tm.get_task_result(id) for id in ids] == [*range(6)]
    assert gate.most == 2
    assert tm.get_metrics()["max_workers"] == 2


def test_max_workers_holds_for_coroutines_as_well(new):
    tm = new(AsyncTaskManager, 2)

    async def main():
        came, go_on = asyncio.Semaphore(0), asyncio.Event()

        async def work():
            came.release()
            await go_on.wait()

        executions = [tm.execute_task(tm.register_task("x", work)) for _ in range(5)]
        for _ in range(2):
            await came.acquire()
        assert len(tm.get_tasks_by_status("running")) == 2
        assert len(tm.get_tasks_by_status("pending")) == 3
        go_on.set()
        await asyncio.gather(*executions)

    asyncio.run(main())


def test_metrics(new):
    tm = new(AsyncTaskManager, 3)
    tm.execute_task(tm.register_task("a", add, 1), wait=True)
    b = tm.register_task("b", broken)
    tm.execute_task(b)
    c = tm.register_task("c", add, 1)
    tm.register_task("d", add, 1, dependencies=[c])
    tm.windlass.join().result(SOON)
    tm.cancel_task(tm.register_task("e", add, 1))
    assert tm.get_metrics() == {
        "total_tasks": 5,
        "pending_tasks": 1,
        "waiting_tasks": 1,
        "running_tasks": 0,
        "completed_tasks": 1,
        "failed_tasks": 1,
        "cancelled_tasks": 1,
        "is_running": True,
        "max_workers": 3,
    }


def test_tasks_are_found_by_status_focus_and_tag(new):
    tm = new(AsyncTaskManager)
    a = tm.register_task("a", add, 1, focus_id="f1", tags=["x", "y"])
    b = tm.register_task("b", add, 1, focus_id="f2", tags=["x"])
    assert [task.task_id for task in tm.get_tasks_by_focus("f1")] == [a]
    assert [task.task_id for task in tm.get_tasks_by_tag("x")] == [a, b]
    assert [task.task_id for task in tm.get_all_tasks()] == [a, b]
    assert list(tm.get_tasks_by_status(AsyncTaskStatus.PENDING)) == [a, b]
    assert tm.get_task(a).focus_id == "f1"
    with pytest.raises(ValueError, match="a status is one of"):
        tm.get_tasks_by_status("sleeping")


def test_a_task_tells_about_itself(new):
    tm = new(AsyncTaskManager)
    first = tm.register_task("first", add, 1)
    id = tm.register_task(
        "second", add, 1, b=2,
        dependencies=[first], priority="high", max_retries=1, retry_delay=0.1, timeout=60,
        description="adds", tags=["t"], task_id="mine",
    )  # fmt: skip
    task = tm.get_task(id)
    assert isinstance(task, Task)
    assert (task.task_id, task.name, task.func, task.args, task.kwargs) == (
        "mine", "second", add, (1,), {"b": 2},
    )  # fmt: skip
    assert (task.priority, task.dependencies) == (TaskPriority.HIGH, [first])
    assert task.status == "waiting"
    assert task.started_at is None
    tm.execute_task(id, wait=True)
    assert task.status in ["completed", "failed"]
    assert (task.result, task.error, task.retry_count) == (3, None, 0)
    assert task.created_at <= task.started_at <= task.completed_at
    assert (task.start_time, task.end_time) == (task.started_at, task.completed_at)
    told = task.to_dict()
    assert told["status"] == "completed"
    assert (told["task_id"], told["result"], told["execution_id"]) == ("mine", 3, "exec_mine")
    assert tm.get_task("nobody") is None
    assert tm.get_task_status("nobody") is None
    assert tm.get_task_result("nobody") is None
    assert tm.get_task_error("nobody") is None
    assert tm.cancel_task("nobody") is False


def test_the_older_use_submits_a_task(new):
    tm = new(AsyncTaskManager)
    task = Task(task_id="old", focus_id="f", function=add, args=(1,), kwargs={"b": 1})
    assert task.status == "pending"
    sent = tm.submit_task(task)
    assert str(sent) == "old"
    assert task.status in ["pending", "running", "completed"]

    async def main():
        return await tm.submit_task(Task(function=loop_here, task_id="async"))

    assert asyncio.run(main()) == "async"
    tm.windlass.join().result(SOON)
    assert task.result == 2
    assert [one.task_id for one in tm.get_tasks_by_focus("f")] == ["old"]
    assert task.end_time is not None


def test_auto_shutdown_stops_the_manager_after_the_last_task(new, gate, until):
    tm = new(AsyncTaskManager)
    tm.execute_task(tm.register_task("other", gate))
    tm.execute_task(tm.register_task("first", add, 1, auto_shutdown=True), wait=True)
    assert tm.is_running, "another task is still open"
    gate.open()
    tm.windlass.join().result(SOON)
    tm.execute_task(tm.register_task("last", add, 1, auto_shutdown=True), wait=True)
    assert not tm.is_running
    until(lambda: not tm.windlass.is_open)
    assert tm.execute_task(tm.register_task("another day", add, 1), wait=True) == 1


class Tidy(AsyncTaskManager):
    def __init__(self):
        super().__init__()
        self.cleaned = []

    def _cleanup_task_resources(self, task):
        self.cleaned.append((task.name, str(task.status)))


def test_the_hook_is_called_once_for_each_task_however_it_ends(new, gate):
    tm = new(Tidy)
    tm.execute_task(tm.register_task("good", add, 1), wait=True)
    bad = tm.register_task("bad", broken, max_retries=1, retry_delay=0)
    after = tm.register_task("after", add, 1, dependencies=[bad])
    with pytest.raises(TaskDependencyError):
        tm.execute_task(after, wait=True)
    tm.cancel_task(tm.register_task("held", add, 1))
    slow = tm.register_task("slow", gate, timeout=0.01)
    with pytest.raises(TaskError):
        tm.execute_task(slow, wait=True)
    running = tm.register_task("running", gate)
    tm.execute_task(running)
    gate.wait_for(2)
    tm.stop()
    assert sorted(tm.cleaned) == [
        ("after", "failed"),
        ("bad", "failed"),
        ("good", "completed"),
        ("held", "cancelled"),
        ("running", "cancelled"),
        ("slow", "failed"),
    ]


def test_a_hook_that_raises_breaks_nothing(new, caplog):
    class Clumsy(AsyncTaskManager):
        def _cleanup_task_resources(self, task):
            raise RuntimeError("spilt")

    tm = new(Clumsy)
    assert tm.execute_task(tm.register_task("x", add, 1), wait=True) == 1
    assert "spilt" in caplog.text


def test_bad_calls_are_refused_where_they_are_made(new):
    tm = new(AsyncTaskManager)
    for wrong, message in [
        (lambda: tm.register_task("x", add), "missing a required argument"),
        (lambda: tm.register_task("x", "no function"), "made of a function"),
        (lambda: tm.register_task("x", add, 1, priority="urgent"), "a priority is one of"),
        (lambda: tm.register_task("x", add, 1, timeout=0), "timeout must be more than zero"),
        (lambda: tm.register_task("x", add, 1, max_retries=-1), "max_retries"),
        (lambda: tm.register_task("x", add, args="ab"), "args= takes a tuple"),
        (lambda: tm.register_task("x", add, 1, kwargs=[1]), "kwargs= takes a dict"),
        (lambda: tm.register_task("x", add, 1, tags="one"), "tags="),
        (lambda: tm.register_task("x", add, 1, dependencies="one"), "dependencies="),
        (lambda: tm.register_task("x", add, 1, dependencies=["nobody"]), "nobody"),
        (lambda: AsyncTaskManager(0), "at least 1"),
    ]:
        with pytest.raises((TypeError, ValueError, TaskDependencyError), match=message):
            wrong()
    assert tm.get_all_tasks() == []


def test_the_global_manager_and_what_stands_beside_it():
    assert isinstance(task_manager, AsyncTaskManager)
    assert task_manager.execute_task(task_manager.register_task("x", add, 1), wait=True) == 1
    task_manager.stop()
    assert task_manager.execute_task(task_manager.register_task("x", add, 1), wait=True) == 1
    assert create_task_id() != create_task_id()
    assert TaskConfig(max_workers=3).max_workers == 3
    assert [level.name for level in sorted(TaskPriority)] == ["LOW", "NORMAL", "HIGH", "CRITICAL"]

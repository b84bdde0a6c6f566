"""By id: registered first, executed later, asked about by whoever knows the id."""

import asyncio

import pytest

from windlass import (
    InvalidTaskStateError,
    TaskCancellationError,
    TaskDependencyError,
    TaskInfo,
    TaskManager,
    TaskNotFoundError,
    TaskPriority,
    TaskStatus,
    current_task,
    task,
)

from .stage import Door, double, double_async, fail, forever, on_a_loop


def work(a, b=0, *, c=0):
    return a, b, c


@on_a_loop
async def test_register_and_execute():
    async with TaskManager() as tm:
        id = tm.register_task(
            "My Task", work, 1, 2,
            kwargs={"c": 3},
            priority=TaskPriority.HIGH,
            max_retries=3,
            retry_delay=0.5,
            timeout=60.0,
            description="This is my task",
            tags=["tag1", "tag2"],
            metadata={"n": 1},
            executor="thread",
            task_id="mine",
        )  # fmt: skip
        assert id == "mine"
        info = tm.get_task(id)
        assert isinstance(info, TaskInfo)
        assert (info.name, info.description, info.priority) == ("My Task", "This is my task", 2)
        assert info.tags == {"tag1", "tag2"}
        assert info.metadata == {"n": 1}
        assert info.max_attempts == 4
        assert info.held
        assert tm.get_task_status(id) is TaskStatus.PENDING
        await tm.join()
        assert tm.get_task_status(id) is TaskStatus.PENDING, "registering does not run"
        assert await tm.execute_task(id) == (1, 2, 3)
        assert tm.get_task_status(id) is TaskStatus.COMPLETED
        assert tm.get_task_result(id) == (1, 2, 3)
        assert tm.get_task_error(id) is None
        assert tm.get_task_progress(id) == (1.0, "")


def test_from_plain_code():
    with TaskManager() as tm:
        id = tm.register_task("x", double, 4)
        assert tm.execute_task(id).result(timeout=60) == 8
        assert tm.cancel_task(id) is False


@on_a_loop
async def test_executing_releases_the_held_tasks_it_depends_on():
    order = []

    async def note(x):
        order.append(x)
        return x

    async with TaskManager() as tm:
        a = tm.register_task("a", note, "a")
        b = tm.register_task("b", note, "b", dependencies=[a])
        c = tm.register_task("c", note, "c", dependencies=b)
        other = tm.register_task("other", note, "other", dependencies=[a])
        assert tm.get_task_status(b) is TaskStatus.WAITING
        assert await tm.execute_task(c) == "c"
        assert order == ["a", "b", "c"]
        assert tm.get_task_status(other) == "pending"
        assert tm.get_task(other).held
        assert await tm.execute_task(other) == "other"


@on_a_loop
async def test_submitting_what_depends_on_held_tasks_releases_them():
    async with TaskManager() as tm:
        a = tm.register_task("a", double, 1)
        b = tm.register_task("b", double, 1, dependencies=[a])
        assert await tm.submit(task(double).options(after=[b]), 5) == 10
        assert tm.get_task_status(a) == "completed"


@on_a_loop
async def test_registered_tasks_take_handles_as_arguments_and_as_ids():
    async with TaskManager() as tm:
        h = tm.submit(double, 1)
        id = tm.register_task("x", work, h.output, kwargs={"c": [h]}, dependencies=[h])
        assert await tm.execute_task(id) == (2, 0, [2])
        for verb in (
            tm.get_task, tm.get_task_status, tm.get_task_result, tm.get_task_error,
            tm.get_task_progress, tm.cancel_task, tm.explain,
        ):  # fmt: skip
            assert verb(h) == verb(h.id)


@on_a_loop
async def test_executing_twice_or_what_has_ended():
    async with TaskManager() as tm:
        door = Door()
        id = tm.register_task("x", door, 5)
        first, second = tm.execute_task(id), tm.execute_task(id)
        door.open()
        assert await first == await second == 5
        with pytest.raises(InvalidTaskStateError, match=r"completed.*retry"):
            await tm.execute_task(id)
        gone = tm.register_task("y", double, 1)
        assert tm.cancel_task(gone)
        with pytest.raises(InvalidTaskStateError, match="cancelled"):
            await tm.execute_task(gone)


@on_a_loop
async def test_unknown_ids():
    async with TaskManager() as tm:
        with pytest.raises(TaskNotFoundError, match="there is no task 'nobody'"):
            await tm.execute_task("nobody")
        with pytest.raises(TaskNotFoundError):
            tm.explain("nobody")
        assert tm.cancel_task("nobody") is False
        assert tm.get_task("nobody") is None
        assert tm.get_task_status("nobody") is None
        assert tm.get_task_result("nobody") is None
        assert tm.get_task_error("nobody") is None
        assert tm.get_task_progress("nobody") == (0.0, "")
        assert tm.update_task_progress("nobody", 0.5) is False
        with pytest.raises(TaskDependencyError, match="'nobody'"):
            tm.register_task("x", double, 1, dependencies=["nobody"])
        with pytest.raises(TaskDependencyError, match="itself"):
            tm.register_task("x", double, 1, dependencies=["me"], task_id="me")


@on_a_loop
async def test_a_failure_is_found_by_id():
    async with TaskManager() as tm:
        id = tm.register_task("x", fail, "details")
        with pytest.raises(ValueError, match="details"):
            await tm.execute_task(id)
        assert isinstance(tm.get_task_error(id), ValueError)
        assert tm.get_task_error(id).task_id == id
        assert tm.get_task_result(id) is None
        gone = tm.register_task("y", double, 1)
        tm.cancel_task(gone)
        assert isinstance(tm.get_task_error(gone), TaskCancellationError)


@on_a_loop
async def test_progress_can_be_told_from_outside():
    async with TaskManager() as tm:
        door = Door()
        id = tm.register_task("x", door)
        assert tm.update_task_progress(id, 0.5) is False
        handle = tm.execute_task(id)
        await door.came()
        assert tm.update_task_progress(id, 0.5, "half") is True
        assert tm.get_task_progress(id) == (0.5, "half")
        door.open()
        await handle
        assert tm.update_task_progress(id, 0.7) is False


@on_a_loop
async def test_cancelling_by_id():
    async with TaskManager() as tm:
        door = Door()
        id = tm.register_task("x", door)
        handle = tm.execute_task(id)
        await door.came()
        assert tm.cancel_task(id) is True
        await tm.gather(handle, return_errors=True)
        assert tm.get_task_status(id) is TaskStatus.CANCELLED
        assert tm.cancel_task(id) is False


# -- list_tasks ----------------------------------------------------------------------------------


@on_a_loop
async def test_tasks_are_listed_by_every_filter_and_all_filters_must_fit():
    async with TaskManager() as tm:

        async def parent():
            await current_task().submit(task(double_async, name="child"), 1)

        options = {
            "a": {"tags": ["x", "y"], "owner": "ann", "metadata": {"n": 1, "m": 2}},
            "b": {"tags": ["y"], "owner": "bob", "metadata": {"n": 1}, "priority": "high"},
            "c": {"type": "io", "metadata": {"n": 2}, "executor": "thread"},
        }
        for name, given in options.items():
            await tm.submit(task(double, name=name, **given), 1)
        family = tm.submit(parent)
        await family
        bad = tm.submit(task(fail, name="bad").options(key="once"))
        await tm.gather(bad, return_errors=True)
        waiting = tm.register_task("held", double, 1)

        def names(**filters):
            return [info.name for info in tm.list_tasks(**filters)]

        everything = ["a", "b", "c", "parent", "child", "bad", "held"]
        assert names() == everything, "in the order they were submitted"
        assert names(tag="y") == ["a", "b"]
        assert names(tag="y", owner="bob") == ["b"]
        assert names(owner="ann") == ["a"]
        assert names(name="c") == ["c"]
        assert names(type="io") == ["c"]
        assert names(metadata={"n": 1}) == ["a", "b"]
        assert names(metadata={"n": 1, "m": 2}) == ["a"]
        assert names(metadata={"other": None}) == []
        assert names(priority="high") == names(priority=TaskPriority.HIGH) == ["b"]
        assert names(executor="async") == ["parent", "child"]
        assert names(parent=family) == names(parent=family.id) == ["child"]
        assert names(key="once") == ["bad"]
        assert names(status="failed") == names(status=TaskStatus.FAILED) == ["bad"]
        assert names(status=["failed", TaskStatus.PENDING]) == ["bad", "held"]
        assert names(status="running") == []
        assert names(limit=2) == ["a", "b"]
        assert names(status="COMPLETED", limit=1) == ["a"]
        assert names(limit=0) == []
        with pytest.raises(ValueError, match="ended"):
            names(status="ended")
        with pytest.raises(ValueError, match="a priority is one of"):
            names(priority="urgent")
        tm.cancel_task(waiting)


@on_a_loop
async def test_what_is_listed_is_a_frozen_picture():
    async with TaskManager() as tm:
        door = Door()
        handle = tm.submit(door)
        await door.came()
        (info,) = tm.list_tasks()
        assert info.started_at is not None
        assert info.ended_at is None
        assert info.ran is None
        door.open()
        await handle
        assert info.status == "running"
        with pytest.raises(AttributeError):
            info.status = "failed"
        (info,) = tm.list_tasks()
        assert info.created_at <= info.started_at <= info.ended_at
        assert info.ran >= 0
        assert info.waited >= 0


@on_a_loop
async def test_the_times_of_a_task_do_not_change_from_one_picture_to_the_next():
    changes = []
    async with TaskManager() as tm:
        tm.subscribe(changes.extend)
        handle = tm.submit(double_async, 1)
        await handle
        pictures = [tm.get_task(handle) for _ in range(200)]
        assert all(picture == pictures[0] for picture in pictures)
    assert changes[0].at == pytest.approx(pictures[0].created_at.timestamp(), abs=2e-6)


# -- retention -----------------------------------------------------------------------------------


@on_a_loop
async def test_only_so_many_ended_tasks_are_remembered():
    async with TaskManager(retention_count=10) as tm:
        door = Door()
        running = tm.submit(door)
        handles = tm.map(double_async, range(50))
        await tm.gather(*handles)
        await tm.submit(double_async, 1)
        ended = tm.list_tasks(status="completed")
        assert len(ended) <= 11
        assert tm.get_task_status(running) == "running"
        assert tm.get_task(handles[0].id) is None
        assert await handles[0] == 0, "a handle keeps its task"
        assert await tm.submit(double, handles[0].output) == 0
        door.open()


@on_a_loop
async def test_cleanup_forgets_what_has_ended():
    async with TaskManager() as tm:
        done = tm.submit(double, 1)
        await done
        running = tm.submit(forever)
        held = tm.register_task("held", double, 1)
        assert tm.cleanup(older_than=60) == 0
        assert tm.cleanup() == 1
        assert tm.get_task(done.id) is None
        assert tm.get_task(done) is not None, "by its handle it is still there"
        assert len(tm.list_tasks()) == 2
        assert tm.cleanup(older_than=0) == 0
        for bad in (-1, float("nan"), "1"):
            with pytest.raises((ValueError, TypeError), match="older_than"):
                tm.cleanup(older_than=bad)
        running.cancel()
        assert tm.get_task_status(held) == "pending"


@on_a_loop
async def test_forgotten_tasks_leave_no_trace_in_memory():
    import gc
    import weakref

    class Payload:
        pass

    async with TaskManager() as tm:
        payload = Payload()
        watch = weakref.ref(payload)

        async def use(x):
            return type(x)

        handle = tm.submit(use, payload)
        chained = tm.submit(use, handle.output)
        await chained
        del payload
        gc.collect()
        assert watch() is None, "the arguments of what is completed are let go at once"
        result = Payload()
        watch = weakref.ref(result)
        handle = tm.submit(lambda: result)  # noqa: F821  # it is deleted further down
        await handle
        del handle, result
        tm.cleanup()
        await tm.submit(double_async, 1)
        await asyncio.sleep(0)


@on_a_loop
async def test_a_cancellation_may_say_why():
    async with TaskManager() as tm:
        id = tm.register_task("never", double, 1)
        with pytest.raises(TypeError, match="cause="):
            tm.cancel_task(id, cause=5)
        assert tm.cancel_task(id, "not needed")
        assert tm.get_task(id).cause == "not needed"
        assert not tm.cancel_task(id, "twice")


@on_a_loop
async def test_who_has_only_the_id_gets_the_handle():
    async with TaskManager() as tm:
        id = tm.register_task("x", double, 1)
        handle = tm.get_handle(id)
        assert not handle.done()
        tm.execute_task(id)
        assert await handle == 2
        assert await tm.get_handle(id) == 2, "also when it has ended"
        assert await tm.submit(double, tm.get_handle(id)) == 4
        assert tm.get_handle("nobody") is None


@on_a_loop
async def test_one_task_is_forgotten():
    async with TaskManager() as tm:
        kept, gone = tm.submit(double, 1), tm.register_task("gone", double, 2)
        assert not tm.forget(gone), "it has not ended"
        await tm.execute_task(gone)
        await kept
        assert tm.forget(gone)
        assert tm.get_task(gone) is None
        assert not tm.forget(gone)
        assert tm.get_task(kept) is not None
        assert tm.register_task("anew", double, 3, task_id=gone) == gone


def test_registered_in_plain_code_it_runs_on_the_loop_that_executes_it():
    async def loop_here():
        return asyncio.get_running_loop()

    with TaskManager() as tm:
        water = tm.register_task("water", loop_here)
        tea = tm.register_task("tea", loop_here, dependencies=[water])

        async def execute():
            ours = asyncio.get_running_loop()
            assert await tm.execute_task(tea) is ours
            assert tm.get_task_result(water) is ours

        asyncio.run(execute())
        coffee = tm.register_task("coffee", loop_here)
        assert tm.execute_task(coffee).result().is_running(), "the manager's own"


@on_a_loop
async def test_a_task_as_a_future():
    async with TaskManager() as tm:
        door = Door()
        handle = tm.submit(door, 7)
        future = handle.as_future()
        assert not future.done()
        door.open()
        assert await asyncio.wrap_future(future) == 7
        assert handle.as_future().result(0) == 7
        broken = tm.submit(fail).as_future()
        with pytest.raises(ValueError, match="broken"):
            await asyncio.wrap_future(broken)

"""current_task(): what a task knows of itself, alike in coroutines and threads, inert outside."""

import asyncio
import contextlib
import contextvars
import logging
import math
import threading

import pytest

from windlass import (
    CurrentTask,
    InvalidTaskStateError,
    Retry,
    TaskCancellationError,
    TaskManager,
    current_task,
    task,
)

from .stage import EVERYWHERE, SOON, Door, Gate, double, double_async, forever, on, on_a_loop


@EVERYWHERE
@on_a_loop
async def test_a_task_knows_itself(executor):
    def look():
        me = current_task()
        me.progress(0.25, "a quarter")
        return me.id, me.name, me.attempt, me.metadata, me.cancelled, me.check_cancelled()

    async with TaskManager() as tm:
        handle = tm.submit(on(executor, look, name="looker", metadata={"n": 1}))
        assert await handle == (handle.id, "looker", 1, {"n": 1}, False, None)
        assert handle.info.message == "a quarter"
        assert handle.info.progress == 1.0, "what is completed is all done"


def test_outside_of_a_task_it_is_inert():
    me = current_task()
    assert isinstance(me, CurrentTask)
    assert (me.id, me.attempt, me.cancelled, me.restored) == ("", 0, False, None)
    me.check_cancelled()
    me.progress(0.5, "half")
    me.checkpoint(1)
    assert me.metadata == {}
    assert me.name
    me.defer(print, "never")
    assert me.enter(contextlib.nullcontext(5)) == 5
    with pytest.raises(InvalidTaskStateError, match=r"use manager\.submit"):
        me.submit(double, 1)


@on_a_loop
async def test_outside_of_a_task_is_also_around_one():
    async with TaskManager() as tm:
        await tm.submit(double_async, 1)
        assert current_task().id == ""
        assert (await asyncio.to_thread(current_task)).id == ""


@EVERYWHERE
@on_a_loop
async def test_progress_is_a_share_and_nothing_else(executor):
    def report(fraction):
        current_task().progress(fraction)

    async with TaskManager() as tm:
        for bad in (math.nan, "half", None, True):
            with pytest.raises((TypeError, ValueError), match="from 0 to 1"):
                await tm.submit(on(executor, report), bad)
        for beyond in (-1, 2, math.inf):
            await tm.submit(on(executor, report), beyond)


@on_a_loop
async def test_progress_is_seen_from_outside_while_the_task_runs(gate):
    def work():
        current_task().progress(0.5, "half")
        gate()

    async with TaskManager() as tm:
        handle = tm.submit(work)
        await gate.came()
        assert handle.progress == 0.5
        assert tm.get_task_progress(handle.id) == (0.5, "half")
        assert "50% done (half)" in handle.explain()
        gate.open()


@on_a_loop
async def test_it_is_the_same_in_functions_threads_and_tasks_that_the_task_calls():
    async def inner():
        return current_task().id

    async def outer():
        return {
            await inner(),
            await asyncio.create_task(inner()),
            await asyncio.to_thread(lambda: current_task().id),
            *(await asyncio.gather(inner(), inner())),
        }

    async with TaskManager() as tm:
        handle = tm.submit(outer)
        assert await handle == {handle.id}


@on_a_loop
async def test_tasks_that_take_turns_do_not_mix_up():
    async def look():
        me = current_task().id
        for _ in range(5):
            await asyncio.sleep(0)
            assert current_task().id == me
        return me

    async with TaskManager() as tm:
        handles = [tm.submit(look) for _ in range(50)]
        assert await tm.gather(*handles) == [handle.id for handle in handles]


# -- context variables ---------------------------------------------------------------------------

language = contextvars.ContextVar("language", default="none")


@EVERYWHERE
@on_a_loop
async def test_context_variables_travel_from_the_submitter_to_the_task(executor):
    def look():
        before = language.get()
        language.set("changed")
        return before

    async with TaskManager() as tm:
        handles = []
        for name in ("de", "en"):
            language.set(name)
            handles.append(tm.submit(on(executor, look)))
        language.set("later")
        assert await tm.gather(*handles) == ["de", "en"]
        assert language.get() == "later"


def test_context_variables_travel_from_plain_code_too():
    with TaskManager() as tm:
        language.set("fr")
        assert tm.submit(language.get).result(timeout=60) == "fr"
        assert tm.submit(on("async", language.get)).result(timeout=60) == "fr"


# -- children ------------------------------------------------------------------------------------


@EVERYWHERE
@on_a_loop
async def test_children_carry_their_parents_id(executor):
    def parent():
        return [current_task().submit(double, 2)]

    async with TaskManager() as tm:
        handle = tm.submit(on(executor, parent))
        (child,) = await handle
        assert await child == 4
        for parent_task in (handle, handle.id):
            (info,) = tm.list_tasks(parent=parent_task)
            assert (info.id, info.parent) == (child.id, handle.id)


@on_a_loop
async def test_cancelling_a_parent_cancels_its_children_and_theirs():
    family = []

    async def member(depth):
        if depth:
            family.append(current_task().submit(member, depth - 1))
        await forever()

    async with TaskManager() as tm:
        root = tm.submit(member, 5)
        while len(family) < 5 or family[-1].status != "running":
            await asyncio.sleep(0)
        root.cancel()
        await tm.join()
        assert {handle.status for handle in family} == {"cancelled"}
        assert "its parent member" in family[0].ended_by


@on_a_loop
async def test_children_of_a_parent_that_is_done_go_on():
    async with TaskManager() as tm:
        door = Door()

        async def parent():
            return [current_task().submit(door, 3)]

        (child,) = await tm.submit(parent)
        await door.came()
        assert not child.done()
        door.open()
        assert await child == 3


@on_a_loop
async def test_whoever_was_given_up_has_no_more_children(gate):
    async with TaskManager() as tm:
        refused = []

        def parent():
            gate()
            try:
                current_task().submit(double, 1)
            except TaskCancellationError as error:
                refused.append(str(error))
            left.set()

        left = threading.Event()
        handle = tm.submit(parent)
        await gate.came()
        handle.cancel()
        gate.open()
        await asyncio.to_thread(left.wait, SOON)
        assert "is to stop" in refused[0]
        assert len(tm.list_tasks()) == 1


# -- clean-ups -----------------------------------------------------------------------------------


class Resource:
    def __init__(self, log, name):
        self.log, self.name = log, name

    def __enter__(self):
        self.log.append(f"enter {self.name}")
        return self.name

    def __exit__(self, kind, error, traceback):
        self.log.append(f"exit {self.name}" + (f" {kind.__name__}" if kind else ""))


class AsyncResource:
    def __init__(self, log, name):
        self.inner = Resource(log, name)

    async def __aenter__(self):
        await asyncio.sleep(0)
        return self.inner.__enter__()

    async def __aexit__(self, *details):
        await asyncio.sleep(0)
        self.inner.__exit__(*details)


@EVERYWHERE
@on_a_loop
async def test_clean_ups_run_last_in_first_out(executor):
    log = []

    def work():
        me = current_task()
        assert me.enter(Resource(log, "a")) == "a"
        me.defer(log.append, "deferred")
        me.enter(Resource(log, "b"))
        log.append("body")

    async with TaskManager() as tm:
        await tm.submit(on(executor, work))
        assert log == ["enter a", "enter b", "body", "exit b", "deferred", "exit a"]


@EVERYWHERE
@on_a_loop
async def test_clean_ups_run_when_the_task_fails_and_hear_of_it(executor):
    log = []

    def work():
        current_task().enter(Resource(log, "a"))
        raise ValueError

    async with TaskManager() as tm:
        with pytest.raises(ValueError, match="work|coroutine"):
            await tm.submit(on(executor, work))
        assert log == ["enter a", "exit a ValueError"]


@on_a_loop
async def test_clean_ups_run_when_a_coroutine_is_cancelled_or_times_out():
    log = []

    async def work(name):
        await current_task().enter(AsyncResource(log, name))
        current_task().defer(log.append, f"deferred {name}")
        door.open()
        await forever()

    async with TaskManager() as tm:
        door = Door()
        handle = tm.submit(work, "a")
        await door()
        handle.cancel()
        timed = tm.submit(task(work, timeout=0.01), "b")
        await tm.gather(handle, timed, return_errors=True)
        assert handle.status == "cancelled"
        assert timed.status == "failed"
        ends = [line for line in log if not line.startswith("enter")]
        assert sorted(ends) == ["deferred a", "deferred b", "exit a", "exit b"]


@on_a_loop
async def test_a_cancelled_threads_clean_ups_run_when_it_really_leaves(gate):
    log = []
    left = threading.Event()

    def work():
        current_task().defer(left.set)
        current_task().enter(Resource(log, "a"))
        gate()

    async with TaskManager() as tm:
        handle = tm.submit(work)
        await gate.came()
        handle.cancel()
        await tm.gather(handle, return_errors=True)
        assert log == ["enter a"]
        gate.open()
        await asyncio.to_thread(left.wait, SOON)
        assert log == ["enter a", "exit a"]


@EVERYWHERE
@on_a_loop
async def test_clean_ups_run_after_every_attempt(executor):
    log = []

    def work():
        current_task().defer(log.append, current_task().attempt)
        if current_task().attempt < 3:
            raise ValueError

    async with TaskManager() as tm:
        await tm.submit(on(executor, work, retry=Retry(delay=0)))
        assert log == [1, 2, 3]


@EVERYWHERE
@on_a_loop
async def test_a_failing_clean_up_is_logged_and_kept_and_changes_nothing(executor, caplog):
    log = []

    def broken():
        raise KeyError("clean-up")

    def exits():
        raise SystemExit(3)

    def work(fails):
        me = current_task()
        me.defer(log.append, "still run")
        me.defer(broken)
        me.defer(exits)
        if fails:
            raise ValueError("its own")
        return 5

    async with TaskManager() as tm:
        good, bad = tm.submit(on(executor, work), False), tm.submit(on(executor, work), True)
        assert await good == 5
        with pytest.raises(ValueError, match="its own"):
            await bad
        assert log == ["still run", "still run"]
        for handle in (good, bad):
            kinds = [type(error) for error in handle.info.cleanup_errors]
            assert kinds == [SystemExit, KeyError]
        logged = [r for r in caplog.records if r.levelno == logging.ERROR]
        assert len(logged) == 4
        assert all("a clean-up of" in record.getMessage() for record in logged)


@on_a_loop
async def test_asynchronous_clean_ups_work_wherever_a_coroutine_runs():
    log = []

    async def work():
        me = current_task()
        assert await me.enter(AsyncResource(log, "a")) == "a"
        me.enter(Resource(log, "b"))

        async def later():
            await asyncio.sleep(0)
            log.append("later")

        me.defer(later)

    async with TaskManager() as tm:
        for executor in ("async", "thread", "sequential"):
            log.clear()
            handle = tm.submit(task(work, executor=executor))
            await handle
            assert log == ["enter a", "enter b", "later", "exit b", "exit a"]
            assert handle.info.cleanup_errors == ()


@on_a_loop
async def test_an_asynchronous_clean_up_in_a_plain_function_is_refused_and_told():
    async def later():
        pass

    def work():
        current_task().defer(later)

    async with TaskManager() as tm:
        handle = tm.submit(work)
        await handle
        (error,) = handle.info.cleanup_errors
        assert "coroutine tasks only" in str(error)


@EVERYWHERE
@on_a_loop
async def test_what_cannot_be_entered_or_called_is_refused(executor):
    def enters():
        current_task().enter(5)

    def defers():
        current_task().defer(5)

    async with TaskManager() as tm:
        with pytest.raises(TypeError, match="context manager, not 5"):
            await tm.submit(on(executor, enters))
        with pytest.raises(TypeError, match="function and its arguments, not 5"):
            await tm.submit(on(executor, defers))


@on_a_loop
async def test_a_clean_up_that_does_not_enter_is_not_left():
    class Broken(Resource):
        def __enter__(self):
            raise OSError("cannot enter")

    log = []

    def work():
        current_task().enter(Resource(log, "a"))
        current_task().enter(Broken(log, "b"))

    async with TaskManager() as tm:
        with pytest.raises(OSError, match="cannot enter"):
            await tm.submit(work)
        assert log == ["enter a", "exit a OSError"]


def test_the_gate_helper_is_open_to_all():
    gate = Gate()
    gate.open()
    assert gate(3) == 3

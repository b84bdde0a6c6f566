"""What was asked of a task is the same after its file was opened again."""

import asyncio
from datetime import timedelta

import pytest
from runtime.stage import on_a_loop

from windlass import (
    Gate,
    InvalidTaskStateError,
    Retry,
    TaskCancellationError,
    TaskDependencyError,
    TaskManager,
    TaskPriority,
    call,
    current_task,
    ref,
    task,
)

from .stage import (
    Clocked,
    add,
    count,
    door,
    double,
    echo,
    fail,
    nobody_is_there,
    wait_at,
)

LATER = 3600.0


@on_a_loop
async def test_what_has_ended_is_there_by_its_id(jobs):
    async with TaskManager(jobs) as tm:
        good, bad, gone = tm.submit(add, 1), tm.submit(fail), tm.submit(add.options(delay=LATER), 1)
        tm.cancel_task(gone, "changed my mind")
        await tm.gather(good, bad, return_errors=True)
    nobody_is_there(jobs)
    async with TaskManager(jobs) as tm:
        assert [info.id for info in tm.list_tasks()] == [good.id, bad.id, gone.id]
        assert [info.status for info in tm.list_tasks()] == ["completed", "failed", "cancelled"]
        assert tm.get_task_result(good.id) == 2
        assert tm.get_task_status(bad.id) == "failed"
        assert tm.get_task(gone.id).cause == "changed my mind"
        again = tm.get_handle(good.id)
        assert again.done()
        assert await again == 2
        with pytest.raises(ValueError, match="broken"):
            await tm.get_handle(bad.id)
        with pytest.raises(TaskCancellationError, match="changed my mind"):
            await tm.get_handle(gone.id)
        with pytest.raises(InvalidTaskStateError):
            tm.execute_task(good.id)
        assert tm.get_task("never-was") is None
        assert [info.id for info in tm.list_tasks(status="failed")] == [bad.id]


@on_a_loop
async def test_every_option_is_the_same_afterwards(jobs):
    asked = {
        "name": "the task", "type": "report", "description": "what for", "tags": ["a", "b"],
        "metadata": {"order": (7, {"deep": [1.5, None]})}, "owner": "ann",
        "priority": TaskPriority.HIGH, "executor": "thread",
        "retry": Retry(retries=7, delay=0.5, backoff=3.0, cap=9.0, jitter=0.0), "timeout": 5.0,
        "total_timeout": 7200.0, "expires": 7000.0, "run_if": "all_done", "max_crashes": 9,
        "on_crash": "fail", "gates": {"site": 2}, "when_open": "fail",
    }  # fmt: skip
    settings = {"gates": [Gate("site", slots=3)]}
    async with TaskManager(jobs, **settings) as tm:
        handle = tm.submit(add.options(**asked, key="k", delay=LATER), 1, b=2)
        before, spec = handle.info, handle._job.spec
    async with TaskManager(jobs, **settings) as tm:
        again = tm.get_handle(handle.id)
        assert again.info == before
        assert again._job.spec == spec
        assert (again._job.args, again._job.kwargs) == ((1,), {"b": 2})


@on_a_loop
async def test_a_function_that_asks_for_something_else_now_asks_it_of_stored_tasks_too(jobs):
    @task(id="tuned", timeout=5, tags=["old"])
    async def tuned():
        return None

    async with TaskManager(jobs) as tm:
        plain = tm.submit(tuned.options(delay=LATER))
        own = tm.submit(tuned.options(delay=LATER, timeout=7))

    @task(id="tuned", timeout=50, tags=["new"])
    async def tuned_again():
        return None

    async with TaskManager(jobs) as tm:
        assert tm.get_handle(plain.id)._job.spec.timeout == 50
        assert tm.get_handle(own.id)._job.spec.timeout == 7
        assert tm.get_task(plain.id).tags == {"new"}


@on_a_loop
async def test_priorities_and_the_order_within_one(jobs):
    order = []

    @task(id="note")
    async def note(name):
        order.append(name)

    async with TaskManager(jobs, max_concurrent_tasks=1) as tm:
        tm.pause()
        for name, priority in [("n1", "normal"), ("l", "low"), ("h", "high"), ("c", "critical")]:
            tm.submit(note.options(priority=priority), name)
        tm.submit(note.options(key="n2"), "n2")
        tm.submit(note, "n3")
        await tm.shutdown(wait=False)
    assert order == []
    async with TaskManager(jobs, max_concurrent_tasks=1):
        pass
    assert order == ["c", "h", "n1", "n2", "n3", "l"]


@on_a_loop
async def test_tasks_that_wait_for_others_finished_and_unfinished(jobs):
    async with TaskManager(jobs) as tm:
        done, later = tm.submit(add, 1), tm.submit(add.options(delay=LATER), 10)
        both = tm.submit(add, done.output, later)
        nested = tm.submit(count, {"all": [done.output, (later,)]})
        after = tm.submit(echo.options(after=[later]), "after")
        await done
    assert {h.status for h in (both, nested, after)} == {"waiting"}
    async with TaskManager(jobs) as tm:
        assert tm.get_task(both.id).dependencies == (done.id, later.id)
        assert tm.explain(both.id) == "waiting for `add` (pending)"
        tm.cancel_task(later.id)
        with pytest.raises(TaskCancellationError):
            await tm.get_handle(both.id)

    async with TaskManager(jobs) as tm:
        again = tm.retry(later.id)
        assert again._job.due == 0
        assert await again == 11
        assert [await tm.retry(h.id) for h in (both, nested, after)] == [13, 1, "after"]


@on_a_loop
async def test_handles_among_the_arguments_have_their_results_afterwards(jobs):
    door()
    async with TaskManager(jobs) as tm:
        hold = tm.submit(wait_at)
        first, second = tm.submit(add, 1), tm.submit(add, 2)
        shape = {"list": [first.output, {"deep": (second,)}], "plain": 7}
        result = tm.submit(echo.options(after=[hold]), shape)
        await tm.gather(first, second)
        await tm.shutdown(wait=False)
    door().open()
    async with TaskManager(jobs) as tm:
        expected = {"list": [2, {"deep": (3,)}], "plain": 7}
        assert await tm.get_handle(result.id) == expected


@on_a_loop
async def test_run_if_all_done_gets_the_error_of_an_earlier_life(jobs):
    door()
    async with TaskManager(jobs) as tm:
        bad = tm.submit(fail, "of then")
        hold = tm.submit(wait_at)
        told = tm.submit(tell.options(after=[hold]), bad.output)
        spoilt = tm.submit(add.options(after=[hold]), tm.submit(add, bad).output)
        await tm.gather(bad, return_errors=True)
        await tm.shutdown(wait=False)
    door().open()
    assert told.status == "waiting"
    assert spoilt.status == "failed"
    async with TaskManager(jobs) as tm:
        assert await tm.get_handle(told.id) == "ValueError of then"
        with pytest.raises(TaskDependencyError, match="fail"):
            await tm.get_handle(spoilt.id)


@task(run_if="all_done")
async def tell(error):
    return f"{type(error.original_error).__name__} {error.original_error}"


@on_a_loop
async def test_a_graph_half_done(jobs):
    hold = door()
    async with TaskManager(jobs) as tm:
        made = tm.graph(
            {
                "sum": call(add, ref("left"), ref("right")),
                "left": call(add, ref("root")),
                "right": call(wait_at, "door", 10),
                "root": call(echo, 5),
            }
        )
        await hold.came()
        assert await made["left"] == 6
        await tm.shutdown(wait=False)
    door().open()
    async with TaskManager(jobs) as tm:
        assert await tm.get_handle(made["sum"].id) == 16
        assert tm.get_task(made["root"].id).attempt == 1


@on_a_loop
async def test_map_with_chunks(jobs):
    async with TaskManager(jobs) as tm:
        hold = tm.submit(echo.options(delay=0.05))
        chunks = tm.map(add.options(after=[hold]), range(5), chunksize=2)
        total = tm.submit(count, [chunk.output for chunk in chunks])
        whole = tm.submit(count, chunks)
        none = tm.submit(count, tm.map(add, [], chunksize=2))
        one = tm.submit(add, chunks[3].output)
        await tm.shutdown(wait=False)
    async with TaskManager(jobs) as tm:
        assert await tm.get_handle(total.id) == 5
        assert await tm.get_handle(whole.id) == 5
        assert await tm.get_handle(none.id) == 0
        assert await tm.get_handle(one.id) == 5


@on_a_loop
async def test_a_child_knows_its_parent_and_falls_with_it(jobs):
    hold = door()
    async with TaskManager(jobs) as tm:
        parent = tm.submit(have_child)
        await hold.came()
        (child,) = tm.list_tasks(parent=parent)
        await tm.shutdown(wait=False)
    assert tm.get_task_status(child.id) == "pending"
    door()
    async with TaskManager(jobs) as tm:
        assert tm.get_task(child.id).parent == parent.id
        tm.cancel_task(parent.id)
        with pytest.raises(TaskCancellationError, match="its parent"):
            await tm.get_handle(child.id)


@task
async def have_child():
    me = current_task()
    if me.restored is None:
        me.checkpoint("has one")
        me.submit(add.options(delay=LATER), 1)
    await wait_at()


@on_a_loop
async def test_held_tasks_stay_held(jobs):
    async with TaskManager(jobs) as tm:
        first = tm.register_task("first", add, 1, tags=["held"])
        second = tm.register_task("second", add, kwargs={"a": 5}, dependencies=[first])
    async with TaskManager(jobs) as tm:
        assert tm.get_task(first).held
        assert tm.get_task(first).tags == {"held"}
        assert tm.get_task_status(second) == "waiting"
        assert await tm.execute_task(second) == 6
        assert tm.get_task_result(first) == 2
    async with TaskManager(jobs) as tm:
        assert not tm.get_task(first).held


@on_a_loop
async def test_external_tasks_are_driven_by_the_next_process(jobs):
    async with TaskManager(jobs) as tm:
        waiting, begun = tm.external("waiting", task_id="w"), tm.external("begun", task_id="b")
        after = tm.submit(double, waiting.output)
        assert begun.start()
        await tm.shutdown(wait=False)
    async with TaskManager(jobs) as tm:
        assert tm.drive("w").complete(21)
        assert tm.drive("b").start()
        assert tm.drive("b").fail(OSError("no"))
        assert await tm.get_handle(after.id) == 42
        with pytest.raises(OSError, match="no"):
            await tm.get_handle("b")


@on_a_loop
async def test_gates_and_owners_hold_after_the_restart(jobs):
    gates = [Gate("site", slots=1)]
    async with TaskManager(jobs, gates=gates) as tm:
        tm.pause()
        for owner in ("ann", "bob"):
            for n in range(3):
                tm.submit(most_at_once.options(owner=owner, gates=["site"]), n)
        await tm.shutdown(wait=False)
    async with TaskManager(jobs, gates=gates) as tm:
        assert [info.gates for info in tm.list_tasks()] == [{"site": 1}] * 6
        await tm.join()
        assert {info.result for info in tm.list_tasks()} == {1}
        assert len(tm.list_tasks(owner="ann")) == 3


running: list[int] = []


@task
async def most_at_once(n):
    running.append(n)
    await asyncio.sleep(0)
    seen = len(running)
    running.remove(n)
    return seen


@on_a_loop
async def test_tasks_of_a_gate_that_is_missing_wait_for_it(jobs):
    gates = [Gate("site", slots=1)]
    async with TaskManager(jobs, gates=gates) as tm:
        gated = tm.submit(add.options(gates=["site"], delay=0.05), 1)
        other = tm.submit(add.options(delay=0.05), 2)
        await tm.shutdown(wait=False)
    async with TaskManager(jobs) as tm:
        assert await tm.get_handle(other.id) == 3
        assert "the gate 'site'" in tm.explain(gated.id)
    async with TaskManager(jobs, gates=gates) as tm:
        assert await tm.get_handle(gated.id) == 2


@on_a_loop
async def test_a_long_past_is_not_climbed_when_the_file_is_opened(jobs):
    async with TaskManager(jobs) as tm:
        handle = tm.submit(echo, 0)
        for _ in range(1500):
            handle = tm.submit(add, handle.output)
        await handle
        tm.pause()
        last = tm.submit(add, handle.output)
        await tm.shutdown(wait=False)
    async with TaskManager(jobs) as tm:
        assert await tm.get_handle(last.id) == 1501
        assert tm.get_task(handle.id).result == 1500


@on_a_loop
async def test_times_are_those_of_then(jobs):
    clocked = Clocked(jobs)
    async with clocked.manager() as tm:
        handle = tm.submit(add, 1)
        await handle
        before = handle.info
    async with clocked.manager(later=3600.0) as tm:
        after = tm.get_task(before.id)
    for name in ("created_at", "started_at", "ended_at"):
        assert abs(getattr(after, name) - getattr(before, name)) < timedelta(milliseconds=20)

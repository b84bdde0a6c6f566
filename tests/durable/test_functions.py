"""Which functions can be kept in a file, and what becomes of tasks whose function has changed."""

import functools
import sqlite3
from contextlib import closing

import pytest
from runtime.stage import Gate, on_a_loop

from windlass import NotDurableError, SerializationError, TaskManager, TaskPriority, task
from windlass import decorators as registered
from windlass.observe import TaskFile

from .stage import add, after_crash, door, echo, wait_at

LATER = 3600.0


def plain(x=1):
    return x


def forget(*ids):
    """Be a program that does not have these functions."""
    for id in ids:
        del registered._registry[id]


@on_a_loop
async def test_only_decorated_functions_are_durable(jobs):
    class Thing:
        @task
        def method(self):
            return 1

    async with TaskManager(jobs) as tm:
        for function in (plain, functools.partial(plain, 1), Thing().method, task(lambda: 1)):
            with pytest.raises(NotDurableError, match="Decorate it, or let it live in memory"):
                tm.submit(function)
        with pytest.raises(NotDurableError):
            tm.map(plain, [1])
        with pytest.raises(NotDurableError):
            tm.enqueue(plain)
        with pytest.raises(NotDurableError):
            tm.register_task("x", plain)
        assert tm.list_tasks() == []
        assert await tm.submit(task(plain, durable=False)) == 1
        assert await tm.submit(task(Thing().method, durable=False)) == 1
    async with TaskManager(jobs) as tm:
        assert tm.list_tasks() == []


@task(
    name="crawl", type="web", description="reads", tags=["slow"], owner="ann", priority="high",
    metadata={"team": 1},
)  # fmt: skip
async def labelled():
    pass


@task(tags=["kept"], metadata={"cannot be stored": object()})
async def labelled_oddly():
    pass


@on_a_loop
async def test_what_a_function_asks_is_known_to_who_looks_at_the_file(jobs):
    async with TaskManager(jobs) as tm:
        await tm.submit(labelled)
        await tm.submit(labelled.options(tags=["own"], owner="bob"))
        await tm.submit(add, 1)
        await tm.map(labelled, [], chunksize=2)
    look = TaskFile(jobs)
    first, second, third = look.list_tasks()
    assert (first.name, first.type, first.description) == ("crawl", "web", "reads")
    assert (first.tags, first.owner, first.metadata) == ({"slow"}, "ann", {"team": 1})
    assert first.priority is second.priority is TaskPriority.HIGH
    assert (second.name, second.tags, second.owner) == ("crawl", {"own"}, "bob")
    assert (third.name, third.tags, third.owner) == ("add", set(), None)
    assert look.list_tasks(tag="slow") == look.list_tasks(owner="ann") == [first]
    for name in ("crawl", "labelled", "durable.test_functions.labelled"):
        assert look.list_tasks(name=name) == [first, second]


@on_a_loop
async def test_what_a_function_asks_and_cannot_be_stored_is_left_out(jobs):
    async with TaskManager(jobs) as tm:
        await tm.submit(labelled_oddly)
    (info,) = TaskFile(jobs).list_tasks()
    assert (info.name, info.tags) == ("durable.test_functions.labelled_oddly", set())


@on_a_loop
async def test_a_function_that_has_changed_is_stored_anew(jobs):
    for tags in (["old"], ["new"]):

        @task(id="changing", tags=tags)
        async def changing():
            pass

        async with TaskManager(jobs) as tm:
            await tm.submit(changing)
    assert [info.tags for info in TaskFile(jobs).list_tasks()] == [{"new"}, {"new"}]
    forget("changing")


@on_a_loop
async def test_what_is_damaged_of_a_function_is_not_missed(jobs):
    async with TaskManager(jobs) as tm:
        await tm.submit(labelled)
    with closing(sqlite3.connect(jobs)) as connection:
        connection.execute("UPDATE windlass_functions SET options = x'1234'")
        connection.commit()
    (info,) = TaskFile(jobs).list_tasks()
    assert (info.name, info.status) == ("durable.test_functions.labelled", "completed")


@on_a_loop
async def test_a_durable_task_cannot_depend_on_one_in_memory(jobs):
    async with TaskManager(jobs) as tm:
        fleeting = tm.submit(task(plain, durable=False), 4)
        for asked in (
            lambda: tm.submit(echo, fleeting),
            lambda: tm.submit(echo, [fleeting.output]),
            lambda: tm.submit(echo.options(after=[fleeting])),
        ):
            with pytest.raises(NotDurableError, match=r"durable=False.*Make both durable"):
                asked()
        # The other way round is fine.
        durable = tm.submit(add, 1)
        assert await tm.submit(task(plain, durable=False), durable.output) == 2
        assert await fleeting == 4


@on_a_loop
async def test_an_unknown_function_waits_for_a_program_that_has_it(jobs):
    @task(id="was-there")
    async def was_there(x):
        return x + 1

    async with TaskManager(jobs) as tm:
        handle = tm.submit(was_there.options(delay=0.01, tags=["t"], priority="high"), 41)
        dependent = tm.submit(echo, handle.output)
        other = tm.submit(add.options(delay=0.01), 1)
        await tm.shutdown(wait=False)
    forget("was-there")
    for _ in range(2):
        async with TaskManager(jobs) as tm:
            assert await tm.get_handle(other.id) == 2
            info = tm.get_task(handle.id)
            assert (info.status, info.name, info.tags) == ("pending", "was-there", {"t"})
            assert "was-there" in tm.explain(handle.id)
            assert tm.get_task_status(dependent.id) == "waiting"
    task(id="was-there")(was_there._recipe.function)
    async with TaskManager(jobs) as tm:
        assert await tm.get_handle(dependent.id) == 42
        assert tm.get_task(handle.id).priority.name == "HIGH"


@on_a_loop
async def test_an_unknown_function_that_was_running_when_the_process_died(jobs):
    @task(id="was-running")
    async def was_running(name):
        return await wait_at(name)

    hold = door("here")
    async with TaskManager(jobs) as tm:
        handle = tm.submit(was_running, "here")
        await hold.came()
        crashed = after_crash(jobs)
        hold.open()
    forget("was-running")
    async with TaskManager(crashed) as tm:
        assert tm.get_task_status(handle.id) == "pending"
    task(id="was-running")(was_running._recipe.function)
    door("here").open()
    async with TaskManager(crashed) as tm:
        await tm.get_handle(handle.id)
        assert tm.get_task(handle.id).attempt == 2


@on_a_loop
async def test_an_unknown_function_can_be_cancelled_and_retried(jobs):
    @task(id="to-cancel")
    async def to_cancel(x):
        return x

    async with TaskManager(jobs) as tm:
        handle = tm.submit(to_cancel.options(delay=LATER), "kept")
    forget("to-cancel")
    async with TaskManager(jobs) as tm:
        assert tm.cancel_task(handle.id)
    async with TaskManager(jobs) as tm:
        assert tm.get_task_status(handle.id) == "cancelled"
        tm.retry(handle.id)
    task(id="to-cancel")(to_cancel._recipe.function)
    async with TaskManager(jobs) as tm:
        assert await tm.get_handle(handle.id) == "kept"


@on_a_loop
async def test_a_renamed_function_is_known_by_its_alias(jobs):
    @task(id="old-name")
    async def old(x):
        return ("old", x)

    async with TaskManager(jobs) as tm:
        ended = tm.submit(old, 0)
        await ended
        tm.pause()
        handle = tm.submit(old, 1)
        await tm.shutdown(wait=False)
    forget("old-name")

    @task(id="new-name", aliases=["old-name"])
    async def new(x):
        return ("new", x)

    async with TaskManager(jobs) as tm:
        assert await tm.get_handle(handle.id) == ("new", 1)
        assert tm.get_task_result(ended.id) == ("old", 0)
    forget("old-name", "new-name")


@on_a_loop
async def test_a_changed_signature_fails_the_task_and_names_both(jobs, caplog):
    @task(id="changed")
    async def before(path, depth):
        return path

    async with TaskManager(jobs) as tm:
        handle = tm.submit(before.options(delay=LATER), "/tmp", depth=3)
        dependent = tm.submit(echo, handle.output)

    @task(id="changed")
    async def after(path):
        return path

    async with TaskManager(jobs) as tm:
        with pytest.raises(SerializationError, match=r"another version.*changed.*'depth'"):
            await tm.get_handle(handle.id)
        assert tm.get_task_status(dependent.id) == "failed"
    assert "failed (cannot run)" in caplog.text
    forget("changed")


@on_a_loop
async def test_tasks_of_an_executor_that_is_missing_wait_for_it(jobs):
    from windlass.executors.threads import ThreadExecutor

    async with TaskManager(jobs, executors={"disk": ThreadExecutor(1)}) as tm:
        handle = tm.submit(sync_add.options(executor="disk", delay=0.01), 1)
        await tm.shutdown(wait=False)
    async with TaskManager(jobs) as tm:
        assert tm.get_task_status(handle.id) == "pending"
        assert "disk" in tm.explain(handle.id)
    async with TaskManager(jobs, executors={"disk": ThreadExecutor(1)}) as tm:
        assert await tm.get_handle(handle.id) == 2


@task
def sync_add(a):
    return a + 1


@pytest.mark.parametrize("executor", ["sequential", "async", "thread", "process"])
@on_a_loop
async def test_every_executor_of_the_house_runs_what_was_stored(jobs, executor):
    function = add if executor in {"async", "process"} else sync_add
    async with TaskManager(jobs, processes=1) as tm:
        handle = tm.submit(function.options(executor=executor, delay=0.01), 1)
        await tm.shutdown(wait=False)
    async with TaskManager(jobs, processes=1) as tm:
        assert await tm.get_handle(handle.id) == 2


@on_a_loop
async def test_what_cannot_be_stored_is_refused_where_it_is_submitted(jobs):
    gate = Gate()
    async with TaskManager(jobs) as tm:
        for asked, where in (
            (lambda: tm.submit(echo, {"deep": [gate]}), r"argument 1 of echo.*\['deep'\]\[0\]"),
            (lambda: tm.submit(echo, value=gate), "value"),
            (lambda: tm.submit(echo.options(metadata={"gate": gate})), r"\['metadata'\]\['gate'\]"),
            (lambda: tm.submit(echo.options(key="half \ud800")), "surrogate"),
            (lambda: tm.submit(echo.options(tags=["half \ud800"])), "surrogate"),
            (lambda: tm.submit(echo.options(owner="half \ud800")), "surrogate"),
        ):
            with pytest.raises(SerializationError, match=where):
                asked()
        assert await tm.submit(add, 1) == 2


@on_a_loop
async def test_odd_texts_from_outside_do_no_harm(jobs):
    hold = door()
    async with TaskManager(jobs) as tm:
        handle, later = tm.submit(wait_at), tm.submit(add.options(delay=LATER), 1)
        await hold.came()
        tm.update_task_progress(handle, 0.5, "half \ud800")
        tm.cancel_task(later, "half \ud800")
        await tm.flush()
        hold.open()
        await handle
    async with TaskManager(jobs) as tm:
        assert tm.get_task_status(later.id) == "cancelled"


@on_a_loop
async def test_chunks_are_named_after_their_function(jobs):
    @task(id="in-chunks")
    async def in_chunks(x, y):
        return x * y

    async with TaskManager(jobs) as tm:
        handles = tm.map(in_chunks.options(delay=0.01), range(4), range(4), chunksize=3)
        total = tm.submit(echo, [handle.output for handle in handles])
        await tm.shutdown(wait=False)
    forget("in-chunks")
    async with TaskManager(jobs) as tm:
        assert "'in-chunks'" in tm.explain(handles[0].id)
    task(id="in-chunks")(in_chunks._recipe.function)
    async with TaskManager(jobs) as tm:
        assert await tm.get_handle(total.id) == [0, 1, 4, 9]

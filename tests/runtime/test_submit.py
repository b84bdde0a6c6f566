"""Tasks are taken in at once, checked where they are submitted, and run where they belong."""

import asyncio
import functools
import threading

import pytest

from windlass import (
    DuplicateTaskError,
    ManagerClosedError,
    TaskManager,
    TaskPriority,
    TaskStatus,
    current_task,
    task,
)

from .stage import Door, double, double_async, on_a_loop


@on_a_loop
async def test_a_coroutine_function_runs_on_the_loop_and_a_plain_one_in_a_thread():
    async def where():
        return threading.current_thread()

    async with TaskManager() as tm:
        assert await tm.submit(where) is threading.current_thread()
        assert await tm.submit(threading.current_thread) is not threading.current_thread()


def test_without_a_loop_coroutines_run_on_a_loop_of_the_managers_own():
    async def where():
        return threading.current_thread().name

    with TaskManager() as tm:
        assert tm.submit(where).result(timeout=60) == "windlass-loop"
        assert tm.submit(double, 2).result(timeout=60) == 4


@on_a_loop
async def test_all_arguments_go_to_the_function():
    def takes(*args, **kwargs):
        return args, kwargs

    async with TaskManager() as tm:
        given = {"name": 1, "timeout": 2, "priority": 3, "func": 4, "self": 5, "key": 6}
        assert await tm.submit(takes, 1, 2, **given) == ((1, 2), given)


@on_a_loop
async def test_a_handle_is_there_at_once_and_tells_where_the_task_stands():
    async with TaskManager() as tm:
        door = Door()
        handle = tm.submit(door, 7)
        assert not handle.done()
        assert handle.status is TaskStatus.PENDING
        await door.came()
        assert handle.status is TaskStatus.RUNNING
        assert handle.ended_by is None
        door.open()
        assert await handle == 7
        assert handle.done()
        assert handle.status is TaskStatus.COMPLETED
        assert handle.ended_by == "returned"
        assert handle.exception() is None
        assert await handle == 7, "a result can be asked for again and again"
        assert handle.result() == 7


@on_a_loop
async def test_an_awaitable_that_a_plain_function_returns_is_awaited_on_the_loop():
    async def inner():
        return threading.current_thread(), current_task().name

    def outer():
        return inner()

    async with TaskManager() as tm:
        thread, name = await tm.submit(outer)
        assert thread is threading.current_thread()
        assert name == "outer"
        assert await tm.submit(lambda: double_async(3)) == 6


@on_a_loop
async def test_an_object_with_an_async_call_runs_on_the_loop():
    class Doubler:
        async def __call__(self, x):
            return threading.current_thread(), 2 * x

    async with TaskManager() as tm:
        assert await tm.submit(Doubler(), 4) == (threading.current_thread(), 8)


@on_a_loop
async def test_partials_methods_builtins_and_classes_are_functions_too():
    class Box:
        def __init__(self, x):
            self.x = x

        def get(self):
            return self.x

        @staticmethod
        def static(x):
            return x

        @classmethod
        async def made(cls, x):
            return cls(x).x

    async with TaskManager() as tm:
        assert await tm.submit(functools.partial(double, 3)) == 6
        assert await tm.submit(functools.partial(double_async, x=3)) == 6
        assert await tm.submit(Box(5).get) == 5
        assert await tm.submit(Box.static, 6) == 6
        assert await tm.submit(Box.made, 7) == 7
        assert await tm.submit(sorted, [2, 1]) == [1, 2]
        assert (await tm.submit(Box, 8)).x == 8
        assert await tm.submit(max, 1, 2) == 2
        assert await tm.submit("-".join, ["a", "b"]) == "a-b"


@on_a_loop
async def test_an_async_function_on_the_thread_executor_has_a_loop_of_its_own():
    async def where():
        await asyncio.sleep(0)
        return threading.current_thread(), asyncio.get_running_loop()

    async with TaskManager() as tm:
        thread, loop = await tm.submit(task(where, executor="thread"))
        assert thread is not threading.current_thread()
        assert loop is not asyncio.get_running_loop()


@on_a_loop
async def test_sequential_tasks_run_one_at_a_time_in_the_loops_thread():
    running = []

    @task(executor="sequential")
    async def alone(x):
        running.append(x)
        await asyncio.sleep(0)
        assert running == [x]
        running.remove(x)
        return threading.current_thread()

    async with TaskManager() as tm:
        threads = await tm.gather(*tm.map(alone, range(10)))
        assert set(threads) == {threading.current_thread()}


def test_a_decorated_function_called_directly_runs_as_if_undecorated():
    @task(timeout=5, tags=["x"])
    def add(a, b=1):
        """Adds."""
        return a + b

    @task
    async def later(x):
        return x

    assert add(1, b=2) == 3
    assert add.__name__ == "add"
    assert add.__doc__ == "Adds."
    assert asyncio.run(later(3)) == 3


def test_a_decorated_method_is_bound_like_any_other():
    class Box:
        x = 3

        @task(tags=["boxed"])
        def get(self, y):
            return self.x + y

    assert Box().get(1) == 4
    with TaskManager() as tm:
        handle = tm.submit(Box().get, 2)
        assert handle.result(timeout=60) == 5
        assert handle.info.tags == {"boxed"}


@on_a_loop
async def test_options_of_the_decorator_hold_for_every_task_and_options_for_one_call():
    @task(name="fetch", tags=["a"], priority="high", metadata={"n": 1}, owner="me", type="io")
    async def fetch():
        return current_task().metadata

    async with TaskManager() as tm:
        usual = tm.submit(fetch)
        special = tm.submit(
            fetch.options(name="other", tags=["b"], priority=TaskPriority.LOW, metadata={"n": 2})
        )
        assert await usual == {"n": 1}
        assert await special == {"n": 2}
        assert (usual.name, usual.info.tags, usual.info.priority) == ("fetch", {"a"}, 2)
        assert (special.name, special.info.tags, special.info.priority) == ("other", {"b"}, 0)
        assert special.info.owner == "me"
        assert special.info.type == "io"
        assert tm.submit(fetch).name == "fetch", "options() changed a copy"


@on_a_loop
async def test_a_function_that_is_not_decorated_can_be_given_options():
    async with TaskManager() as tm:
        handle = tm.submit(task(double, name="twice", description="2x"), 2)
        assert handle.name == "twice"
        assert handle.info.description == "2x"
        assert await handle == 4


def test_what_is_for_one_call_is_refused_in_the_decorator():
    for option in ({"key": "k"}, {"delay": 1}, {"at": 1.0}, {"after": []}):
        with pytest.raises(TypeError, match=r"for one call: use func\.options"):
            task(**option)
        with pytest.raises(TypeError, match=r"for one call: use func\.options"):
            task(double, **option)


@on_a_loop
async def test_a_key_makes_a_submit_idempotent():
    runs = []

    async def once(x):
        runs.append(x)
        return x

    once_with_key = task(once).options(key="only")
    async with TaskManager() as tm:
        first = tm.submit(once_with_key, 1)
        second = tm.submit(once_with_key, 2)
        assert first.id == second.id
        assert await second == 1
        assert tm.submit(once_with_key, 3).id == first.id, "even after its end"
        assert (await tm.enqueue(once_with_key, 4)).id == first.id
        assert runs == [1]
        assert [info.key for info in tm.list_tasks(key="only")] == ["only"]


@on_a_loop
async def test_a_key_is_free_again_when_its_task_is_forgotten():
    async with TaskManager() as tm:
        first = tm.submit(task(double_async).options(key="k"), 1)
        await first
        tm.cleanup()
        second = tm.submit(task(double_async).options(key="k"), 2)
        assert second.id != first.id
        assert await second == 4


@on_a_loop
async def test_a_key_names_one_task_and_map_makes_several():
    async with TaskManager() as tm:
        for chunksize in (None, 2):
            with pytest.raises(ValueError, match="key= names one task"):
                tm.map(task(double).options(key="k"), [1, 2, 3], chunksize=chunksize)


@on_a_loop
async def test_ids_are_unique_and_a_duplicate_is_refused():
    async with TaskManager() as tm:
        ids = {tm.submit(double_async, n).id for n in range(100)}
        assert len(ids) == 100
        tm.register_task("x", double, 1, task_id="mine")
        with pytest.raises(DuplicateTaskError, match="mine"):
            tm.register_task("y", double, 1, task_id="mine")
        assert tm.get_task("mine").name == "x"


@on_a_loop
async def test_priorities_decide_who_goes_first_and_within_one_who_came_first():
    order = []

    async def note(x):
        order.append(x)

    async with TaskManager(max_concurrent_tasks=1) as tm:
        tm.pause()
        for name in ("low", "normal", "high", "critical"):
            for number in (1, 2):
                tm.submit(task(note, priority=name), f"{name} {number}")
        tm.resume()
        await tm.join()
    assert order == [
        f"{name} {n}" for name in ("critical", "high", "normal", "low") for n in (1, 2)
    ]


@on_a_loop
async def test_running_means_running_and_the_limit_holds_over_all_executors():
    running = 0
    most = 0
    lock = threading.Lock()

    def begin():
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)

    def end():
        nonlocal running
        with lock:
            running -= 1

    async def on_the_loop():
        begin()
        await asyncio.sleep(0.001)
        end()

    def in_a_thread():
        begin()
        threading.Event().wait(0.001)
        end()

    async with TaskManager(max_concurrent_tasks=3) as tm:
        for _ in range(30):
            tm.submit(on_the_loop)
            tm.submit(in_a_thread)
            assert sum(info.status == "running" for info in tm.list_tasks()) <= 3
        await tm.join()
    assert most == 3


@on_a_loop
async def test_the_limit_can_be_changed_while_tasks_wait():
    async with TaskManager(max_concurrent_tasks=1) as tm:
        door = Door()
        handles = [tm.submit(door) for _ in range(3)]
        await door.came()
        assert tm.max_concurrent_tasks == 1
        tm.max_concurrent_tasks = 3
        await door.came(2)
        assert all(handle.status is TaskStatus.RUNNING for handle in handles)
        door.open()


@on_a_loop
async def test_map_is_like_the_builtin():
    async with TaskManager() as tm:
        handles = tm.map(pow, [1, 2, 3], [2, 2, 2])
        assert await tm.gather(*handles) == [1, 4, 9]
        assert await tm.gather(*tm.map(double_async, (n for n in range(3)))) == [0, 2, 4]
        assert list(tm.map(double, [])) == []


@on_a_loop
async def test_what_map_returns_is_a_sequence_and_a_wait_for_all_of_it():
    async with TaskManager() as tm:
        for chunksize in (None, 2):
            door = Door()
            after = task(double_async).options(after=[tm.submit(door)])
            handles = tm.map(after, range(5), chunksize=chunksize)
            assert repr(handles) == f"<map of 5 calls in {3 if chunksize else 5} tasks>"
            assert len(handles) == 5
            assert handles[3] is list(handles)[3] is handles[-2]
            assert handles[1:3] == [handles[1], handles[2]]
            assert not handles.done()
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(handles, 0)
            door.open()
            assert await handles == [0, 2, 4, 6, 8]
            assert handles.done()
            assert await handles[3] == 6
            assert await tm.map(double_async, [], chunksize=chunksize) == []


@on_a_loop
async def test_what_map_returns_raises_the_first_failure_when_all_have_ended():
    ended = []

    async def picky(x):
        if x == 2:
            raise ValueError("not two")
        ended.append(x)

    async with TaskManager() as tm:
        for chunksize in (None, 2):
            with pytest.raises(ValueError, match=r"picky .*not two"):
                await tm.map(picky, [0, 1, 4, 2, 5], chunksize=chunksize)
            assert ended == [0, 1, 4, 5]
            ended.clear()


def test_what_map_returns_is_waited_for_in_plain_code():
    with TaskManager() as tm:
        assert tm.map(double, range(5), chunksize=2).result(timeout=60) == [0, 2, 4, 6, 8]


@on_a_loop
async def test_map_demands_equal_lengths_and_submits_nothing_otherwise():
    async with TaskManager() as tm:
        with pytest.raises(ValueError, match="shorter"):
            tm.map(pow, [1, 2, 3], [2, 2])
        with pytest.raises(ValueError, match="shorter"):
            tm.map(pow, [1, 2, 3], [2, 2], chunksize=2)
        with pytest.raises(TypeError, match="at least one iterable"):
            tm.map(double)
        assert tm.list_tasks() == []


@on_a_loop
async def test_map_is_all_or_nothing():
    async with TaskManager(max_pending=5) as tm:
        tm.pause()
        with pytest.raises(Exception, match="max_pending"):
            tm.map(double_async, range(6))
        with pytest.raises(TypeError, match="missing a required argument: 'b'"):
            tm.map(lambda a, b: a, [1, 2])
        assert tm.list_tasks() == []
        assert len(tm.map(double_async, range(5))) == 5
        tm.resume()


@on_a_loop
async def test_with_a_chunksize_tiny_calls_share_tasks_and_each_has_a_handle():
    calls = []

    def note(x, y):
        calls.append(x)
        return x * y

    async with TaskManager() as tm:
        handles = tm.map(note, range(10), [10] * 10, chunksize=4)
        assert len(handles) == 10
        assert await tm.gather(*handles) == [10 * n for n in range(10)]
        assert await handles[7] == 70
        assert len(tm.list_tasks()) == 3
        assert sorted(calls) == list(range(10))
        assert await tm.gather(*tm.map(double_async, range(5), chunksize=2)) == [0, 2, 4, 6, 8]
        # An item can be passed on like any other handle, and passing handles in works as well.
        again = tm.map(double, [handle.output for handle in handles[:3]], chunksize=2)
        assert await tm.gather(*again) == [0, 20, 40]
        with pytest.raises(ValueError, match="chunksize"):
            tm.map(double, [1], chunksize=0)


@on_a_loop
async def test_callables_that_return_awaitables_are_awaited_in_chunks_too():
    class Doubler:
        async def __call__(self, x):
            return 2 * x

    async with TaskManager() as tm:
        assert await tm.gather(*tm.map(Doubler(), range(4), chunksize=2)) == [0, 2, 4, 6]
        returning = tm.map(lambda x: double_async(x), range(4), chunksize=2)
        assert await tm.gather(*returning) == [0, 2, 4, 6]


@on_a_loop
async def test_enqueue_gives_a_handle_too():
    async with TaskManager() as tm:
        handle = await tm.enqueue(double, 4)
        assert await handle == 8
    with pytest.raises(ManagerClosedError, match="not open"):
        await tm.enqueue(double, 4)


@on_a_loop
async def test_one_options_object_serves_many_submits():
    order = []

    async def note(x):
        order.append(x)

    async with TaskManager() as tm:
        door = Door()
        first = tm.submit(door)
        follow = task(note).options(after=(handle for handle in [first]))
        tm.submit(follow, "b")
        tm.submit(follow, "c")
        tm.submit(note, "a")
        await door.came()
        await asyncio.sleep(0)
        assert order == ["a"]
        door.open()
        await tm.join()
        assert order == ["a", "b", "c"]

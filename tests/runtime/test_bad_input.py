"""Whatever is passed: a clear error where it is passed, or the right thing; never a dead manager.

Each test ends with a task that runs, on the manager that has just been mistreated.
"""

import asyncio
import functools
import logging
import math
import pickle
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from windlass import (
    DuplicateTaskError,
    InvalidTaskStateError,
    ManagerClosedError,
    Retry,
    Snooze,
    TaskDependencyError,
    TaskError,
    TaskExecutionError,
    TaskManager,
    TaskNotFoundError,
    TaskStatus,
    call,
    current_task,
    ref,
    task,
)

from .stage import SOON, double, double_async, fail, on_a_loop


@pytest.fixture
def tm():
    """A manager that must be as good as new after the test, and have nothing left to do."""
    with TaskManager() as manager:
        yield manager
        before = len(manager.list_tasks())
        assert manager.submit(double, 21).result(SOON) == 42
        assert manager.submit(double_async, 21).result(SOON) == 42
        assert len(manager.list_tasks()) == before + 2
        manager.join().result(SOON)


def refused(kind, message, act):
    """``act()`` raises ``kind`` with ``message`` in it, and without a word too many before it."""
    with pytest.raises(kind) as caught:
        act()
    assert message in str(caught.value)
    assert type(caught.value) is kind


def nothing_was_taken_in(manager):
    return manager.list_tasks() == []


# -- not a function --------------------------------------------------------------------------------

WAYS = {
    "submit": lambda tm, func, *args: tm.submit(func, *args),
    "enqueue": lambda tm, func, *args: tm.enqueue(func, *args),
    "map": lambda tm, func, *args: tm.map(func, *[[a] for a in args or (1,)]),
    "group": lambda tm, func, *args: tm.group().submit(func, *args),
    "group.map": lambda tm, func, *args: tm.group().map(func, *[[a] for a in args or (1,)]),
    "graph": lambda tm, func, *args: tm.graph({"a": call(func, *args)}),
    "register_task": lambda tm, func, *args: tm.register_task("name", func, *args),
    "as_executor": lambda tm, func, *args: tm.as_executor().submit(func, *args),
}


@pytest.fixture(params=WAYS.values(), ids=WAYS)
def ask(request, tm):
    """One of the ways to ask for a task."""
    return functools.partial(request.param, tm)


@pytest.mark.parametrize("wrong", [None, 5, "double", [double], object()], ids=repr)
def test_what_is_no_function_is_refused(ask, tm, wrong):
    refused(TypeError, f"a task is made of a function, not of {wrong!r}", lambda: ask(wrong))
    assert nothing_was_taken_in(tm)


def test_a_coroutine_is_closed_and_the_call_is_shown_as_it_should_be(ask, tm):
    coroutine = double_async(1)
    message = "write submit(fetch, url) instead of submit(fetch(url))"
    refused(TypeError, message, lambda: ask(coroutine))
    assert coroutine.cr_frame is None, "closed, so nobody is warned that it was never awaited"
    assert nothing_was_taken_in(tm)


def test_a_handle_in_the_place_of_the_function_is_recognised(ask, tm):
    handle = tm.submit(double, 1)
    handle.result(SOON)
    refused(TypeError, "a handle is passed as an argument", lambda: ask(handle))
    refused(TypeError, "a handle is passed as an argument", lambda: ask(handle.output))
    assert len(tm.list_tasks()) == 1


def test_the_decorator_asks_for_a_function_too(tm):
    message = "a task is made of a function, not of "
    for wrong in (5, "name", [double]):
        refused(TypeError, f"{message}{wrong!r}", lambda wrong=wrong: task(wrong))
        refused(TypeError, f"{message}{wrong!r}", lambda wrong=wrong: task(timeout=5)(wrong))
    refused(TypeError, "put @task below", lambda: task(classmethod(double)))
    refused(TypeError, "put @task below", lambda: task(property(double)))
    refused(TypeError, "instead of submit(fetch(url))", lambda: task(double_async(1)))


# -- a call that the function does not take --------------------------------------------------------


NAMED = "keyword-only argument" if sys.version_info >= (3, 12) else "argument"


def keyword_only(a, *, b):
    return a, b


class Point:
    def __init__(self, x, y):
        self.x, self.y = x, y

    def moved(self, by):
        return Point(self.x + by, self.y)


@pytest.mark.parametrize(
    ("func", "args", "message"),
    [
        (double, (), "double(x): missing a required argument: 'x'"),
        (double, (1, 2), "double(x): too many positional arguments"),
        (double_async, (), "double_async(x): missing a required argument: 'x'"),
        (task(double), (), "double(x): missing a required argument: 'x'"),
        (keyword_only, (1,), f"keyword_only(a, *, b): missing a required {NAMED}: 'b'"),
        (Point, (1,), "Point(x, y): missing a required argument: 'y'"),
        (Point(1, 2).moved, (), "moved(by): missing a required argument: 'by'"),
        (functools.partial(double, 1), (2,), "double(): too many positional arguments"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_wrong_arity_is_found_at_submit_and_names_the_parameter(ask, tm, func, args, message):
    if args or ask.func not in {WAYS["map"], WAYS["group.map"]}:
        in_other_words = message.partition(")")[2]  # by id, a task has a name of its own
        refused(TypeError, in_other_words, lambda: ask(func, *args))
    refused(TypeError, message, lambda: tm.submit(func, *args))
    assert nothing_was_taken_in(tm)


def test_wrong_keywords_are_found_at_submit(tm):
    unexpected = "double(x): got an unexpected keyword argument 'timeout'"
    refused(TypeError, unexpected, lambda: tm.submit(double, 1, timeout=5))
    refused(TypeError, "multiple values for argument 'x'", lambda: tm.submit(double, 1, x=2))
    refused(TypeError, "missing a required argument: 'x'", lambda: tm.submit(double, y=2))
    message = "kwargs= takes a dict, not 5"
    refused(TypeError, message, lambda: tm.register_task("n", double, 1, kwargs=5))
    assert nothing_was_taken_in(tm)


def test_a_builtin_without_a_signature_says_it_for_itself(tm):
    handle = tm.submit(max)
    with pytest.raises(TypeError, match="max expected at least 1 argument"):
        handle.result(SOON)


def test_map_takes_iterables_of_equal_length(tm):
    for chunksize in (None, 2):
        ask = functools.partial(tm.map, chunksize=chunksize)
        message = "map() takes equally long iterables: argument 2 is longer than argument 1"
        refused(ValueError, message, lambda: ask(pow, [1], [2, 3]))  # noqa: B023
        refused(TypeError, "at least one iterable", lambda: ask(double))  # noqa: B023
        message = "map() takes a function and iterables, not 5"
        refused(TypeError, message, lambda: ask(double, 5))  # noqa: B023
    refused(TypeError, "chunksize is a whole number", lambda: tm.map(double, [1], chunksize=1.5))
    refused(ValueError, "chunksize must be at least 1", lambda: tm.map(double, [1], chunksize=0))
    assert nothing_was_taken_in(tm)


def test_an_iterable_that_raises_leaves_nothing_behind(tm):
    def items():
        yield 1
        raise ValueError("no more")

    refused(ValueError, "no more", lambda: tm.map(double, items()))
    assert nothing_was_taken_in(tm)


# -- options ---------------------------------------------------------------------------------------

NUMBERS = [
    *((name, 0, ValueError, f"{name} must be more than zero seconds, not 0; leave it out")
      for name in ("timeout", "total_timeout", "expires")),
    *((name, -1, ValueError, f"{name} must be more than zero seconds, not -1")
      for name in ("timeout", "total_timeout", "expires")),
    *((name, math.nan, ValueError, f"{name} must be more than zero seconds, not nan")
      for name in ("timeout", "total_timeout", "expires")),
    *((name, "5", TypeError, f"{name} is a number of seconds, not '5'")
      for name in ("timeout", "total_timeout", "expires")),
    ("timeout", True, TypeError, "timeout is a number of seconds, not True"),
    ("retry", 3, TypeError, "retry= takes Retry(...), not 3"),
    ("max_retries", -1, ValueError, "max_retries must be at least 0, not -1"),
    ("max_retries", 1.5, TypeError, "max_retries is a whole number, not 1.5"),
    ("retry_delay", -1, ValueError, "retry_delay must be zero or more seconds, not -1"),
    ("retry_delay", math.nan, ValueError, "retry_delay must be zero or more seconds, not nan"),
    ("max_crashes", 0, ValueError, "max_crashes must be at least 1, not 0"),
]  # fmt: skip
TEXTS = [
    ("priority", "urgent", ValueError, "one of LOW, NORMAL, HIGH, CRITICAL, not 'urgent'"),
    ("priority", 9, ValueError, "one of LOW, NORMAL, HIGH, CRITICAL, not 9"),
    ("priority", None, ValueError, "one of LOW, NORMAL, HIGH, CRITICAL, not None"),
    ("tags", "crawl", TypeError, "not one text: write tags=['crawl']"),
    ("tags", 5, TypeError, "tags= takes several texts, not 5"),
    ("tags", [5], TypeError, "tags= takes texts, not [5]"),
    ("metadata", 5, TypeError, "metadata= takes a dict, not 5"),
    ("metadata", [1], TypeError, "metadata= takes a dict, not [1]"),
    ("owner", 5, TypeError, "owner= takes a text, not 5"),
    ("name", 5, TypeError, "name= takes a text, not 5"),
    ("type", None, TypeError, "type= takes a text, not None"),
    ("description", 5, TypeError, "description= takes a text, not 5"),
    ("executor", None, TypeError, "executor= takes a text, not None"),
    ("run_if", "maybe", ValueError, "run_if is 'all_success' or 'all_done', not 'maybe'"),
    ("timeot", 5, TypeError, "there is no option timeot; there are: after, aliases"),
]
FOR_CALL = [
    ("delay", -1, ValueError, "delay must be zero or more seconds, not -1"),
    ("delay", math.nan, ValueError, "delay must be zero or more seconds, not nan"),
    ("delay", "5", TypeError, "delay is a number of seconds, not '5'"),
    ("at", "tomorrow", TypeError, "at= takes a datetime, or seconds since the epoch"),
    ("at", math.nan, TypeError, "at= takes a datetime, or seconds since the epoch"),
    ("key", 5, TypeError, "key= takes a text, not 5"),
    ("after", 5, TypeError, "after= takes handles and ids, not 5"),
]


@pytest.mark.parametrize(("option", "value", "kind", "message"), NUMBERS + TEXTS)
def test_options_are_checked_where_they_are_given(tm, option, value, kind, message):
    refused(kind, message, lambda: task(double, **{option: value}))
    refused(kind, message, lambda: task(**{option: value})(double))
    refused(kind, message, lambda: task(double).options(**{option: value}))


@pytest.mark.parametrize(("option", "value", "kind", "message"), FOR_CALL)
def test_options_for_a_call_are_checked_and_belong_to_a_call(tm, option, value, kind, message):
    refused(kind, message, lambda: task(double).options(**{option: value}))
    hint = f"{option}= is for one call: use func.options({option}=...)"
    refused(TypeError, hint, lambda: task(**{option: value}))
    refused(TypeError, hint, lambda: task(double, **{option: value}))


def test_options_that_contradict_each_other(tm):
    message = "give either retry=Retry(...), or max_retries= and retry_delay="
    refused(TypeError, message, lambda: task(double, retry=Retry(), max_retries=1))
    refused(TypeError, message, lambda: task(double, retry=Retry(), retry_delay=1))


def test_ids_of_functions(tm):
    refused(TypeError, "id= takes a text, not 5", lambda: task(double, id=5))
    refused(TypeError, "aliases= takes several ids, not 'old'", lambda: task(double, aliases="old"))
    refused(TypeError, "aliases= takes texts, not [5]", lambda: task(double, aliases=[5]))
    refused(TypeError, "aliases= takes several ids, not 5", lambda: task(double, aliases=5))
    message = "id= and aliases= name the function and belong into @task(...)"
    refused(TypeError, message, lambda: task(double).options(aliases=["old"]))
    refused(TypeError, message, lambda: task(double).options(id="new"))


def test_some_options_of_a_retry_leave_the_others_as_they_were(tm):
    @task(retry=Retry(retries=3, delay=5, on=KeyError))
    def patient(): ...

    kept = patient.options(max_retries=1)._recipe.spec.retry
    assert kept == Retry(retries=1, delay=5, on=KeyError)
    assert patient.options(retry_delay=0)._recipe.spec.retry == Retry(3, 0, on=KeyError)


@pytest.mark.parametrize(
    ("fields", "kind", "message"),
    [
        ({"retries": -1}, ValueError, "retries must be at least 0, not -1"),
        ({"retries": "3"}, TypeError, "retries is a whole number, not '3'"),
        ({"delay": -1}, ValueError, "delay must be zero or more seconds, not -1"),
        ({"cap": math.inf}, ValueError, "cap must be zero or more seconds, not inf"),
        ({"backoff": 0.5}, ValueError, "backoff must be at least 1, not 0.5"),
        ({"backoff": "2"}, TypeError, "backoff is a number, not '2'"),
        ({"jitter": 2}, ValueError, "jitter is a share between 0 and 1, not 2"),
        ({"jitter": "x"}, TypeError, "jitter is a number, not 'x'"),
        ({"on": 5}, TypeError, "on= takes exception classes, not 5"),
        ({"on": (5,)}, TypeError, "on= takes exception classes, not (5,)"),
        ({"unless": ValueError("x")}, TypeError, "unless= takes exception classes, not ValueE"),
    ],
    ids=str,
)
def test_bad_retries(tm, fields, kind, message):
    refused(kind, message, lambda: Retry(**fields))


def test_a_retry_takes_its_exceptions_in_a_list_as_well(tm):
    runs = []

    @task(retry=Retry(retries=1, delay=0, on=[ValueError, KeyError]))
    def flaky():
        runs.append(None)
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        tm.submit(flaky).result(SOON)
    assert len(runs) == 2


def test_an_unknown_executor_names_the_known_ones(ask, tm):
    known = "there is no executor 'gpu'; there are: async, process, sequential, thread"
    refused(ValueError, known, lambda: ask(task(double, executor="gpu"), 1))
    assert nothing_was_taken_in(tm)


# -- dependencies ----------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [[5], [None], [double], (n for n in [5])], ids=str)
def test_after_takes_handles_and_ids(tm, wrong):
    refused(
        TypeError,
        "after= takes handles and ids, not ",
        lambda: tm.submit(task(double).options(after=wrong), 1),
    )
    assert nothing_was_taken_in(tm)


def test_an_unknown_id_as_a_dependency(tm):
    message = "depends on 'nobody', which no task has as its id"
    refused(
        TaskDependencyError,
        message,
        lambda: tm.submit(task(double).options(after="nobody"), 1),
    )
    refused(
        TaskDependencyError,
        message,
        lambda: tm.register_task("n", double, 1, dependencies=["nobody"]),
    )
    refused(TaskDependencyError, message, lambda: tm.external("n", after=["nobody"]))
    refused(TypeError, "takes handles and ids, not 5", lambda: tm.external("n", after=5))
    refused(
        TypeError,
        "takes handles and ids, not 5",
        lambda: tm.register_task("n", double, 1, dependencies=5),
    )
    assert nothing_was_taken_in(tm)


def test_a_task_cannot_depend_on_itself(tm):
    refused(
        TaskDependencyError,
        "n [me] depends on 'me', which no task has as its id: a task cannot depend on itself",
        lambda: tm.register_task("n", double, 1, dependencies=["me"], task_id="me"),
    )
    assert nothing_was_taken_in(tm)


def test_a_duplicate_id(tm):
    tm.register_task("first", double, 1, task_id="mine")
    refused(
        DuplicateTaskError,
        "there already is a task with the id 'mine'",
        lambda: tm.register_task("second", double, 2, task_id="mine"),
    )
    assert tm.get_task("mine").name == "first"
    assert tm.execute_task("mine").result(SOON) == 2
    for wrong in (5, ["x"], ""):
        refused(
            TypeError,
            f"task_id= takes a text, not {wrong!r}",
            lambda wrong=wrong: tm.register_task("n", double, 1, task_id=wrong),
        )
        refused(
            TypeError,
            f"task_id= takes a text, not {wrong!r}",
            lambda wrong=wrong: tm.external("n", task_id=wrong),
        )
    assert len(tm.list_tasks()) == 1


def test_graphs(tm):
    a_to_c = {
        "a": call(double, ref("c")),
        "b": call(double, ref("a")),
        "c": call(double, ref("b")),
    }
    refused(TaskDependencyError, "a cycle: a -> c -> b -> a", lambda: tm.graph(a_to_c))
    itself = {"a": call(double, ref("a"))}
    refused(TaskDependencyError, "a cycle: a -> a", lambda: tm.graph(itself))
    unknown = {"a": call(double, 1), "b": call(double, ref("z"))}
    message = "b refers to 'z', which is not in the graph; there are: a, b"
    refused(TaskDependencyError, message, lambda: tm.graph(unknown))
    message = "a graph is a dict of names and call(func, ...), not "
    refused(TypeError, message, lambda: tm.graph([call(double, 1)]))
    message = "a: a graph is made of call(func, ...), not of "
    refused(TypeError, message, lambda: tm.graph({"a": double}))
    good_and_bad = {"a": call(double, 1), "b": call(double)}
    refused(TypeError, "missing a required argument: 'x'", lambda: tm.graph(good_and_bad))
    message = "ref('a') has a meaning only inside manager.graph({...})"
    refused(TypeError, message, lambda: tm.submit(double, ref("a")))
    assert nothing_was_taken_in(tm)
    assert tm.graph({}) == {}


def test_a_handle_where_no_result_could_take_its_place(tm):
    handle = tm.submit(double, 1)
    message = "its result could not take its place there. Pass it as an argument of its own"
    refused(TypeError, message, lambda: tm.submit(len, {handle}))
    refused(TypeError, message, lambda: tm.submit(len, [{handle: 1}]))
    assert handle.result(SOON) == 2
    assert len(tm.list_tasks()) == 1


def test_an_output_that_is_touched_says_what_to_do(tm):
    output = tm.submit(double, 1).output
    for touch in (bool, len, str, iter, lambda it: it.name, lambda it: it[0], lambda it: it + 1):
        message = "an .output can only be passed as an argument to another task. `await` the handle"
        refused(TypeError, message, lambda touch=touch: touch(output))


# -- the wrong manager, a closed one, the wrong thread ---------------------------------------------


def test_the_handle_of_another_manager(ask, tm):
    with TaskManager() as other:
        theirs = other.submit(double, 1)
        message = "belongs to another manager; await it and pass its result"
        refused(TaskDependencyError, message, lambda: ask(double, theirs))
        refused(TaskDependencyError, message, lambda: ask(double, theirs.output))
        assert nothing_was_taken_in(tm)
        assert theirs.result(SOON) == 2
        assert tm.submit(double, theirs.result()).result(SOON) == 4


@pytest.mark.parametrize(
    "use",
    [
        lambda tm, handle: tm.gather(handle),
        lambda tm, handle: tm.as_completed([handle]),
        lambda tm, handle: tm.cancel_task(handle),
        lambda tm, handle: tm.get_task(handle),
        lambda tm, handle: tm.get_task_result(handle),
        lambda tm, handle: tm.explain(handle),
        lambda tm, handle: tm.draw([handle]),
        lambda tm, handle: tm.execute_task(handle),
        lambda tm, handle: tm.retry(handle),
        lambda tm, handle: tm.update_task_progress(handle, 0.5),
    ],
)
def test_other_uses_of_the_handle_of_another_manager(tm, use):
    with TaskManager() as other:
        theirs = other.submit(double, 1)
        refused(TaskNotFoundError, "belongs to another manager", lambda: use(tm, theirs))
        assert theirs.result(SOON) == 2


def test_after_the_handle_of_another_manager(tm):
    with TaskManager() as other:
        theirs = other.submit(double, 1)
        message = "belongs to another manager"
        after = task(double).options(after=theirs)
        refused(TaskDependencyError, message, lambda: tm.submit(after, 1))
        refused(TaskDependencyError, message, lambda: tm.external("n", after=[theirs]))
        refused(
            TaskDependencyError,
            message,
            lambda: tm.register_task("n", double, 1, dependencies=[theirs]),
        )
    assert nothing_was_taken_in(tm)


@pytest.mark.parametrize("was_open", [False, True])
def test_a_manager_that_is_not_open(was_open):
    manager = TaskManager()
    if was_open:
        with manager:
            failed = manager.submit(fail)
            assert failed.exception() is None or failed.done()
            with pytest.raises(ValueError, match="broken"):
                failed.result(SOON)
    message = "the manager is not open: use `with TaskManager() as tm` or `async with`"
    for name, way in WAYS.items():
        if name != "register_task":  # which only takes it in, for the time when it is open
            refused(ManagerClosedError, message, lambda way=way: way(manager, double, 1))
    refused(ManagerClosedError, message, lambda: manager.external("n"))
    if was_open:
        refused(ManagerClosedError, message, lambda: manager.retry(failed))
    id = manager.register_task("later", double, 4)
    refused(ManagerClosedError, message, lambda: manager.execute_task(id))
    # What there is nothing to wait for is there at once.
    manager.join().result(SOON)
    manager.shutdown().result(SOON)
    manager.stop().result(SOON)
    assert "closed" in repr(manager)
    with manager:
        assert manager.execute_task(id).result(SOON) == 8
        assert manager.submit(double, 21).result(SOON) == 42


@on_a_loop
async def test_submitting_from_another_thread_and_another_loop_works():
    async with TaskManager() as tm:

        def elsewhere():
            return tm.submit(double_async, 1).result(SOON), tm.submit(double, 2).result(SOON)

        def on_another_loop():
            async def work():
                handle = tm.submit(double_async, 3)
                return await handle, await tm.gather(*tm.map(double, [4, 5]))

            return asyncio.run(work())

        assert await asyncio.to_thread(elsewhere) == (2, 4)
        assert await asyncio.to_thread(on_another_loop) == (6, [8, 10])
        assert await tm.submit(double, 21) == 42


@on_a_loop
async def test_result_on_the_loops_own_thread_says_await():
    async with TaskManager() as tm:
        handle = tm.submit(double, 1)
        waits = [handle, tm.gather(handle), tm.join()]
        for wait in waits:
            message = ".result() would block the running event loop; use `await` instead"
            refused(RuntimeError, message, wait.result)
        assert await handle == 2
        assert handle.result() == 2, "what is there already, blocks nobody"


@on_a_loop
async def test_plain_with_in_a_running_loop_is_refused():
    manager = TaskManager()
    refused(RuntimeError, "use `async with TaskManager()`", manager.__enter__)
    assert not manager.is_open
    async with manager as tm:
        refused(RuntimeError, "use `async with manager.group()`", tm.group().__enter__)
        assert await tm.submit(double, 21) == 42


def test_timeouts_of_waits(tm):
    handle = tm.submit(double, 1)
    for wait in (handle, tm.gather(handle), tm.join()):
        refused(TypeError, "timeout is a number of seconds", lambda wait=wait: wait.result("1"))
        message = "timeout must be zero or more seconds, not -1"
        refused(ValueError, message, lambda wait=wait: wait.result(-1))
    refused(ValueError, "timeout must be zero or more", lambda: tm.shutdown(timeout=-1))
    refused(TypeError, "timeout is a number", lambda: tm.shutdown(timeout="soon"))
    assert tm.is_open


# -- tasks that raise what they should not ---------------------------------------------------------


class UnspeakableError(Exception):
    def __str__(self):
        raise RuntimeError("there are no words")

    __repr__ = __str__


class WithoutBases(BaseException):
    pass


@pytest.mark.parametrize(
    "error",
    [SystemExit, SystemExit(3), KeyboardInterrupt, GeneratorExit, WithoutBases("x"),
     StopIteration(1), StopAsyncIteration, UnspeakableError, asyncio.CancelledError("mine"),
     TimeoutError("theirs")],
    ids=lambda error: getattr(error, "__name__", type(error).__name__),
)  # fmt: skip
@pytest.mark.parametrize("executor", ["thread", "async", "sequential"])
def test_whatever_a_task_raises_fails_that_task_alone(tm, error, executor):
    def raises():
        raise error

    async def raises_async():
        await asyncio.sleep(0)
        raise error

    func = raises_async if executor == "async" else raises
    neighbour = tm.submit(double, 1)
    handle = tm.submit(task(func, executor=executor, name="raiser"))
    after = tm.submit(double, handle.output)
    with pytest.raises(TaskError) as caught:
        handle.result(SOON)
    assert handle.status in {TaskStatus.FAILED, TaskStatus.CANCELLED}
    assert "raiser" in str(caught.value)
    assert caught.value.task_id == handle.id
    assert isinstance(handle.exception(), TaskError)
    assert tm.explain(handle)
    with pytest.raises(TaskError):
        after.result(SOON)
    assert neighbour.result(SOON) == 2


@pytest.mark.parametrize("error", [GeneratorExit, SystemExit, KeyboardInterrupt, StopIteration])
@pytest.mark.parametrize("executor", ["thread", "async", "sequential"])
def test_whatever_a_clean_up_raises_is_kept_and_logged(tm, error, executor, caplog):
    async def fails_later():
        await asyncio.sleep(0)
        raise error

    def cleans_up():
        current_task().defer(order.append, "first in, last out")
        current_task().defer(fail_with, error)
        if executor != "thread":
            current_task().defer(fails_later)
        return "done"

    order = []
    with caplog.at_level(logging.CRITICAL, "windlass"):
        handle = tm.submit(task(cleans_up, executor=executor))
        assert handle.result(SOON) == "done"
    tm.join().result(SOON)
    assert order == ["first in, last out"]
    kinds = [type(failure) for failure in handle.info.cleanup_errors]
    assert kinds[-1] is error
    assert len(kinds) == (1 if executor == "thread" else 2)


def test_an_error_without_words_is_told_all_the_same(tm):
    handle = tm.submit(fail_with, UnspeakableError())
    with pytest.raises(
        TaskExecutionError, match=r"UnspeakableError: \(its __str__ raised\)"
    ) as caught:
        handle.result(SOON)
    assert isinstance(caught.value.original_error, UnspeakableError)
    assert "UnspeakableError" in tm.explain(handle)


def fail_with(error):
    raise error


def test_a_snooze_takes_seconds(tm):
    refused(ValueError, "delay must be zero or more seconds, not -1", lambda: Snooze(-1))
    refused(TypeError, "delay is a number of seconds, not 'x'", lambda: Snooze("x"))


@pytest.mark.parametrize(
    ("fraction", "kind"),
    [(math.nan, ValueError), ("half", TypeError), (None, TypeError), (True, TypeError)],
)
def test_progress_is_a_number(tm, fraction, kind):
    message = f"progress takes a number from 0 to 1, not {fraction!r}"
    handle = tm.submit(lambda: current_task().progress(fraction))
    with pytest.raises(kind, match=message):
        handle.result(SOON)
    refused(kind, message, lambda: current_task().progress(fraction))
    refused(kind, message, lambda: tm.update_task_progress(handle, fraction))
    by_hand = tm.external("n")
    refused(kind, message, lambda: by_hand.set_progress(fraction))
    assert by_hand.complete()


@pytest.mark.parametrize(("fraction", "shown"), [(5, 1.0), (-3, 0.0), (math.inf, 1.0)])
def test_progress_beyond_the_ends_stays_at_them(tm, fraction, shown):
    handle = tm.submit(lambda: current_task().progress(fraction))
    handle.result(SOON)
    assert handle.progress in {shown, 1.0}
    by_hand = tm.external("n")
    by_hand.start()
    assert by_hand.set_progress(fraction)
    assert by_hand.progress == shown
    by_hand.complete()


def test_what_a_task_asks_wrongly_of_its_manager_fails_that_task(tm):
    for ask, message in (
        (lambda: current_task().enter(5), "enter() takes a context manager, not 5"),
        (lambda: current_task().defer(5), "defer() takes a function and its arguments, not 5"),
        (lambda: current_task().submit(5), "a task is made of a function, not of 5"),
        (lambda: current_task().submit(double), "missing a required argument: 'x'"),
    ):
        with pytest.raises(TypeError) as caught:
            tm.submit(ask).result(SOON)
        assert message in str(caught.value)
    message = "no task is running here that could have a child; use manager.submit(...)"
    refused(InvalidTaskStateError, message, lambda: current_task().submit(double, 1))


class Unpicklable:
    def __reduce__(self):
        raise pickle.PicklingError("stays where it is")


def test_a_result_that_refuses_pickling_is_nobodys_business_in_one_process(tm):
    assert isinstance(tm.submit(Unpicklable).result(SOON), Unpicklable)
    assert tm.submit(callable, tm.submit(lambda: lambda: 1).output).result(SOON)


# -- observers -------------------------------------------------------------------------------------


def test_a_subscriber_that_raises_is_logged_and_harms_nobody(tm, caplog):
    heard = []
    last_came = threading.Event()

    def good(batch):
        heard.extend(change.name for change in batch if change.after is TaskStatus.COMPLETED)
        if "last" in heard:
            last_came.set()

    with caplog.at_level(logging.ERROR, "windlass"):
        raises = tm.subscribe(fail_with_any)
        subscription = tm.subscribe(good)
        handles = [tm.submit(double, n) for n in range(10)]
        assert tm.gather(*handles).result(SOON) == [2 * n for n in range(10)]
        assert tm.submit(task(double, name="last"), 1).result(SOON) == 2
        assert last_came.wait(SOON)
        raises.cancel()
        subscription.cancel()
    assert heard == ["double"] * 10 + ["last"]
    assert "a subscriber raised" in caplog.text


def fail_with_any(batch):
    raise RuntimeError(f"cannot take {len(batch)} changes")


def test_subscribers_are_functions(tm):
    message = "subscribe() takes a plain function, which is called with batches of changes, not "
    refused(TypeError, message + "5", lambda: tm.subscribe(5))
    refused(TypeError, "async for change in manager.changes()", lambda: tm.subscribe(double_async))
    for wrong, kind in (("x", TypeError), (0, ValueError), (-1, ValueError)):
        refused(kind, "buffer", lambda wrong=wrong: tm.subscribe(double, buffer=wrong))
        refused(kind, "buffer", lambda wrong=wrong: tm.changes(buffer=wrong))
    message = "around() takes a function that makes context managers, not 5"
    refused(TypeError, message, lambda: tm.around(5))


# -- asking --------------------------------------------------------------------------------------


def test_unknown_ids(tm):
    assert tm.get_task("nobody") is None
    assert tm.get_task_status("nobody") is None
    assert tm.get_task_result("nobody") is None
    assert tm.get_task_error("nobody") is None
    assert tm.get_task_progress("nobody") == (0.0, "")
    assert tm.cancel_task("nobody") is False
    assert tm.update_task_progress("nobody", 0.5) is False
    message = "there is no task 'nobody': it never existed, or it ended and was forgotten"
    for ask in (tm.execute_task, tm.explain, tm.retry, lambda id: tm.draw([id])):
        refused(TaskNotFoundError, message, lambda ask=ask: ask("nobody"))
    for ask in (tm.get_task, tm.cancel_task, tm.explain, tm.retry, tm.get_task_result):
        message = "a task is named by its handle or its id, not by 5"
        refused(TypeError, message, lambda ask=ask: ask(5))


def test_filters(tm):
    message = "a status is one of pending, waiting, running, completed, failed, cancelled, not "
    refused(ValueError, message + "'done'", lambda: tm.list_tasks(status="done"))
    refused(ValueError, message + "5", lambda: tm.list_tasks(status=[5]))
    refused(ValueError, "one of LOW, NORMAL", lambda: tm.list_tasks(priority="urgent"))
    refused(TypeError, "metadata= takes a dict, not 5", lambda: tm.list_tasks(metadata=5))
    refused(ValueError, "limit must be at least 0, not -1", lambda: tm.list_tasks(limit=-1))
    refused(TypeError, "limit is a whole number, not 'x'", lambda: tm.list_tasks(limit="x"))
    refused(TypeError, "colour", lambda: tm.list_tasks(colour="red"))
    refused(TypeError, "cannot be filtered by colour", lambda: tm.cancel_all(colour="red"))
    refused(TypeError, "cannot be filtered by colour", lambda: tm.retry_all(colour="red"))
    refused(ValueError, "older_than must be zero or more seconds", lambda: tm.cleanup(-1))
    message = "format is one of mermaid, dot, text, not 'png'"
    refused(ValueError, message, lambda: tm.draw(format="png"))
    handle = tm.submit(double, 1)
    message = "draw() takes several handles or ids, in a list, not "
    refused(TypeError, message, lambda: tm.draw(handle))
    refused(TypeError, message, lambda: tm.draw(handle.id))


def test_a_task_in_no_state_for_what_is_asked(tm):
    handle = tm.submit(double, 1)
    assert handle.result(SOON) == 2
    message = "only a task that failed or was cancelled can be retried"
    refused(InvalidTaskStateError, message, lambda: tm.retry(handle))
    message = "is completed; `manager.retry(id)` gives it another run"
    refused(InvalidTaskStateError, message, lambda: tm.execute_task(handle))
    assert handle.cancel() is False


# -- gatherings, groups, executors -----------------------------------------------------------------


def test_gathering_takes_handles(tm):
    handles = tm.map(double, [1, 2])
    message = "gather(*handles) takes handles, each by itself, and "
    for wrong in (list(handles), "an id", 5, None):
        refused(TypeError, message, lambda wrong=wrong: tm.gather(wrong))
    refused(TypeError, "but a wait of its own: `await` it", lambda: tm.gather(handles))
    message = "as_completed(handles) takes several handles, in a list, "
    refused(TypeError, message + "not <TaskHandle", lambda: tm.as_completed(handles[0]))
    refused(TypeError, message + "and 5 is not a handle", lambda: tm.as_completed([5]))
    assert tm.gather().result(SOON) == []
    assert list(tm.as_completed([])) == []
    assert tm.gather(*handles).result(SOON) == [2, 4]


def test_a_group_that_was_left_takes_no_more(tm):
    with tm.group("crawl") as group:
        group.submit(double, 1)
    message = "the group crawl takes no more tasks: it was left"
    refused(InvalidTaskStateError, message, lambda: group.submit(double, 2))
    refused(InvalidTaskStateError, message, lambda: group.map(double, [2]))
    assert len(tm.list_tasks()) == 1


def test_an_executor_after_its_shutdown(tm):
    with tm.as_executor() as pool:
        assert pool.submit(double, 1).result(SOON) == 2
    refused(RuntimeError, "cannot submit after shutdown", lambda: pool.submit(double, 1))
    refused(RuntimeError, "cannot submit after shutdown", lambda: list(pool.map(double, [1])))
    assert tm.is_open


def test_tasks_by_hand(tm):
    refused(TypeError, "name= takes a text, not 5", lambda: tm.external(5))
    refused(TypeError, "there is no option timeot", lambda: tm.external("n", timeot=5))
    by_hand = tm.external("n")
    for wrong in (5, None):
        message = f"fail() takes an exception or a text, not {wrong!r}"
        refused(TypeError, message, lambda wrong=wrong: by_hand.fail(wrong))
    assert by_hand.fail("no such file")
    assert by_hand.complete() is False
    with pytest.raises(RuntimeError, match="no such file"):
        by_hand.result(SOON)


# -- the manager's own settings --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"max_concurrent_tasks": 0}, ValueError, "max_concurrent_tasks must be at least 1, not 0"),
        ({"max_concurrent_tasks": "4"}, TypeError, "max_concurrent_tasks is a whole number"),
        ({"max_concurrent_tasks": True}, TypeError, "max_concurrent_tasks is a whole number"),
        ({"max_pending": 0}, ValueError, "max_pending must be at least 1, not 0"),
        ({"threads": 0}, ValueError, "threads must be at least 1, not 0"),
        ({"processes": -1}, ValueError, "processes must be at least 1, not -1"),
        ({"age_every": 0}, ValueError, "age_every must be more than zero seconds, not 0; leave"),
        ({"retention_seconds": -1}, ValueError, "retention_seconds must be more than zero"),
        ({"retention_count": -1}, ValueError, "retention_count must be at least 0, not -1"),
        ({"retention_count": "x"}, TypeError, "retention_count is a whole number, not 'x'"),
        ({"cancel_grace": 0}, ValueError, "cancel_grace must be more than zero seconds, not 0"),
        ({"max_abandoned_threads": -1}, ValueError, "max_abandoned_threads must be at least 0"),
        ({"max_waiting_threads": "x"}, TypeError, "max_waiting_threads is a whole number"),
        ({"watchdog": math.nan}, ValueError, "watchdog must be more than zero seconds, not nan"),
        ({"executors": 5}, TypeError, "executors= takes a dict of names and executors, not 5"),
        ({"executors": {"x": 5}}, TypeError, "executors={'x': ...} takes an executor, not 5"),
        ({"max_concurent_tasks": 4}, TypeError, "max_concurent_tasks"),
    ],
    ids=str,
)
def test_settings_of_a_manager(settings, kind, message):
    refused(kind, message, lambda: TaskManager(**settings))


def test_a_pool_in_the_place_of_an_executor_is_told_what_it_becomes_one_by():
    with ThreadPoolExecutor(1) as pool:
        message = "becomes one by FuturesExecutor(pool)"
        refused(TypeError, message, lambda: TaskManager(executors={"pool": pool}))


def test_settings_have_names():
    message = "by name: did you mean TaskManager(max_concurrent_tasks=4)?"
    refused(TypeError, message, lambda: TaskManager(4))
    message = "takes its settings by name, and 8.0 has none"
    refused(TypeError, message, lambda: TaskManager("a path", 8.0))
    message = "takes its settings by name, and 1.5 has none"
    refused(TypeError, message, lambda: TaskManager(1.5))


def test_the_limit_of_an_open_manager(tm):
    for wrong, kind in ((0, ValueError), (-1, ValueError), ("4", TypeError), (None, TypeError)):
        refused(
            kind,
            "max_concurrent_tasks",
            lambda wrong=wrong: setattr(tm, "max_concurrent_tasks", wrong),
        )
    assert tm.max_concurrent_tasks == 100

"""Running one attempt: from a function and its arguments to an Outcome, and never an exception.

Three ways lead through here. ``begin`` steps a coroutine on an event loop. ``call`` runs a function
in a thread. A parcel uses ``call`` in another process. All of them set ``current_task()``, enter
what ``manager.around(...)`` asks for, turn exceptions into outcomes and run the clean-ups.

Why coroutines are stepped by hand: each task has a context of its own (PEP 567), and an
``asyncio.Task`` per task is the only other way to have that. Stepping lets one asyncio task, a
lane, run any number of short coroutines one after another, which costs half as much.
"""

from __future__ import annotations

import asyncio
import inspect
import types
from contextlib import AsyncExitStack, ExitStack, nullcontext
from typing import TYPE_CHECKING, Any, cast

from .._core.outcome import OK_NONE, Again, Cancelled, Err, Ok, Outcome
from ..errors import Snooze, TaskCancellationError
from .cleanups import is_closing
from .current import Link, current_task, set_current

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Sequence
    from contextvars import Context

    from .job import Job
    from .run import Run


_NOTHING = nullcontext(ExitStack())


def outcome_of(error: BaseException, link: Link) -> Outcome:
    """What an exception that left the function means."""
    if isinstance(error, Snooze):
        return Again(error.delay)
    if isinstance(error, asyncio.CancelledError):
        return Cancelled(link.stopping() or "it raised CancelledError")
    if isinstance(error, TaskCancellationError) and error.task_id == link.task_id:
        return Cancelled(error.cause)
    from random import random  # noqa: PLC0415  # costs a tenth of the import, and few tasks fail

    return Err(error, luck=random())  # noqa: S311  # spreads retries, guards no secret


def _ended(error: BaseException, run: Run) -> Outcome:
    """What an exception means that left a function on an event loop, perhaps with the loop."""
    if isinstance(error, asyncio.CancelledError) and run.stopping() is None and _all_cancelled():
        return run.shut_down()
    return outcome_of(error, run)


def _all_cancelled() -> bool:
    """Whether all there is on this loop is cancelled, as asyncio.run() does before it closes it."""
    return all(task.cancelling() for task in asyncio.all_tasks())


def begin(run: Run) -> Outcome | Coroutine[Any, Any, Outcome]:
    """Run an attempt on the running event loop, in the task's own context, until it first waits.

    What never waits, as most short coroutines never do, needs no generator to be driven by.
    """
    context = run.context()
    outcome: Outcome
    try:
        coroutine, step = context.run(_begin, run, run.job)
    except BaseException as error:  # noqa: BLE001  # whatever it is, it is this task's failure
        outcome = _ended(error, run)
    else:
        if coroutine is not None:
            return cast("Coroutine[Any, Any, Outcome]", _go_on(run, context, coroutine, step))
        outcome = OK_NONE if step is None else Ok(step)
    if run.cleanups is None:
        return outcome
    return cast("Coroutine[Any, Any, Outcome]", _clean_up(run, context, outcome))


@types.coroutine
def _go_on(
    run: Run, context: Context, coroutine: Coroutine[Any, Any, Any], step: Any
) -> Generator[Any, Any, Outcome]:
    outcome: Outcome
    try:
        outcome = Ok((yield from _steps(context, coroutine, step)))
    except BaseException as error:
        if is_closing(error):
            raise
        outcome = _ended(error, run)
    if run.cleanups is not None:
        yield from cast("Any", _clean_up(run, context, outcome))
    return outcome


@types.coroutine
def _clean_up(run: Run, context: Context, outcome: Outcome) -> Generator[Any, Any, Outcome]:
    cleanups = run.cleanups
    assert cleanups is not None
    cause = outcome.error if type(outcome) is Err else None
    closing, step = context.run(_first_step, cleanups.close_async(cause))
    if closing is not None:
        yield from _steps(context, closing, step)
    run.note_cleanup_errors(cleanups.errors)
    return outcome


WAYS_IN = frozenset({begin.__code__, _go_on.__code__, _clean_up.__code__})
"""By these frames the watchdog tells that the loop's thread is in a task."""


def _steps(
    context: Context, coroutine: Coroutine[Any, Any, Any], step: Any
) -> Generator[Any, Any, Any]:
    """``yield from coroutine``, in ``context``, once it has yielded ``step``."""
    try:
        while True:
            try:
                got = yield step
            except GeneratorExit:
                coroutine.close()
                raise
            except BaseException as error:  # noqa: BLE001  # it is the coroutine's to handle
                step = context.run(coroutine.throw, error)
            else:
                step = context.run(coroutine.send, got)
    except StopIteration as stop:
        return stop.value


def _begin(run: Run, job: Job) -> tuple[Coroutine[Any, Any, Any] | None, Any]:
    """Call the function and take its first step: (coroutine, what it yielded) or (None, result).

    One entry into the context does for both, because most short coroutines never suspend.
    """
    set_current(run)
    around = run.runtime.around
    if job.dependencies or job.kwargs or around:
        args, kwargs = run.arguments()
        if around:
            value = _surrounded_async(run.function, args, kwargs, around)
        else:
            value = job.recipe.function(*args, **kwargs)
    else:
        value = job.recipe.function(*job.args)
    if type(value) is not types.CoroutineType:
        if not hasattr(type(value), "__await__"):
            return None, value
        value = _awaiting(value)
    try:  # ``_first_step``, written out
        return value, value.send(None)
    except StopIteration as stop:
        return None, stop.value


def _first_step(
    coroutine: Coroutine[Any, Any, Any],
) -> tuple[Coroutine[Any, Any, Any] | None, Any]:
    try:
        return coroutine, coroutine.send(None)
    except StopIteration as stop:
        return None, stop.value


async def _awaiting(value: Any) -> Any:
    return await value


async def _surrounded_async(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    around: Sequence[Callable[..., Any]],
) -> Any:
    async with AsyncExitStack() as stack:
        for factory in around:
            manager = factory(current_task())
            if hasattr(type(manager), "__aenter__"):
                await stack.enter_async_context(manager)
            else:
                stack.enter_context(manager)
        value = function(*args, **kwargs)
        return await value if hasattr(type(value), "__await__") else value


def call(
    link: Link,
    function: Callable[..., Any],
    arguments: Callable[[], tuple[tuple[Any, ...], dict[str, Any]]],
    around: Sequence[Callable[..., Any]],
    await_elsewhere: Callable[[Any], Any],
) -> Outcome:
    """Run an attempt in this thread.

    A coroutine function runs under an event loop of its own; any other awaitable that the function
    returns belongs to a loop already and goes to ``await_elsewhere``.
    """
    set_current(link)
    outcome: Outcome
    try:
        args, kwargs = arguments()
        value = None  # unless what is around swallows an error
        # An ExitStack costs more than all else here, and there rarely is anything to enter.
        with ExitStack() if around else _NOTHING as stack:
            for factory in around:
                stack.enter_context(factory(current_task()))
            value = function(*args, **kwargs)
            if hasattr(type(value), "__await__"):
                own = inspect.iscoroutinefunction(inspect.unwrap(function))
                value = asyncio.run(_on_own_loop(link, value)) if own else await_elsewhere(value)
        outcome = OK_NONE if value is None else Ok(value)
    except BaseException as error:  # noqa: BLE001  # whatever it is, it is this task's failure
        outcome = outcome_of(error, link)
    if link.cleanups is not None:
        link.cleanups.close(outcome.error if type(outcome) is Err else None)
    return outcome


async def _on_own_loop(link: Link, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Await a coroutine function's coroutine here, clean-ups included; a stop cancels it."""
    loop, me = asyncio.get_running_loop(), asyncio.current_task()
    assert me is not None

    def cancel() -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(me.cancel)

    link.when_stopped(cancel)
    failure: BaseException | None = None
    try:
        return await coroutine
    except BaseException as error:
        failure = error
        raise
    finally:
        if link.cleanups is not None:
            await link.cleanups.close_async(failure)

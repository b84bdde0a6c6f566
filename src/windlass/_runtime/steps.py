"""Steps: parts of a task that are done once, however often the task is tried.

The result of a step is kept under its name: in memory for the next attempt, in a file for the next
process as well. A step that was done returns what it returned; one that was not is done now. Steps
are found by name, not by order, so the code around them may change between two attempts.

A step has been done when its result is kept. A crash in between repeats it: with the crash in the
worst place, a step runs twice, and everything before it once.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import InvalidTaskStateError
from .wait import Wait

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from .current import Link

R_co = TypeVar("R_co", covariant=True)


def step(
    link: Link,
    name: Any,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Wait[Any]:
    """Do the step ``name`` of the task behind ``link``, unless it is done."""
    if not (isinstance(name, str) and name):
        raise TypeError(f"a step has a name, which is a text, not {name!r}")
    if not callable(function):
        raise TypeError(f"a step is a function and its arguments, not {function!r}")
    known = link.known_step(name)
    if known is not None:
        return Step(known[0], None)
    value = function(*args, **kwargs)
    if not hasattr(type(value), "__await__"):
        return Step(value, link.keep_step(name, value))
    if asyncio._get_running_loop() is None:
        getattr(value, "close", int)()
        raise InvalidTaskStateError(
            f"the step {name!r} of {link.name} has to be awaited, and there is no event loop here: "
            "make the task a coroutine function, or the step a plain one"
        )
    return StepAwaited(asyncio.ensure_future(_awaited(link, name, value)), name)


async def _awaited(link: Link, name: str, awaitable: Awaitable[Any]) -> Any:
    value = await awaitable
    stored = link.keep_step(name, value)
    if stored is not None:
        await stored
    return value


class Step(Wait[R_co]):
    """A step that has returned, and is perhaps still on its way to the disk."""

    __slots__ = ("_result", "_stored")

    def __init__(self, result: R_co, stored: Wait[Any] | None) -> None:
        self._result = result
        self._stored = stored
        if stored is not None:
            self._runtime = stored._runtime

    def __repr__(self) -> str:
        return f"<step that returned {self._result!r}>"

    def done(self) -> bool:
        return self._stored is None or self._stored.done()

    def _value(self) -> R_co:
        if self._stored is not None:
            self._stored._value()
        return self._result

    def _watch(self, callback: Callable[[Any], None]) -> bool:
        return self._stored is not None and self._stored._watch(callback)

    def _unwatch(self, callback: Callable[[Any], None]) -> None:
        if self._stored is not None:
            self._stored._unwatch(callback)


class StepAwaited(Wait[R_co]):
    """A step that is a coroutine: it goes on beside its task, which awaits it."""

    __slots__ = ("_name", "_task")

    def __init__(self, task: asyncio.Task[R_co], name: str) -> None:
        self._task = task
        self._name = name

    def __repr__(self) -> str:
        return f"<step {self._name!r}{', done' if self.done() else ''}>"

    def __await__(self) -> Generator[Any, Any, R_co]:
        return (yield from self._task.__await__())

    def done(self) -> bool:
        return self._task.done()

    def _value(self) -> R_co:
        return self._task.result()

    def _watch(self, callback: Callable[[Any], None]) -> bool:
        raise AssertionError("it is awaited as an asyncio.Task")

    def _unwatch(self, callback: Callable[[Any], None]) -> None: ...

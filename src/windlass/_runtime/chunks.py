"""Chunks: many tiny calls in one task, with a handle for each of them that somebody asks for.

A handle costs more than a tiny call, and most of what is mapped is waited for as a whole. So
``map`` gives a sequence that knows its tasks, and makes the handles of calls when one is looked at.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from .combined import Gathering
from .handle import TaskHandle
from .recipe import Recipe
from .signature import is_asynchronous
from .wait import Wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .job import Job
    from .runtime import Runtime

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


def submit_chunks(
    runtime: Runtime, recipe: Recipe, chunks: Sequence[tuple[Sequence[Any], ...]]
) -> Handles[Any]:
    """Submit ``chunks`` of calls, all or none; each is the columns of their arguments."""
    # As columns: few long tuples are looked through and packed in half the time of many short ones.
    chunk = chunk_recipe(recipe)
    chunk.call = recipe.call
    runtime.vet(recipe)
    jobs = [runtime.job(chunk, (recipe.portable, *columns), {}) for columns in chunks]
    return Handles(runtime, runtime.submit_jobs(jobs), [len(columns[0]) for columns in chunks])


def chunk_recipe(recipe: Recipe) -> Recipe:
    """The recipe of a task that makes several calls of ``recipe``."""
    run = _run_awaiting if is_asynchronous(recipe.function) else _run
    chunk = Recipe.of(run, run, recipe.spec)
    chunk.chunk_of = recipe
    return chunk


class Handles(Wait[list[R]], Sequence[TaskHandle[R]]):
    """The handles of the calls that ``map`` submitted.

    A sequence as a list is one, and a wait for all of them: ``await`` it for the results in their
    order. It raises the first failure when all have ended, as ``gather`` does.
    """

    __slots__ = ("_all", "_handles", "_sizes", "_tasks")

    def __init__(
        self,
        runtime: Runtime,
        tasks: Sequence[TaskHandle[Any]],
        sizes: Sequence[int] | None = None,
    ) -> None:
        self._runtime = runtime
        self._tasks = tasks
        self._sizes = sizes
        """How many calls each task makes, in chunks."""
        self._handles = tasks if sizes is None else None
        self._all: Gathering[Any] | None = None

    def __repr__(self) -> str:
        return f"<map of {len(self)} calls in {len(self._tasks)} tasks>"

    def __reduce__(self) -> Any:
        return list, (self._made(),)  # of no calls: they have no results to take their place

    # -- as a sequence -------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._tasks) if self._sizes is None else sum(self._sizes)

    @overload
    def __getitem__(self, index: int) -> TaskHandle[R]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[TaskHandle[R]]: ...
    def __getitem__(self, index: int | slice) -> TaskHandle[R] | Sequence[TaskHandle[R]]:
        return self._made()[index]

    def __iter__(self) -> Iterator[TaskHandle[R]]:
        return iter(self._made())

    def _made(self) -> Sequence[TaskHandle[R]]:
        """The handles: made together, since whoever asks for one tends to ask for all."""
        if self._handles is None:
            made: list[TaskHandle[R]] = [
                ItemHandle(task._job, self._runtime, index)
                for task, size in zip(self._tasks, self._sizes or (), strict=True)
                for index in range(size)
            ]
            with self._runtime.watch_lock:  # two threads that look shall see the same handles
                if self._handles is None:
                    self._handles = made
        return self._handles

    # -- as a wait -----------------------------------------------------------------------------

    def done(self) -> bool:
        return all(task.done() for task in self._tasks)

    def _value(self) -> list[R]:
        values = self._gathered()._value()
        return values if self._sizes is None else list(chain.from_iterable(values))

    def _watch(self, callback: Callable[[Any], None]) -> bool:
        return self._gathered()._watch(callback)

    def _unwatch(self, callback: Callable[[Any], None]) -> None:
        self._gathered()._unwatch(callback)

    def _targets(self) -> Sequence[Job]:
        return [task._job for task in self._tasks]

    def _gathered(self) -> Gathering[Any]:
        if self._all is None:
            gathering = Gathering(self._runtime, self._tasks, return_errors=False)
            with self._runtime.watch_lock:  # who stops watching must ask the one it watched
                if self._all is None:
                    self._all = gathering
        return self._all


class ItemHandle(TaskHandle[R_co]):
    """The handle of one call in a chunk: the chunk's task, and this call's part of its result."""

    __slots__ = ("_index",)

    def __init__(self, job: Job, runtime: Runtime, index: int) -> None:
        self._job = job
        self._runtime = runtime
        self._index = index

    def _pick(self, value: Any) -> R_co:
        return cast("R_co", value[self._index])


def _run(function: Callable[..., Any], *columns: Sequence[Any]) -> Any:
    values: list[Any] = []
    try:
        values.extend(map(function, *columns))
    except BaseException:
        _drop(values)
        raise
    kinds = set(map(type, values))
    return _all(values) if any(hasattr(kind, "__await__") for kind in kinds) else values


async def _run_awaiting(function: Callable[..., Any], *columns: Sequence[Any]) -> list[Any]:
    return [await function(*args) for args in zip(*columns, strict=True)]


async def _all(values: list[Any]) -> list[Any]:
    """What a plain function returned, each awaited if there is something to await."""
    line = deque(values)
    results: list[Any] = []
    try:
        while line:
            value = line.popleft()
            results.append(await value if hasattr(type(value), "__await__") else value)
    finally:
        _drop(line)
    return results


def _drop(values: Iterable[Any]) -> None:
    """Close the coroutines among ``values``, which will not be awaited."""
    for value in values:
        if inspect.iscoroutine(value):
            value.close()


RUNNERS: dict[str, Callable[..., Any]] = {
    "windlass.chunk": _run,
    "windlass.chunk of coroutines": _run_awaiting,
}
"""What runs chunks, by ids for where functions go by those."""

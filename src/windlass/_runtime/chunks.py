"""Chunks: many tiny calls in one task, with a handle for each of them."""

from __future__ import annotations

import inspect
from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar, cast

from .handle import TaskHandle
from .recipe import Recipe
from .signature import is_asynchronous

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from .job import Job
    from .runtime import Runtime

R_co = TypeVar("R_co", covariant=True)


def submit_chunks(
    runtime: Runtime, recipe: Recipe, calls: Sequence[tuple[Any, ...]], size: int
) -> list[TaskHandle[Any]]:
    """Submit ``calls`` in chunks of ``size``, all or none; a handle for each call."""
    chunk = chunk_recipe(recipe)
    chunk.call = recipe.call
    runtime.vet(recipe)
    chunks = [calls[start : start + size] for start in range(0, len(calls), size)]
    # As columns: few long tuples are looked through and packed in half the time of many short ones.
    jobs = [runtime.job(chunk, (recipe.portable, *zip(*some, strict=True)), {}) for some in chunks]
    runtime.submit_jobs(jobs)
    return [
        ItemHandle(job, runtime, index)
        for job, some in zip(jobs, chunks, strict=True)
        for index in range(len(some))
    ]


def chunk_recipe(recipe: Recipe) -> Recipe:
    """The recipe of a task that makes several calls of ``recipe``."""
    run = _run_awaiting if is_asynchronous(recipe.function) else _run
    chunk = Recipe.of(run, run, recipe.spec)
    chunk.chunk_of = recipe
    return chunk


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

"""Chunks: many tiny calls in one task, with a handle for each of them."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, TypeVar, cast

from .handle import TaskHandle
from .recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .job import Job
    from .runtime import Runtime

R_co = TypeVar("R_co", covariant=True)


def submit_chunks(
    runtime: Runtime, recipe: Recipe, calls: Sequence[tuple[Any, ...]], size: int
) -> list[TaskHandle[Any]]:
    """Submit ``calls`` in chunks of ``size``, all or none; a handle for each call."""
    # Whether the function is awaited is known here, so that both kinds of chunk are picklable.
    run = _run_awaiting if inspect.iscoroutinefunction(recipe.function) else _run
    chunk_recipe = Recipe.of(run, run, recipe.spec)
    chunk_recipe.call = recipe.call
    runtime.vet(recipe)
    jobs: list[Job] = []
    chunks: list[Sequence[tuple[Any, ...]]] = []
    for start in range(0, len(calls), size):
        chunk = calls[start : start + size]
        chunks.append(chunk)
        jobs.append(runtime.job(chunk_recipe, (recipe.portable, chunk), {}))
    runtime.submit_jobs(jobs)
    return [
        ItemHandle(job, runtime, index)
        for job, chunk in zip(jobs, chunks, strict=True)
        for index in range(len(chunk))
    ]


class ItemHandle(TaskHandle[R_co]):
    """The handle of one call in a chunk: the chunk's task, and this call's part of its result."""

    __slots__ = ("_index",)

    def __init__(self, job: Job, runtime: Runtime, index: int) -> None:
        TaskHandle.__init__(self, job, runtime)  # super() costs twice as much, per item
        self._index = index

    def _pick(self, value: Any) -> R_co:
        return cast("R_co", value[self._index])


def _run(function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> list[Any]:
    return [function(*args) for args in calls]


async def _run_awaiting(
    function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]
) -> list[Any]:
    return [await function(*args) for args in calls]

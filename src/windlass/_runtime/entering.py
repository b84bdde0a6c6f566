"""What is asked of a job before it enters the engine: what it depends on, and who has its key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from ..errors import SerializationError, TaskDependencyError
from .arguments import filled
from .handle import TaskHandle
from .stored_job import StoredJob

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .._core.task import Task
    from ..ports import Executor
    from .job import Job
    from .recipe import Recipe
    from .runtime import Runtime


def refuse_unfit(recipe: Recipe, executors: Mapping[str, Executor]) -> None:
    """Raise, naming the remedy, if none of ``executors`` could run what ``recipe`` makes."""
    spec = recipe.spec
    executor = executors.get(spec.executor)
    if executor is None:
        raise ValueError(
            f"{spec.name}: there is no executor {spec.executor!r}; there are: "
            f"{', '.join(sorted(executors))}. Add one with executors={{name: executor}}"
        )
    if (reason := executor.why_not(recipe.portable)) is not None:
        raise SerializationError(f"{spec.name} cannot run on {spec.executor!r}: {reason}")


def dependencies_of(
    job: Job, handles: Iterable[TaskHandle[Any]], after: Sequence[Any], runtime: Runtime
) -> tuple[Task, ...]:
    """The tasks that ``job`` depends on for data and for order, each once, as they are now."""
    found: dict[Task, None] = {}
    tasks = runtime.engine.tasks
    if after:
        handles = (*handles, *(one for one in after if isinstance(one, TaskHandle)))
    for handle in handles:
        if handle._runtime is not runtime:
            raise TaskDependencyError(
                f"{handle!r} belongs to another manager; await it and pass its result", job.id
            )
        other = handle._job
        found[tasks.get(other.id, other)] = None  # retried, perhaps, or read from the file again
    for id in after:
        if isinstance(id, TaskHandle):
            continue
        if not isinstance(id, str):
            raise TypeError(f"after= takes handles and ids, not {id!r}")
        known = runtime.find(id)
        if known is None:
            itself = ": a task cannot depend on itself" if id == job.id else ""
            raise TaskDependencyError(
                f"{job.label} depends on {id!r}, which no task has as its id{itself}", job.id
            )
        found[known] = None
    return tuple(found)


def holder_of_key(job: Job, keys: Mapping[str, Task]) -> Job | None:
    """The job that has the key of ``job`` already, if there is one."""
    key = job.notes.key if job.notes is not None else None
    return cast("Job | None", keys.get(key)) if key is not None else None


def holders_among(jobs: Iterable[Job], keys: Mapping[str, Task]) -> dict[Job, Job]:
    """For those of ``jobs`` whose key is taken, by an earlier one of them even, who has it."""
    holders: dict[Job, Job] = {}
    here: dict[str, Job] = {}
    for job in jobs:
        if job.notes is not None and job.notes.key is not None:
            holder = holder_of_key(job, keys) or here.setdefault(job.notes.key, job)
            if holder is not job:
                holders[job] = holder
    return holders


def follow(jobs: Iterable[Job], holders: Mapping[Job, Job], runtime: Runtime) -> None:
    """Have ``jobs`` depend on the holders of keys, instead of those who asked for the keys."""

    def handle_for(handle: TaskHandle[Any]) -> TaskHandle[Any]:
        return TaskHandle(holders[handle._job], runtime) if handle._job in holders else handle

    for job in jobs:
        instead = (holders.get(cast("Job", other), other) for other in job.dependencies)
        job.dependencies = tuple(dict.fromkeys(instead))
        job.args, job.kwargs = filled(job.args, job.kwargs or {}, handle_for)
        if runtime.durable is not None and isinstance(job, StoredJob):
            runtime.durable.prepare(job)  # it was packed with what has given way

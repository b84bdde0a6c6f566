"""Many tasks at once, by name and in any order: ``{"a": call(f), "b": call(g, ref("a"))}``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .._core.graph import find_cycle, in_order
from ..errors import TaskDependencyError
from .arguments import Ref, filled, find_stand_ins
from .handle import TaskHandle
from .signature import name_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from .job import Job
    from .runtime import Runtime


class Call:
    """A call that has not been submitted: a function and its arguments."""

    __slots__ = ("args", "func", "kwargs")

    def __init__(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self.func = func
        self.args = args
        self.kwargs = kwargs

    def __repr__(self) -> str:
        return f"call({getattr(self.func, '__name__', self.func)})"


def call(func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Call:
    """One task of a graph; among its arguments, ``ref(name)`` stands for another one's result."""
    return Call(func, args, kwargs)


def ref(name: str) -> Any:
    """Stands for the result of the task called ``name`` in the same graph."""
    return Ref(name)


def submit_graph(runtime: Runtime, calls: Mapping[str, Call]) -> dict[str, TaskHandle[Any]]:
    """Submit all of ``calls`` or none of them; see ``TaskManager.graph``."""
    if not isinstance(calls, Mapping):
        raise TypeError(f"a graph is a dict of names and call(func, ...), not {calls!r}")
    edges: dict[str, list[str]] = {}
    for name, one in calls.items():
        if not isinstance(one, Call):
            raise TypeError(f"{name}: a graph is made of call(func, ...), not of {one!r}")
        stand_ins = find_stand_ins(one.args, one.kwargs)
        edges[name] = [other.name for other in stand_ins if isinstance(other, Ref)]
        edges[name] += _after(runtime, one)
        for other in edges[name]:
            if other not in calls:
                raise TaskDependencyError(
                    f"{name} refers to {other!r}, which is not in the graph; there are: "
                    + ", ".join(sorted(calls))
                )
    circle = find_cycle(edges)
    if circle is not None:
        raise TaskDependencyError("the graph has a cycle: " + " -> ".join(circle))
    jobs: dict[str, Job] = {}
    for name in in_order(edges):
        jobs[name] = _job(runtime, name, calls[name], jobs)
    handles = runtime.submit_jobs(list(jobs.values()))
    by_name = dict(zip(jobs, handles, strict=True))
    return {name: by_name[name] for name in calls}


def _after(runtime: Runtime, one: Call) -> list[str]:
    options = runtime.recipe_of(one.func).call
    return [other.name for other in options.after if isinstance(other, Ref)] if options else []


def _job(runtime: Runtime, name: str, one: Call, made: Mapping[str, Job]) -> Job:
    def handle_for(stand_in: Any) -> Any:
        return TaskHandle(made[stand_in.name], runtime) if isinstance(stand_in, Ref) else stand_in

    recipe = runtime.recipe_of(one.func)
    if recipe.call is not None:
        after = [handle_for(other) for other in recipe.call.after]
        recipe = recipe.with_call(recipe.call._replace(after=after))
    if recipe.spec.name == name_of(recipe.function):
        recipe = recipe.with_spec(name=name)  # unless it was given a name of its own
    args, kwargs = filled(one.args, one.kwargs, handle_for)
    recipe.shape.check(args, kwargs)
    return runtime.job(recipe, args, kwargs)

"""The dependency graph: who waits for whom to succeed, and what a failure does downstream.

Edges live on the tasks. ``task.dependencies`` is what it was asked to follow, ``task.missing`` how
many of those are still open, ``task.dependents`` who follows it. Everything here walks with a list
of its own instead of recursing: a chain may be a million long.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from .states import CANCELLED, FAILED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .task import Task


def link(task: Task) -> Task | None:
    """Count the open dependencies of a new ``task`` and enter it with each.

    Returns a dependency that has already failed or been cancelled and whose fate ``task`` shares;
    then it was entered with those of that kind alone, where a retry downstream finds it.
    """
    # An outcome tells it faster than a status: this is asked of every edge of every graph.
    missing = 0
    for other in task.dependencies:
        if other.outcome is not None:
            if shares_fate(task, other):
                return _share_fate(task)
        else:
            missing += 1
            if other.dependents is None:
                other.dependents = [task]
            else:
                other.dependents.append(task)
    task.missing = missing
    return None


def _share_fate(task: Task) -> Task:
    fated = [other for other in task.dependencies if shares_fate(task, other)]
    for other in task.dependencies:
        if other in fated:
            other.dependents = [*(other.dependents or ()), task]
        elif other.dependents and other.dependents[-1] is task:
            other.dependents.pop()
    return fated[0]


def shares_fate(dependent: Task, dependency: Task) -> bool:
    """Whether ``dependent`` cannot run now that ``dependency`` failed or was cancelled."""
    return dependency.status in {FAILED, CANCELLED} and dependent.spec.run_if != "all_done"


def find_cycle(edges: Mapping[str, Iterable[str]]) -> list[str] | None:
    """A circle in ``edges`` (name -> names it depends on), as ``[a, b, c, a]``, or None."""
    done: set[str] = set()
    for start in edges:
        if start in done:
            continue
        path = [start]
        on_path = {start}
        branches = [iter(edges[start])]
        while branches:
            name = next(branches[-1], None)
            if name is None:
                branches.pop()
                left = path.pop()
                on_path.discard(left)
                done.add(left)
            elif name in on_path:
                return [*path[path.index(name) :], name]
            elif name not in done and name in edges:
                path.append(name)
                on_path.add(name)
                branches.append(iter(edges[name]))
    return None


def in_order(edges: Mapping[str, Iterable[str]]) -> list[str]:
    """The names of ``edges``, which hold no circle, so that each follows what it depends on."""
    order: dict[str, None] = {}
    for start in edges:
        stack = [start]
        while stack:
            name = stack[-1]
            open_ones = [other for other in edges[name] if other not in order]
            if open_ones:
                stack.extend(reversed(open_ones))
            else:
                order.setdefault(name)
                stack.pop()
    return list(order)


def find_path(
    starts: Iterable[Task], goal: Task, following: Callable[[Task], Iterable[Task]]
) -> list[Task] | None:
    """A shortest way from one of ``starts`` to ``goal`` along ``following``, both ends included."""
    came_from: dict[Task, Task | None] = dict.fromkeys(starts)
    line = deque(came_from)
    while line:
        task = line.popleft()
        if task is goal:
            path = [task]
            while (before := came_from[path[-1]]) is not None:
                path.append(before)
            return path[::-1]
        for following_task in following(task):
            if following_task not in came_from:
                came_from[following_task] = task
                line.append(following_task)
    return None

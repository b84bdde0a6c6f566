"""Who is next, worked out the slow way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._core.states import TaskPriority
from .plans import Broken

if TYPE_CHECKING:
    from ..._core.task import Task
    from .world import World

_HIGH = TaskPriority.HIGH


def judge_take(world: World, queued: dict[str, list[Task]], taken: list[Task]) -> None:
    """See that ``taken`` are as many as there was room for, and each the most urgent then."""
    slots = world.engine.slots
    if world.engine.paused:
        if taken:
            raise Broken(f"{taken} started although the manager is paused")
        return
    busy = {name: pool.taken for name, pool in slots.pools.items()}
    running = slots.running
    for task in taken:  # as it was before
        busy[task.spec.executor] -= 1
        running -= slots.pools[task.spec.executor].traits.local

    def able() -> list[Task]:
        return [
            task
            for name, tasks in queued.items()
            if tasks
            and busy[name] < slots.pools[name].slots
            and (running < slots.limit or not slots.pools[name].traits.local)
            for task in tasks
        ]

    for task in taken:
        _judge(world, task, able())
        queued[task.spec.executor].remove(task)
        busy[task.spec.executor] += 1
        running += slots.pools[task.spec.executor].traits.local
    if able():
        raise Broken(f"there is room for {able()[0]}, but it was not started")


def _judge(world: World, task: Task, able: list[Task]) -> None:
    if task not in able:
        raise Broken(f"{task} started where there was no room for it")
    rank = _rank(world, task)
    for other in able:
        if _rank(world, other) > rank:
            raise Broken(f"{task} started before {other}")
        if other is task:
            continue
        same_line = (task.spec.executor, task.spec.priority) == (
            other.spec.executor,
            other.spec.priority,
        )
        if same_line and able.index(other) < able.index(task):
            raise Broken(f"{task} went before {other}, which was in line before it")


def _rank(world: World, task: Task) -> tuple[int, float]:
    """How urgent ``task`` is: its priority, raised by age but never into CRITICAL; then its age."""
    level = int(task.spec.priority)
    every = world.setting.age_every
    if every is not None and level < _HIGH:
        level = min(int(_HIGH), level + int((world.now - task.queued_at) / every))
    return level, -task.queued_at

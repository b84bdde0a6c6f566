"""Who is next, worked out the slow way."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ..._core.states import PENDING, RUNNING, TaskPriority
from .plans import Broken

if TYPE_CHECKING:
    from ..._core.task import Task
    from .world import World

_HIGH = TaskPriority.HIGH


class Before:
    """How things stand before a ``take``; ``judge`` compares them with what came of it."""

    def __init__(self, world: World) -> None:
        self._world = world
        slots = world.engine.slots
        self._queued, is_back = world.laws.queued(), world.laws.is_back
        self._back = {task for line in self._queued.values() for task in line if is_back(task)}
        self._calls = {task: _calls(task) for tasks in self._queued.values() for task in tasks}
        # Also of those at gates: these may be called in the middle of it, when it is their turn.
        self._owned = any(
            task.spec.owner is not None and task.status is PENDING
            for task in world.engine.tasks.values()
        )
        self._busy = {name: pool.taken for name, pool in slots.pools.items()}
        self._running = slots.running
        self._has = Counter(
            (task.spec.executor, task.spec.owner)
            for task in world.engine.tasks.values()
            if (task.status is RUNNING and task not in world.lent) or world.is_claimed(task)
        )

    def judge(self, taken: list[Task]) -> None:
        """See that ``taken`` are as many as there was room for, and each the most urgent then."""
        world = self._world
        if world.engine.paused:
            if taken:
                raise Broken(f"{taken} started although the manager is paused")
            return
        after = world.laws.queued()
        still = {task for tasks in after.values() for task in tasks}
        # A task that a gate has turned away meanwhile was not in line all the time.
        stayed = [
            task
            for tasks in self._queued.values()
            for task in tasks
            if (task in taken and not task.spec.gates)
            or (task in still and _calls(task) == self._calls[task])
        ]
        for task in taken:
            name = task.spec.executor
            if not self._has_room(name):
                raise Broken(f"{task} started where there was no room for it")
            self._judge(task, stayed)
            if task in stayed:
                stayed.remove(task)
            self._busy[name] += 1
            self._running += world.engine.slots.pools[name].traits.local
            self._has[name, task.spec.owner] += 1
        for name, tasks in after.items():
            if tasks and self._has_room(name):
                raise Broken(f"there is room for {tasks[0]}, but it was not started")

    def _has_room(self, name: str) -> bool:
        slots = self._world.engine.slots
        pool = slots.pools[name]
        free = self._running < slots.limit or not pool.traits.local
        return free and self._busy[name] < pool.slots

    def _judge(self, task: Task, stayed: list[Task]) -> None:
        able = [other for other in stayed if self._has_room(other.spec.executor)]
        owned = self._owned
        for other in able:
            same_line = _line(task) == _line(other)
            whose_turn = owned and not same_line and other.spec.priority == task.spec.priority
            if other is task or whose_turn:
                continue
            first = same_line and task in able and able.index(other) < able.index(task)
            first |= same_line and other in self._back and task not in self._back
            plain = not (task.spec.gates or other.spec.gates)
            if outranks(self._world, other, task, owned=owned, first=first and plain):
                raise Broken(f"{task} started before {other}, which was in line before it")
            mine, theirs = ((task.spec.executor, each.spec.owner) for each in (task, other))
            if owned and same_line and self._has[theirs] < self._has[mine]:
                raise Broken(f"{task} started before {other}, whose owner has less")


def outranks(world: World, other: Task, task: Task, *, owned: bool, first: bool) -> bool:
    """Whether ``other`` must go before ``task``; ``first`` tells between equals.

    Where tasks have owners (``owned``) only what does not hang on whose turn it is can be told.
    """
    if not owned:
        theirs, mine = _rank(world, other), _rank(world, task)
        return theirs > mine or (theirs == mine and first)
    if (other.spec.owner, other.spec.priority) == (task.spec.owner, task.spec.priority):
        earlier = other.queued_at < task.queued_at
        return earlier or (other.queued_at == task.queued_at and first)
    return world.setting.age_every is None and other.spec.priority > task.spec.priority


def _rank(world: World, task: Task) -> tuple[int, float]:
    """How urgent ``task`` is: its priority, raised by age but never into CRITICAL; then its age."""
    level = int(task.spec.priority)
    every = world.setting.age_every
    if every is not None and level < _HIGH:
        level = min(int(_HIGH), level + int((world.now - task.queued_at) / every))
    return level, -task.queued_at


def _line(task: Task) -> tuple[str, TaskPriority]:
    return task.spec.executor, task.spec.priority


def _calls(task: Task) -> tuple[str | None, int]:
    """Which gate has called ``task``, and how often it was in vain."""
    return (task.notes.called, task.notes.turned_away) if task.notes is not None else (None, 0)

"""The manager's process dies, and the next one takes in what was stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..._core.graph import in_order
from ..._core.outcome import Err
from ..._core.states import RUNNING, TERMINAL
from ..._core.task import Attempt, Task
from .plans import Flop

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .world import World


class Restart(NamedTuple):
    """Whatever ran in the process has crashed; what ran elsewhere, or was handed over, goes on.

    The next engine learns of that as it does of every start: when it has handed it over once more,
    and its executor finds that it is under way.
    """

    def do(self, world: World) -> None:
        """Take in what had not ended, each task after those it depends on."""
        left = {id: task for id, task in world.engine.tasks.items() if task.status not in TERMINAL}
        before = {
            task.id: [other.id for other in task.dependencies if left.get(other.id) is other]
            for task in left.values()
        }
        tasks = {task: Task(task.id, task.spec, task.created_at) for task in left.values()}
        crashed = {task for task in tasks if task.status is RUNNING and not _goes_on(world, task)}
        world.reopen(tasks, crashed)
        for old, new in tasks.items():
            _take_over(old, new, tasks)
            if old in crashed:
                new.noted.crashes += 1
                past = Attempt(old.attempt, old.started_at, world.now, "crashed")
                new.noted.attempts.append(past)
            elif old.run_is_open:
                new.noted.given_back += 1
        for id in in_order(before):
            new, old = tasks[left[id]], left[id]
            too_often = old in crashed and new.noted.crashes >= new.spec.max_crashes
            verdict = Err(Flop(id, new.run), crashed=True) if too_often else None
            world.engine.restore(new, world.now, verdict)

    def __str__(self) -> str:
        return "the process dies, and the next one takes over"


def _goes_on(world: World, task: Task) -> bool:
    """Whether a task that runs does not run in the process of the manager."""
    traits = world.traits(task)
    return traits.outlives or traits.manual


def _take_over(old: Task, new: Task, tasks: Mapping[Task, Task]) -> None:
    """Make ``new`` what is stored of ``old``."""
    new.dependencies = tuple(tasks.get(other, other) for other in old.dependencies)
    new.held, new.run, new.due, new.started_at = old.held, old.run, old.due, old.started_at
    if old.notes is None:
        return
    notes = new.noted
    for name in ("key", "due_at", "failures", "crashes", "given_back", "progress", "message"):
        setattr(notes, name, getattr(old.notes, name))
    notes.attempts = old.notes.attempts.copy()
    if old.notes.parent is not None:
        notes.parent = tasks.get(old.notes.parent, old.notes.parent)

"""What is known of each task from its inputs and its transitions alone."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from ..._core.states import COMPLETED, RUNNING, TERMINAL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..._core.task import Task


class Life:
    """What is known of one task from its inputs and its transitions alone."""

    __slots__ = (
        "at",
        "back",
        "began",
        "begun_before",
        "born",
        "children",
        "crashes",
        "dependencies",
        "ended",
        "expires_at",
        "failures",
        "held",
        "joined",
        "run",
        "seen_walls",
        "spent",
        "started",
        "task",
    )

    def __init__(self, task: Task, now: float, seen_walls: int) -> None:
        self.task = task
        self.born = now
        self.seen_walls = seen_walls
        self.dependencies = task.dependencies
        self.held = task.held
        self.at = task.notes.due_at if task.notes is not None else None
        self.children: list[Task] = []
        self.expires_at = now + task.spec.expires if task.spec.expires is not None else inf
        self.began = False
        """Whether it has ever begun."""
        self.back = False
        """Whether it is in line again after a run that never began."""
        self.begun_before = False
        """Whether it had when its run started."""
        self.joined = now
        """Since when it was in line when its run started."""
        self.run = task.run
        self.spent = task.attempt
        """How many attempts have been spent, with the one that is on."""
        self.started = 0.0
        self.failures = 0
        self.crashes = 0
        self.ended: tuple[Any, ...] | None = None

    def starts(self, now: float) -> None:
        """A run begins, as far as anybody knows."""
        self.spent += 1
        self.started = now
        self.begun_before, self.began = self.began, True

    def comes_back(self) -> None:
        """Its run has not begun after all: it is in line as if it had never left."""
        self.back = True
        self.began = self.begun_before
        if self.task.spec.expires is not None:
            self.expires_at = self.born + self.task.spec.expires

    def go_on(self, tasks: Mapping[Task, Task], *, crashed: bool, patient_until: float) -> None:
        """Its process has died; ``tasks`` is what has become of each task in the next one.

        ``patient_until``: until when it is not too late for what was handed over.
        """
        before, self.task = self.task, tasks[self.task]
        self.dependencies = tuple(tasks.get(other, other) for other in self.dependencies)
        self.children = [tasks.get(child, child) for child in self.children]
        if crashed:
            self.crashes += 1
        elif before.status is RUNNING:
            self.spent -= 1  # it goes on, as the same attempt
        if before.run and not self.began:
            self.expires_at = max(self.expires_at, patient_until)


def may_run(life: Life) -> bool:
    """Whether what a task depends on is done."""
    if life.task.spec.run_if == "all_done":
        return all(other.status in TERMINAL for other in life.dependencies)
    return all(other.status is COMPLETED for other in life.dependencies)


def snapshot(task: Task) -> tuple[Any, ...]:
    """What must never change again once ``task`` has ended."""
    attempts = tuple(task.notes.attempts) if task.notes is not None else ()
    progress = task.notes.progress if task.notes is not None else None
    times = (task.started_at, task.ended_at)
    return (task.status, task.outcome, task.held, task.run, times, attempts, progress)

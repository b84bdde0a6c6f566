"""Transitions, and the Change that people see of one.

Inside, a transition is a plain tuple: three of them are made for every task that runs, and a tuple
costs a tenth of an object. Whoever listens is shown a :class:`Change`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from .outcome import Err
from .states import FAILED, PENDING, RUNNING, TaskStatus
from .task import Task

Transition: TypeAlias = tuple[Task, TaskStatus | None, TaskStatus, float, int, str]
"""(task, before, after, when, attempt, cause)"""


@dataclass(frozen=True, slots=True)
class Change:
    """One move of one task from one status to another."""

    task_id: str
    name: str
    type: str
    before: TaskStatus | None
    """None: the task was submitted."""
    after: TaskStatus
    at: float
    """When, in seconds since the epoch."""
    attempt: int
    cause: str
    """Why, in a few words: "submitted", "retry in 2.0 s", "dependency failed"."""
    error: BaseException | None = None
    """What went wrong, with a failure or with an attempt that is retried."""

    @classmethod
    def of(cls, transition: Transition, wall_offset: float) -> Change:
        """The public face of ``transition``; ``wall_offset`` turns its time into wall time."""
        task, before, after, when, attempt, cause = transition
        error = None
        if after is FAILED and isinstance(task.outcome, Err):
            error = task.outcome.error
        elif before is RUNNING and after is PENDING and task.notes is not None:
            error = task.notes.attempts[-1].error
        spec = task.spec
        return cls(
            task.id,
            spec.name,
            spec.type,
            before,
            after,
            when + wall_offset,
            attempt,
            cause,
            error,
        )


class Gap(NamedTuple):
    """Stands where changes were dropped because their reader was too slow."""

    missed: int

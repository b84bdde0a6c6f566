"""Transitions, the Moves that the engine hands out, and the Change that people see of one.

Inside, a transition is a plain tuple, which costs a tenth of an object. The two that every task
goes through, submitted and started, are not even that until somebody asks: a list of tasks says
the same, and a hundred thousand tuples less are a hundred thousand less for the collector to trace.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from .outcome import Err
from .states import COMPLETED, FAILED, PENDING, RUNNING, TaskStatus
from .task import Task

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .meters import CircuitState
    from .turnstiles import CircuitMove

Transition: TypeAlias = tuple[Task, TaskStatus | None, TaskStatus, float, int, str]
"""(task, before, after, when, attempt, cause)"""


class Moves:
    """What has happened since the last time, in order when iterated over.

    ``submitted`` are the tasks that came in PENDING and with nothing special about them,
    ``returned`` those that ended well and had nothing to them, and ``started`` those that were
    taken last; ``moved`` is everything else, which came between.
    """

    __slots__ = ("circuits", "moved", "returned", "started", "submitted")

    def __init__(
        self,
        submitted: list[Task],
        returned: list[Task],
        moved: list[Transition],
        started: list[Task],
    ) -> None:
        self.submitted = submitted
        self.returned = returned
        self.moved = moved
        self.started = started
        self.circuits: Sequence[CircuitMove] = ()
        """What breakers did; not part of the iteration, which is about tasks."""

    def __iter__(self) -> Iterator[Transition]:
        for task in self.submitted:
            yield task, None, PENDING, task.created_at, 0, "submitted"
        for task in self.returned:
            yield task, RUNNING, COMPLETED, task.ended_at, task.run, "returned"
        yield from self.moved
        for task in self.started:
            yield task, PENDING, RUNNING, task.started_at, task.attempt, "started"

    def __len__(self) -> int:
        return len(self.submitted) + len(self.returned) + len(self.moved) + len(self.started)


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


class GateChange(NamedTuple):
    """The circuit breaker of a gate opened, closed, or is about to find out."""

    gate: str
    before: CircuitState
    after: CircuitState
    at: float
    """When, in seconds since the epoch."""
    cause: str
    """Why, in a few words."""

    @classmethod
    def of(cls, move: CircuitMove, wall_offset: float) -> GateChange:
        """The public face of ``move``."""
        gate, before, after, when, cause = move
        return cls(gate, before, after, when + wall_offset, cause)


class Gap(NamedTuple):
    """Stands where changes were dropped because their reader was too slow."""

    missed: int

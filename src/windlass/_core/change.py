"""Transitions, the Moves that the engine hands out, and the Change that people see of one.

Inside, a transition is a plain tuple, which costs a tenth of an object. Those that every task goes
through are not even that until somebody asks: a list of tasks says the same, and a hundred thousand
tuples less are a hundred thousand less for the collector to trace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from .outcome import Err
from .states import COMPLETED, FAILED, PENDING, RUNNING, WAITING, TaskStatus
from .task import Task

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .meters import CircuitState
    from .turnstiles import CircuitMove

Transition: TypeAlias = tuple[Task, TaskStatus | None, TaskStatus, float, int, str]
"""(task, before, after, when, attempt, cause)"""


class Moves:
    """What has happened since the last time, in order when iterated over.

    Tasks that have nothing special about them are told by lists: ``submitted`` are those that came
    in PENDING, ``waiting`` those that came in WAITING, ``returned`` those that ended well,
    ``readied`` those with nothing left to wait for, and ``started`` those that were taken, which
    comes last. ``moved`` is everything else, which came between.
    """

    __slots__ = ("circuits", "moved", "readied", "returned", "started", "submitted", "waiting")

    def __init__(self) -> None:
        self.submitted: list[Task] = []
        self.waiting: list[Task] = []
        self.returned: list[Task] = []
        self.readied: list[Task] = []
        self.moved: list[Transition] = []
        self.started: list[Task] = []
        self.circuits: Sequence[CircuitMove] = ()
        """What breakers did; not part of the iteration, which is about tasks."""

    def __iter__(self) -> Iterator[Transition]:
        for task in self.submitted:
            yield task, None, PENDING, task.created_at, 0, "submitted"
        for task in self.waiting:
            yield task, None, WAITING, task.created_at, 0, "submitted"
        for task in self.returned:
            yield task, RUNNING, COMPLETED, task.ended_at, task.run, "returned"
        for task in self.readied:
            yield task, WAITING, PENDING, task.queued_at, 0, "dependencies done"
        yield from self.moved
        for task in self.started:
            yield task, PENDING, RUNNING, task.started_at, task.attempt, "started"

    def __len__(self) -> int:
        plain = (self.submitted, self.waiting, self.returned, self.readied, self.started)
        return sum(map(len, plain), len(self.moved))


class Change(NamedTuple):
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

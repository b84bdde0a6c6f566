"""What people see of a task: a frozen picture of one moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from .outcome import Err, Ok
from .states import COMPLETED, TERMINAL, TaskPriority, TaskStatus

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from .task import Task


class PastAttempt(NamedTuple):
    """How an attempt of a task ended."""

    number: int
    started_at: datetime
    ended_at: datetime
    ended: str
    """`failed`, `timed out`, `crashed`, `snoozed`, `taken back`, or what cancelled it."""
    error: BaseException | None


class TaskInfo(NamedTuple):
    """A task as it stood when it was asked for."""

    id: str
    name: str
    type: str
    status: TaskStatus
    priority: TaskPriority
    executor: str
    description: str
    tags: frozenset[str]
    metadata: Mapping[str, Any]
    owner: str | None
    gates: Mapping[str, int]
    """The gates it must pass, each with how much of it the task takes."""
    key: str | None
    parent: str | None
    dependencies: tuple[str, ...]
    held: bool
    attempt: int
    max_attempts: int
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    progress: float
    message: str
    result: Any
    error: BaseException | None
    cause: str | None
    """Why it was cancelled, if it was."""
    attempts: tuple[PastAttempt, ...]
    """How its last attempts ended, those that were retried and the one that was not."""
    cleanup_errors: tuple[BaseException, ...]

    @property
    def waited(self) -> float | None:
        """Seconds from submit to the (last) start; None if it has not started."""
        return _between(self.created_at, self.started_at)

    @property
    def ran(self) -> float | None:
        """Seconds from the (last) start to the end; None if it has not ended, or never started."""
        return _between(self.started_at, self.ended_at)

    @classmethod
    def of(cls, task: Task, wall_offset: float) -> TaskInfo:
        """``task`` now; ``wall_offset`` turns the engine's times into wall times."""
        from datetime import UTC, datetime  # noqa: PLC0415  # a thirtieth of what asyncio costs

        spec, notes, outcome = task.spec, task.notes, task.outcome
        said = notes.progress if notes is not None else None
        # Done is done, whatever it said last.
        progress = 1.0 if task.status is COMPLETED else said or 0.0

        def wall(when: float) -> datetime:
            return datetime.fromtimestamp(when + wall_offset, UTC)

        return cls(
            id=task.id,
            name=spec.name,
            type=spec.type,
            status=task.status,
            priority=spec.priority,
            executor=spec.executor,
            description=spec.description,
            tags=spec.tags,
            metadata=spec.metadata,
            owner=spec.owner,
            gates=dict(spec.gates),
            key=notes.key if notes else None,
            parent=notes.parent.id if notes and notes.parent else None,
            dependencies=tuple(dependency.id for dependency in task.dependencies),
            held=task.held,
            attempt=task.attempt,
            max_attempts=task.most_attempts,
            created_at=wall(task.created_at),
            started_at=wall(task.started_at) if task.started_at else None,
            ended_at=wall(task.ended_at) if task.status in TERMINAL else None,
            progress=progress,
            message=notes.message if notes else "",
            result=outcome.value if isinstance(outcome, Ok) else None,
            error=outcome.error if isinstance(outcome, Err) else None,
            cause=getattr(outcome, "cause", None),
            attempts=tuple(
                PastAttempt(p.number, wall(p.started_at), wall(p.ended_at), p.ended, p.error)
                for p in (notes.attempts if notes else ())
            ),
            cleanup_errors=tuple(notes.cleanup_errors) if notes else (),
        )


def _between(start: datetime | None, end: datetime | None) -> float | None:
    return (end - start).total_seconds() if start and end and end >= start else None

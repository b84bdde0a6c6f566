"""The record of one task: its changes so far, told from the task itself.

Nothing is written down for it while tasks run. What a task remembers anyway, when it came, started
and ended, and how its earlier attempts went, is its history; as much of that as is bounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .change import Change
from .outcome import Cancelled, Err
from .states import COMPLETED, PENDING, RUNNING, TERMINAL, WAITING

if TYPE_CHECKING:
    from .states import TaskStatus
    from .task import Task


def record(task: Task, wall_offset: float) -> list[Change]:
    """The changes of ``task`` so far, the oldest first; ``wall_offset`` makes wall times of them.

    Of what happened between two attempts only the attempts are told.
    """
    changes: list[Change] = []

    def add(
        before: TaskStatus | None,
        after: TaskStatus,
        at: float,
        attempt: int,
        cause: str,
        error: BaseException | None = None,
    ) -> None:
        spec = task.spec
        changes.append(
            Change(
                task.id,
                spec.name,
                spec.type,
                before,
                after,
                at + wall_offset,
                attempt,
                cause,
                error,
            )
        )

    attempts = list(task.notes.attempts) if task.notes is not None else []
    ended_running = task.status in TERMINAL and task.ended_running
    remembered = ended_running and task.status is not COMPLETED  # among the attempts, as the last
    add(None, WAITING if task.dependencies else PENDING, task.created_at, 0, "submitted")
    for left, past in enumerate(attempts, 1 - len(attempts)):
        add(PENDING, RUNNING, past.started_at, past.number, "started")
        if left or not remembered:
            add(RUNNING, PENDING, past.ended_at, past.number, past.ended, past.error)
    if task.status is RUNNING or (ended_running and not remembered):
        add(PENDING, RUNNING, task.started_at, task.attempt, "started")
    if task.status in TERMINAL:
        before = RUNNING if ended_running else changes[-1].after
        error = task.outcome.error if isinstance(task.outcome, Err) else None
        cause = "returned" if task.status is COMPLETED else "failed"
        if isinstance(task.outcome, Cancelled):
            cause = task.outcome.cause
        add(before, task.status, task.ended_at, task.attempt, cause, error)
    return changes

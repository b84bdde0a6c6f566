"""The statuses and the one table of moves between them.

Guarantees:

- A task has exactly one status at any time.
- Only the moves in ``TRANSITIONS`` ever happen; the engine checks each against the table.
- Nothing leads out of COMPLETED. Out of FAILED and CANCELLED leads only an explicit retry.

What would be a seventh status elsewhere is something else here: a request to cancel is a flag, a
retry is PENDING with an attempt behind it, a skipped task is CANCELLED with a cause.
"""

from __future__ import annotations

import enum


class TaskStatus(enum.StrEnum):
    """Where a task stands."""

    PENDING = "pending"
    """Nothing is in its way but time, order or a free slot (or it is held until executed)."""
    WAITING = "waiting"
    """For tasks it depends on."""
    RUNNING = "running"
    """Its function is being run right now; nothing that only queues is ever called running."""
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    # Enum's own __hash__ is a Python function; statuses key the engine's counters.
    __hash__ = str.__hash__

    @property
    def finished(self) -> bool:
        """Whether the task has ended, one way or another."""
        return self in TERMINAL


PENDING = TaskStatus.PENDING
WAITING = TaskStatus.WAITING
RUNNING = TaskStatus.RUNNING
COMPLETED = TaskStatus.COMPLETED
FAILED = TaskStatus.FAILED
CANCELLED = TaskStatus.CANCELLED

TERMINAL = frozenset({COMPLETED, FAILED, CANCELLED})

TRANSITIONS: dict[TaskStatus | None, dict[TaskStatus, str]] = {
    None: {
        WAITING: "submitted with open dependencies",
        PENDING: "submitted",
    },
    WAITING: {
        PENDING: "dependencies done",
        FAILED: "a dependency failed, or total_timeout",
        CANCELLED: "asked, expired, or a dependency was cancelled",
    },
    PENDING: {
        RUNNING: "started (attempt + 1)",
        FAILED: "total_timeout",
        CANCELLED: "asked or expired",
    },
    RUNNING: {
        COMPLETED: "returned",
        FAILED: "raised, timed out or crashed, with no attempt left",
        CANCELLED: "asked",
        PENDING: "retry, snooze or lost worker",
    },
    FAILED: {
        WAITING: "explicit retry",
        PENDING: "explicit retry",
    },
    CANCELLED: {
        WAITING: "explicit retry",
        PENDING: "explicit retry",
    },
    COMPLETED: {},
}


class TaskPriority(enum.IntEnum):
    """What goes first when not everything can run; first in, first out within one."""

    LOW = 0
    NORMAL = 1
    HIGH = 2
    CRITICAL = 3

    @classmethod
    def named(cls, value: TaskPriority | str | int) -> TaskPriority:
        """The priority that ``value`` means: one itself, its name, or its number."""
        if isinstance(value, str) and value.upper() in cls.__members__:
            return cls[value.upper()]
        if isinstance(value, int) and value in cls.__members__.values():
            return cls(value)
        raise ValueError(f"a priority is one of {', '.join(cls.__members__)}, not {value!r}")

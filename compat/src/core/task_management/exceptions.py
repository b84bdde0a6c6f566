"""The errors, which are those of Windlass."""

from windlass import (
    InvalidTaskStateError,
    TaskCancellationError,
    TaskDependencyError,
    TaskError,
    TaskExecutionError,
    TaskNotFoundError,
    TaskTimeoutError,
)

__all__ = [
    "InvalidTaskStateError",
    "TaskCancellationError",
    "TaskDependencyError",
    "TaskError",
    "TaskExecutionError",
    "TaskNotFoundError",
    "TaskTimeoutError",
]

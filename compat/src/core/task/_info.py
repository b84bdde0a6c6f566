"""A task as a dict, the way the monitor and the unified manager show it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core._task import written

if TYPE_CHECKING:
    from core._task import Task


def info_of(task: Task) -> dict[str, Any]:
    """All there is to know about a task; a copy."""
    moments = (task.created_at, task.started_at, task.completed_at)
    record = task._record
    touched = record.touched if record is not None else None
    changed = max(moment for moment in (*moments, touched) if moment is not None)
    return {
        "task_id": task.task_id,
        "task_type": task.task_type,
        "name": task.name,
        "description": task.description,
        "metadata": dict(task.metadata),
        "status": task.status.value,
        "created_at": written(task.created_at),
        "updated_at": written(changed),
        "started_at": written(task.started_at),
        "completed_at": written(task.completed_at),
        "progress": task.progress,
        "progress_message": task.progress_message,
        "result": task.result,
        "error": record.error_text() if record is not None else None,
    }

"""The task, its status and its priority."""

from windlass import TaskPriority, TaskStatus

from core._task import Task, create_task_id

__all__ = ["Task", "TaskPriority", "TaskStatus", "create_task_id"]

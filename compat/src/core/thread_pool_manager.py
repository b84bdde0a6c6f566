"""The old path of the thread pool; new programs submit to Windlass itself."""

import warnings

from windlass import TaskPriority, TaskStatus

from core._pool import ThreadPoolManager, thread_pool_manager

__all__ = ["TaskPriority", "TaskStatus", "ThreadPoolManager", "thread_pool_manager"]

warnings.warn(
    "core.thread_pool_manager is deprecated: use core.task_management, or windlass.TaskManager",
    DeprecationWarning,
    stacklevel=2,
)

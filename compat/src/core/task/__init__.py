"""The task manager for sync and async programs, the bridge and the monitor."""

from windlass import TaskDependencyError as TaskDependencyError
from windlass import TaskError as TaskError
from windlass import TaskPriority as TaskPriority
from windlass import TaskStatus as TaskStatus

from core._task import create_task_id as create_task_id

from ._task import Task as Task
from .async_task_manager import AsyncTaskManager as AsyncTaskManager
from .async_task_manager import AsyncTaskStatus as AsyncTaskStatus
from .async_task_manager import task_manager as task_manager
from .bridge import TaskBridge as TaskBridge
from .bridge import task_bridge as task_bridge
from .config import TaskConfig as TaskConfig
from .monitor import TaskMonitor as TaskMonitor
from .monitor import task_monitor as task_monitor

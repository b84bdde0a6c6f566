"""The unified task management: tasks, their manager, executors and errors."""

from .exceptions import InvalidTaskStateError as InvalidTaskStateError
from .exceptions import TaskCancellationError as TaskCancellationError
from .exceptions import TaskDependencyError as TaskDependencyError
from .exceptions import TaskError as TaskError
from .exceptions import TaskExecutionError as TaskExecutionError
from .exceptions import TaskNotFoundError as TaskNotFoundError
from .exceptions import TaskTimeoutError as TaskTimeoutError
from .executor import AsyncExecutor as AsyncExecutor
from .executor import Executor as Executor
from .executor import SequentialExecutor as SequentialExecutor
from .executor import ThreadPoolExecutor as ThreadPoolExecutor
from .task import Task as Task
from .task import TaskPriority as TaskPriority
from .task import TaskStatus as TaskStatus
from .task_manager import TaskManager as TaskManager

"""One task system for Python, from a coroutine to a cluster.

>>> with TaskManager() as tm:
...     print(tm.submit(sorted, [3, 1, 2]).result())
[1, 2, 3]
"""

from ._core.change import Change as Change
from ._core.change import Gap as Gap
from ._core.change import GateChange as GateChange
from ._core.flow import Adaptive as Adaptive
from ._core.flow import Breaker as Breaker
from ._core.flow import Gate as Gate
from ._core.flow import Rate as Rate
from ._core.info import PastAttempt as PastAttempt
from ._core.info import TaskInfo as TaskInfo
from ._core.metrics import Metrics as Metrics
from ._core.policies import Retry as Retry
from ._core.states import TaskPriority as TaskPriority
from ._core.states import TaskStatus as TaskStatus
from ._runtime.current import CurrentTask as CurrentTask
from ._runtime.current import current_task as current_task
from ._runtime.external import ExternalTask as ExternalTask
from ._runtime.graph import call as call
from ._runtime.graph import ref as ref
from ._runtime.group import TaskGroup as TaskGroup
from ._runtime.handle import TaskHandle as TaskHandle
from ._runtime.live_gate import LiveGate as LiveGate
from ._runtime.log_lines import LogLine as LogLine
from ._runtime.wait import Wait as Wait
from .codecs import register_type as register_type
from .decorators import TaskFunction as TaskFunction
from .decorators import task as task
from .errors import CircuitOpenError as CircuitOpenError
from .errors import DeadlockError as DeadlockError
from .errors import DuplicateTaskError as DuplicateTaskError
from .errors import InvalidTaskStateError as InvalidTaskStateError
from .errors import ManagerClosedError as ManagerClosedError
from .errors import NotDurableError as NotDurableError
from .errors import QueueFullError as QueueFullError
from .errors import RemoteError as RemoteError
from .errors import SerializationError as SerializationError
from .errors import Snooze as Snooze
from .errors import StoreCorruptError as StoreCorruptError
from .errors import StoreError as StoreError
from .errors import StoreFencedError as StoreFencedError
from .errors import StoreFullError as StoreFullError
from .errors import StoreLockedError as StoreLockedError
from .errors import TaskCancellationError as TaskCancellationError
from .errors import TaskCrashedError as TaskCrashedError
from .errors import TaskDependencyError as TaskDependencyError
from .errors import TaskError as TaskError
from .errors import TaskExecutionError as TaskExecutionError
from .errors import TaskNotFoundError as TaskNotFoundError
from .errors import TaskTimeoutError as TaskTimeoutError
from .manager import TaskManager as TaskManager

__version__ = "0.1.0"

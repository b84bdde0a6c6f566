"""The contract of executors, as a suite of tests: for ours, and for those that you write.

::

    from windlass.testing import ExecutorContract


    class TestMyExecutor(ExecutorContract):
        def make_executor(self):
            return MyExecutor(slots=2)

The suite runs tasks on it through a real manager. What an executor declares in its ``traits`` is
tested; what it declares not to do is skipped, with the reason. A few facts are no concern of the
engine and are declared on the class instead.
"""

from __future__ import annotations

from .closing import Closing
from .running import Running
from .stopping import Stopping

__all__ = ["ExecutorContract"]


class ExecutorContract(Running, Stopping, Closing):
    """What every executor must keep, as tests: subclass it in a test module of yours.

    Define ``make_executor()`` and, if that makes something beside the executor, ``dispose()``.

    - ``on_loop``: functions run on the manager's event loop, so that plain ones block it.
    - ``own_workers``: the threads or processes are the executor's own, and end with it.
    - ``survives_crashes``: a process that dies is replaced, and costs only the task it ran.
    - ``limit``: what does not happen within so many seconds has failed to happen.
    """

"""The monitor: tasks that other code runs and reports on, with a log file for each."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import windlass
from windlass import TaskStatus

from core._engine import SHARED, Engine
from core._face import status_of
from core._task import now

from ._info import info_of
from ._task import Task
from .bridge import TaskBridge

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from windlass import TaskHandle

    from core._record import Record

logger = logging.getLogger("windlass.compat")

_LONGEST = 100


class TaskMonitor:
    """Keeps track of tasks. All that is told of them are reports; nothing is run here.

    Args:
        log_dir: where the log files of tasks go; it is made when the first line is written.
        auto_shutdown_on_complete: call ``auto_shutdown_callback`` when the last open task ends.
        auto_shutdown_idle_time: call it when nothing was open for so many seconds, too.
        auto_shutdown_callback: what to call.
        engine: the engine of another face, to share its tasks.
    """

    def __init__(
        self,
        log_dir: str = "logs",
        auto_shutdown_on_complete: bool = False,
        auto_shutdown_idle_time: float = 1800.0,
        auto_shutdown_callback: Callable[[], object] | None = None,
        *,
        engine: Engine | None = None,
    ) -> None:
        self.log_dir = Path(log_dir)
        self.auto_shutdown_on_complete = auto_shutdown_on_complete
        self.auto_shutdown_idle_time = auto_shutdown_idle_time
        self.auto_shutdown_callback = auto_shutdown_callback
        self._reports = _Reports(self, engine)
        self._writing = threading.Lock()
        # The idle time runs on a manager of its own, where nobody sees it among the tasks.
        self._alarms = windlass.TaskManager(own_loop=True)
        self._alarm: TaskHandle[None] | None = None

    @property
    def windlass(self) -> windlass.TaskManager:
        """The Windlass manager behind this."""
        return self._reports.windlass

    @property
    def engine(self) -> Engine:
        """What can be shared with other faces."""
        return self._reports.engine

    # -- reports -------------------------------------------------------------------------------

    def register_task(
        self,
        task_id: str | None = None,
        task_type: str = "default",
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> str:
        """Take note of a task; returns its id."""
        task = Task(
            task_id, task_type, description=description, metadata=metadata, task_type=task_type
        )
        return self._reports.take(task)

    def start_task(self, task_id: str) -> bool:
        """Note that a task has begun."""
        return self._reports.start_task(task_id)

    def update_task_progress(
        self, task_id: str, progress: float, message: str | None = None
    ) -> bool:
        """Note how far a running task is, from 0 to 1."""
        return self._reports.update_task_progress(task_id, progress, message)

    def complete_task(self, task_id: str, result: Any = None) -> bool:
        """Note that a task is done."""
        return self._reports.complete_task(task_id, result)

    def fail_task(self, task_id: str, error: BaseException | str) -> bool:
        """Note that a task failed."""
        return self._reports.fail_task(task_id, error)

    def cancel_task(self, task_id: str, reason: str | None = None) -> bool:
        """Cancel a task."""
        return self._reports.cancel_task(task_id, reason)

    # -- asking --------------------------------------------------------------------------------

    def get_task_info(self, task_id: str) -> dict[str, Any] | None:
        """All there is to know about a task: a copy, which may be changed."""
        task = self._reports.get_task(task_id)
        return info_of(task) if task is not None else None

    def get_task_status(self, task_id: str) -> TaskStatus | None:
        """Where a task stands."""
        return self._reports.get_task_status(task_id)

    def get_task_progress(self, task_id: str) -> tuple[float, str]:
        """How far a task is, and what it is doing."""
        return self.windlass.get_task_progress(task_id)

    def get_task_result(self, task_id: str) -> Any:
        """The result of a completed task."""
        return self._reports.get_task_result(task_id)

    def get_task_error(self, task_id: str) -> str | None:
        """What went wrong with a task, in words."""
        return self._reports.get_task_error(task_id)

    def get_all_tasks(self) -> dict[str, dict[str, Any]]:
        """All tasks that are remembered, by id."""
        return self._infos()

    def get_tasks_by_status(self, status: TaskStatus | str) -> dict[str, dict[str, Any]]:
        """The tasks of one status, by id."""
        return self._infos(status=status_of(status))

    def get_tasks_by_type(self, task_type: str) -> dict[str, dict[str, Any]]:
        """The tasks of one type, by id."""
        return self._infos(type=task_type)

    def _infos(self, **filters: Any) -> dict[str, dict[str, Any]]:
        return {task.task_id: info_of(task) for task in self.engine.all(**filters)}

    # -- files ---------------------------------------------------------------------------------

    def log_task_message(self, task_id: str, text: str) -> bool:
        """Add a line to a task's log file; False if the task is unknown."""
        if self.get_task_status(task_id) is None:
            return False
        line = f"{now().isoformat(timespec='milliseconds')} {text}\n"
        with self._writing:
            path = self._path(task_id, "log")
            with path.open("a", encoding="utf-8", errors="backslashreplace") as log:
                log.write(line)
        return True

    def get_task_log(self, task_id: str) -> str | None:
        """What was logged for a task; None if it is unknown."""
        if self.get_task_status(task_id) is None:
            return None
        path = self._path(task_id, "log")
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def export_task_info(self, task_id: str, export_path: str | None = None) -> str | None:
        """Write what is known of a task into a JSON file; returns its path."""
        info = self.get_task_info(task_id)
        if info is None:
            return None
        path = Path(export_path) if export_path is not None else self._path(task_id, "json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(info, indent=2, default=repr), encoding="utf-8")
        return str(path)

    def _path(self, task_id: str, ending: str) -> Path:
        """A file for a task, in ``log_dir`` whatever the id is made of, and for no other task."""
        self.log_dir.mkdir(parents=True, exist_ok=True)
        name = quote(task_id, safe="", errors="surrogatepass")
        if len(name) > _LONGEST:
            digest = hashlib.sha256(name.encode()).hexdigest()
            name = f"{name[:20]}%-{digest}"  # which no quoted id can be
        return self.log_dir / f"task_{name}.{ending}"

    # -- forgetting, and shutting down when there is nothing to do -----------------------------

    def cleanup_task(self, task_id: str) -> bool:
        """Forget an ended task; False if it has not ended."""
        return self._reports.cleanup_task(task_id)

    def cleanup_completed_tasks(self, max_age: float = 86400.0) -> int:
        """Forget the tasks that ended more than ``max_age`` seconds ago; returns how many."""
        return self._reports.cleanup_completed_tasks(max_age)

    def _quiet(self, *, since: float) -> None:
        """Nothing has been open for so many seconds."""
        if self.auto_shutdown_callback is None:
            return
        if since < (0 if self.auto_shutdown_on_complete else self.auto_shutdown_idle_time):
            waiting = windlass.task(self._when_idle).options(delay=self.auto_shutdown_idle_time)
            self._alarms.start()
            self._alarm = self._alarms.submit(waiting)
            return
        try:
            self.auto_shutdown_callback()
        except Exception:
            logger.exception("the callback of a monitor that has nothing to do raised")

    def _when_idle(self) -> None:
        self._quiet(since=self.auto_shutdown_idle_time)

    def _busy(self) -> None:
        """Something is open again."""
        if self._alarm is not None:
            self._alarm.cancel()


class _Reports(TaskBridge):
    """The monitor's hand on the engine: it drives tasks as the bridge does."""

    def __init__(self, monitor: TaskMonitor, engine: Engine | None) -> None:
        super().__init__(engine)
        self._monitor = monitor
        self._open: set[str] = set()
        self._counting = threading.Lock()

    def take(self, task: Task) -> str:
        """Register a task that others report on."""
        with self._counting:
            task_id = self.engine.take(task, self).id
            self._open.add(task_id)
            self._monitor._busy()
        return task_id

    def _ended(self, record: Record) -> None:
        with self._counting:
            self._open.discard(record.id)
            quiet = not self._open
        if quiet:
            self._monitor._quiet(since=0.0)


task_monitor = TaskMonitor(engine=SHARED)

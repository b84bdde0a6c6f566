"""A task as the faces show it: what was asked of it, and a window onto where it stands."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Self

from windlass import TaskError, TaskInfo, TaskPriority, TaskStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ._record import Record


def create_task_id() -> str:
    """A new task id."""
    return f"task_{uuid.uuid4().hex}"


def now() -> datetime:
    """The time as the older systems show it: local and naive."""
    return datetime.now()  # noqa: DTZ005, TID251  # programs subtract it from their own


def local(moment: datetime | None) -> datetime | None:
    """A moment of Windlass's as the older systems show it."""
    return moment and moment.astimezone().replace(tzinfo=None)


def written(moment: datetime | None) -> str | None:
    """A moment in the ISO format."""
    return moment.isoformat() if moment is not None else None


def call_of(
    positional: tuple[Any, ...],
    args: Iterable[Any],
    keywords: Mapping[str, Any],
    kwargs: Mapping[str, Any] | None,
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A function's arguments from the three ways to pass them; ``kwargs=`` reaches any name."""
    if isinstance(args, str | bytes) or not isinstance(args, Iterable):
        raise TypeError(f"args= takes a tuple or a list, not {args!r}")
    if not isinstance(kwargs, Mapping | None):
        raise TypeError(f"kwargs= takes a dict, not {kwargs!r}")
    return (*positional, *args), {**keywords, **(kwargs or {})}


class Task:
    """One unit of work. Once it is registered, its state is that of the task in Windlass."""

    _shouts: ClassVar[bool] = True
    """Whether ``to_dict`` has the status in capitals."""

    def __init__(
        self,
        task_id: str | None = None,
        name: str = "Unnamed Task",
        func: Callable[..., Any] | None = None,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        priority: TaskPriority | str = TaskPriority.NORMAL,
        dependencies: Iterable[str] | None = None,
        max_retries: int = 0,
        retry_delay: float = 1.0,
        timeout: float | None = None,
        description: str | None = "",
        tags: Iterable[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        *,
        task_type: str = "default",
        focus_id: str | None = None,
        auto_shutdown: bool = False,
        function: Callable[..., Any] | None = None,
    ) -> None:
        if not isinstance(metadata, Mapping | None):
            raise TypeError(f"metadata= takes a dict, not {metadata!r}")
        self.metadata = dict(metadata or {})
        if focus_id is not None:
            self.metadata["focus_id"] = focus_id
        self.func = func if func is not None else function
        if self.func is None and callable(self.metadata.get("func")):
            # The oldest programs put the whole call there.
            self.func = self.metadata["func"]
            args = self.metadata.get("args") or args
            kwargs = self.metadata.get("kwargs") or kwargs
        self.args, self.kwargs = call_of((), args, {}, kwargs)
        self.task_id = task_id if task_id is not None else create_task_id()
        self.name = name
        self.priority = TaskPriority.named(priority)
        self.dependencies = _ids(dependencies)
        self.max_retries = max_retries
        self.retry_delay = retry_delay
        self.timeout = timeout
        self.description = description or ""
        self.tags = tags if isinstance(tags, str) else list(tags or ())  # a text is refused later
        self.task_type = task_type
        self.auto_shutdown = auto_shutdown
        self.execution_id: str | None = None
        self._made_at = now()
        self._said = (0.0, "")
        self._record: Record | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} [{self.task_id}] {self.status}>"

    def __eq__(self, other: object) -> bool:
        # Each face has its own class of task; they are windows onto the same one.
        return isinstance(other, Task) and self.__dict__ is other.__dict__

    def __hash__(self) -> int:
        return id(self.__dict__)

    @classmethod
    def of(cls, task: Task) -> Self:
        """``task`` as a task of this class: another window onto the same one."""
        if type(task) is cls:
            return task
        window = cls.__new__(cls)
        window.__dict__ = task.__dict__
        return window

    @property
    def _info(self) -> TaskInfo | None:
        return self._record.info() if self._record is not None else None

    @property
    def function(self) -> Callable[..., Any] | None:
        """What is run."""
        return self.func

    @property
    def focus_id(self) -> str | None:
        """What the task is about, as the program counts."""
        return self.metadata.get("focus_id")

    @property
    def status(self) -> TaskStatus:
        """Where it stands."""
        info = self._info
        return info.status if info is not None else TaskStatus.PENDING

    @property
    def result(self) -> Any:
        """What the function returned, once it has."""
        info = self._info
        return info.result if info is not None else None

    @property
    def error(self) -> Any:
        """What the function raised, or what else ended the task."""
        return self._record.error() if self._record is not None else None

    @property
    def progress(self) -> float:
        """How far it is, from 0 to 1."""
        info = self._info
        return info.progress if info is not None else self._said[0]

    @property
    def progress_message(self) -> str:
        """What it is doing."""
        info = self._info
        return info.message if info is not None else self._said[1]

    @property
    def retry_count(self) -> int:
        """How often it was tried again."""
        info = self._info
        return max(0, info.attempt - 1) if info is not None else 0

    @property
    def created_at(self) -> datetime:
        """When it was registered."""
        info = self._info
        return (local(info.created_at) if info is not None else None) or self._made_at

    @property
    def started_at(self) -> datetime | None:
        """When it was (last) started."""
        info = self._info
        return local(info.started_at) if info is not None else None

    @property
    def completed_at(self) -> datetime | None:
        """When it ended, in whatever way."""
        info = self._info
        return local(info.ended_at) if info is not None else None

    start_time = started_at
    end_time = completed_at

    def update_progress(self, progress: float, message: str = "") -> bool:
        """Say how far it is; False if it is registered and not running."""
        if self._record is not None:
            return self._record.engine.progress(self._record, progress, message)
        self._said = (min(1.0, max(0.0, progress)), message)
        return True

    def is_ready(self, completed_ids: Collection[str]) -> bool:
        """Whether all it depends on is among the completed."""
        return all(id in completed_ids for id in self.dependencies)

    def to_dict(self) -> dict[str, Any]:
        """The task as plain data, all but its function and its arguments."""
        error, status = self.error, self.status
        return {
            "task_id": self.task_id,
            "name": self.name,
            "priority": self.priority.name,
            "dependencies": list(self.dependencies),
            "max_retries": self.max_retries,
            "retry_delay": self.retry_delay,
            "timeout": self.timeout,
            "description": self.description,
            "tags": list(self.tags),
            "metadata": dict(self.metadata),
            "focus_id": self.focus_id,
            "status": status.name if self._shouts else status.value,
            "result": self.result,
            "error": error if isinstance(error, str) else error and error_text(error),
            "progress": self.progress,
            "progress_message": self.progress_message,
            "retry_count": self.retry_count,
            "execution_id": self.execution_id,
            "created_at": written(self.created_at),
            "started_at": written(self.started_at),
            "completed_at": written(self.completed_at),
        }


def error_text(error: BaseException) -> str:
    """An exception as the older systems show it: its message."""
    message = error.args[0] if isinstance(error, TaskError) and error.args else error
    return str(message) or type(error).__name__


def _ids(dependencies: Iterable[str] | None) -> list[str]:
    if isinstance(dependencies, str):
        raise TypeError(f"dependencies= takes several ids, in a list: [{dependencies!r}]")
    return list(dependencies or ())

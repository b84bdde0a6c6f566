"""The manager's verbs by id: a task is registered first, executed later, and asked about by name.

Reads of an unknown id give None, commands give False; only what promises a result raises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ._core.outcome import Ok
from ._core.policies import Retry
from ._core.states import TERMINAL, TaskPriority, TaskStatus
from ._numbers import require_count, require_seconds, require_share
from ._runtime.external import ExternalTask
from ._runtime.handle import TaskHandle, error_of
from .errors import InvalidTaskStateError, TaskNotFoundError

if TYPE_CHECKING:
    from ._core.info import TaskInfo
    from ._core.metrics import Metrics
    from ._core.task import Task
    from ._runtime.job import Job
    from ._runtime.log_lines import LogLine
    from ._runtime.runtime import Runtime
    from .errors import TaskError

_OPTIONS = ("priority", "timeout", "description", "tags", "metadata", "executor")


class ById:
    """What a task manager does with ids; a handle is accepted wherever an id is."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def register_task(
        self,
        name: str,
        func: Callable[..., Any],
        /,
        *args: Any,
        kwargs: Mapping[str, Any] | None = None,
        priority: TaskPriority | str | None = None,
        dependencies: Iterable[TaskHandle[Any] | str] | None = None,
        max_retries: int | None = None,
        retry_delay: float | None = None,
        timeout: float | None = None,
        description: str | None = None,
        tags: Iterable[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        executor: str | None = None,
        task_id: str | None = None,
    ) -> str:
        """Take a task in and hold it until it is executed; returns its id."""
        from .decorators import TaskFunction, require_function, several, task

        require_function(func)
        if task_id == "" or not isinstance(task_id, str | None):
            raise TypeError(f"task_id= takes a text, not {task_id!r}")
        if not isinstance(kwargs, Mapping | None):
            raise TypeError(f"kwargs= takes a dict, not {kwargs!r}")
        given = (priority, timeout, description, tags, metadata, executor)
        options: dict[str, Any] = {
            option: value
            for option, value in zip(_OPTIONS, given, strict=True)
            if value is not None
        }
        if max_retries is not None or retry_delay is not None:
            options["retry"] = Retry(
                retries=require_count("max_retries", max_retries or 0),
                delay=1.0
                if retry_delay is None
                else require_seconds("retry_delay", retry_delay, zero=True),
            )
        recipe = self._runtime.recipe_of(task(func, name=name, **options))
        if not isinstance(func, TaskFunction):
            recipe.portable = func  # what was not decorated is not durable
        keywords = dict(kwargs or {})
        recipe.shape.check(args, keywords)
        job = self._runtime.job(
            recipe, args, keywords, id=task_id, after=several(dependencies or ())
        )
        job.held = True
        return self._runtime.submit_job(job).id

    def execute_task(self, task: TaskHandle[Any] | str) -> TaskHandle[Any]:
        """Let a registered task run, with the registered tasks it depends on; wait for the result.

        Raises TaskNotFoundError for an unknown id and InvalidTaskStateError for a task that has
        already run.
        """
        job = self._job(task)
        if job.outcome is not None:
            raise InvalidTaskStateError(
                f"{job.label} is {job.status}; `manager.retry(id)` gives it another run", job.id
            )
        return self._runtime.release(job)

    def drive(self, task: TaskHandle[Any] | str) -> ExternalTask:
        """Do a registered task by hand instead of having it executed; see ``external``.

        ``drive(id).start()`` takes it in hand for good. Until then it can still be executed; what
        was executed can no longer be driven, and the verbs of what is returned say False.
        """
        return ExternalTask(self._job(task), self._runtime)

    def cancel_task(self, task: TaskHandle[Any] | str, cause: str = "asked") -> bool:
        """Cancel a task, with a few words on why; False if it had ended or is unknown."""
        if not isinstance(cause, str):
            raise TypeError(f"cause= takes a text, not {cause!r}")
        job = self._runtime.find(task)
        return job is not None and self._runtime.cancel(job, cause)

    def get_handle(self, task: TaskHandle[Any] | str) -> TaskHandle[Any] | None:
        """The handle of a task that is known by its id, to wait for it or to pass it on."""
        job = self._runtime.find(task)
        return TaskHandle(job, self._runtime) if job is not None else None

    def get_task(self, task: TaskHandle[Any] | str) -> TaskInfo | None:
        """All there is to know about a task."""
        job = self._runtime.find(task)
        return self._runtime.info(job) if job is not None else None

    def get_task_status(self, task: TaskHandle[Any] | str) -> TaskStatus | None:
        """Where a task stands."""
        job = self._runtime.find(task)
        return job.status if job is not None else None

    def get_task_result(self, task: TaskHandle[Any] | str) -> Any:
        """The result of a completed task; None for any other."""
        job = self._runtime.find(task)
        outcome = job.outcome if job is not None else None
        return outcome.value if isinstance(outcome, Ok) else None

    def get_task_error(self, task: TaskHandle[Any] | str) -> TaskError | None:
        """The error of a task that failed or was cancelled; None for any other."""
        job = self._runtime.find(task)
        if job is None:
            return None
        job.looked = True
        return error_of(job)

    def get_task_progress(self, task: TaskHandle[Any] | str) -> tuple[float, str]:
        """How far a task is, from 0 to 1, and what it is doing.

        Where another process leads the file, that is asked; the file has what was said last at
        the end.
        """
        job = self._runtime.find(task)
        return self._runtime.progress_of(job) if job is not None else (0.0, "")

    def get_task_log(self, task: TaskHandle[Any] | str, *, since: int = 0) -> list[LogLine]:
        """What a task has said in the log, by whatever logger, over all its attempts.

        The newest ``keep_lines`` of it, after the line with the number ``since``.
        """
        require_count("since", since)
        job = self._runtime.find(task)
        return self._runtime.log_of(job, since) if job is not None else []

    def update_task_progress(
        self, task: TaskHandle[Any] | str, progress: float, message: str = ""
    ) -> bool:
        """Say from outside how far a running task is; False if it is not running."""
        share = require_share("progress", progress)
        job = self._runtime.find(task)
        return job is not None and self._runtime.progress(job, share, str(message))

    def list_tasks(
        self,
        *,
        status: TaskStatus | str | Iterable[TaskStatus | str] | None = None,
        name: str | None = None,
        type: str | None = None,
        tag: str | None = None,
        owner: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        priority: TaskPriority | str | None = None,
        executor: str | None = None,
        parent: TaskHandle[Any] | str | None = None,
        key: str | None = None,
        limit: int | None = None,
    ) -> list[TaskInfo]:
        """The tasks that fit every filter given, in the order they were submitted."""
        wanted = self._filter(
            status=status, name=name, type=type, tag=tag, owner=owner, metadata=metadata,
            priority=priority, executor=executor, parent=parent, key=key,
        )  # fmt: skip
        most = None if limit is None else require_count("limit", limit)
        ended = status is None or not TERMINAL.isdisjoint(_statuses(status))
        return self._runtime.infos(wanted, most, ended=ended)

    def cancel_all(self, **filters: Any) -> int:
        """Cancel all tasks that fit the filters of ``list_tasks``; returns how many."""
        jobs = self._runtime.unfinished(self._filter(**filters))
        return sum(self._runtime.cancel(job) for job in jobs)

    def retry_all(self, **filters: Any) -> list[TaskHandle[Any]]:
        """Give every failed or cancelled task that fits the filters another run."""
        filters.setdefault("status", (TaskStatus.FAILED, TaskStatus.CANCELLED))
        wanted = self._filter(**filters)
        return [self._runtime.retry(job) for job in self._runtime.fallen(wanted)]

    def retry(self, task: TaskHandle[Any] | str, *, downstream: bool = False) -> TaskHandle[Any]:
        """Give a failed or cancelled task another run, through the new handle that is returned.

        ``downstream`` also retries what failed or was cancelled because of it.
        """
        job = self._job(task)
        if isinstance(task, TaskHandle):  # which may be that of an earlier run
            job = self._job(job.id)
        return self._runtime.retry(job, downstream=downstream)

    def explain(self, task: TaskHandle[Any] | str) -> str:
        """Why a task is not running, or how it ended, in a sentence."""
        return self._runtime.explain(self._job(task))

    def get_metrics(self) -> Metrics:
        """Figures about all tasks that are remembered.

        Where another process leads the file, they are its: it is asked, and given a moment.
        StoreError says that it does not answer, or that nobody leads.
        """
        return self._runtime.metrics()

    def cleanup(
        self,
        older_than: float = 0.0,
        *,
        status: TaskStatus | str | Iterable[TaskStatus | str] | None = None,
        keep: int = 0,
    ) -> int:
        """Forget the tasks that ended more than ``older_than`` seconds ago; returns how many.

        ``status`` is what they are to have ended as; the newest ``keep`` of those stay. Where
        another process leads, it is asked to, and nobody knows yet how many that will be: 0.
        """
        seconds = require_seconds("older_than", older_than, zero=True)
        statuses = _statuses(status) if status is not None else TERMINAL
        return self._runtime.cleanup(seconds, statuses, require_count("keep", keep))

    def forget(self, task: TaskHandle[Any] | str) -> bool:
        """Forget one task that has ended; False if it has not, or is unknown."""
        job = self._runtime.find(task)
        return job is not None and self._runtime.forget(job)

    def _job(self, task: TaskHandle[Any] | str) -> Job:
        job = self._runtime.find(task)
        if job is None:
            raise TaskNotFoundError(
                f"there is no task {task!r}: it never existed, or it ended and was forgotten",
                str(task),
            )
        return job

    def _filter(
        self,
        *,
        status: Any = None,
        tag: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        priority: TaskPriority | str | None = None,
        parent: TaskHandle[Any] | str | None = None,
        key: str | None = None,
        **equal: Any,
    ) -> Callable[[Task], bool]:
        """A test for tasks; ``equal`` are the fields of Spec that must equal what is given."""
        unknown = equal.keys() - {"name", "type", "owner", "executor"}
        if unknown:
            raise TypeError(f"tasks cannot be filtered by {', '.join(sorted(unknown))}")
        statuses = None
        if status is not None:
            statuses = _statuses(status)
        level = TaskPriority.named(priority) if priority is not None else None
        parent_id = parent.id if isinstance(parent, TaskHandle) else parent
        if not isinstance(metadata, Mapping | None):
            raise TypeError(f"metadata= takes a dict, not {metadata!r}")
        fields = [(field, value) for field, value in equal.items() if value is not None]
        items = list((metadata or {}).items())

        def wanted(task: Task) -> bool:
            spec, notes = task.spec, task.notes
            return (
                (statuses is None or task.status in statuses)
                and (tag is None or tag in spec.tags)
                and (level is None or spec.priority == level)
                and all(getattr(spec, field) == value for field, value in fields)
                and all(name in spec.metadata and spec.metadata[name] == v for name, v in items)
                and (
                    parent_id is None
                    or bool(notes and notes.parent and notes.parent.id == parent_id)
                )
                and (key is None or bool(notes and notes.key == key))
            )

        return wanted


def _statuses(given: Any) -> set[TaskStatus]:
    """The statuses that one or several values mean."""
    return {_status(one) for one in ((given,) if isinstance(given, str) else given)}


def _status(value: Any) -> TaskStatus:
    """The status that ``value`` means."""
    try:
        return TaskStatus(value.lower())
    except (AttributeError, ValueError):
        known = ", ".join(TaskStatus)
        raise ValueError(f"a status is one of {known}, not {value!r}") from None

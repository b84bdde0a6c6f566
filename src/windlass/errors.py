"""What can go wrong, and whose fault it was.

    TaskError                     something about one task: task_id, details
    ├── TaskExecutionError        the function raised; also an instance of what it raised
    ├── TaskTimeoutError          the task took longer than its timeout or total_timeout
    ├── TaskCancellationError     the task was cancelled; cause says by what
    ├── TaskDependencyError       a task it depends on failed, or is not known
    ├── TaskCrashedError          the process that ran it died
    ├── TaskNotFoundError         no task has this id (any more)
    ├── InvalidTaskStateError     the task is in no state for this
    ├── DuplicateTaskError        the id is taken
    ├── QueueFullError            max_pending is reached
    ├── CircuitOpenError          the breaker of one of its gates is open, and it would not wait
    ├── DeadlockError             waiting here would never end
    ├── ManagerClosedError        the manager is not open
    ├── SerializationError        a value cannot cross over to another process, or be stored
    ├── NotDurableError           a task that cannot be kept in a file was given to one
    └── StoreError                the file that keeps the tasks failed
        ├── StoreCorruptError     what it holds is damaged
        ├── StoreLockedError      somebody else is writing to it, for too long
        ├── StoreFullError        there is no room for more on its disk
        └── StoreFencedError      another process leads now: this one may not write any more

    RemoteError                   stands for what a function raised in another process or an
                                  earlier run, where its type cannot be rebuilt here: the
                                  original_error
    Snooze                        not an error: a task raises it to be put off

Two names are kept apart on purpose: a *task* that runs out of time is a
``TaskTimeoutError``; a *wait* that runs out of time is the builtin
``TimeoutError``, and leaves the task alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from types import GetSetDescriptorType, MemberDescriptorType
from typing import Any

from ._numbers import require_seconds

__all__ = [
    "CircuitOpenError",
    "DeadlockError",
    "DuplicateTaskError",
    "InvalidTaskStateError",
    "ManagerClosedError",
    "NotDurableError",
    "QueueFullError",
    "RemoteError",
    "SerializationError",
    "Snooze",
    "StoreCorruptError",
    "StoreError",
    "StoreFencedError",
    "StoreFullError",
    "StoreLockedError",
    "TaskCancellationError",
    "TaskCrashedError",
    "TaskDependencyError",
    "TaskError",
    "TaskExecutionError",
    "TaskNotFoundError",
    "TaskTimeoutError",
]


class TaskError(Exception):
    """The root of everything Windlass raises about a task.

    Made of ``(message, task_id, details)``; ``(message, details, cause)``, as older programs
    have it, is understood as well.
    """

    def __init__(
        self,
        message: str,
        task_id: str | Mapping[str, Any] | None = None,
        details: Mapping[str, Any] | BaseException | None = None,
        cause: BaseException | None = None,
    ) -> None:
        super().__init__(message)
        if isinstance(details, BaseException):
            details, cause = None, details
        if isinstance(task_id, Mapping):
            task_id, details = None, task_id
        self.task_id = task_id
        self.details = dict(details or {})
        if cause is not None:
            self.__cause__ = cause

    @property
    def message(self) -> str:
        """What went wrong, in words."""
        return str(self.args[0])

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> Any:
        # The default would call the class with ``args``, which subclasses need not accept.
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(kind: type[TaskError], args: tuple[Any, ...], state: dict[str, Any]) -> TaskError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class TaskExecutionError(TaskError):
    """The task's function raised ``original_error``.

    Where Python allows it, the error is also an instance of the original's type, so that
    ``except ValueError`` works around ``await handle``; see ``wrapping``.
    """

    original_error: BaseException
    remote_traceback: str | None = None

    @classmethod
    def wrapping(
        cls,
        original: BaseException,
        message: str,
        task_id: str,
        traceback: str | None = None,
    ) -> TaskExecutionError:
        """Build the error for ``original``, as an instance of both types where that is possible."""
        error = _like(original) or cls.__new__(cls)
        # Not ``cls(message)``: the original's own __init__ may ask for anything.
        BaseException.__init__(error, message)
        error.task_id, error.details = task_id, {}
        error.original_error = original
        error.remote_traceback = traceback
        error.__cause__ = original
        if traceback is not None:  # whoever prints the error sees where it was raised
            error.add_note(f"Raised elsewhere:\n\n{traceback.rstrip()}")
        return error

    def __getattr__(self, name: str) -> Any:
        # ``except HTTPError as e: e.response`` should find what the original carried.
        original = self.__dict__.get("original_error")
        if original is None or name.startswith("__"):
            raise AttributeError(name)
        return getattr(original, name)

    def __reduce__(self) -> Any:
        arguments = (
            self.original_error,
            self.message,
            self.task_id,
            self.remote_traceback,
        )
        return TaskExecutionError.wrapping, arguments


# StopIteration cannot leave a coroutine, and a TimeoutError out of ``await handle`` has to mean
# that the wait, not the task, ran out of time.
_NEVER_BOTH = (StopIteration, StopAsyncIteration, TimeoutError, TaskError)
_both_types: dict[type[BaseException], type[TaskExecutionError] | None] = {}


def _like(original: BaseException) -> TaskExecutionError | None:
    """An error that is an instance of both types and carries what ``original`` carries, or None."""
    try:
        kind = _both(type(original))
        if kind is None:
            return None
        error = kind.__new__(kind, *original.args)
        _copy_fields(original, error)
        # A class with read-only names of its own for ours cannot be both.
        error.task_id, error.details, error.original_error = None, {}, original
        error.remote_traceback = None
    except Exception:  # noqa: BLE001  # an exception class may do anything
        return None
    return error


def _copy_fields(original: BaseException, error: BaseException) -> None:
    """Copy the attributes, and the fields that live in C (``errno``) or in slots."""
    error.__dict__.update(original.__dict__)
    error.__dict__.pop("__notes__", None)  # they are shown with the original, the cause
    kinds = type(original).__mro__
    for kind in kinds[: kinds.index(Exception)]:
        for name, field in vars(kind).items():
            in_c_or_slot = isinstance(field, MemberDescriptorType | GetSetDescriptorType)
            if in_c_or_slot and not name.startswith("__"):
                with suppress(AttributeError, TypeError):  # unset, or read-only and set by __new__
                    setattr(error, name, getattr(original, name))


def _both(original: type[BaseException]) -> type[TaskExecutionError] | None:
    """A class that is a TaskExecutionError and an ``original``, or None if there can be none."""
    if issubclass(original, TaskExecutionError):
        return original  # it went through a task before, and is both already
    if not issubclass(original, Exception) or issubclass(original, _NEVER_BOTH):
        return None
    if original not in _both_types:
        try:
            bases = (TaskExecutionError, original)
            _both_types[original] = type(f"TaskExecutionError[{original.__name__}]", bases, {})
        except Exception:  # noqa: BLE001  # the layouts conflict, or the class refuses subclasses
            _both_types[original] = None
    return _both_types[original]


class RemoteError(Exception):
    """Stands for an exception of elsewhere, or of earlier, whose own type cannot be rebuilt."""

    def __init__(self, type_name: str, text: str, traceback: str = "") -> None:
        super().__init__(type_name, text, traceback)
        self.type_name = type_name
        self.text = text
        self.traceback = traceback

    def __str__(self) -> str:
        return f"{self.type_name}: {self.text}"


class TaskTimeoutError(TaskError):
    """The task ran out of the time it was given. Not a ``TimeoutError``: that is a waiter's."""


class TaskCancellationError(TaskError):
    """The task was cancelled. Not a ``CancelledError``: whoever awaits it was not cancelled."""

    @property
    def cause(self) -> str:
        """What cancelled the task."""
        return str(self.details.get("cause", "asked"))


class TaskDependencyError(TaskError):
    """The task could not run because of a task it depends on."""


class TaskCrashedError(TaskError):
    """The worker process died while it ran the task."""


class TaskNotFoundError(TaskError, LookupError):
    """No task has this id: it never existed, or it ended long ago and was forgotten."""


class InvalidTaskStateError(TaskError):
    """The task is in no state to do what was asked."""


class DuplicateTaskError(TaskError):
    """The id belongs to another task."""


class QueueFullError(TaskError):
    """As many tasks wait as ``max_pending`` allows."""


class CircuitOpenError(TaskError):
    """The circuit breaker of one of the task's gates is open: it was not run, as it asked for."""


class DeadlockError(TaskError):
    """Waiting here could never end; ``path`` names the tasks that wait in a circle."""

    @property
    def path(self) -> tuple[str, ...]:
        """The names of the tasks along the circle, the first one repeated at the end."""
        return tuple(self.details.get("path", ()))


class SerializationError(TaskError):
    """A value cannot be sent to another process, or stored, or rebuilt from what was stored."""


class NotDurableError(TaskError):
    """What was submitted cannot be kept in a file: only functions with ``@task`` can."""


class StoreError(TaskError):
    """The file that keeps the tasks cannot be read, written or understood."""


class StoreLockedError(StoreError):
    """Somebody else has been writing to the file for too long."""


class StoreFullError(StoreError):
    """There is no room for more: a full disk, a quota, a limit on the size of files."""


class StoreFencedError(StoreError):
    """Another process leads now, because this one was silent: what it writes does not count."""


class StoreCorruptError(StoreError):
    """Something stored is not what was once written: its checksum or its form is wrong."""


class ManagerClosedError(TaskError, RuntimeError):
    """The manager is not open."""


class Snooze(Exception):  # noqa: N818  # a signal, not an error
    """Raised by a task to be put off by ``delay`` seconds, which costs it no attempt."""

    def __init__(self, delay: float) -> None:
        super().__init__(delay)
        self.delay = require_seconds("delay", delay, zero=True)

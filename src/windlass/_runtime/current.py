"""``current_task()``: what a running task can know and say about itself.

The same class serves coroutines, threads and other processes; what differs is the *link* behind it,
which reaches the engine directly, over a pipe, or not at all (outside any task).
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, overload

from .._numbers import require_share
from ..errors import InvalidTaskStateError, TaskCancellationError
from .cleanups import Cleanups

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from contextlib import AbstractAsyncContextManager, AbstractContextManager
    from logging import LogRecord

    from .handle import TaskHandle
    from .wait import Wait

P = ParamSpec("P")
R = TypeVar("R")


class Link(Protocol):
    """How a running task reaches its manager."""

    cleanups: Cleanups | None

    @property
    def task_id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def attempt(self) -> int: ...
    @property
    def metadata(self) -> Mapping[str, Any]: ...
    @property
    def restored(self) -> Any: ...

    def stopping(self) -> str | None:
        """Why this attempt is to stop, if it is."""
        ...

    def when_stopped(self, callback: Callable[[], Any]) -> None:
        """Call ``callback``, on any thread, when this attempt is to stop; at once if it is."""
        ...

    def progress(self, fraction: float, message: str) -> None: ...
    def log(self, record: LogRecord) -> None:
        """Keep a record that was made in this task; never raises, nor waits for a lock."""
        ...

    def checkpoint(self, value: Any) -> None: ...
    def known_step(self, name: str) -> tuple[Any] | None:
        """What the step ``name`` returned, if it is done."""
        ...

    def keep_step(self, name: str, value: Any) -> Wait[Any] | None:
        """Keep what a step returned; a wait until it is on disk, if there is one."""
        ...

    def submit(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any: ...


_current: ContextVar[Link | None] = ContextVar("windlass_current_task", default=None)
current_run = _current.get
set_current = _current.set


class CurrentTask:
    """The task that runs this code; see ``current_task``."""

    __slots__ = ("_link",)

    def __init__(self, link: Link) -> None:
        self._link = link

    def __repr__(self) -> str:
        return f"<current task {self.name} [{self.id}], attempt {self.attempt}>"

    @property
    def id(self) -> str:
        """The task's id; empty outside a task."""
        return self._link.task_id

    @property
    def name(self) -> str:
        """The task's name."""
        return self._link.name

    @property
    def attempt(self) -> int:
        """Which attempt this is, from 1; 0 outside a task."""
        return self._link.attempt

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What was given as ``metadata=``."""
        return self._link.metadata

    @property
    def restored(self) -> Any:
        """The last ``checkpoint`` of an earlier attempt, or None."""
        return self._link.restored

    @property
    def cancelled(self) -> bool:
        """Whether this attempt is to stop: cancelled, or out of time."""
        return self._link.stopping() is not None

    def check_cancelled(self) -> None:
        """Raise TaskCancellationError if this attempt is to stop. Cheap: call it often."""
        cause = self._link.stopping()
        if cause is not None:
            raise stopping_error(self._link, cause)

    def progress(self, fraction: float, message: str = "") -> None:
        """Say how far this task is, from 0 to 1, and what it is doing."""
        self._link.progress(require_share("progress", fraction), str(message))

    def checkpoint(self, value: Any) -> None:
        """Keep ``value`` for the next attempt, which finds it in ``restored``."""
        self._link.checkpoint(value)

    @overload
    def step(
        self, name: str, func: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Wait[R]: ...
    @overload
    def step(
        self, name: str, func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> Wait[R]: ...
    def step(self, name: str, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Wait[Any]:
        """Call ``func`` once, however often this task is tried; later attempts get its result.

        ``await`` what this returns, or ask for its ``result()``: the step is done when that is
        there. Two steps of one task need two names.
        """
        from .steps import step  # noqa: PLC0415  # few tasks have steps

        return step(self._link, name, func, args, kwargs)

    @overload
    def enter(self, manager: AbstractContextManager[R]) -> R: ...
    @overload
    def enter(self, manager: AbstractAsyncContextManager[R]) -> Awaitable[R]: ...
    def enter(self, manager: Any) -> Any:
        """Enter a context manager that is left when the task ends, however it ends.

        Last in, first out, along with what was deferred. For an asynchronous one, ``await`` what
        this returns (in coroutines only).
        """
        return self._cleanups().enter(manager)

    def defer(self, callback: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> None:
        """Have ``callback(*args, **kwargs)`` called when the task ends, however it ends."""
        self._cleanups().defer(callback, args, kwargs)

    @overload
    def submit(
        self, func: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> TaskHandle[R]: ...
    @overload
    def submit(
        self, func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> TaskHandle[R]: ...
    def submit(self, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> TaskHandle[Any]:
        """Submit a child: a task that is cancelled when this one is cancelled."""
        handle: TaskHandle[Any] = self._link.submit(func, args, kwargs)
        return handle

    def _cleanups(self) -> Cleanups:
        if self._link.cleanups is None:
            self._link.cleanups = Cleanups()
        return self._link.cleanups


class _NoLink:
    """Outside any task: everything can be asked, nothing happens."""

    task_id = ""
    name = "(no task)"
    attempt = 0
    restored = None

    def __init__(self) -> None:
        self.cleanups: Cleanups | None = None
        self.metadata: dict[str, Any] = {}

    def stopping(self) -> None:
        return None

    def when_stopped(self, callback: Callable[[], Any]) -> None: ...

    def progress(self, fraction: float, message: str) -> None: ...
    def log(self, record: LogRecord) -> None: ...
    def checkpoint(self, value: Any) -> None: ...
    def known_step(self, name: str) -> None: ...
    def keep_step(self, name: str, value: Any) -> None: ...

    def submit(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        raise InvalidTaskStateError(
            "no task is running here that could have a child; use manager.submit(...)"
        )


def stopping_error(link: Link, cause: str) -> TaskCancellationError:
    """What an attempt that is to stop is told."""
    text = f"{link.name} [{link.task_id}] is to stop: {cause}"
    return TaskCancellationError(text, link.task_id, {"cause": cause})


def current_task() -> CurrentTask:
    """The task that runs this code.

    Works alike in coroutines, threads and processes. Outside a task it returns an inert one, so
    that functions that use it can be called, and tested, as they are.
    """
    link = _current.get()
    return CurrentTask(link if link is not None else _NoLink())

"""What the faces know of a task beyond what Windlass knows."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import threading
from typing import TYPE_CHECKING, Any

from windlass import DeadlockError, TaskFunction, TaskInfo, TaskStatus

from ._task import error_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from windlass import Change

    from ._engine import Engine
    from ._face import Face
    from ._task import Task

logger = logging.getLogger("windlass.compat")

BY_HAND = "external"
"""What Windlass calls the executor of tasks that are driven by hand."""


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop that runs in this thread, if one does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def is_plain(func: Any) -> bool:
    """Whether ``func`` is a function without options, and calling it makes no coroutine."""
    if not callable(func) or isinstance(func, TaskFunction):
        return False
    # An object's __call__ may be the async function.
    return not any(map(inspect.iscoroutinefunction, (func, getattr(func, "__call__", None))))  # noqa: B004


class Record:
    """Belongs to one task of one engine, for as long as that remembers it."""

    def __init__(self, task: Task, engine: Engine, face: Face | None) -> None:
        self.task = task
        self.engine = engine
        self.face = face
        """The one it was registered through."""
        self.loop = running_loop()
        """Where its coroutine is to run; None until that is known, or on the engine's own."""
        self.touched: datetime | None = None
        self.blocked = False
        """Whether somebody who waits for this, or for what depends on it, holds up that loop."""
        self.awaiting = False
        """Whether the function, a plain one, has returned something that is awaited now."""
        # What has been told of it, by whoever noticed first; the lock keeps that in order.
        self.telling = threading.RLock()
        self.told_created = False
        self.told_starts = 0
        self.told_end = False
        self._seen_open = False
        self._last: TaskInfo | None = None
        self._resources: list[Any] = []

    @property
    def id(self) -> str:
        """The task's id."""
        return self.task.task_id

    def info(self) -> TaskInfo | None:
        """How it stands; once it is forgotten, how it ended."""
        if self.engine.records.get(self.id) is self:
            return self.engine.manager.get_task(self.id) or self._last
        return self._last

    def watching(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """``func``, a plain function, with an eye on whether what it returns is to be awaited.

        That would be done on the loop it was registered on. If whoever waits for the task blocks
        that very loop, it is refused, since neither would ever end.
        """

        def watched(*args: Any, **kwargs: Any) -> Any:
            value = func(*args, **kwargs)
            self.awaiting = hasattr(type(value), "__await__")
            if self.awaiting and self.blocked:
                getattr(value, "close", int)()  # or Python would warn that it was never awaited
                raise DeadlockError(
                    f"{self.task!r} returned an awaitable for the event loop of the thread that "
                    "waits for it, which would never end. Await it, or execute it without "
                    "wait=True",
                    self.id,
                )
            return value

        return functools.update_wrapper(watched, func, updated=())

    def can_execute(self) -> bool:
        """Whether it has not ended, and nobody drives it by hand."""
        info = self.info()
        return info is not None and not info.status.finished and info.executor != BY_HAND

    def keep(self, info: TaskInfo) -> None:
        """Keep how it ended, for those who still hold the task when it is forgotten."""
        self._last = info

    def error(self) -> BaseException | None:
        """What ended it if it did not complete: what the function raised, as it was raised."""
        info = self.info()
        if info is None:
            return None
        seen = self.engine.manager.get_task_error(self.id)  # so that no log calls it unseen
        return info.error or seen

    def error_text(self) -> str | None:
        """The same in words; of a cancelled task the reason that was given."""
        info = self.info()
        if info is not None and info.status is TaskStatus.CANCELLED:
            return info.cause if info.cause not in {None, "asked"} else "cancelled"
        error = self.error()
        return error_text(error) if error is not None else None

    def reopen(self, change: Change | None, *, open: bool) -> None:
        """Let the next end be told as well, if it was retried by hand after the last one.

        That shows in two ways: it is open again, or ``change`` says so; it is one retry all the
        same.
        """
        retried = change is not None and change.before is not None and change.before.finished
        if retried and self._seen_open:
            self._seen_open = False
        elif retried:
            self.told_end = False
        elif open and self.told_end:
            self.told_end, self._seen_open = False, True

    def add_resource(self, resource: Any) -> None:
        """Have ``resource`` closed when the task ends; now, if it has."""
        if not any(hasattr(resource, name) for name in ("close", "cleanup", "__exit__")):
            raise TypeError(
                f"a resource is closed by close(), cleanup() or __exit__(), and {resource!r} "
                "has none of them"
            )
        self._resources.append(resource)
        if self.told_end:
            self.close_resources()

    def close_resources(self) -> None:
        """Close what was registered, last in, first out; what fails to close is logged."""
        while self._resources:
            resource = self._resources.pop()
            try:
                if hasattr(resource, "close"):
                    resource.close()
                elif hasattr(resource, "cleanup"):
                    resource.cleanup()
                else:
                    resource.__exit__(None, None, None)
            except Exception:
                logger.exception("closing %r, a resource of task %s, raised", resource, self.id)

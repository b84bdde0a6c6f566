"""A task that travels: everything an attempt needs in another process, and how it runs there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import DeadlockError
from .invoke import call
from .log_context import install_log_context

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._core.outcome import Outcome
    from .cleanups import Cleanups


class Channel(Protocol):
    """The way back to the manager, given by the executor's worker."""

    cancelled: bool

    def when_cancelled(self, callback: Callable[[], object]) -> None:
        """Call ``callback``, on any thread, when the call is to stop."""
        ...

    def send(self, kind: str, payload: Any) -> None:
        """Tell the manager something."""
        ...

    def ask(self, kind: str, payload: Any) -> Any:
        """Tell the manager something and wait for its reply."""
        ...


class TaskParcel:
    """A task's call, picklable. The receiving worker calls ``run``."""

    def __init__(
        self,
        task_id: str,
        name: str,
        attempt: int,
        metadata: dict[str, Any],
        restored: Any,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        around: tuple[Callable[..., Any], ...],
    ) -> None:
        self.task_id = task_id
        self.name = name
        self.attempt = attempt
        self.metadata = metadata
        self.restored = restored
        self.function = function
        self.args = args
        self.kwargs = kwargs
        self.around = around

    def __reduce__(self) -> Any:
        return TaskParcel, tuple(self.__dict__.values())

    def run(self, channel: Channel) -> Outcome:
        """Run the attempt here, in the main thread of a worker process."""
        install_log_context()
        link = _RemoteLink(self, channel)
        outcome = call(
            link, self.function, lambda: (self.args, self.kwargs), self.around, _await_here
        )
        if link.cleanups is not None and link.cleanups.errors:
            channel.send("cleanup", link.cleanups.errors)
        return outcome


async def _awaited(awaitable: Any) -> Any:
    return await awaitable


def _await_here(awaitable: Any) -> Any:
    return asyncio.run(_awaited(awaitable))


class _RemoteLink:
    """``current_task()``'s way to the manager from another process."""

    def __init__(self, parcel: TaskParcel, channel: Channel) -> None:
        self.cleanups: Cleanups | None = None
        self.task_id = parcel.task_id
        self.name = parcel.name
        self.attempt = parcel.attempt
        self.metadata = parcel.metadata
        self.restored = parcel.restored
        self._channel = channel

    def stopping(self) -> str | None:
        return "asked" if self._channel.cancelled else None

    def when_stopped(self, callback: Callable[[], Any]) -> None:
        self._channel.when_cancelled(callback)

    def progress(self, fraction: float, message: str) -> None:
        self._channel.send("progress", (fraction, message))

    def checkpoint(self, value: Any) -> None:
        self._channel.send("checkpoint", value)

    def submit(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        return ChildElsewhere(self._channel.ask("submit", (func, args, kwargs)), self)


class ChildElsewhere:
    """A child that was submitted from a worker process: it has an id and cannot be awaited."""

    def __init__(self, id: str, parent: _RemoteLink) -> None:
        self.id = id
        self._parent = parent

    def __repr__(self) -> str:
        return f"<child task {self.id}>"

    def result(self, timeout: float | None = None) -> Any:
        raise self._refusal()

    def __await__(self) -> Any:
        raise self._refusal()

    def _refusal(self) -> DeadlockError:
        return DeadlockError(
            f"{self._parent.name} [{self._parent.task_id}] runs in a worker process, where a task "
            "cannot wait for another. Make it a dependency instead: submit(f, handle.output)",
            self._parent.task_id,
        )

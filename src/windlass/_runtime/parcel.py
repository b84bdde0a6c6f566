"""A task that travels: everything an attempt needs in another process, and how it runs there.

To pack a function, and to find it again over there, costs more than all else that a small call is
made of. So a function that goes by its name travels as bytes which are made once, and every worker
remembers what they stand for. What has a state of its own (a bound method, a partial, any object
that can be called) is packed with each call: no call may see what another one left in it.

For the same reason a parcel travels as a plain tuple: to pickle an object of a class takes three
times as long.
"""

from __future__ import annotations

import asyncio
from functools import lru_cache
from types import FunctionType
from typing import TYPE_CHECKING, Any, Protocol, cast

from ..errors import DeadlockError
from .invoke import call
from .log_context import install_log_context
from .log_lines import said_in

if TYPE_CHECKING:
    from collections.abc import Callable
    from logging import LogRecord

    from .._core.outcome import Outcome
    from .cleanups import Cleanups

_MANY = 512
"""How many functions are remembered, here and there."""


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
    """A task's call, which travels ``flat``. The receiving worker calls ``run``.

    While it runs over there it is also ``current_task()``'s way to the manager, see ``Link``.
    """

    __slots__ = (
        "_channel",
        "args",
        "around",
        "attempt",
        "cleanups",
        "function",
        "kwargs",
        "metadata",
        "name",
        "restored",
        "task_id",
    )

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
        self.cleanups: Cleanups | None = None
        self._channel: Channel

    def flat(self) -> tuple[Any, ...]:
        """See ``ports.Parcel``."""
        return (
            _opener(),
            self.task_id,
            self.name,
            self.attempt,
            self.metadata,
            self.restored,
            _packed(self.function),
            self.args,
            self.kwargs,
            self.around,
        )

    def run(self, channel: Channel) -> Outcome:
        """Run the attempt here, in the main thread of a worker process."""
        install_log_context()
        self._channel = channel
        outcome = call(self, self.function, self._arguments, self.around, _await_here)
        if self.cleanups is not None and self.cleanups.errors:
            channel.send("cleanup", self.cleanups.errors)
        return outcome

    def _arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return self.args, self.kwargs

    # -- as a Link -----------------------------------------------------------------------------

    def stopping(self) -> str | None:
        return "asked" if self._channel.cancelled else None

    def when_stopped(self, callback: Callable[[], Any]) -> None:
        self._channel.when_cancelled(callback)

    def progress(self, fraction: float, message: str) -> None:
        self._channel.send("progress", (fraction, message))

    def log(self, record: LogRecord) -> None:
        try:
            self._channel.send("log", said_in(record))
        except OSError:
            pass  # the manager is gone, and so is this process in a moment

    def checkpoint(self, value: Any) -> None:
        self._channel.send("checkpoint", value)

    def known_step(self, name: str) -> tuple[Any] | None:
        known: tuple[Any] | None = self._channel.ask("known step", name)
        return known

    def keep_step(self, name: str, value: Any) -> None:
        self._channel.ask("step", (name, value))  # the reply comes when it is on disk

    def submit(
        self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        return ChildElsewhere(self._channel.ask("submit", (func, args, kwargs)), self)


def _packed(function: Any) -> Any:
    """``function`` as bytes that will do for all of its calls, or itself if there are none."""
    by_name = isinstance(getattr(function, "__wrapped__", function), (FunctionType, type))
    if not by_name or type(function).__hash__ is None:
        return function
    return _name_of(function) or function


@lru_cache(_MANY)
def _name_of(function: Callable[..., Any]) -> bytes | None:
    import pickle  # noqa: PLC0415  # a twentieth of the import, and only for what travels

    packed = pickle.dumps(function, 5)
    by_name = pickle.loads(packed) is pickle.loads(packed)  # noqa: S301  # our own
    return packed if by_name else None  # not its name: a copy is made each time


@lru_cache(1)
def _opener() -> bytes:
    import pickle  # noqa: PLC0415

    return pickle.dumps(_arrived, 5)


@lru_cache(_MANY)
def _named(packed: bytes) -> Callable[..., Any]:
    import pickle  # noqa: PLC0415

    return cast("Callable[..., Any]", pickle.loads(packed))  # noqa: S301  # from our own manager


def _arrived(
    task_id: str,
    name: str,
    attempt: int,
    metadata: dict[str, Any],
    restored: Any,
    function: Any,
    *rest: Any,
) -> TaskParcel:
    """The parcel over there."""
    if type(function) is bytes:
        function = _named(function)
    return TaskParcel(task_id, name, attempt, metadata, restored, function, *rest)


async def _awaited(awaitable: Any) -> Any:
    return await awaitable


def _await_here(awaitable: Any) -> Any:
    return asyncio.run(_awaited(awaitable))


class ChildElsewhere:
    """A child that was submitted from a worker process: it has an id and cannot be awaited."""

    def __init__(self, id: str, parent: TaskParcel) -> None:
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

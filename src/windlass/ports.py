"""The ports: what the runtime asks of the world. The docstrings are the contracts.

An adapter is tiny and decides nothing. ``windlass.testing.contracts`` holds the suite that every
executor, of ours or of yours, must pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from ._core.outcome import Outcome
    from ._core.pools import Traits


class Report(Protocol):
    """How an executor tells that a call is over; callable from any thread, and never raises."""

    def __call__(self, call: Call, outcome: Outcome, *, wake: bool = True) -> None:
        """Report ``call``. With ``wake=False`` the executor calls ``idle`` right afterwards."""
        ...


class Clock(Protocol):
    """Tells the time: wall and monotonic time together, so that no two readings disagree."""

    def now(self) -> float:
        """Monotonic seconds."""
        ...

    def wall(self) -> float:
        """Seconds since the epoch."""
        ...


class Call(Protocol):
    """One attempt of one task, to be run by an executor.

    A local executor runs it with ``run`` (plain thread) or ``begin`` (event loop). One
    whose calls leave the process reads ``function``, ``arguments`` and ``context`` and has the
    attempt run over there.
    """

    @property
    def task_id(self) -> str:
        """The task's id."""
        ...

    @property
    def number(self) -> int:
        """Which run of the task this is; never used twice for the same task."""
        ...

    place: Any
    """For the executor's own use: where it runs this call."""

    @property
    def name(self) -> str:
        """The task's name, for messages and thread names."""
        ...

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop the task was submitted on, if it was submitted on one."""
        ...

    def run(self) -> Outcome:
        """Run the function in this thread and tell how it ended. Never raises.

        A coroutine function runs under an event loop of its own.
        """
        ...

    def begin(self) -> Outcome | Coroutine[Any, Any, Outcome]:
        """Run the function in the running event loop: to its end, or until it first waits.

        What comes back is how it ended, or the rest, a generator to be awaited for that. Neither
        raises, not even CancelledError.
        """
        ...

    def interrupt(self) -> None:
        """Cancel what a function in a thread is having awaited on an event loop, if anything."""
        ...

    def parcel(self) -> Parcel:
        """The call in a form that can be pickled; raises SerializationError if there is none."""
        ...

    def heard(self, kind: str, payload: Any) -> Any:
        """Take a message from the far side: progress, a child task, a checkpoint. The reply."""
        ...


class Parcel(Protocol):
    """A call on its way to another process: picklable, and runs itself over there."""


@runtime_checkable
class Executor(Protocol):
    """Runs calls somewhere.

    - ``traits`` says what it can do. The engine never starts more calls than ``traits.slots``
      (plus those whose tasks lent their slot while they wait), so ``start`` needs no queue.
    - Each started call is reported exactly once, also when it was stopped, unless ``close`` came
      first. A late report does no harm.
    - Nothing in here may block: ``start``, ``stop`` and ``close`` run on the manager's event loop.
    """

    traits: Traits

    @property
    def capacity(self) -> int:
        """How many calls it can run at once now.

        ``traits.slots``, unless stopped calls that it could not get rid of take their places.
        """
        ...

    def open(
        self, loop: asyncio.AbstractEventLoop, report: Report, idle: Callable[[], None]
    ) -> None:
        """Be ready to start calls; ``loop`` is the manager's, where this is called.

        ``idle`` is for whoever has run out of calls, on the loop's thread or on one of the
        executor's own: it takes in what was reported and starts new calls at once, where the
        event loop would have to be woken otherwise. Nobody needs to call it.

        Called again after ``close`` when the manager reopens, perhaps with another loop.
        """
        ...

    def why_not(self, function: Any) -> str | None:
        """Why this executor cannot run ``function`` (as it would be pickled), or None if it can.

        Asked at submit, once per function, and the answer is shown to people.
        """
        ...

    def start(self, calls: Sequence[Call]) -> None:
        """Start all of ``calls``. Never raises: what cannot start is reported as an Err."""
        ...

    def stop(self, call: Call) -> None:
        """End ``call`` as well as this executor can: cancel it, kill its process, or abandon it."""
        ...

    def close(self) -> None:
        """Let go of everything: idle workers leave, busy ones are stopped. Do not wait for them."""
        ...

    def figures(self) -> Mapping[str, int]:
        """Counts for ``get_metrics()``, such as ``abandoned``."""
        ...


class Codec(Protocol):
    """Turns values into bytes and back, for tasks that outlive their process.

    - What ``encode`` accepts comes back equal and of the same type. What it cannot promise that for
      it refuses with SerializationError, which says where in the value it sits and what to do.
    - Bytes that are not what was written raise StoreCorruptError and nothing else; those of a later
      version raise StoreError. No bytes make it import or call anything that was not registered.
    - What was written once is read by all later versions.
    - It keeps nothing between two calls, and may be called from any thread.

    ``what`` is how messages name what is encoded: "the result of fetch [...]", and of a call the
    task, since an argument is named by its place: "argument 2 of fetch [...]".
    """

    def encode(self, value: Any, what: str = ...) -> bytes:
        """``value`` as bytes."""
        ...

    def decode(self, data: bytes, what: str = ...) -> Any:
        """The value that was encoded.

        SerializationError where a type is not registered any more, or refuses what was stored.
        """
        ...

    def encode_call(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        what: str = ...,
        reference: Callable[[Any], str | None] | None = ...,
    ) -> bytes:
        """The arguments of a call as bytes.

        ``reference`` is asked for each value that is of no built-in type, perhaps twice: the id of
        the task that it stands for is stored in its place, or, on None, the value itself.
        """
        ...

    def decode_call(
        self, data: bytes, what: str = ..., resolve: Callable[[str], Any] | None = ...
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments that were encoded, with what ``resolve`` returns for each reference.

        A TaskError that it raises is passed on.
        """
        ...

    def encode_error(self, error: BaseException, traceback: str | None = ...) -> bytes:
        """An exception as bytes, with ``traceback`` or its own as text. Refuses none."""
        ...

    def decode_error(self, data: bytes, what: str = ...) -> tuple[BaseException, str]:
        """The exception that was encoded, and its traceback.

        Built-in, registered and Windlass's own ones as themselves, with ``args``, notes and what
        they carry, their cause as a RemoteError; a RemoteError in place of all others.
        """
        ...

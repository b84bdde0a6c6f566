"""What runs calls, and what it is told and asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from .._core.outcome import Outcome
    from .._core.pools import Traits


class Report(Protocol):
    """How an executor tells that a call is over; callable from any thread, and never raises."""

    def __call__(self, call: Call, outcome: Outcome, *, wake: bool = True) -> None:
        """Report ``call``. With ``wake=False`` the executor calls ``idle`` right afterwards."""
        ...


class Idle(Protocol):
    """How an executor has what was reported taken in at once, and new calls started."""

    def __call__(self, *, resized: bool = False) -> None:
        """With ``resized``, the executor's capacity is another one than before."""
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

    def shut_down(self) -> Outcome:
        """How it ends if its event loop is shut down under it: not for good if it is in a file."""
        ...

    def interrupt(self) -> None:
        """Cancel what a function in a thread is having awaited on an event loop, if anything."""
        ...

    def parcel(self) -> Parcel:
        """The call in a form that can travel; raises SerializationError if there is none."""
        ...

    @property
    def last_lines(self) -> Sequence[str]:
        """What it said last in the log, for the error if its process dies."""
        ...

    def heard(self, kind: str, payload: Any) -> Any:
        """Take a message from the far side: its start, progress, a child, and so on. The reply.

        A reply that is a ``Later`` is there when it says so.
        """
        ...


@runtime_checkable
class Later(Protocol):
    """A reply that is not there yet."""

    def when_there(self, callback: Callable[[], object]) -> None:
        """Have ``callback`` called, on any thread, when it is there; the reply is None then."""
        ...


class Parcel(Protocol):
    """A call on its way to another process: it runs itself over there."""

    def flat(self) -> tuple[Any, ...]:
        """What opens it over there, as pickled bytes, and then what that makes it anew of.

        What opens it is the same for many calls, and is learnt only once.
        """
        ...


@runtime_checkable
class Executor(Protocol):
    """Runs calls somewhere.

    - ``traits`` says what it can do. The engine never starts more calls than ``traits.slots``
      (plus those whose tasks lent their slot while they wait), so ``start`` needs no queue.
    - Each started call is reported exactly once, also when it was stopped, unless ``close`` came
      first. A late report does no harm.
    - Nothing in here may block: ``start``, ``stop`` and ``close`` run on the manager's event loop.
    - It may have a method ``fill_in(loop)``, which is called on ``loop`` when a coroutine there has
      begun to wait. It may call ``idle`` then, and run for a moment what that starts, but not so
      that asyncio takes it for the task that waits.
    """

    traits: Traits

    @property
    def capacity(self) -> int:
        """How many calls it can run at once now.

        ``traits.slots``; less while stopped calls that it could not get rid of take their places,
        more while calls that are ahead begin within a moment.
        """
        ...

    def open(self, loop: asyncio.AbstractEventLoop, report: Report, idle: Idle) -> None:
        """Be ready to start calls; ``loop`` is the manager's, where this is called.

        ``idle`` is for whoever has run out of calls, on the loop's thread or on one of the
        executor's own: it takes in what was reported and starts new calls at once, where the
        event loop would have to be woken otherwise. Nobody needs to call it but whose capacity
        grows.

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

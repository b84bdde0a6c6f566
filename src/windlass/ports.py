"""The ports: what the runtime asks of the world. The docstrings are the contracts.

An adapter is tiny and decides nothing. ``windlass.testing.contracts`` holds the suite that every
executor, of ours or of yours, must pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence

    from ._core.outcome import Outcome
    from ._core.pools import Traits


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


class Row(NamedTuple):
    """A task as a store keeps it: what SQL must know in fields of its own, the rest as bytes."""

    seq: int
    """Its place in the order in which tasks were submitted; never used twice."""
    id: str
    function: str
    """The stable id of its function."""
    status: str
    key: str | None
    created_at: float
    """Times are seconds since the epoch."""
    started_at: float | None
    ended_at: float | None
    run: int
    call: bytes
    """Its arguments."""
    options: bytes
    """What was asked of it; never changes."""
    notes: bytes | None
    """What happened to it, as far as the fields do not say: most tasks have none."""
    outcome: bytes | None
    """Its result or its error, once it has ended."""


Fresh: TypeAlias = tuple[int, str, str, float, bytes]
"""A new task of which no more is to be said: seq, id, function, created_at and call of its Row."""


class Update(NamedTuple):
    """What can change of a Row; without ``ended_at``, its end stays as it is, and its outcome.

    Tasks that began or ended at the same time, and alike, share one.
    """

    status: str
    started_at: float | None
    ended_at: float | None
    run: int
    notes: bytes | None
    outcome: bytes | None


class Line(NamedTuple):
    """One line of what a task said in the log."""

    seq: int
    """The task's."""
    at: float
    kind: str
    """What else there is to know of it, in the words of the runtime."""
    text: str


class Batch:
    """Everything that one commit writes, all or nothing."""

    __slots__ = (
        "checkpoints", "deletes", "fresh", "functions", "handled", "inserts", "lines", "news",
        "steps", "trims", "updates",
    )  # fmt: skip

    def __init__(self) -> None:
        self.fresh: list[Fresh] = []
        """New tasks that are PENDING, with neither key nor options: most are. Written first."""
        self.inserts: list[Row] = []
        """Other new tasks; one with a known ``seq`` takes the place of what was there (a retry)."""
        self.updates: dict[int, Update] = {}
        """By the ``seq`` of the task, which may be new as well."""
        self.deletes: list[int] = []
        """The tasks to forget, by ``seq``, with their steps, checkpoints and lines."""
        self.functions: list[tuple[str, bytes]] = []
        """What functions ask for their tasks, by their stable ids."""
        self.checkpoints: list[tuple[int, bytes]] = []
        self.steps: list[tuple[int, str, bytes]] = []
        self.lines: list[Line] = []
        self.trims: list[tuple[int, int]] = []
        """The tasks, by ``seq``, of whose lines only the newest so many stay."""
        self.handled: list[int] = []
        """The requests of the inbox that are done with."""
        self.news: bytes | None = None
        """For the clients: what has changed, in the words of the runtime."""

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in self.__slots__)

    def rows(self) -> list[Row]:
        """All the tasks that are new, or take the place of others."""
        fresh = (
            Row(seq, id, function, "pending", None, at, None, None, 0, call, b"", None, None)
            for seq, id, function, at, call in self.fresh
        )
        return [*fresh, *self.inserts]


class Request(NamedTuple):
    """What a client asks of the leader through the store."""

    number: int
    kind: str
    body: bytes


class Store(Protocol):
    """Keeps tasks where a crash does not reach them. Dumb: what is written is decided elsewhere.

    - ``commit`` is all or nothing, and on return it is as safe as ``durability`` promises.
    - Only the leader writes tasks: ``commit`` and ``take_lead`` come from one thread at a time, and
      a commit under an epoch that is not the newest raises StoreFencedError and writes nothing.
    - Everything else may be called from any thread and any process that has the store open.
    - What goes wrong is a StoreError that says what, where and what to do about it:
      StoreLockedError (somebody else writes; to be tried again), StoreCorruptError,
      StoreFullError, or itself.
    - A commit that is refused for something in it says for what: ``details["refused"]`` names the
      part of the batch, and the ``seq`` of the task. It may be tried again without that. ``post``
      does so with the place among the ``requests``.
    """

    def open(self) -> None:
        """Be ready: make what is missing, and bring an older version up to date."""
        ...

    def close(self) -> None:
        """Let go of everything; called again it does nothing."""
        ...

    def take_lead(self) -> int:
        """Be the leader from now on: the new epoch, under which nobody else can write."""
        ...

    def commit(self, epoch: int, batch: Batch) -> None:
        """Write ``batch``."""
        ...

    # -- what is there -------------------------------------------------------------------------

    def last_seq(self) -> int:
        """The greatest ``seq`` ever used; 0 in an empty store."""
        ...

    def unfinished(self) -> Iterator[Row]:
        """The tasks that have not ended, by their ``seq``, without loading all of them."""
        ...

    def rows(self, ids: Sequence[str]) -> dict[str, Row]:
        """Those of the tasks ``ids`` that there are."""
        ...

    def finished(self, before: int | None = None, limit: int = 1_000) -> list[Row]:
        """The tasks that have ended, the newest first, with a ``seq`` less than ``before``."""
        ...

    def keys(self) -> Iterator[tuple[str, str]]:
        """The keys of tasks that have ended, each with the task's id."""
        ...

    def functions(self) -> dict[str, bytes]:
        """What functions ask for their tasks, as last written, by their stable ids."""
        ...

    def checkpoint(self, seq: int) -> bytes | None:
        """The last checkpoint of a task."""
        ...

    def steps(self, seq: int) -> dict[str, bytes]:
        """The steps that a task has done, by name."""
        ...

    def lines(self, seq: int, since: int = 0) -> list[tuple[int, Line]]:
        """What a task said, each with its number, after the number ``since``."""
        ...

    def ended(
        self,
        before: float,
        statuses: Sequence[str],
        limit: int,
        skip: int = 0,
        keyed_before: float | None = None,
    ) -> list[int]:
        """The ``seq`` of the oldest tasks of ``statuses`` that ended before then.

        ``skip`` leaves out so many of the newest. Those with a key must have ended before
        ``keyed_before``, if that is given.
        """
        ...

    def counts(self) -> dict[str, int]:
        """How many tasks there are of each status."""
        ...

    # -- between processes ---------------------------------------------------------------------

    def post(self, requests: Sequence[tuple[str, bytes]]) -> list[int]:
        """Leave requests, kind and body, for the leader, as safe as a commit; their numbers."""
        ...

    def post_in(self, connection: Any, kind: str, body: bytes) -> int:
        """Leave one within a transaction of somebody else's, which has this store open.

        StoreError from a store in which nobody else can have transactions.
        """
        ...

    def requests(self, limit: int = 1_000) -> list[Request]:
        """The requests nobody has handled yet, the oldest first."""
        ...

    def news(self, since: int) -> list[tuple[int, bytes]]:
        """What was committed for the clients after the number ``since``."""
        ...

    def read_note(self, name: str) -> str | None:
        """A note that processes leave each other in the store, such as where the leader listens."""
        ...

    def write_note(self, name: str, text: str | None, task: str | None = None) -> None:
        """Leave a note, or take it away; one of a ``task``, by its id, is deleted with that."""
        ...

    def shrink(self) -> None:
        """Give back to the file system what is not needed, as far as that is ours to do."""
        ...

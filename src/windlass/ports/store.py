"""What keeps tasks, and what is written there and read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


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

"""A file of tasks, seen from outside: what is in it, and how it is doing.

It works beside the program whose file it is, and when no program runs; it needs none of the
program's functions, and no right to write. Whatever is done by the file's tasks or to them is
beyond it: that is a manager's part.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections import Counter, deque
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from .._core.explain import explain
from .._core.info import TaskInfo
from .._core.spec import Spec
from .._core.states import PENDING, RUNNING, TERMINAL, TaskStatus
from .._core.task import Task
from .._runtime.clock import SystemClock
from .._runtime.desk import LEADER
from .._runtime.durable import LACKING
from .._runtime.functions import recipe_with
from .._runtime.handle import error_of
from .._runtime.reading import Reader
from .._runtime.runtime import Runtime
from .._runtime.stored_job import UNKNOWN
from ..codecs import MsgpackCodec
from ..decorators import recipe_of
from ..errors import TaskError
from ..stores.lead import Lead
from ..stores.sqlite import SqliteStore

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator

    from .._runtime.job import Job
    from .._runtime.log_lines import LogLine
    from .._runtime.recipe import Recipe
    from .._runtime.stored_job import StoredJob
    from ..ports import Codec, Row

_PAGE = 1_000
_SPANS: tuple[int, ...] = (60, 3_600, 86_400)


class Leader(NamedTuple):
    """The process that leads a file, or the last one that did."""

    pid: int
    host: str
    alive: bool
    """Whether it holds the lock of the file: the kernel frees that when a process dies."""
    seen: datetime | None
    """When it gave its last sign of life."""


@dataclasses.dataclass(frozen=True, slots=True)
class FileState:
    """How a file of tasks is doing."""

    path: str
    schema: int
    epoch: int
    """How often the lead over it was taken."""
    leader: Leader | None
    counts: Mapping[TaskStatus, int]
    size: int
    """In bytes, without the log."""
    log_size: int
    """Of the write-ahead log, which is a part of the file."""
    unused: int
    """How much of it holds nothing."""
    ours: bool
    """Whether Windlass made the file; of others it gives no space back."""
    requests: Mapping[str, int]
    """What other processes have asked for, and nobody has done yet."""
    lacking: Mapping[str, int]
    """What the last program that led had not when it began, in words: for how many tasks."""


@dataclasses.dataclass(slots=True)
class Figures:
    """What became of the tasks of one function, as far as the file remembers."""

    counts: Counter[TaskStatus] = dataclasses.field(default_factory=Counter)
    ran: int = 0
    """How many have run to their end."""
    seconds: float = 0.0
    """How long they ran, all together."""
    longest: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Statistics:
    """Figures about all tasks in a file."""

    functions: Mapping[str, Figures]
    ended_within: Mapping[int, int]
    """How many tasks have ended in the last 60, 3,600 and 86,400 seconds."""


class TaskFile:
    """The tasks in the file ``path``; see the module. Raises StoreError if it holds none."""

    def __init__(self, path: str | os.PathLike[str], *, codec: Codec | None = None) -> None:
        self._store = SqliteStore(path, look_only=True)
        self._store.open()
        self.path = self._store.path
        self._runtime = Runtime({}, SystemClock(), recipe_of)
        codec = codec or MsgpackCodec()
        functions = _FunctionsInFile(self._store, codec)
        self._reader = Reader(self._runtime, codec, functions)

    # -- tasks ---------------------------------------------------------------------------------

    def list_tasks(
        self,
        *,
        status: Iterable[TaskStatus] = (),
        name: str | None = None,
        tag: str | None = None,
        owner: str | None = None,
        limit: int | None = None,
    ) -> list[TaskInfo]:
        """The tasks that fit every filter given, the newest ``limit`` of them, oldest first.

        What a function asks for all its tasks, such as their name, tags and owner, is as the
        program has it that stored them last.
        """
        wanted = frozenset(status) or frozenset(TaskStatus)

        def fits(info: TaskInfo, function: str) -> bool:
            return (
                (name is None or name in {info.name, function, function.rpartition(".")[2]})
                and (tag is None or tag in info.tags)
                and (owner is None or owner == info.owner)
            )

        open_ones: deque[tuple[int, TaskInfo]] = deque(maxlen=limit)
        ended: deque[tuple[int, TaskInfo]] = deque(maxlen=limit)
        if wanted - TERMINAL:
            open_ones.extend(self._fitting(self._store.unfinished(), wanted, fits))
        if wanted & TERMINAL:
            for found in self._fitting(self._finished(), wanted, fits):
                if len(ended) == limit:
                    break
                ended.appendleft(found)
        both = deque(sorted(chain(open_ones, ended), key=lambda found: found[0]), maxlen=limit)
        return [info for _, info in both]

    def get_task(self, id: str) -> TaskInfo | None:
        """All that the file says of a task."""
        job = self._job(id)
        return self._info(job) if job is not None else None

    def get_task_error(self, id: str) -> TaskError | None:
        """The error of a task that failed or was cancelled; None for any other."""
        job = self._job(id)
        return error_of(job) if job is not None else None

    def get_task_log(self, id: str, *, since: int = 0) -> list[LogLine]:
        """What a task has said in the log, after the line with the number ``since``."""
        row = self._store.rows([id]).get(id)
        lines = self._reader.log(self._store.lines(row.seq)) if row is not None else []
        return [line for line in lines if line.number > since]

    def explain(self, id: str) -> str:
        """Where a task stands and why, as far as the file says; whoever leads may know more."""
        row = self._store.rows([id]).get(id)
        if row is None:
            return "there is no such task"
        job = self._read(row, self._resolve)
        clock = self._runtime.clock
        if job.status is RUNNING and not self.is_led:
            return "was running when its process died; goes on when a program opens the file"
        if job.status is PENDING and not job.held and job.due <= clock.now():
            who = "whoever leads" if self.is_led else "the next program that opens the file"
            return f"ready: {who} starts it if it has the function {row.function!r}"
        return explain(self._runtime.engine, job, clock.now(), clock.wall())

    # -- figures -------------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        """The time, by the clock that the times of tasks are told by."""
        return datetime.fromtimestamp(self._runtime.clock.wall(), UTC)

    def statistics(self) -> Statistics:
        """What became of all tasks, by function."""
        functions: dict[str, Figures] = {}
        now = self._runtime.clock.wall()
        within: dict[int, int] = dict.fromkeys(_SPANS, 0)
        for row in chain(self._store.unfinished(), self._finished()):
            figures = functions.setdefault(row.function, Figures())
            figures.counts[TaskStatus(row.status)] += 1
            if row.ended_at is None:
                continue
            for span in _SPANS:
                within[span] += now - row.ended_at <= span
            if row.started_at is not None and row.run:
                seconds = max(0.0, row.ended_at - row.started_at)
                figures.ran += 1
                figures.seconds += seconds
                figures.longest = max(figures.longest, seconds)
        return Statistics(functions, within)

    def count_ended(self, before: datetime, status: Iterable[TaskStatus], keep: int = 0) -> int:
        """How many tasks have ended as one of ``status`` before then, but for the newest."""
        when, statuses = before.timestamp(), [one.value for one in status]
        return len(self._store.ended(when, statuses, sys.maxsize, keep, when))

    # -- the file ------------------------------------------------------------------------------

    @property
    def is_led(self) -> bool:
        """Whether a program has the file open that may run its tasks."""
        return Lead(self.path).taken

    def state(self) -> FileState:
        """How the file is doing."""
        store, figures = self._store, self._store.figures()
        log = Path(f"{self.path}-wal")
        return FileState(
            path=self.path,
            schema=figures["schema"],
            epoch=figures["epoch"],
            leader=self._leader(),
            counts={TaskStatus(status): number for status, number in store.counts().items()},
            size=Path(self.path).stat().st_size,
            log_size=log.stat().st_size if log.exists() else 0,
            unused=figures["unused"],
            ours=bool(figures["created_by_us"]),
            requests=Counter(request.kind for request in store.requests(limit=100_000)),
            lacking=json.loads(store.read_note(LACKING) or "{}"),
        )

    def damage(self) -> list[str]:
        """What is wrong with the file, which is read as a whole for it; empty if nothing is."""
        return self._store.damage()

    # -- reading -------------------------------------------------------------------------------

    def _leader(self) -> Leader | None:
        note, lead = self._store.read_note(LEADER), Lead(self.path)
        if note is None:
            return None
        _, pid, host = note.split(maxsplit=2)
        try:
            seen = datetime.fromtimestamp(lead.path.stat().st_mtime, UTC)
        except OSError:
            seen = None
        return Leader(int(pid), host, lead.taken, seen)

    def _finished(self) -> Iterator[Row]:
        before = None
        while page := self._store.finished(before, _PAGE):
            yield from page
            before = page[-1].seq

    def _fitting(
        self,
        rows: Iterable[Row],
        wanted: frozenset[TaskStatus],
        fits: Callable[[TaskInfo, str], bool],
    ) -> Iterator[tuple[int, TaskInfo]]:
        for row in rows:
            if TaskStatus(row.status) in wanted:
                info = self._info(self._read(row))
                if fits(info, row.function):
                    yield row.seq, info

    def _job(self, id: str) -> StoredJob | None:
        row = self._store.rows([id]).get(id)
        return self._read(row) if row is not None else None

    def _read(self, row: Row, resolve: Callable[[str], Job] | None = None) -> StoredJob:
        job, _ = self._reader.job(row, self._runtime.wall_offset(), resolve or _by_name)
        job.status = TaskStatus(row.status)
        return job

    def _resolve(self, id: str) -> Job:
        row = self._store.rows([id]).get(id)
        return self._read(row) if row is not None else _by_name(id)

    def _info(self, job: StoredJob) -> TaskInfo:
        return TaskInfo.of(job, self._runtime.wall_offset())


_NOTHING = Spec(name="", executor=UNKNOWN)


class _FunctionsInFile:
    """The functions of a file's tasks, for somebody who has none of them: what they ask, as stored.

    What a function asks is in the file as soon as a task of it is.
    """

    def __init__(self, store: SqliteStore, codec: Codec) -> None:
        self._store = store
        self._codec = codec
        self._known: dict[str, Recipe | None] = {}

    def id_of(self, recipe: Recipe) -> str | None:
        """None is stored from here."""
        del recipe
        return None  # as the protocol has it

    def recipe(self, id: str) -> Recipe | None:
        """What stands for a function; nothing calls it."""
        if id not in self._known:
            options = self._store.functions().get(id)
            self._known[id] = self._read(id, options) if options is not None else None
        return self._known[id]

    def _read(self, id: str, options: bytes) -> Recipe | None:
        try:
            return recipe_with(self._codec.decode(options), None, id)
        except (TaskError, TypeError, ValueError):  # damaged: its tasks are still worth a look
            return None


def _by_name(id: str) -> Job:
    """Stands for a task of which only the id is asked."""
    return cast("Job", Task(id, _NOTHING, 0.0))

"""The journal: nothing is announced and nothing starts before it is on disk.

Theory of operation
-------------------
In memory, a turn of the pump publishes what has changed and starts what it has taken. With a store,
it writes down an *entry* instead: the rows of all jobs that have changed, and what is to be
announced and started once they are safe. A thread of its own commits entries, as many at once as
have come while the last commit was under way, and wakes the pump, whose next turn does the rest::

    turn ──entry──▶ waiting ──all of them at once──▶ commit ──▶ done ──▶ next turn: publish, start

So the engine is a little ahead of the disk, and nobody but the engine knows.

When a commit fails
-------------------
- *Locked*: somebody else writes, a user's own transaction perhaps. It is tried again, with a
  warning every few seconds. Nothing fails.
- *Fenced*: another process leads. Nothing may be written any more; the manager closes.
- *Refused for itself*, such as a value that is too big: it is left out; see ``refusals``.
- *Anything else*, such as a full disk: the tasks that were new in it are refused, through their
  handles; everything else is kept and tried again every second. Until that works, whatever is
  submitted is refused at once.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from operator import attrgetter
from typing import TYPE_CHECKING, cast
from weakref import WeakSet

from .._core.change import GateChange, Moves
from ..errors import StoreError, StoreFencedError, StoreLockedError
from ..ports import Batch
from .entry import Entry
from .functions import function_of
from .records import is_untouched
from .refusals import leave_out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from .._core.states import TaskStatus
    from .._core.task import Task
    from ..ports import Row, Store, Update
    from .desk import Desk
    from .job import Job
    from .log_lines import LogBook
    from .records import Records
    from .stored_job import StoredJob

logger = logging.getLogger("windlass")

_AGAIN = 1.0
_WARN_EVERY = 5.0
_REMIND_EVERY = 60.0
_PAGE = 10_000


class Journal:
    """Writes entries, in order, on a thread of its own; see the module."""

    def __init__(
        self,
        store: Store,
        records: Records,
        now: Callable[[], float],
        wake: Callable[[], None],
        on_fenced: Callable[[StoreError], None],
    ) -> None:
        self._store = store
        self._now = now
        self._records = records
        self._wake = wake
        self._on_fenced = on_fenced
        self._lock = threading.Lock()
        self._work = threading.Event()
        self._waiting: list[Entry] = []
        self._done: list[Entry] = []
        self._trying: list[Entry] = []  # those that the commit under way is of
        self._warned = 0.0
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._seq = 0
        self._introduced: set[str] = set()
        self._next = Entry()  # for what is said between two turns
        self.epoch = 0
        self.desk: Desk | None = None
        self.log_book: LogBook | None = None
        self.sick: StoreError | None = None
        """Why nothing can be stored at present."""
        self.refused: deque[tuple[StoredJob, StoreError]] = deque()
        """New jobs that could not be stored, for the pump to take back."""

        self.never: set[int] = set()
        """The numbers of tasks that could not be stored."""
        self.going: set[int] = set()
        """The numbers of tasks that are forgotten, and may still be on disk."""
        self.pledged: WeakSet[StoredJob] = WeakSet()
        """Jobs that requests have become: whoever left those was told that they are safe."""

    # -- from the pump's turn, under the engine's lock -----------------------------------------

    @property
    def upcoming(self) -> Entry:
        """The entry of the next turn."""
        return self._next

    def close_entry(self, moves: Moves, offset: float) -> Entry:
        """The entry of this turn, with ``moves`` in it; another one begins."""
        entry, self._next = self._next, Entry()
        entry.moves = moves
        if self.desk is not None and self.desk.has_clients:
            entry.news += [self._records.news(move, offset) for move in moves]
            entry.news += [[*GateChange.of(move, offset)] for move in moves.circuits]
        new: list[StoredJob] = []
        changed: list[StoredJob] = []
        job: StoredJob
        for job in _changed(moves):  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
            if job.seq < 0:
                continue  # it is not kept
            if job.outcome is not None:
                entry.ended.append(job)
            if job.seq and job.packed is None:
                changed.append(job)
            else:
                new.append(job)
        entry.updates |= self._records.updates(changed, offset)
        # Moves come by kinds; the store keeps the order in which tasks were submitted. One that was
        # retried before it was ever written is written once, as it is now, or refused with that.
        latest = {job.id: job for job in new}
        in_order = sorted(latest.values(), key=_created)
        changed = [job for job in in_order if self._insert(job, offset, entry)]
        entry.updates |= self._records.updates(changed, offset)
        for job in new if len(latest) < len(new) else ():
            if not job.seq:
                job.seq = latest[job.id].seq
                entry.new.append(job)
        if self.log_book:
            self.log_book.hand_over(entry, self._records.line, all_of_them=not self._waiting)
        return entry

    def note(self, job: StoredJob, offset: float) -> None:
        """Have ``job`` written as it stands, with the upcoming entry."""
        if (job.seq and job.packed is None) or self._insert(job, offset, self._next):
            self._next.updates |= self._records.updates([job], offset)

    def _insert(self, job: StoredJob, offset: float, entry: Entry) -> bool:
        """Have a new or renewed ``job`` written; True if that does not say how it stands."""
        if job.function not in self._introduced:
            self._introduce(job.function, entry)
        if job.seq:
            entry.renewed.append(job)
            entry.updates.pop(job.seq, None)  # how it ended before
        else:
            self._seq += 1
            job.seq = self._seq
            entry.new.append(job)
            if (fresh := self._records.fresh(job, offset)) is not None:
                entry.fresh[job.seq] = fresh
                job.packed = None
                return not is_untouched(job)
        entry.inserts[job.seq] = self._records.row(job, offset)
        job.packed = None
        return False

    def forget(self, seqs: Iterable[int]) -> None:
        """Have the tasks with these numbers deleted."""
        self._next.deletes += seqs
        self.going.update(seqs)

    def has_refused(self, job: Job) -> bool:
        """Whether ``job`` could not be stored, and waits to be taken back."""
        refused = tuple(self.refused)  # the thread adds to it, under no lock
        return any(job is other for other, _ in refused)

    def _introduce(self, function: str, entry: Entry) -> None:
        """Have it written down, once in each lead, what ``function`` asks for its tasks."""
        self._introduced.add(function)
        options = self._records.own_options(function)
        if options is not None:
            entry.functions.append((function_of(function), options))

    def write(self, entry: Entry) -> None:
        """Have ``entry`` committed; it comes out of ``take_done`` then."""
        with self._lock:
            self._waiting.append(entry)
        self._work.set()

    def take_done(self) -> Sequence[Entry]:
        """The entries that are safe by now, in order."""
        if not self._done:
            return ()
        with self._lock:
            done, self._done = self._done, []
        for entry in done:
            for job in entry.ended:
                job.told = True
        return done

    @property
    def idle(self) -> bool:
        """Whether everything is on disk and announced."""
        with self._lock:
            return not (self._waiting or self._trying or self._done or self._next or self.refused)

    # -- the thread ----------------------------------------------------------------------------

    def start(self, epoch: int, seq: int, *, thread: bool = True) -> None:
        """Write under ``epoch`` from now on; ``seq`` is the greatest in use.

        Without a ``thread``, somebody calls ``commit``.
        """
        self.epoch, self._seq = epoch, seq
        self._introduced.clear()
        self.going.clear()
        self.never.clear()
        self._closing.clear()
        self.sick = None
        if thread:
            self._thread = threading.Thread(target=self._run, name="windlass-journal", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Write what there is, and no more."""
        self._closing.set()
        self._work.set()
        if self._thread is None:
            self._write_all()
        elif self._thread is not threading.current_thread():
            self._thread.join()
        self._thread = None

    def _run(self) -> None:
        while True:
            self._work.wait()
            self._work.clear()
            self._write_all()
            if self._closing.is_set():
                return

    def _write_all(self) -> None:
        while self._waiting or self._trying:
            pause = self.commit()
            # Not for work: there is plenty, and no room.
            if pause is not None and self._closing.wait(pause):
                logger.error("closed before everything was stored: some of it will happen again")
                self._give_up()

    # -- committing ----------------------------------------------------------------------------

    def commit(self) -> float | None:
        """Try once to commit what waits, all at once.

        The answer is in how many seconds to try again; None if that is not needed.
        """
        with self._lock:
            if not self._trying:
                self._trying, self._waiting = self._waiting, []
                self._warned = self._now()
        if not self._trying:
            return None
        try:
            self._store_what_it_takes()
        except StoreLockedError as error:
            if self._now() - self._warned > _WARN_EVERY:
                self._warned = self._now()
                logger.warning("nothing is stored, and nothing starts, until then: %s", error)
            return 0.0  # the store has waited
        except StoreFencedError as error:
            self.fence(error)
            self._give_up()
            return None
        except StoreError as error:
            self._suffer(self._trying, error)
            return _AGAIN
        if self.sick is not None:
            logger.warning("tasks are stored again")
            self.sick = None
        for entry in self._trying:
            self.going.difference_update(entry.deletes)
        if self.desk is not None:
            self.desk.tell_clients()
        with self._lock:
            self._done += self._trying
            self._trying = []
        self._wake()
        return None

    def _store_what_it_takes(self) -> None:
        """Commit what is being tried, but for what the store refuses for itself."""
        while True:
            try:
                for batch in _pages(self._batch(self._trying)):
                    self._store.commit(self.epoch, batch)
            except StoreError as error:
                if not leave_out(self._trying, error, self._records, self):
                    raise
            else:
                return

    def fence(self, error: StoreFencedError) -> None:
        """Another process leads: say so, once, and have the manager close."""
        if not isinstance(self.sick, StoreFencedError):
            logger.error("%s", error)
            self.sick = error
            self._on_fenced(error)

    def _give_up(self) -> None:
        """What is being tried will never be safe."""
        self._trying = []
        self._wake()

    def _suffer(self, entries: list[Entry], error: StoreError) -> None:
        """Refuse what is new: it never was, and its handles say so."""
        if self.sick is None or self._now() - self._warned > _REMIND_EVERY:
            self._warned = self._now()
            logger.error("tasks cannot be stored, new ones are refused until that ends: %s", error)
        self.sick = error
        for entry in entries:
            refused = [job for job in entry.new if job not in self.pledged]
            entry.new = [job for job in entry.new if job in self.pledged]
            for job in refused:
                entry.fresh.pop(job.seq, None)
                entry.inserts.pop(job.seq, None)
                self.refused.append((job, error))
        self._wake()

    def _batch(self, entries: Sequence[Entry]) -> Batch:
        """What ``entries`` come to: each task inserted and updated once at most."""
        batch = Batch()
        inserts: dict[int, Row] = {}
        updates: dict[int, Update] = {}
        for entry in entries:
            for seq in updates.keys() & entry.inserts.keys():
                del updates[seq]  # it was retried, and begins anew
            batch.fresh += entry.fresh.values()
            inserts |= entry.inserts
            updates |= entry.updates
            batch.functions += entry.functions
            batch.checkpoints += entry.checkpoints
            batch.steps += entry.steps
            batch.lines += entry.lines
            batch.trims += entry.trims
            batch.deletes += entry.deletes
            batch.handled += entry.handled
        if news := [item for entry in entries for item in entry.news]:
            batch.news = self._records.packed_news(news)
        batch.inserts, batch.updates = [*inserts.values()], updates
        return batch


def _changed(moves: Moves) -> Iterable[Task]:
    """The tasks in ``moves``, each once, but for those that were taken in as the store has them."""
    came = cast("list[Job]", [*moves.submitted, *moves.waiting])
    moved = cast("list[tuple[Job, TaskStatus | None]]", [move[:2] for move in moves.moved])
    return dict.fromkeys(
        [
            *[job for job in came if not job.seq],
            *moves.returned,
            *moves.readied,
            *[job for job, before in moved if before is not None or not job.seq],
            *moves.started,
        ]
    )


def _pages(batch: Batch) -> Iterator[Batch]:
    """``batch``, after as many of its deletes as would make it too long for those who wait."""
    batch.deletes.sort()  # what is new in it, and forgotten already, is deleted with it
    while len(batch.deletes) > _PAGE:
        page = Batch()
        page.deletes, batch.deletes = batch.deletes[:_PAGE], batch.deletes[_PAGE:]
        yield page
    yield batch


_created = attrgetter("created_at")

"""The account: what was asked, stored, started and told, kept by hand; and the laws of all that.

It folds what is committed by itself. Whatever is stored, started or told is held against it the
moment it happens.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from ...._core.outcome import Err
from ...._core.states import COMPLETED, PENDING, RUNNING, TERMINAL, TRANSITIONS, TaskStatus
from ....errors import TaskNotFoundError
from ..plans import Broken
from . import forgetting, starting, timing, verdicts
from .plans import CODEC

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ...._core.change import Change
    from ...._runtime.run import Run
    from ...._runtime.stored_job import StoredJob
    from ....ports import Batch, Row, Update
    from .forgetting import Cleaning
    from .life import Life
    from .plans import Order
    from .steps import How
    from .world import World


def _reach(start: TaskStatus | None) -> frozenset[TaskStatus]:
    """Where a task can be after one commit, in which it may have moved several times."""
    found: set[TaskStatus] = set() if start is None else {start}
    line = [start]
    while line:
        status = line.pop()
        new = set() if status in TERMINAL else TRANSITIONS[status].keys() - found
        found |= new
        line += new
    return frozenset(found)


_REACH = {status: _reach(status) for status in (None, *TaskStatus)}


class Reported(NamedTuple):
    """How an executor said that a run ended."""

    life: Life
    how: How
    at: float


class Account:
    """See the module."""

    def __init__(self, world: World) -> None:  # noqa: PLR0915  # it has that much to remember
        self.world = world
        self.orders: dict[str, Order] = {}
        self.parents: dict[str, str] = {}
        self.asked_at: dict[str, float] = {}
        self.asked_in: dict[str, Life] = {}
        self.cancels: set[str] = set()
        self.released: set[str] = set()
        self.retries = Counter[str]()
        # What is on the disk.
        self.epoch = 0
        self.epochs: dict[Life, int] = {}
        self.led_at: dict[Life, float] = {}
        self.rows: dict[int, Row] = {}
        self.seqs: dict[str, int] = {}
        self.keys: dict[str, str] = {}
        self.ends: defaultdict[str, set[str]] = defaultdict(set)
        """As what each task has ended, once or more often."""
        self.ended_at: set[tuple[str, float]] = set()
        """When that was, by the wall."""
        self.stillborn: set[str] = set()
        """Those that had ended when they were stored for the first time."""
        self.forgotten: set[str] = set()
        self.unwanted: set[str] = set()
        """Those that somebody wants to be forgotten."""
        self.cleanings: list[Cleaning] = []
        self.requests: dict[int, tuple[str, bytes]] = {}
        self.left: set[str] = set()
        """The tasks that a client has left in the inbox."""
        self._last_seq = 0
        # What was promised.
        self.acknowledged: set[str] = set()
        self.unstored: set[str] = set()
        """Those that there was no room for at some time."""
        self.refused: set[str] = set()
        """Those of them of which somebody was told so."""
        self.kept: defaultdict[str, dict[str, Any]] = defaultdict(dict)
        """By task the steps of which somebody was told that they are done."""
        self.checkpoints = Counter[str]()
        """Of how many checkpoints of a task the last is that is safe."""
        # What became of runs.
        self.begun: dict[tuple[str, int], int] = {}
        """Under which epoch each run was stored as running."""
        self.started_runs: set[tuple[str, int]] = set()
        self.reports: dict[tuple[str, int], Reported] = {}
        self._unheard: defaultdict[Life, set[tuple[str, int]]] = defaultdict(set)
        self._settled: set[tuple[str, int]] = set()
        self.crashed: defaultdict[str, set[int]] = defaultdict(set)
        self.failed: defaultdict[str, set[int]] = defaultdict(set)
        self.unclear: defaultdict[str, set[int]] = defaultdict(set)
        """Those that ended, in whatever way, when their timeout was over."""
        self.failures: dict[str, Reported] = {}
        """How each task has failed for the last time, if it was tried again."""
        self.began: dict[tuple[str, int], tuple[Life, float]] = {}
        self.suspects: set[str] = set()
        """Those that were one crash from their end when the present leader took over."""
        self.news: list[str] = []
        """What has happened in this step, in words."""

    def row(self, id: str) -> Row | None:
        """The task as it is stored."""
        return self.rows.get(self.seqs.get(id, 0))

    def status(self, id: str) -> str | None:
        """How the task is stored."""
        row = self.row(id)
        return row.status if row is not None else None

    def holder(self, name: str) -> str:
        """Who stands for a task: it, or the one that has its key."""
        key = self.orders[name].key
        if key is None or name in self.seqs or name in self.forgotten:
            return name
        return self.keys.get(key, name)

    def equals(self, name: str) -> set[str]:
        """The task, and those that have the same key."""
        key = self.orders[name].key
        return {name} | {other for other, order in self.orders.items() if key and order.key == key}

    def above(self, name: str) -> set[str]:
        """A task and all that it depends on, or may come to depend on by its key."""
        found, line = {name}, [name]
        while line:
            name = line.pop()
            new = {*self.equals(name), *self.orders[name].after} - found
            found |= new
            line += new
        return found

    def is_released(self, id: str) -> bool:
        """Whether a held task may run: it, or what depends on it, was released, or not held."""
        asked = self.released | {name for name, order in self.orders.items() if not order.held}
        return any(id in self.above(name) for name in asked | self.retries.keys())

    def asked(self, life: Life, id: str, order: Order, parent: str | None = None) -> None:
        """Somebody submits a task in ``life``."""
        self.orders.setdefault(id, order)
        self.asked_at.setdefault(id, self.world.now)
        self.asked_in.setdefault(id, life)
        if any(self.retries[name] for name in order.after):
            self.retries[id] += 1  # somebody may be about to retry what fell with those
        if parent is not None:
            self.parents[id] = parent

    # -- what is stored ------------------------------------------------------------------------

    def led(self, life: Life, epoch: int) -> None:
        """``life`` leads; what was running is not any more."""
        if epoch != self.epoch + 1:
            raise Broken(f"epoch {epoch} follows {self.epoch}")
        self.epoch = self.epochs[life] = epoch
        self.led_at[life] = self.world.now
        self.news.append(f"{life.name} leads, epoch {epoch}")
        if life.role == "errand":
            return
        for row in self.rows.values():
            if row.status == RUNNING:
                self.crashed[row.id].add(row.run)
        self.suspects = {
            row.id
            for row in self.rows.values()
            if row.status not in TERMINAL
            and row.id not in self.parents
            and not self.unclear[row.id]
            and 0 < len(self.crashed[row.id]) == verdicts.crashes_allowed(self, life, row.id) - 1
        }

    def posted(self, requests: Mapping[int, tuple[str, bytes]]) -> None:
        """A client has left requests."""
        for number, (kind, body) in requests.items():
            if number in self.requests:
                raise Broken(f"there are two requests {number}")
            self.requests[number] = kind, body
            self.news.append(f"request {number}: {kind}")
            if kind == "submit":
                self.left.add(CODEC.decode(body)[1])

    def could_not_store(self, batch: Batch) -> None:
        """There was no room; whoever is new in it is told that it never was."""
        self.unstored.update(row.id for row in batch.rows() if row.id not in self.seqs)

    def could_not_leave(self, requests: Sequence[tuple[str, bytes]]) -> None:
        """Nor was there room for what a client would have left."""
        self.unstored.update(CODEC.decode(body)[1] for kind, body in requests if kind == "submit")

    def committed(self, life: Life, epoch: int, batch: Batch) -> None:
        """The store has written ``batch``."""
        if epoch != self.epoch or self.epochs.get(life) != epoch:
            raise Broken(f"{life.name} has written under epoch {epoch}, and it is {self.epoch}")
        changed = [(self.rows.get(row.seq), row) for row in batch.rows()]
        for old, row in changed:
            self._insert(old, row, batch.deletes)
        # One that was refused may be changed all the same, which changes nothing.
        changed += [
            self._update(seq, new) for seq, new in batch.updates.items() if seq in self.rows
        ]
        for old, row in changed:
            self._follow(life, old, row)
        for row in forgetting.judge(self, batch.deletes):
            self._forget(row)
        for old, row in changed:
            if row.status in TERMINAL and (old is None or old.outcome != row.outcome):
                verdicts.judge(self, life, row)
        for number in batch.handled:
            verdicts.judge_handled(self, life, number, {row.seq for _, row in changed})

    def _forget(self, row: Row) -> None:
        del self.rows[row.seq], self.seqs[row.id]
        self.forgotten.add(row.id)
        if row.key is not None and self.keys.get(row.key) == row.id:
            del self.keys[row.key]
        self.news.append(f"{row.id} is forgotten")

    def _insert(self, old: Row | None, row: Row, deletes: Sequence[int]) -> None:
        if old is None:
            if row.id not in self.orders:
                raise Broken(f"{row.id} was stored, and nobody has asked for it")
            if row.id in self.seqs:
                raise Broken(f"{row.id} was stored twice")
            if row.id in self.refused and not self.retries[row.id]:
                raise Broken(f"{row.id} was stored after it had been refused")
            if row.status in TERMINAL:
                self.stillborn.add(row.id)
            if row.seq <= self._last_seq:
                raise Broken(f"the number {row.seq} of {row.id} was in use before")
            holder = self.keys.get(row.key) if row.key is not None else None
            if holder is not None and holder != row.id and self.seqs[holder] not in deletes:
                raise Broken(f"{row.id} has the key of {holder}")
            if row.key is not None:
                self.keys[row.key] = row.id
        elif old.id != row.id or old.status == COMPLETED or not self.retries[old.id]:
            raise Broken(f"{row.id} took the place of {old.id}, which is {old.status}")
        self.rows[row.seq], self.seqs[row.id] = row, row.seq

    def _update(self, seq: int, update: Update) -> tuple[Row | None, Row]:
        old = self.rows[seq]
        new = update._asdict()
        if update.ended_at is None:  # that it has not ended it need not say
            del new["ended_at"], new["outcome"]
        row = self.rows[seq] = old._replace(**new)
        return old, row

    def _follow(self, life: Life, old: Row | None, row: Row) -> None:
        """A row was written: is that a way that a task can go?"""
        self._last_seq = max(self._last_seq, row.seq)
        before = old.status if old is not None else None
        self.news.append(f"{row.id}: {before or 'new'} -> {row.status}, run {row.run}")
        renewed = bool(old is not None and old.status in TERMINAL and self.retries[row.id])
        legal = _REACH[None if renewed or old is None else TaskStatus(old.status)]
        # The last allows for what it depends on to be on again, by hand, when it is recovered.
        recovered = before in {RUNNING, PENDING} and row.status in _REACH[None]
        if before in TERMINAL and not renewed and row.outcome != getattr(old, "outcome", None):
            raise Broken(f"{row.id}, which had ended, has ended otherwise")
        if row.status not in legal and not recovered:
            raise Broken(f"{row.id} went from {before} to {row.status}")
        ended = row.status in TERMINAL
        if ended != (row.outcome is not None) or ended != (row.ended_at is not None):
            raise Broken(f"{row.id} is {row.status}, with an outcome: {row.outcome is not None}")
        first = old.run if old is not None else 0
        if row.run < first:
            raise Broken(f"{row.id} went back from run {first} to {row.run}")
        if row.status == RUNNING:
            self.begun.setdefault((row.id, row.run), self.epoch)
        for run in range(max(1, first), row.run + (row.status != RUNNING)):
            self._settle(life, row, run)
        if ended:
            self.ends[row.id].add(row.status)
            assert row.ended_at is not None
            self.ended_at.add((row.id, row.ended_at))

    def _settle(self, life: Life, row: Row, run: int) -> None:
        """It is stored that a run is over."""
        key = row.id, run
        report = self.reports.get(key)
        if report is not None and report.life is not life:
            report = None
        at = report.at if report is not None else self.world.now
        if key in self._settled:
            return
        if timing.was_overdue(self, life, row.id, run, at):
            self._settled.add(key)
            self.unclear[row.id].add(run)
        elif report is not None:
            self._settled.add(key)
            if report.how == "crash":
                self.crashed[row.id].add(run)
            elif report.how == "error":
                self.failed[row.id].add(run)
                if row.run == run and row.status not in TERMINAL:
                    self.failures[row.id] = report

    # -- what is started and told ----------------------------------------------------------------

    def started(self, life: Life, run: Run) -> None:
        """An executor was given a run."""
        self.news.append(f"{life.name} starts run {run.number} of {run.job.id}")
        starting.judge(self, life, run)
        self.began[run.job.id, run.number] = life, self.world.now

    def reported(self, life: Life, id: str, run: int, how: How) -> None:
        """An executor tells how a run ended."""
        self.reports[id, run] = Reported(life, how, self.world.now)
        self._unheard[life].add((id, run))

    def turned(self, life: Life) -> None:
        """The pump of a life has taken in what was reported."""
        self._unheard.pop(life, None)

    def closing(self, life: Life) -> None:
        """What has not come to the engine by now is interrupted, unless it has returned."""
        for key in self._unheard.pop(life, ()):
            if self.reports[key].how != "ok":
                self.reports[key] = self.reports[key]._replace(how="interrupted")

    def heard(self, life: Life, changes: Sequence[Change]) -> None:
        """A life announces what has happened."""
        for change in changes:
            if change.task_id in self.unstored | self.forgotten:
                continue
            row = self.row(change.task_id)
            if row is None or row.run < change.attempt:
                raise Broken(f"{life.name} announced what is not stored: {change}")
            if self.retries[row.id]:
                continue  # it may have begun anew before its end was stored
            if change.after in TERMINAL and change.after not in self.ends[row.id]:
                raise Broken(f"{life.name} announced an end that is not stored: {change}")

    def told(self, life: Life, job: StoredJob) -> None:
        """A handle has ended."""
        if job.outcome is None or not job.told:  # its life has closed, and says no more
            if life.runtime.home is not None:
                raise Broken(f"{life.name} called an end what is none: {job}")
        elif job.id in self.unstored and job.id not in self.seqs:
            self.refused.add(job.id)
        elif isinstance(
            job.outcome.error if isinstance(job.outcome, Err) else None, TaskNotFoundError
        ):
            if not any(one in self.forgotten for one in self.equals(job.id)):
                raise Broken(f"{life.name} called forgotten what is not: {job}")
        elif job.status not in self.ends[job.id]:
            if self.retries[job.id]:
                return  # it began anew before its end was stored
            holder = self.keys.get(job.notes.key or "") if job.notes is not None else None
            if holder is None or job.status not in self.ends[holder]:
                raise Broken(f"{life.name} told of an end that is not stored: {job}")

    def acknowledge(self, life: Life, id: str) -> None:
        """Somebody was told that a task is safe."""
        if not self._is_safe(id):
            raise Broken(f"{life.name} acknowledged {id}, which is not stored")
        self.acknowledged.add(id)
        self.news.append(f"{life.name} acknowledges {id}")

    def _is_safe(self, id: str) -> bool:
        """Whether a task is stored, or what asks for it, or another one with its key."""
        return self.is_known(id) or self.is_left(id)

    def is_known(self, id: str) -> bool:
        """Whether a task, or one with its key, is stored, or was until it was forgotten."""
        return any(one in self.seqs or one in self.forgotten for one in self.equals(id))

    def is_left(self, id: str) -> bool:
        """Whether what asks for a task is in the inbox."""
        submits = (body for kind, body in self.requests.values() if kind == "submit")
        return id in self.left and any(CODEC.decode(body)[1] == id for body in submits)

    def is_to_be_retried(self, id: str) -> bool:
        """Whether a client has asked for another run of it, and that is in the inbox."""
        retries = (body for kind, body in self.requests.values() if kind == "retry")
        return any(CODEC.decode(body)[0] == id for body in retries)

    # -- any time ------------------------------------------------------------------------------

    def check(self) -> None:
        """Nothing that was acknowledged is lost."""
        for id in self.acknowledged:
            if not self._is_safe(id):
                raise Broken(f"{id} was acknowledged and is lost")

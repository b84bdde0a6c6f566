"""What has become of all tasks of a program: a fold over the changes of its managers.

Every change is heard, which costs a task a few microseconds. So nothing has to be asked for: the
managers are asked about the tasks on the screen alone, and about the rest after a gap in what was
heard.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import weakref
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from windlass import Change, Gap, StoreError, TaskManager, TaskStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from windlass import GateChange

Key: TypeAlias = tuple[int, str]
"""A task among those of all managers: an id is unique within one."""

OPEN = (TaskStatus.WAITING, TaskStatus.PENDING, TaskStatus.RUNNING)

_KEPT_SLOWEST = 10
_KEPT_FAILED = 1_000
_KEPT_NAMES = 100
_KEPT_NEWS = 100
_BUFFER = 500_000
_RATE_OVER = 3.0  # seconds
_HEAL_EVERY = 1.0
_HEAL_SHARE = 50  # asking takes a manager's lock: for one part in so many of the time at most


@dataclass(slots=True)
class Attempt:
    """A task that is running."""

    manager: TaskManager
    id: str
    name: str
    number: int
    began: float
    """By the tally's clock."""
    began_at: float
    """By the changes."""


class Slow(NamedTuple):
    """A task that completed and took its time; the slowest sort last."""

    seconds: float
    serial: int
    change: Change


class Tally:
    """See the module. Changes come on the observer threads of the managers."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.lock = threading.Lock()
        """To be held while several of these are read together."""
        self.clock = clock
        self.began = clock()
        self.by_name: dict[str, Counter[TaskStatus]] = {}
        self.running: dict[Key, Attempt] = {}
        self.failed: dict[Key, Change] = {}
        self.slowest: list[Slow] = []
        self.retries = 0
        self.missed = 0
        """How many changes were not heard, so that figures by name are too low."""
        self.tell_all = False
        """Whether every end of a task is news, not only what went wrong."""
        self._counts: dict[int, Counter[TaskStatus]] = {}
        self._news: list[Change] = []
        self._left_out = 0
        self._managers: weakref.WeakKeyDictionary[TaskManager, int] = weakref.WeakKeyDictionary()
        self._serial = itertools.count(1)
        self._samples: deque[tuple[float, int]] = deque()
        self._to_heal: set[TaskManager] = set()
        self._heal_at = 0.0

    # -- listening -----------------------------------------------------------------------------

    def watch(self, manager: TaskManager) -> None:
        """Hear of everything that ``manager`` does from now on, also when it opens again."""
        with self.lock:
            if manager in self._managers:
                return
            me = self._managers[manager] = next(self._serial)
            self._counts[me] = Counter()
        manager.subscribe(lambda batch: self._hear(manager, me, batch), buffer=_BUFFER)

    def managers(self) -> list[TaskManager]:
        """The managers that are open."""
        with self.lock:
            return [manager for manager in self._managers if manager.is_open]

    def _hear(
        self, manager: TaskManager, me: int, batch: Sequence[Change | GateChange | Gap]
    ) -> None:
        now = self.clock()
        with self.lock:
            for change in batch:
                if isinstance(change, Gap):
                    self.missed += change.missed
                    self._to_heal.add(manager)
                elif isinstance(change, Change):
                    self._fold(manager, (me, change.task_id), change, now)

    def _fold(self, manager: TaskManager, key: Key, change: Change, now: float) -> None:
        before, after = change.before, change.after
        _move(self._counts[key[0]], before, after)
        of_name = self.by_name.get(change.name)
        if of_name is None and len(self.by_name) < _KEPT_NAMES:
            of_name = self.by_name[change.name] = Counter()
        if of_name is not None:
            _move(of_name, before, after)
        if after is TaskStatus.RUNNING:
            self.running[key] = Attempt(
                manager, change.task_id, change.name, change.attempt, now, change.at
            )
            return
        attempt = self.running.pop(key, None)
        if after is TaskStatus.COMPLETED and attempt is not None:
            self._rank(change.at - attempt.began_at, change)
        if before is TaskStatus.FAILED:  # it was given another run by hand
            self.failed.pop(key, None)
        if after is TaskStatus.FAILED and len(self.failed) < _KEPT_FAILED:
            self.failed[key] = change
        if not after.finished and change.error is not None:
            self.retries += 1
        if change.error is not None or (self.tell_all and after.finished):
            if len(self._news) < _KEPT_NEWS:
                self._news.append(change)
            else:
                self._left_out += 1

    def _rank(self, seconds: float, change: Change) -> None:
        if len(self.slowest) < _KEPT_SLOWEST:
            heapq.heappush(self.slowest, Slow(seconds, next(self._serial), change))
        elif seconds > self.slowest[0].seconds:
            heapq.heapreplace(self.slowest, Slow(seconds, next(self._serial), change))

    # -- reading -------------------------------------------------------------------------------

    @property
    def counts(self) -> Counter[TaskStatus]:
        """How many tasks have which status."""
        total: Counter[TaskStatus] = Counter()
        for counts in self._counts.copy().values():
            total.update(counts)
        return total

    @property
    def ended(self) -> int:
        """How many tasks have ended."""
        counts = self.counts
        return sum(count for status, count in counts.items() if status.finished)

    @property
    def unfinished(self) -> int:
        """How many tasks have not."""
        counts = self.counts
        return sum(counts[status] for status in OPEN)

    def news(self, most: int) -> tuple[list[Change], int]:
        """What went wrong since this was last asked, the first of it, and how much is left out."""
        with self.lock:
            news, self._news = self._news, []
            left_out, self._left_out = self._left_out, 0
        news.sort(key=lambda change: change.error is None)  # if something is left out, not that
        return news[:most], left_out + len(news[most:])

    def rate(self) -> float:
        """Tasks that ended per second, over the last few; to be asked again and again."""
        now, samples = self.clock(), self._samples
        samples.append((now, self.ended))
        while len(samples) > 2 and samples[1][0] <= now - _RATE_OVER:  # noqa: PLR2004
            samples.popleft()
        since, ended = samples[0] if len(samples) > 1 else (self.began, 0)
        return (self.ended - ended) / (now - since) if now > since else 0.0

    # -- healing -------------------------------------------------------------------------------

    def heal(self, *, at_last: bool = False) -> None:
        """Ask the managers whose changes were missed, not too often, where their tasks stand.

        Changes that were on their way meanwhile are counted twice, until the next time.
        """
        began = self.clock()
        if not self._to_heal or (began < self._heal_at and not at_last):
            return
        for manager in list(self._to_heal):
            try:
                by_status = manager.get_metrics().by_status
            except StoreError:  # another process leads its file, and does not answer
                continue
            running = {info.id: info for info in manager.list_tasks(status=TaskStatus.RUNNING)}
            with self.lock:
                me = self._managers[manager]
                counts = self._counts[me]
                for status, count in by_status.items():
                    # Of those that ended the manager may have forgotten some, and we have not.
                    counts[status] = max(count, counts[status]) if status.finished else count
                for key in [key for key in self.running if key[0] == me and key[1] not in running]:
                    del self.running[key]
                for id, info in running.items():
                    began_at = info.started_at.timestamp() if info.started_at else 0.0
                    self.running.setdefault(
                        (me, id), Attempt(manager, id, info.name, info.attempt, began, began_at)
                    )
        now = self.clock()
        self._heal_at = now + max(_HEAL_EVERY, _HEAL_SHARE * (now - began))


def _move(counts: Counter[TaskStatus], before: TaskStatus | None, after: TaskStatus) -> None:
    if before is not None:
        counts[before] -= 1
    counts[after] += 1

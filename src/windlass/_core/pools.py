"""Slots: how many tasks each executor, and all of them together, may run at once.

The count is kept here and nowhere else, so "RUNNING" can mean running: a task is taken only when
there is a place for it to start in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .queues import Rank, ReadyQueue

if TYPE_CHECKING:
    from .task import Task
    from .turnstiles import Turnstiles


class Traits(NamedTuple):
    """What an executor can do; it declares this once, and the engine goes by it."""

    slots: int
    """How many tasks it can run at once."""
    local: bool = True
    """Whether its tasks count against the manager's global limit."""
    grace: float = 0.0
    """How long a task that is stopped gets to clean up before it counts as ended."""
    lingers: bool = False
    """Whether a stopped task's function may go on for a while: it cannot be killed."""
    max_waiting: int = 0
    """How many of its tasks may wait for other tasks at once, their slots lent."""
    any_thread: bool = False
    """Whether calls can be started and stopped from any thread, not only the event loop's."""
    manual: bool = False
    """Whether its tasks are started by hand, not by the engine."""
    reports_progress: bool = True
    """Whether a task's progress and cancel checks reach the manager while it runs."""
    crosses: bool = False
    """Whether calls leave this process, so that function and arguments must be picklable."""
    reports_start: bool = False
    """Whether a call that was handed over begins later: its task is PENDING until it is told."""
    outlives: bool = False
    """Whether its calls go on when this process dies, and are found by the next."""


class Pool:
    """One executor as the engine sees it: its queue and its slots."""

    __slots__ = ("apart", "name", "queue", "slots", "taken", "traits", "waiting")

    def __init__(self, name: str, traits: Traits, age_every: float | None) -> None:
        self.name = name
        self.traits = traits
        self.slots = traits.slots
        self.apart = traits.manual or traits.reports_start
        """Whether its tasks begin otherwise than by being taken."""
        self.queue = ReadyQueue(age_every)
        self.taken = 0
        self.waiting = 0
        """How many of its tasks have lent their slot and wait."""


class Slots:
    """All pools and the global limit; decides which task starts next, by ``pick``."""

    __slots__ = ("limit", "pools", "running", "turnstiles")

    def __init__(self, limit: int, pools: dict[str, Pool], turnstiles: Turnstiles) -> None:
        self.limit = limit
        self.pools = pools
        self.turnstiles = turnstiles
        self.running = 0
        """Slots of the global limit that are taken."""

    def room(self, pool: Pool) -> int:
        """How many more tasks ``pool`` could run now."""
        free = pool.slots - pool.taken
        return min(free, self.limit - self.running) if pool.traits.local else free

    def acquire(self, task: Task) -> None:
        """Take a slot for ``task``; there must be room."""
        pool = self.pools[task.spec.executor]
        pool.taken += 1
        if pool.traits.local:
            self.running += 1
        if task.spec.owner is not None:
            pool.queue.hold(task.spec.owner, 1)

    def release(self, task: Task) -> None:
        """Give the slot of ``task`` back."""
        pool = self.pools[task.spec.executor]
        pool.taken -= 1
        if pool.traits.local:
            self.running -= 1
        if task.spec.owner is not None:
            pool.queue.hold(task.spec.owner, -1)

    def pick(self, now: float) -> list[Task]:
        """Take the tasks to start now out of their queues, most urgent first, slots included."""
        picked: list[Task] = []
        while True:
            if self.turnstiles.heeded:
                self.turnstiles.call_again(now)
            able = [pool for pool in self.pools.values() if pool.queue.size]
            if len(able) > 1:
                able = [pool for pool in able if self.room(pool) > 0]
            if not able:
                return picked
            alone = len(able) == 1  # the usual case: nobody competes for the global limit
            pool = able[0] if alone else max(able, key=lambda pool: _urgency(pool, now))
            count = self.room(pool) if alone else 1
            if count <= 0:
                return picked
            if pool.queue.mixed:
                self._pick_mixed(pool, count, now, picked)
                continue  # a gate may have called tasks of other pools
            tasks = pool.queue.pop_many(count, now)
            pool.taken += len(tasks)
            if pool.traits.local:
                self.running += len(tasks)
            picked += tasks
            if alone and not self.turnstiles.heeded:
                return picked  # what the others had no room for before, they have none for now

    def _pick_mixed(self, pool: Pool, count: int, now: float, picked: list[Task]) -> None:
        """Try ``count`` tasks out of a queue in which some have gates or owners."""
        rivals = [other.queue for other in self.pools.values() if other is not pool]
        idle = [queue for queue in rivals if not queue.size]
        for _ in range(count):
            task = pool.queue.pop(now, pool.taken)
            if task is None:
                return
            if not task.spec.gates:
                self.acquire(task)
                picked.append(task)
                continue
            if self.turnstiles.enter(task, now):
                self.acquire(task)
                picked.append(task)
            else:
                pool.queue.spare(task)
            if self.turnstiles.heeded or any(queue.size for queue in idle):
                return  # somebody may be more urgent now who stands in another queue


def _urgency(pool: Pool, now: float) -> Rank:
    rank = pool.queue.urgency(now, pool.taken)
    assert rank is not None  # only pools with tasks in line are asked
    return rank

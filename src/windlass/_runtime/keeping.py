"""How long a file keeps what has ended, and the sweeping.

A task that something unfinished depends on stays, however old it is; so does, for a while longer,
one with a key: the key is what keeps the same work from being done again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .._core.states import TERMINAL
from .stored_job import StoredJob

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .._core.task import Task
    from .durable import Durable
    from .runtime import Runtime

DAY = 86_400.0
SWEEP_EVERY = 10.0
_AT_ONCE = 20_000
_SHRINK_AFTER = 20_000
_LONG_AGO = float("-inf")


class Keep(NamedTuple):
    """For how many seconds, and how many; None: for ever, or all."""

    completed: float | None = DAY
    failed: float | None = 30 * DAY
    """Those that were cancelled, too."""
    keys: float | None = 7 * DAY
    newest: int | None = None


def needed(tasks: Iterable[Task]) -> set[int]:
    """The numbers of those that have not ended, or are not known to have, and of what they follow.

    The store may still know them as they ended before they were retried.
    """
    found = set[int]()
    for task in tasks:
        if task.status not in TERMINAL:
            found |= {one.seq for one in (task, *task.dependencies) if isinstance(one, StoredJob)}
        elif isinstance(task, StoredJob) and not task.told:
            found.add(task.seq)
    return found


class Sweeper:
    """Forgets, in the file of one runtime, what is older than it is to be; see the module."""

    def __init__(self, runtime: Runtime, durable: Durable, keep: Keep) -> None:
        self._runtime = runtime
        self._durable = durable
        self._keep = keep
        self._due = 0.0
        self._swept = 0

    def look(self, now: float) -> None:
        """Sweep once in a while, and again at once while there is much to do."""
        if now < self._due:
            return
        wall, keep = self._runtime.clock.wall(), self._keep
        keyed = wall - keep.keys if keep.keys is not None else _LONG_AGO
        swept = 0
        for seconds, statuses in (
            (keep.completed, ["completed"]),
            (keep.failed, ["failed", "cancelled"]),
        ):
            if seconds is not None:
                swept += self.sweep(wall - seconds, statuses, min(keyed, wall - seconds))
        if keep.newest is not None:
            swept += self.sweep(wall, ["completed", "failed", "cancelled"], keyed, keep.newest)
        self._due = now if swept >= _AT_ONCE else now + SWEEP_EVERY
        self._swept += swept
        if self._swept >= _SHRINK_AFTER:
            self._swept = 0
            self._durable.forget_keys()
            self._durable.store.shrink()

    def sweep(
        self,
        before: float,
        statuses: Sequence[str],
        keyed_before: float,
        skip: int = 0,
        limit: int = _AT_ONCE,
    ) -> int:
        """Forget what ended before then; returns how many tasks."""
        runtime, durable = self._runtime, self._durable
        found = durable.store.ended(before, statuses, limit, skip, keyed_before)
        if not found:
            return 0
        with runtime.lock:
            engine = runtime.engine
            old = {*found} - needed(engine.tasks.values())
            durable.journal.forget(old)
            forgotten = [
                task
                for task in list(engine.tasks.values())
                if isinstance(task, StoredJob) and task.seq in old and engine.forget(task)
            ]
        runtime.note_forgotten(forgotten)
        runtime.pump.wake()
        return len(old)

"""Figures about all tasks, folded from the tasks themselves when somebody asks.

Counting nothing while tasks run costs nothing while they run; what can be asked about is what the
manager still remembers. (Named tuples, because three dataclasses here would be a twentieth of what
the whole package costs to import.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .engine import Engine
    from .flow import Rate
    from .meters import CircuitState
    from .states import TaskPriority, TaskStatus
    from .turnstile import Turnstile


class Durations(NamedTuple):
    """A summary of some durations, in seconds."""

    count: int  # type: ignore[assignment]  # pyright: ignore[reportIncompatibleMethodOverride]
    mean: float
    p50: float
    p95: float
    max: float

    @classmethod
    def of(cls, seconds: list[float]) -> Durations:
        """The summary of ``seconds``, at least one."""
        ordered = sorted(seconds)
        last = len(ordered) - 1
        return cls(
            len(ordered),
            sum(ordered) / len(ordered),
            ordered[round(last * 0.5)],
            ordered[round(last * 0.95)],
            ordered[last],
        )


class PoolMetrics(NamedTuple):
    """One executor's figures."""

    slots: int
    taken: int
    free: int
    waiting: int
    """Tasks that lent their slot while they wait for other tasks."""
    queued: dict[TaskPriority, int]


class GateMetrics(NamedTuple):
    """One gate's figures."""

    slots: int | None
    """How many tasks may be behind it at once, now; None: any number."""
    held: int
    """How much of it is taken."""
    waiting: int
    """Tasks in its line, which are refused by nothing else."""
    pending: int
    """Tasks that name it and have not started, wherever they wait."""
    max_pending: int | None
    rate: Rate | None
    state: CircuitState | None
    """Of its breaker: ``closed``, ``open`` or ``half-open``."""
    refused: int
    """Tasks that it had no room for at submit, or that failed because it was open."""

    @classmethod
    def of(cls, gate: Turnstile) -> GateMetrics:
        """The figures of ``gate``."""
        return cls(
            slots=gate.slots,
            held=gate.held,
            waiting=gate.waiting,
            pending=gate.pending,
            max_pending=gate.max_pending,
            rate=gate.rate,
            state=gate.circuit.state if gate.circuit is not None else None,
            refused=gate.refused,
        )


class Metrics(NamedTuple):
    """What ``get_metrics()`` returns."""

    by_status: dict[TaskStatus, int]
    """Of the tasks that are remembered."""
    queued: int
    """Tasks that could start if there were a slot."""
    slots: int
    taken: int
    free: int
    executors: dict[str, PoolMetrics]
    gates: dict[str, GateMetrics]
    waiting_time: dict[str, Durations]
    """By task name: from being ready to the last start."""
    running_time: dict[str, Durations]
    """By task name: of the last attempt."""
    abandoned_threads: int
    stale_reports: int
    """Results that came late or twice and were ignored."""
    dropped_changes: int
    """Changes that subscribers were too slow for."""
    paused: bool

    @property
    def total(self) -> int:
        """All tasks that are remembered."""
        return sum(self.by_status.values())


def measure(engine: Engine, *, abandoned_threads: int, dropped_changes: int) -> Metrics:
    """The figures of ``engine``."""
    waiting: dict[str, list[float]] = {}
    running: dict[str, list[float]] = {}
    for task in engine.tasks.values():
        if task.ended_running:
            waiting.setdefault(task.spec.name, []).append(task.started_at - task.queued_at)
            running.setdefault(task.spec.name, []).append(task.ended_at - task.started_at)
    slots = engine.slots
    pools = {
        name: PoolMetrics(
            pool.slots, pool.taken, slots.room(pool), pool.waiting, pool.queue.sizes()
        )
        for name, pool in slots.pools.items()
    }
    return Metrics(
        by_status=dict(engine.counts),
        queued=sum(pool.queue.size for pool in slots.pools.values()),
        slots=slots.limit,
        taken=slots.running,
        free=slots.limit - slots.running,
        executors=pools,
        gates={name: GateMetrics.of(gate) for name, gate in engine.turnstiles.all.items()},
        waiting_time={name: Durations.of(seconds) for name, seconds in waiting.items()},
        running_time={name: Durations.of(seconds) for name, seconds in running.items()},
        abandoned_threads=abandoned_threads,
        stale_reports=engine.stale_reports,
        dropped_changes=dropped_changes,
        paused=engine.paused,
    )

"""The budgets: how much of its yardstick's cost each case may cost, at most.

They are ratios because machines differ and ratios hardly do; only memory is in bytes. A case that
is not in the table is shown to inform. No test fails over these figures: they are printed, with
what falls short, for people to judge.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .case import Result


@dataclass(frozen=True)
class Budget:
    """At most ``ratio`` times the yardstick, and at most ``cost`` bytes or seconds a task."""

    ratio: float | None = None
    newer: float | None = None
    """The ratio on Python 3.12 and later, where that is another."""
    cost: float | None = None

    @property
    def limit(self) -> float | None:
        """The ratio that counts on this Python."""
        return self.newer if self.newer and sys.version_info >= (3, 12) else self.ratio

    def kept_by(self, result: Result) -> bool:
        """Whether ``result`` is within the budget."""
        within_ratio = self.limit is None or result.ratio <= self.limit
        return within_ratio and (self.cost is None or min(result.ours).cost <= self.cost)


BUDGETS: dict[str, Budget] = {
    "at-once": Budget(1.0, newer=0.8),
    "at-once-uncollected": Budget(0.6),
    "in-flight": Budget(1.6),
    "latency": Budget(3.0),
    "threads": Budget(1.0),
    "threads-async": Budget(1.0),
    "threads-map": Budget(1 / 5),
    "processes": Budget(1 / 3),
    "processes-map": Budget(1.0),
    "chain-10k": Budget(1.2),
    "chain-100k": Budget(1.2),
    "fan-10k": Budget(1.5),
    "fan-100k": Budget(1.5),
    "layers-10k": Budget(1.5),
    "layers-100k": Budget(1.5),
    "pending": Budget(cost=500),
    "queued-10k": Budget(3.0),
    "queued-100k": Budget(3.0),
    "queued-1m": Budget(3.0),
    "queued-10k-uncollected": Budget(1.5),
    "queued-100k-uncollected": Budget(1.5),
    "queued-1m-uncollected": Budget(1.5),
    "import": Budget(1.6),
    "store": Budget(1 / 0.25),
    "store-full": Budget(1 / 0.6),
    "store-alone": Budget(4.0),
    "durable": Budget(1 / 0.25),
    "durable-wide": Budget(1 / 0.25),
    "durable-full": Budget(1 / 0.6),
    "durable-alone": Budget(4.0),
    "durable-huey-sqlite": Budget(1 / 10),
    "durable-huey-redis": Budget(1 / 10),
    "durable-taskiq-redis": Budget(1 / 10),
    "durable-saq-redis": Budget(1 / 10),
    "durable-rq-redis": Budget(1 / 10),
    "durable-celery-redis": Budget(1 / 10),
    "durable-dbos-sqlite": Budget(1 / 10),
    "celery": Budget(1.0),
    "celery-group": Budget(1.0),
    "celery-latency": Budget(1.0),
    "celery-waiting": Budget(1.0),
}

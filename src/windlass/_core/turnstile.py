"""A turnstile: one gate at work. Who is behind it, who waits, and what stands at it."""

from __future__ import annotations

from heapq import merge
from typing import TYPE_CHECKING, Literal, TypeAlias

from .flow import Adaptive
from .meters import Circuit, RateMeter, Tide
from .queues import ReadyQueue, rank

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .flow import Breaker, Gate, Rate
    from .queues import Rank
    from .task import Task

Refusal: TypeAlias = Literal["slots", "rate", "breaker", "line"]


class Turnstile:
    """One gate: what passes, what is behind it, and who waits."""

    __slots__ = (
        "_age_every",
        "_turns",
        "awaited",
        "called",
        "circuit",
        "fair",
        "held",
        "holders",
        "lent",
        "lines",
        "max_pending",
        "meter",
        "name",
        "pending",
        "policy",
        "refused",
        "slots",
        "tide",
    )

    def __init__(self, gate: Gate, age_every: float | None, now: float) -> None:
        self.name = gate.name
        self.tide = Tide(gate.slots) if isinstance(gate.slots, Adaptive) else None
        self.slots = self.tide.limit if self.tide is not None else fixed(gate.slots)
        self.meter = RateMeter(gate.rate) if gate.rate is not None else None
        self.circuit = Circuit(gate.breaker, now) if gate.breaker is not None else None
        self.policy = gate
        self.max_pending = gate.max_pending
        self._age_every = age_every
        self.lines: dict[str, ReadyQueue] = {}
        """Who waits, by executor: one that has no slot must not hold up the others."""
        self.called: dict[str, Task] = {}
        """Of each line the one that was called, and stands in its executor's queue."""
        self.awaited: dict[Task, None] = {}
        """Those in its lines for whom other tasks wait."""
        self.fair = False
        """Whether some of those who waited had owners."""
        self._turns: dict[str, int] = {}  # where there are owners: when each line had its last turn
        self.holders: dict[tuple[Task, int], int] = {}
        """Who is behind it, and with what weight: (task, run)."""
        self.held = 0
        """The sum of that."""
        self.lent = 0
        """How much of that is held by those who wait for other tasks."""
        self.pending = 0
        """How many tasks that have not started name it."""
        self.refused = 0
        """How many tasks were refused at submit, or failed because it was open."""

    @property
    def rate(self) -> Rate | None:
        """Its rate, if it has one."""
        return self.meter.rate if self.meter is not None else None

    @property
    def breaker(self) -> Breaker | None:
        """Its breaker, if it has one."""
        return self.circuit.breaker if self.circuit is not None else None

    @property
    def heaviest(self) -> int | None:
        """The greatest weight that can ever pass; None: any."""
        most = self.tide.adaptive.max if self.tide is not None else self.slots
        if self.meter is None:
            return most
        heaviest = self.meter.rate.heaviest
        return heaviest if most is None else min(most, heaviest)

    @property
    def waiting(self) -> int:
        """How many wait in its lines."""
        return sum(line.size for line in self.lines.values())

    def __iter__(self) -> Iterator[Task]:
        """Those who wait, in the order they would go if nobody aged or had owners."""
        return merge(*self.lines.values(), key=lambda task: (-task.spec.priority, task.queued_at))

    # -- the lines ---------------------------------------------------------------------------

    def line(self, executor: str) -> ReadyQueue:
        """Who waits here and is to run on ``executor``."""
        line = self.lines.get(executor)
        if line is None:
            line = self.lines[executor] = ReadyQueue(self._age_every)
            for (task, _), weight in self.holders.items():
                if task.spec.owner is not None:
                    line.hold(task.spec.owner, weight)
        return line

    def instead_of(self, head: Task) -> Task:
        """Who is to be called from the line of ``head``: that one, or who may go past it."""
        if not self.awaits_waiters(head):
            return head
        mine = (task for task in self.awaited if task.spec.executor == head.spec.executor)
        able = (task for task in mine if self.fits(task.spec.weight(self.name), self.held))
        return next(able, head)

    def awaits_waiters(self, task: Task) -> bool:
        """Whether ``task`` can pass only when some have left who wait for others themselves."""
        return not self.fits(task.spec.weight(self.name), self.lent)

    def first(self, executor: str, now: float) -> Task | None:
        """The more urgent of who was called from that line and who is next in it."""
        called, head = self.called.get(executor), self.lines[executor].head(now, self.held)
        if called is None or head is None:
            return called or head
        return max(called, head, key=lambda task: self.rank(task, now))

    def rank(self, task: Task, now: float) -> Rank:
        """How urgent ``task`` is."""
        return rank(task, self._age_every, now)

    def puts_before(self, other: Task, task: Task, now: float) -> bool:
        """Whether ``other``, who is first in the line of another executor, goes before ``task``."""
        if not self.fair:
            return self.rank(other, now) > self.rank(task, now)
        line = self.lines[other.spec.executor]
        return self._claim(other, line, now) > self._claim(task, line, now)

    def _claim(self, task: Task, line: ReadyQueue, now: float) -> tuple[int, int, int, float]:
        """Where there are owners: whose has least, then whose line had no turn for longest."""
        level, joined = self.rank(task, now)
        turn = self._turns.get(task.spec.executor, 0)
        return level, -line.share(task.spec.owner, self.held), -turn, joined

    # -- passing -----------------------------------------------------------------------------

    def refusal(self, weight: int, kept: int, now: float) -> Refusal | None:
        """Why so much cannot pass now, if ``kept`` is kept for another."""
        if self.circuit is not None and not self.circuit.admits(kept):
            # Half-open it has room for one: that this is kept is no worse than any slot's.
            return "slots" if self.circuit.admits(0) else "breaker"
        if not self.fits(weight, self.held + kept):
            return "slots"
        return "rate" if self.next(weight, kept, now) > now else None

    def next(self, weight: int, kept: int, now: float) -> float:
        """When its rate lets so much pass; inf: not before what is kept is not any more."""
        if self.meter is None:
            return now
        return self.meter.next(_counted(weight, self.meter) + kept, now)

    def fits(self, weight: int, held: int) -> bool:
        """Whether there are slots for so much beside what is held.

        One alone passes however heavy it is: it was let in when the gate was wider, and would wait
        for ever; and slots that find themselves find nothing as long as nobody passes.
        """
        return self.slots is None or held + weight <= self.slots or not held

    def admit(self, task: Task, weight: int, now: float) -> None:
        """``task`` passes, for the run that it is about to begin."""
        run = (task, task.run + 1)
        self.holders[run] = weight
        self.held += weight
        self._hold(task.spec.owner, weight)
        if self.fair:
            self._turns[task.spec.executor] = 1 + max(self._turns.values(), default=0)
        if self.meter is not None:
            self.meter.spend(_counted(weight, self.meter), now)
        if self.circuit is not None and self.circuit.state == "half-open":
            self.circuit.probe = run
        if self.tide is not None:
            self.tide.used(self.held)

    def spare(self, task: Task) -> None:
        """Let another one be the probe: ``task`` waits, maybe for one who is to pass here."""
        if self.circuit is not None and self.circuit.probe == (task, task.run):
            self.circuit.probe = None

    def release(self, run: tuple[Task, int]) -> bool:
        """``run`` has left; False if it is not behind the gate."""
        weight = self.holders.pop(run, None)
        if weight is None:
            return False
        self.held -= weight
        self._hold(run[0].spec.owner, -weight)
        if self.circuit is not None and self.circuit.probe == run:
            self.circuit.probe = None  # it ended without a verdict: the next one is to find out
        return True

    def _hold(self, owner: str | None, change: int) -> None:
        if owner is not None:
            for line in self.lines.values():
                line.hold(owner, change)


def fixed(slots: int | Adaptive | None) -> int | None:
    """``slots``, which do not find themselves."""
    assert not isinstance(slots, Adaptive)
    return slots


def _counted(weight: int, meter: RateMeter) -> int:
    """What ``weight`` is to a rate that may have been faster when the task was let in."""
    return min(weight, meter.rate.heaviest)

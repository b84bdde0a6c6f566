"""A turnstile: one gate at work. Who is behind it, who waits, and what stands at it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from .flow import Adaptive
from .meters import Circuit, RateMeter, Tide
from .queues import ReadyQueue

if TYPE_CHECKING:
    from .flow import Breaker, Gate, Rate
    from .task import Task

Refusal: TypeAlias = Literal["slots", "rate", "breaker", "line"]


class Turnstile:
    """One gate: what passes, what is behind it, and who waits."""

    __slots__ = (
        "called",
        "circuit",
        "held",
        "holders",
        "max_pending",
        "meter",
        "name",
        "pending",
        "policy",
        "queue",
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
        self.queue = ReadyQueue(age_every)
        self.holders: dict[tuple[Task, int], int] = {}
        """Who is behind it, and with what weight: (task, run)."""
        self.held = 0
        """The sum of that."""
        self.called = 0
        """The weight of those who were called and have not tried yet."""
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

    def refusal(self, weight: int, kept: int, now: float) -> Refusal | None:
        """Why so much cannot pass now, if ``kept`` is kept for others."""
        promised = self.called + kept
        if self.circuit is not None and not self.circuit.admits(promised):
            # Half-open it has room for one: that this is promised is no worse than any slot's.
            return "slots" if self.circuit.admits(0) else "breaker"
        if not self.fits(weight, self.held + promised):
            return "slots"
        if self.meter is not None and self.meter.next(weight + promised, now) > now:
            return "rate"
        return None

    def fits(self, weight: int, held: int) -> bool:
        """Whether there are slots for so much beside what is held.

        Slots that find themselves let one task through alone, however heavy: as long as nobody
        passes they find nothing.
        """
        alone = self.tide is not None and not held
        return self.slots is None or held + weight <= self.slots or alone

    def admit(self, task: Task, weight: int, now: float) -> None:
        """``task`` passes, for the run that it is about to begin."""
        run = (task, task.run + 1)
        self.holders[run] = weight
        self.held += weight
        if task.spec.owner is not None:
            self.queue.hold(task.spec.owner, weight)
        if self.meter is not None:
            self.meter.spend(weight, now)
        if self.circuit is not None and self.circuit.state == "half-open":
            self.circuit.probe = run
        if self.tide is not None:
            self.tide.used(self.held)

    def release(self, run: tuple[Task, int]) -> bool:
        """``run`` has left; False if it is not behind the gate."""
        weight = self.holders.pop(run, None)
        if weight is None:
            return False
        self.held -= weight
        if (owner := run[0].spec.owner) is not None:
            self.queue.hold(owner, -weight)
        if self.circuit is not None and self.circuit.probe == run:
            self.circuit.probe = None  # it ended without a verdict: the next one is to find out
        return True


def fixed(slots: int | Adaptive | None) -> int | None:
    """``slots``, which do not find themselves."""
    assert not isinstance(slots, Adaptive)
    return slots

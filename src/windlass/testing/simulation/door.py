"""One gate as it must be: who is behind it, what has passed, and its breaker, the naive way."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, TypeAlias

from ..._core.flow import Adaptive

if TYPE_CHECKING:
    from ..._core.flow import Breaker, Gate, Rate
    from ..._core.meters import CircuitState
    from ..._core.task import Task

Run: TypeAlias = "tuple[Task, int]"


class Door:
    """One gate, as it must be."""

    def __init__(self, gate: Gate, now: float) -> None:
        self.name = gate.name
        self.slots = gate.slots
        self.rate: Rate | None = None
        self._slowest = 0.0
        self.vague_until = now  # the engine remembers starts before a change, and may go by them
        self.max_pending = gate.max_pending
        self.behind: dict[Run, int] = {}
        self.starts: list[tuple[Fraction, int]] = []
        self.bucket = (Fraction(0), Fraction(0))  # what was left of the burst, and when
        self.circuit = Fuse(gate.breaker) if gate.breaker is not None else None
        self.follow_rate(gate.rate, now)

    @property
    def held(self) -> int:
        """How much of it those who are behind it have."""
        return sum(self.behind.values())

    @property
    def heaviest(self) -> int:
        """What can pass at the very most."""
        most = self.slots.max if isinstance(self.slots, Adaptive) else self.slots
        return min(most or 1_000_000, self.rate.heaviest if self.rate is not None else 1_000_000)

    def follow_rate(self, rate: Rate | None, now: float) -> None:
        """Go by ``rate`` from now on, if it is another one."""
        if rate is None or rate == self.rate:
            return
        self._slowest = max(self._slowest, rate.per)
        self.vague_until = now + self._slowest
        self.rate, self.starts = rate, []
        if rate.burst is not None:
            self.bucket = Fraction(rate.burst), Fraction(now)

    def in_time(self, weight: int, now: float, slack: Fraction) -> bool:
        """Whether so much may pass by the rate; ``slack``: how generous to be about its burst."""
        rate = self.rate
        if rate is None:
            return True
        weight = min(weight, rate.heaviest)
        recent = Fraction(now) - Fraction(rate.per)
        if sum(weighs for when, weighs in self.starts if when > recent) + weight > rate.limit:
            return False
        return rate.burst is None or self._drops(rate, rate.burst, now) + slack >= weight

    def passed(self, run: Run, weight: int, now: float) -> None:
        """``run`` is behind it from now on."""
        self.behind[run] = weight
        if self.rate is not None:
            weight = min(weight, self.rate.heaviest)
            self.starts.append((Fraction(now), weight))
            if self.rate.burst is not None:
                drops = self._drops(self.rate, self.rate.burst, now)
                self.bucket = drops - weight, Fraction(now)
        if self.circuit is not None and self.circuit.state == "half-open":
            self.circuit.probe = run

    def _drops(self, rate: Rate, burst: int, now: float) -> Fraction:
        left, when = self.bucket
        new = (Fraction(now) - when) * rate.limit / Fraction(rate.per)
        return min(Fraction(burst), left + new)


class Fuse:
    """A breaker, as it must be."""

    def __init__(self, breaker: Breaker) -> None:
        self.breaker = breaker
        self.state: CircuitState = "closed"
        self.until = 0.0
        self.probe: Run | None = None
        self.ended: list[tuple[float, bool]] = []

    def turn(self, state: CircuitState, now: float) -> None:
        """Be in ``state``."""
        self.state, self.until = state, now + self.breaker.reset
        self.probe, self.ended = None, []

    def judge(self, run: Run, error: BaseException | None, now: float) -> None:
        """``run`` has failed with ``error``, or returned."""
        failed = error is not None and self.breaker.counts(error)
        if self.state == "half-open" and run == self.probe:
            self.turn("open" if failed else "closed", now)
        elif self.state == "closed":
            self.ended.append((now, failed))
            if failed and self._blows(now):
                self.turn("open", now)

    def _blows(self, now: float) -> bool:
        breaker = self.breaker
        if breaker.window is None:
            last = [failed for _, failed in self.ended[-int(breaker.failures) :]]
            return all(last) and len(last) == breaker.failures
        last = [failed for when, failed in self.ended if when > now - breaker.window]
        return len(last) >= breaker.at_least and sum(last) >= breaker.failures * len(last)

"""Drawing gates: what stands at them, and how they are changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._core.flow import Adaptive, Breaker, Gate, Rate
from .plans import Fatal, Flop
from .tending import Alter

if TYPE_CHECKING:
    from random import Random

_NAMES = ("api", "gpu", "db")
_PERIODS = (1.0, 3.0, 0.3, 1 / 3)  # two of them no sum of halves ever meets


def draw_gates(rng: Random) -> tuple[Gate, ...]:
    """The gates of a manager."""
    names = _NAMES[: rng.choice((0, 1, 1, 2, 3))]
    return tuple(_gate(rng, name) for name in names)


def draw_limit(rng: Random) -> int | Adaptive:
    """How many tasks may run at once."""
    return _adaptive(rng) if rng.random() < 0.15 else rng.choice((1, 2, 3, 8))


def altered(rng: Random, gate: Gate) -> Alter:
    """A change of ``gate``."""
    if gate.rate is not None and rng.random() < 0.5:
        return Alter(gate.name, rate=_rate(rng))
    return Alter(gate.name, slots=_slots(rng))


def _gate(rng: Random, name: str) -> Gate:
    # One policy alone, as often as several together.
    odds = rng.choice((0.3, 0.7))
    return Gate(
        name,
        slots=_slots(rng) if rng.random() < odds + 0.2 else None,
        rate=_rate(rng) if rng.random() < odds else None,
        breaker=_breaker(rng) if rng.random() < odds else None,
        max_pending=rng.choice((1, 3)) if rng.random() < 0.1 else None,
    )


def _slots(rng: Random) -> int | Adaptive:
    return _adaptive(rng) if rng.random() < 0.2 else rng.choice((1, 1, 2, 3, 4))


def _adaptive(rng: Random) -> Adaptive:
    least = rng.choice((1, 1, 2, 3))
    return Adaptive(
        least,
        least + rng.choice((0, 1, 5)),
        cpu=rng.choice((None, 0.9)),
        memory=rng.choice((None, 0.85)),
        target_latency=rng.choice((None, 1.0)),
        every=rng.choice((0.5, 2.0)),
    )


def _rate(rng: Random) -> Rate:
    limit = rng.choice((1, 2, 3, 5))
    return Rate(limit, rng.choice(_PERIODS), rng.choice((None, None, 1, limit)))


def _breaker(rng: Random) -> Breaker:
    reset, unless = rng.choice((1.0, 4.0)), rng.choice(((), (), (Fatal,)))
    on = rng.choice(((Exception,), (Exception,), (Flop,)))
    if rng.random() < 0.5:
        return Breaker(rng.choice((1, 2, 3)), reset, on=on, unless=unless)
    share, least = rng.choice((0.3, 0.5, 1.0)), rng.choice((1, 2, 3))
    return Breaker(share, reset, window=4.0, at_least=least, on=on, unless=unless)

"""What holds tasks back: a Gate, and the policies that can stand at one; frozen values all.

What becomes of them while tasks run is kept in ``turnstiles`` and ``meters``.
"""

from __future__ import annotations

from dataclasses import dataclass

from .._numbers import require_count, require_seconds
from .policies import exception_classes


@dataclass(frozen=True, slots=True)
class Rate:
    """At most ``limit`` starts in any ``per`` seconds, wherever that window begins.

    ``burst`` is how many of them may start at once; what is left of ``limit`` is then spread
    evenly. Without it, all of them may. A task that names the gate with a weight counts that often.
    """

    limit: int
    per: float
    burst: int | None = None

    def __post_init__(self) -> None:
        require_count("limit", self.limit, least=1)
        require_seconds("per", self.per, hint="")
        if self.burst is not None:
            require_count("burst", self.burst, least=1)
            if self.burst > self.limit:
                raise ValueError(
                    f"burst must be at most the limit, which is {self.limit}, not {self.burst!r}"
                )

    @property
    def heaviest(self) -> int:
        """The greatest weight that can ever pass."""
        return self.limit if self.burst is None else self.burst

    def __str__(self) -> str:
        return f"{self.limit} per {self.per:g} s"


@dataclass(frozen=True, slots=True)
class Breaker:
    """Stops sending tasks to what keeps failing, and finds out by itself when it is well again.

    ``failures`` is how many attempts in a row must fail; with ``window=`` seconds it is the share
    (0 to 1) of the attempts that ended in them, of which there must be ``at_least`` so many. Then
    the gate is open for ``reset`` seconds, and after that lets a single task through: if it
    succeeds, all may go on; if it fails, the gate is open for another ``reset`` seconds.

    ``on`` and ``unless`` choose the exceptions that count; any other shows that somebody answered.
    """

    failures: float
    reset: float
    window: float | None = None
    at_least: int = 10
    on: tuple[type[BaseException], ...] = (Exception,)
    unless: tuple[type[BaseException], ...] = ()

    def __post_init__(self) -> None:
        require_seconds("reset", self.reset, hint="")
        require_count("at_least", self.at_least, least=1)
        if self.window is None:
            if type(self.failures) is float:
                raise TypeError(
                    f"failures is a whole number, not {self.failures!r}; "
                    "a share of the attempts takes window=, in seconds"
                )
            require_count("failures", self.failures, least=1)
        else:
            require_seconds("window", self.window, hint="; leave it out to count those in a row")
            if isinstance(self.failures, bool) or not isinstance(self.failures, int | float):
                raise TypeError(f"failures is a share of the attempts, not {self.failures!r}")
            if not 0 < self.failures <= 1:
                raise ValueError(
                    "with window=, failures is a share of the attempts, above 0 and at most 1, "
                    f"not {self.failures!r}"
                )
        for field in ("on", "unless"):
            object.__setattr__(self, field, exception_classes(field, getattr(self, field)))

    def counts(self, error: BaseException) -> bool:
        """Whether ``error`` is one of those that count."""
        return isinstance(error, self.on) and not isinstance(error, self.unless)


@dataclass(frozen=True, slots=True)
class Adaptive:
    """A limit that finds itself, between ``min`` and ``max``.

    It climbs while it is made use of, doubling at first, and backs off when the machine's CPU or
    memory is used beyond these shares, or, where ``target_latency`` is given, when attempts take
    longer than so many seconds. Needs psutil: ``pip install 'windlass[adaptive]'``.
    """

    min: int = 1
    max: int = 100
    cpu: float | None = 0.9
    memory: float | None = 0.85
    target_latency: float | None = None
    every: float = 0.5
    """Seconds between two looks."""

    def __post_init__(self) -> None:
        require_count("min", self.min, least=1)
        require_count("max", self.max, least=self.min)
        for name in ("cpu", "memory"):
            share = getattr(self, name)
            if share is None:
                continue
            if isinstance(share, bool) or not isinstance(share, int | float):
                raise TypeError(f"{name} is a share between 0 and 1, not {share!r}")
            if not 0 < share <= 1:
                raise ValueError(f"{name} is a share between 0 and 1, not {share!r}")
        if self.target_latency is not None:
            require_seconds("target_latency", self.target_latency)
        require_seconds("every", self.every, hint="")


@dataclass(frozen=True, slots=True)
class Gate:
    """Something that tasks must pass to start, by whatever name they know it.

    ``slots`` is how many of them may be behind it at once (1 makes it a lock), ``rate`` how often
    one may pass, ``breaker`` what to do when they keep failing. ``max_pending`` bounds how many
    unstarted tasks may name it; beyond that ``submit`` raises QueueFullError.

    Tasks name their gates: ``@task(gates=["api"])``, or with weights ``@task(gates={"gpu": 2})``.
    """

    name: str
    slots: int | Adaptive | None = None
    rate: Rate | None = None
    breaker: Breaker | None = None
    max_pending: int | None = None

    def __post_init__(self) -> None:
        require_gate_name(self.name)
        if self.slots is not None and not isinstance(self.slots, Adaptive):
            require_count("slots", self.slots, least=1)
        require_policy("rate", self.rate, Rate)
        require_policy("breaker", self.breaker, Breaker)
        if self.max_pending is not None:
            require_count("max_pending", self.max_pending, least=1)


def require_gate_name(name: object) -> None:
    """``name`` must be a text with something in it."""
    if not isinstance(name, str) or not name:
        raise TypeError(f"a gate has a name, which is a text, not {name!r}")


def require_policy(name: str, value: object, kind: type) -> None:
    """``value`` must be a ``kind``, or None."""
    if value is not None and not isinstance(value, kind):
        raise TypeError(f"{name}= takes {kind.__name__}(...), not {value!r}")

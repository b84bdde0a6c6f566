"""Policies: frozen values and pure functions that the engine asks, never actors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .._numbers import require_count, require_seconds


@dataclass(frozen=True, slots=True)
class Retry:
    """Whether and when a failed task is tried again.

    ``Retry(retries=3)`` means four attempts. The n-th retry comes after ``delay * backoff**(n-1)``
    seconds, at most ``cap``, of which a random share of ``jitter`` is taken off, so that tasks that
    failed together do not come back together.
    """

    retries: int = 3
    delay: float = 1.0
    backoff: float = 2.0
    cap: float = 60.0
    jitter: float = 0.1
    on: tuple[type[BaseException], ...] = (Exception,)
    unless: tuple[type[BaseException], ...] = ()
    overlap: bool = False
    """Whether a retry may start while a thread that was given up still runs the last attempt."""

    def __post_init__(self) -> None:
        require_count("retries", self.retries)
        require_seconds("delay", self.delay, zero=True)
        require_seconds("cap", self.cap, zero=True)
        for field in ("backoff", "jitter"):
            if not isinstance(number := getattr(self, field), int | float):
                raise TypeError(f"{field} is a number, not {number!r}")
        if not self.backoff >= 1:
            raise ValueError(f"backoff must be at least 1, not {self.backoff!r}")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"jitter is a share between 0 and 1, not {self.jitter!r}")
        for field in ("on", "unless"):
            object.__setattr__(self, field, exception_classes(field, getattr(self, field)))

    def again(self, failures: int, error: BaseException) -> bool:
        """Whether a task that has failed this often may be tried again after ``error``."""
        return (
            failures <= self.retries
            and isinstance(error, self.on)
            and not isinstance(error, self.unless)
        )

    def wait(self, failures: int, luck: float) -> float:
        """How long the next attempt is put off; ``luck`` in [0, 1) decides the jitter."""
        try:
            seconds = min(self.cap, self.delay * float(self.backoff) ** (failures - 1))
        except OverflowError:
            seconds = self.cap if self.delay else 0.0
        return seconds * (1 - self.jitter * luck)


def exception_classes(name: str, given: object) -> tuple[type[BaseException], ...]:
    """The exception classes in ``given``, which may be a single one."""
    kinds: tuple[Any, ...] = tuple(given) if isinstance(given, Iterable) else (given,)
    if not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
        raise TypeError(f"{name}= takes exception classes, not {given!r}")
    return kinds


NO_RETRY = Retry(retries=0)

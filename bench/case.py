"""A case: the same work done by Windlass and by its yardstick, in turns."""

from __future__ import annotations

import gc
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from .stopwatch import Sample

Measure: TypeAlias = Callable[[int], Sample]
"""Does the work for so many tasks and tells what each cost."""


class Unit(NamedTuple):
    """How figures are shown."""

    name: str
    scale: float
    digits: int


MICROSECONDS = Unit("µs", 1e6, 2)
MILLISECONDS = Unit("ms", 1e3, 1)
BYTES = Unit("B", 1.0, 0)


@dataclass(frozen=True)
class Case:
    """What is measured, and against what."""

    name: str
    what: str
    yardstick_name: str
    count: int
    """How many tasks."""
    ours: Measure
    yardstick: Measure
    quick: int = 0
    """How many with ``--quick``; by default a fiftieth."""
    rounds: int = 5
    collector: bool = True
    """Whether the garbage collector runs."""
    unit: Unit = MICROSECONDS
    needs: str | None = None
    """The package of the peer that is the yardstick."""
    since: tuple[int, int] = (3, 11)
    """The first Python that has the yardstick."""


@dataclass
class Result:
    """What came out; ``missing`` tells why nothing did."""

    case: Case
    count: int
    ours: list[Sample] = field(default_factory=list)
    yardstick: list[Sample] = field(default_factory=list)
    missing: str | None = None

    @property
    def ratio(self) -> float:
        """How much ours costs of what the yardstick costs, each at its best."""
        return min(self.ours).cost / min(self.yardstick).cost


def run(case: Case, *, quick: bool = False, rounds: int | None = None) -> Result:
    """Measure ``case``: yardstick, ours, yardstick, ours, and so on.

    The best of several rounds is what counts: whatever else the machine does only adds to it.
    """
    count = (case.quick or max(1, case.count // 50)) if quick else case.count
    result = Result(case, count)
    if sys.version_info < case.since:
        result.missing = f"needs Python {case.since[0]}.{case.since[1]}"
    elif case.needs is not None and importlib.util.find_spec(case.needs) is None:
        result.missing = "not installed"
    if result.missing is not None:
        return result
    try:
        for _ in range(rounds or (1 if quick else case.rounds)):
            result.yardstick.append(_undisturbed(case, case.yardstick, count))
            result.ours.append(_undisturbed(case, case.ours, count))
    except Exception as error:
        if case.needs is None:
            raise
        result.missing = f"did not work: {type(error).__name__}: {error}"  # a peer's own matter
    return result


def _undisturbed(case: Case, measure: Measure, count: int) -> Sample:
    """One measurement that starts with a clean heap."""
    gc.collect()
    if not case.collector:
        gc.disable()
    try:
        return measure(count)
    finally:
        gc.enable()

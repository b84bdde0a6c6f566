"""Seeded faults: what may happen to an attempt, and to which attempts of which tasks it does.

What becomes of an attempt is drawn from the seed, the task's id and the number of the run, and from
nothing else: not from the order in which threads come to an end, nor from what befell other tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, fields
from random import Random
from typing import NamedTuple

from .._numbers import require_count, require_seconds
from ..errors import TaskCrashedError

_HALF = 0.5


class InjectedFault(Exception):  # noqa: N818  # a fault is what people look for, in the log too
    """Raised in the place of a task's function, because the test asked for failures."""


class Fate(NamedTuple):
    """What happens to one attempt."""

    wait: float = 0.0
    """Seconds of virtual time before it begins."""
    error: BaseException | None = None
    """What it ends with, whatever the function did."""
    runs: bool = True
    """Whether the function runs at all."""
    lost: bool = False
    """Its report is lost on the way."""
    late: float = 0.0
    """Seconds of virtual time by which its report comes late."""
    again: float | None = None
    """Seconds of virtual time after which its report comes a second time."""
    luck: float = 0.0
    """For the jitter of its retry."""


@dataclass(frozen=True, slots=True)
class Faults:
    """How likely each fault is for each attempt, from 0 to 1.

    What comes of it is what would come of it in life: a crash costs a task one of its
    ``max_crashes``, a failure one of its ``retries``, and a late end may run into a ``timeout``.
    """

    crash: float = 0.0
    """The worker dies: before the function has begun, or after it has done its work."""
    fail: float = 0.0
    """``error`` is raised, likewise before or after."""
    slow: float = 0.0
    """The function begins late, by up to ``seconds`` of virtual time."""
    late: float = 0.0
    """The end is heard of late, by up to ``seconds``."""
    duplicate: float = 0.0
    """The end is reported twice."""
    lose: float = 0.0
    """The end is never heard of, so that only a timeout ends the attempt. A task that has neither
    ``timeout`` nor ``total_timeout`` is spared: it would run for ever.
    """
    seconds: float = 5.0
    error: Callable[[str], BaseException] = InjectedFault
    """Makes the exception for ``fail`` of a text."""
    only: Collection[str] | None = None
    """The names of the tasks that are hit; all of them by default."""
    most: int | None = None
    """How many attempts of one task crash, fail or get lost at most. Less than ``max_crashes``, and
    no more than its retries, and every task gets through.
    """

    def __post_init__(self) -> None:
        for field in fields(self)[:6]:
            chance = getattr(self, field.name)
            if not 0 <= chance <= 1:
                raise ValueError(f"{field.name} is a chance between 0 and 1, not {chance!r}")
        require_seconds("seconds", self.seconds, zero=True)
        if self.most is not None:
            require_count("most", self.most)
        if self.only is not None:
            names = (self.only,) if isinstance(self.only, str) else self.only
            object.__setattr__(self, "only", frozenset(names))

    def fate(self, seed: int, task_id: str, name: str, run: int, *, timed: bool) -> Fate:
        """What happens to a run of a task; ``timed`` tells whether something limits its time."""
        fate = self._draw(seed, task_id, run, timed=timed)
        if self.only is not None and name not in self.only:
            return Fate(luck=fate.luck)
        if self.most is not None and (fate.error is not None or fate.lost):
            before = [self._draw(seed, task_id, past, timed=timed) for past in range(1, run)]
            if sum(past.error is not None or past.lost for past in before) >= self.most:
                fate = fate._replace(error=None, lost=False, runs=True)
        return fate

    def _draw(self, seed: int, task_id: str, run: int, *, timed: bool) -> Fate:
        # A number for everything, always in the same order: a fault that is switched off, or on,
        # leaves the others as they were.
        draw = Random(f"{seed} {task_id} {run}").random  # noqa: S311  # to be replayed
        luck, crash, fail, lose, runs = draw(), draw(), draw(), draw(), draw() < _HALF
        slow, late, again = draw(), draw(), draw()
        wait, delay, pause = draw(), draw(), draw()
        error: BaseException | None = None
        if crash < self.crash:
            error = self._crash(task_id, runs=runs)
        elif fail < self.fail:
            error = self.error(f"a fault that the test asked for, {_when(runs=runs)}")
        return Fate(
            wait=wait * self.seconds if slow < self.slow else 0.0,
            error=error,
            runs=runs or error is None,
            lost=error is None and timed and lose < self.lose,
            late=delay * self.seconds if late < self.late else 0.0,
            again=pause * self.seconds if again < self.duplicate else None,
            luck=luck,
        )

    def _crash(self, task_id: str, *, runs: bool) -> TaskCrashedError:
        text = f"the worker of {task_id} died, as the test asked for, {_when(runs=runs)}"
        return TaskCrashedError(text, task_id)


def _when(*, runs: bool) -> str:
    return "after the function had run" if runs else "before the function ran"


NO_FAULTS = Faults()

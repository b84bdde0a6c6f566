"""A whole history: what happens, in order; played, it must keep every law."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from .plans import Broken, Setting
from .world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import FrameType

    from .steps import Step

SECONDS = 5.0  # a history takes milliseconds; one that takes this long hangs


class History(NamedTuple):
    """A setting and what happens in it."""

    setting: Setting
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        lines = [str(self.setting)]
        lines += [f"{number:3}. {step}" for number, step in enumerate(self.steps, 1)]
        return "\n".join(lines)


def play(history: History, tell: Callable[[str], None] | None = None) -> None:
    """Let ``history`` happen, and everything come to its end; raises when a law is broken.

    Every exception out of the engine counts, as does an engine that never comes back.
    """
    with no_longer_than(SECONDS):
        world = World(history.setting)
        for step in history.steps:
            happen(world, step, tell)
        world.wind_down()


def happen(world: World, step: Step, tell: Callable[[str], None] | None = None) -> None:
    """Let one step happen, and check everything."""
    if tell is not None:
        tell(f"{world.now - world.epoch:9.3f}  {step}")
    step.do(world)
    world.look()
    if tell is not None:
        for task, before, after, _, attempt, cause in world.fresh:
            tell(f"{'':9}    {task.id}: {before or 'new'} -> {after}, attempt {attempt} ({cause})")
    world.check()


@contextmanager
def no_longer_than(seconds: float) -> Generator[None]:
    """Break what hangs, where the system lets us (in the main thread of a Unix process)."""
    if (
        not hasattr(signal, "setitimer")
        or threading.current_thread() is not threading.main_thread()
    ):
        yield
        return

    def hangs(_signal: int, _frame: FrameType | None) -> None:
        raise Broken(f"the engine hangs: no answer within {seconds} s")

    handler = signal.signal(signal.SIGALRM, hangs)
    timer = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        # Whoever had an alarm set, a test runner maybe, gets it back.
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, handler)

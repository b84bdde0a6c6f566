"""A whole history: what happens, in order; played, it must keep every law."""

from __future__ import annotations

import signal
import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from .plans import Broken

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from types import FrameType

SECONDS = 30.0  # a history takes milliseconds, and a machine may stand still for a while


class Stage(Protocol):
    """Where a history happens: a World."""

    now: float
    epoch: float

    def look(self) -> None:
        """Take out what has happened."""
        ...

    def told(self) -> Iterable[str]:
        """What has happened, in words."""
        ...

    def check(self) -> None:
        """Raise if a law is broken."""
        ...

    def wind_down(self) -> None:
        """Bring everything to its end; raise if anything is left over."""
        ...

    def close(self) -> None:
        """Leave nothing behind."""
        ...


class Scene(Protocol):
    """How the world of a history is set up."""

    def world(self) -> Any:
        """A ``Stage`` in which nothing has happened yet."""
        ...

    def plainer(self) -> Iterable[Any]:
        """The same with less that is special about it, in several ways."""
        ...


class Step(Protocol):
    """One thing that happens in a world of its kind."""

    def do(self, world: Any) -> None:
        """Let it happen, if it makes sense."""
        ...


class Hand(Protocol):
    """Chooses what happens next."""

    length: int
    """How many steps there are to be."""

    def draw(self) -> Step:
        """The next step."""
        ...


class History(NamedTuple):
    """A setting and what happens in it."""

    setting: Scene
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        lines = [str(self.setting)]
        lines += [f"{number:3}. {step}" for number, step in enumerate(self.steps, 1)]
        return "\n".join(lines)


class Played(NamedTuple):
    """A history that happened, and how it broke a law, if it did."""

    history: History
    error: Exception | None


def draw(setting: Scene, hand_of: Callable[[Any], Hand]) -> Played:
    """Let a history happen while it is drawn, by the hand that is made for its world."""
    steps: list[Step] = []
    broken: Exception | None = None
    try:
        with no_longer_than(SECONDS), closing(setting.world()) as world:
            hand = hand_of(world)
            for _ in range(hand.length):
                step = hand.draw()
                steps.append(step)
                happen(world, step)
            world.wind_down()
    except Exception as error:  # noqa: BLE001  # whatever is done but what should be
        broken = error
    return Played(History(setting, tuple(steps)), broken)


def play(history: History, tell: Callable[[str], None] | None = None) -> None:
    """Let ``history`` happen, and everything come to its end; raises when a law is broken.

    Every exception out of the engine counts, as does an engine that never comes back.
    """
    with no_longer_than(SECONDS), closing(history.setting.world()) as world:
        for step in history.steps:
            happen(world, step, tell)
        world.wind_down()


def happen(world: Stage, step: Step, tell: Callable[[str], None] | None = None) -> None:
    """Let one step happen, and check everything."""
    if tell is not None:
        tell(f"{world.now - world.epoch:9.3f}  {step}")
    step.do(world)
    world.look()
    if tell is not None:
        for line in world.told():
            tell(f"{'':9}    {line}")
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
    timer = signal.getitimer(signal.ITIMER_REAL)
    try:
        # Again and again: what is raised while a finalizer runs, or the like, gets lost.
        signal.setitimer(signal.ITIMER_REAL, seconds, max(seconds, 1.0))
        yield
    finally:
        # Whoever had an alarm set, a test runner maybe, gets it back.
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, handler)

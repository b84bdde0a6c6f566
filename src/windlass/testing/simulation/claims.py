"""What can happen to runs that were handed over, and begin where nobody sees it, or never."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..._core.explain import explain
from ..._core.outcome import Unbegun
from ..._core.states import RUNNING
from .plans import Broken

if TYPE_CHECKING:
    from .world import World


class Start(NamedTuple):
    """An executor reports that a run has begun: for the first time, once more, or too late."""

    name: str
    run: int

    def do(self, world: World) -> None:
        """Only what was handed over and is waited for begins."""
        task = world.tasks.get(self.name)
        if task is None:
            return
        attempt = world.attempts.get((self.name, self.run))
        expected = attempt is not None and attempt.waits_elsewhere
        task = task if attempt is None else attempt.task
        if world.engine.begin(task, self.run, world.now) != expected:
            raise Broken(f"that run {self.run} of {task} has begun means {not expected}")
        if attempt is not None and expected:
            attempt.claimed = False

    def __str__(self) -> str:
        return f"run {self.run} of {self.name} has begun"


class HoldUp(NamedTuple):
    """It is heard why nobody begins a run."""

    name: str
    run: int

    def do(self, world: World) -> None:
        """It is told to people as long as it is so."""
        attempt = world.attempts.get((self.name, self.run))
        if attempt is None:
            return
        task, expected = attempt.task, attempt.waits_elsewhere
        if world.engine.held_up(task, self.run, "Nobody listens") != expected:
            raise Broken(f"that run {self.run} of {task} is held up means {not expected}")
        if expected and "Nobody listens" not in explain(world.engine, task, world.now, world.wall):
            raise Broken(f"nobody is told what holds up {task}")

    def __str__(self) -> str:
        return f"nobody begins run {self.run} of {self.name}"


class Interrupt(NamedTuple):
    """The manager takes a run back, as when it closes; it goes on later."""

    name: str

    def do(self, world: World) -> None:
        """What runs is stopped, and what was handed over is in line again at once."""
        task = world.tasks.get(self.name)
        if task is None:
            return
        claimed = world.is_claimed(task)
        world.interrupted.add((task, task.run))
        world.engine.interrupt(task, world.now)
        if claimed:
            world.attempts[task.id, task.run].given_back = True
        if task.status is RUNNING and world.engine.ending(task) is None:
            raise Broken(f"{task} was not interrupted")

    def __str__(self) -> str:
        return f"interrupt {self.name}"


class TakeBack(NamedTuple):
    """An executor takes back for certain what it had sent to a worker that was busy."""

    name: str
    run: int

    def do(self, world: World) -> None:
        """Report that it never began, if that may be so."""
        attempt = world.attempts.get((self.name, self.run))
        if attempt is not None and attempt.can_be_taken_back:
            world.report(attempt, Unbegun())

    def __str__(self) -> str:
        return f"run {self.run} of {self.name} is taken back"

"""A task together with what it takes to run it here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from .._core.states import PENDING
from .._core.task import Task

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from contextvars import Context

    from .recipe import Recipe
    from .run import Run

    Watcher: TypeAlias = Callable[["Job"], None]


class Watchers:
    """Several watchers of one job, for the few that have them."""

    __slots__ = ("all",)

    def __init__(self, *watchers: Watcher) -> None:
        self.all = list(watchers)

    def __call__(self, job: Job) -> None:
        for watcher in tuple(self.all):  # one that gives up meanwhile must not hide the next
            watcher(job)


class Job(Task):
    """The engine sees a Task; the shell adds the call, and who wants to hear of its end.

    ``watcher`` is called once, on the pump's thread, after the end was published. It is set under
    the engine's lock, and only while there is no outcome; see ``Watchers`` for several.
    """

    __slots__ = ("args", "call", "context", "kwargs", "looked", "loop", "recipe", "watcher")

    seq = -1
    """Its place in the store, which it has not; see ``StoredJob``."""
    told = True
    """Whether its end may be known, once there is one; see ``StoredJob``."""

    def __init__(
        self,
        id: str,
        recipe: Recipe,
        now: float,
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
        context: Context | None,
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        # Task.__init__, written out: one call less for each of a million tasks.
        self.id = id
        self.spec = recipe.spec
        self.status = PENDING
        self.run = 0
        self.created_at = self.queued_at = now
        self.started_at = self.ended_at = self.due = 0.0
        self.missing = 0
        self.dependencies = ()
        self.dependents = None
        self.held = self.queued = False
        self.outcome = None
        self.notes = None
        self.recipe = recipe
        self.args = args
        self.kwargs = kwargs
        self.context = context
        self.loop = loop
        self.call: Run | None = None
        """The attempt that runs now."""
        self.watcher: Watcher | None = None
        self.looked = False

    def renewed(self, now: float) -> Job:
        """The same work as a new task with the same id, for an explicit retry."""
        return Job(self.id, self.recipe, now, self.args, self.kwargs, self.context, self.loop)

    def watch(self, watcher: Watcher) -> None:
        """Add a watcher."""
        if self.watcher is None:
            self.watcher = watcher
        elif isinstance(self.watcher, Watchers):
            self.watcher.all.append(watcher)
        else:
            self.watcher = Watchers(self.watcher, watcher)

    def unwatch(self, watcher: Watcher) -> None:
        """Remove a watcher, if it still is one."""
        if self.watcher == watcher:
            self.watcher = None
        elif isinstance(self.watcher, Watchers) and watcher in self.watcher.all:
            self.watcher.all.remove(watcher)

    @property
    def name(self) -> str:
        """The task's name."""
        return self.spec.name

    def let_go(self) -> None:
        """Drop the arguments: a completed task never runs again."""
        self.args = ()
        self.kwargs = None
        self.context = None

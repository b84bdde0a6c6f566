"""A task together with what it takes to run it here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from .._core.task import Task

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from contextvars import Context

    from .recipe import Recipe
    from .run import Run

    Watcher: TypeAlias = Callable[["Job"], None]


class Job(Task):
    """The engine sees a Task; the shell adds the call, and who wants to hear of its end.

    ``watchers`` holds callbacks, called once on the pump's thread after the end was published. A
    watcher is added under the engine's lock, and only while there is no outcome.
    """

    __slots__ = ("args", "call", "context", "kwargs", "loop", "looked", "recipe", "watchers")

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
        Task.__init__(self, id, recipe.spec, now)  # super() costs twice as much, per task
        self.recipe = recipe
        self.args = args
        self.kwargs = kwargs
        self.context = context
        self.loop = loop
        self.call: Run | None = None
        """The attempt that runs now."""
        self.watchers: list[Watcher] | None = None
        self.looked = False

    def renewed(self, now: float) -> Job:
        """The same work as a new task with the same id, for an explicit retry."""
        return Job(self.id, self.recipe, now, self.args, self.kwargs, self.context, self.loop)

    @property
    def name(self) -> str:
        """The task's name."""
        return self.spec.name

    def let_go(self) -> None:
        """Drop the arguments: a completed task never runs again."""
        self.args = ()
        self.kwargs = None
        self.context = None

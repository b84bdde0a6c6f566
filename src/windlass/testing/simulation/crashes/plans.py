"""What a history of crashes is about: the program in each life, and what is asked of each task."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from ...._core.policies import Retry
from ...._core.pools import Traits
from ...._core.spec import Spec
from ...._runtime.keeping import Keep
from ...._runtime.recipe import ForCall, Recipe
from ...._runtime.signature import CallShape
from ....codecs import MsgpackCodec
from ..plans import Fatal, differences, plainer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from .world import World

CODEC = MsgpackCodec()
FUNCTIONS = ("mill", "kiln", "loom")
GATE = "gate"
EXECUTORS: Mapping[str, Traits] = {
    "process": Traits(slots=2, any_thread=True),
    "async": Traits(slots=3, grace=2.0, any_thread=True),
}

Version: TypeAlias = Literal["usual", "lenient", "narrow", "unknown"]
"""Of a function in one life: as it was, with other options, taking no arguments, or not there."""


class Make(NamedTuple):
    """What a version of a function stands for."""

    max_crashes: int
    retries: int
    takes_arguments: bool = True


VERSIONS: Mapping[Version, Make] = {
    # No call asks for any of these numbers, so they never look like what the function has anyway.
    "usual": Make(3, 0),
    "lenient": Make(4, 1),
    "narrow": Make(3, 0, takes_arguments=False),
}


def _takes_anything(*_: Any) -> None: ...


def _takes_nothing() -> None: ...


class Program:
    """The functions that a process has; how records find their names, and they their functions."""

    def __init__(self, versions: Mapping[str, Version]) -> None:
        self.versions = dict(versions)
        self._recipes = {
            name: _recipe(name, VERSIONS[version])
            for name, version in versions.items()
            if version != "unknown"
        }

    def id_of(self, recipe: Recipe) -> str | None:
        """The name under which a function is stored."""
        return str(recipe.portable)

    def recipe(self, id: str) -> Recipe | None:
        """The function of that name, if this program has it."""
        return self._recipes.get(id)


@cache
def _shape(function: Callable[..., Any], name: str) -> CallShape:
    return CallShape(function, name)


def _recipe(name: str, version: Make) -> Recipe:
    function: Callable[..., Any] = _takes_anything if version.takes_arguments else _takes_nothing
    spec = Spec(name, "process", max_crashes=version.max_crashes, retry=_retry(version.retries))
    return Recipe(function, name, spec, _shape(function, name))


def _retry(retries: int, delay: float = 0.0) -> Retry:
    return Retry(retries, delay=delay, jitter=0.0, unless=(Fatal,))


class Order(NamedTuple):
    """What is asked of one task."""

    name: str
    function: str = FUNCTIONS[0]
    executor: str | None = None
    after: tuple[str, ...] = ()
    with_results: bool = False
    """Whether it takes the results of those as arguments."""
    run_if: Literal["all_success", "all_done"] = "all_success"
    retries: int | None = None
    wait: float = 0.0
    max_crashes: int | None = None
    fails_on_crash: bool = False
    held: bool = False
    delay: float = 0.0
    at: float | None = None
    """Seconds of wall time from the beginning of the history."""
    key: str | None = None
    gated: bool = False
    timeout: float | None = None
    total_timeout: float | None = None
    expires: float | None = None

    def recipe(self, program: Program, wall_epoch: float) -> Recipe | None:
        """What a process with that ``program`` makes of it; None if it has not the function."""
        recipe = program.recipe(self.function)
        if recipe is None:
            return None
        changes: dict[str, Any] = {}
        if self.executor is not None:
            changes["executor"] = self.executor
        if self.run_if != "all_success":
            changes["run_if"] = self.run_if
        if self.retries is not None:
            changes["retry"] = _retry(self.retries, self.wait)
        if self.max_crashes is not None:
            changes["max_crashes"] = self.max_crashes
        if self.fails_on_crash:
            changes["on_crash"] = "fail"
        if self.gated:
            changes["gates"] = ((GATE, 1),)
        for limit in ("timeout", "total_timeout", "expires"):
            if getattr(self, limit) is not None:
                changes[limit] = getattr(self, limit)
        if changes:
            recipe = recipe.with_spec(**changes)
        at = wall_epoch + self.at if self.at is not None else None
        if self.delay or self.key or at is not None:
            recipe = recipe.with_call(ForCall(key=self.key, delay=self.delay or None, at=at))
        return recipe

    def simpler(self) -> Iterator[Order]:
        """The same with less that is special about it, in several ways."""
        yield from plainer(self, Order(self.name))

    def __str__(self) -> str:
        return f"{self.name} ({differences(self, Order(self.name)) or 'nothing special'})"


class Setting(NamedTuple):
    """What the lives have in common."""

    limit: int = 4
    in_file: bool = False
    """Whether the tasks are in a SQLite file; else they are in memory."""
    keep_count: int | None = None
    """How many ended tasks each life remembers; the store remembers all."""
    completed: float | None = None
    failed: float | None = None
    keys: float | None = None
    newest: int | None = None
    """How long the store remembers, and how many; see ``Keep``."""

    @property
    def keep(self) -> Keep:
        """How long the store remembers, as its leader is told."""
        return Keep(self.completed, self.failed, self.keys, self.newest)

    def world(self) -> World:
        """A world with this setting in which nothing has happened yet."""
        from .world import World  # noqa: PLC0415  # it is made of settings itself

        return World(self)

    def plainer(self) -> Iterator[Setting]:
        """The same with less that is special about it, in several ways."""
        yield from plainer(self, Setting())

    def __str__(self) -> str:
        return "setting: " + differences(self, Setting())

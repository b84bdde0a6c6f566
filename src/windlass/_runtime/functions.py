"""Functions as a store knows them: by a name, and by what they ask for their tasks.

A task is stored with what was asked of it beyond its function's own options, so that a program that
changes a function's timeout changes it for the stored tasks, too, unless their call said otherwise.
What functions ask themselves is stored once for each, for those who look at a file without them.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Protocol

from .._core.policies import NO_RETRY
from .._core.spec import Spec
from .._core.states import TaskPriority
from .chunks import chunk_recipe
from .recipe import Recipe
from .signature import CallShape
from .stored_job import LAST_CHANCE

if TYPE_CHECKING:
    from collections.abc import Mapping

_OF_RETRY = ("retries", "delay", "backoff", "cap", "jitter", "overlap")
_OF_SPEC = (
    "name", "executor", "type", "description", "tags", "metadata", "owner", "timeout",
    "total_timeout", "expires", "run_if", "max_crashes", "on_crash", "gates", "when_open",
)  # fmt: skip
_CHUNK = "#chunk"


class Registry(Protocol):
    """How stable ids and functions find each other."""

    def id_of(self, recipe: Recipe) -> str | None:
        """The stable id of a function, if it has one."""
        ...

    def recipe(self, id: str) -> Recipe | None:
        """The recipe of the function with this id or alias, if this program has it."""
        ...


def stored_name(recipe: Recipe, registry: Registry) -> str | None:
    """Under which name a function is stored; that of a chunk is made of its function's."""
    if recipe.chunk_of is None:
        return registry.id_of(recipe)
    inner = registry.id_of(recipe.chunk_of)
    return inner + _CHUNK if inner is not None else None


def function_of(name: str) -> str:
    """The stable id of the function in what was stored under this name."""
    return name.removesuffix(_CHUNK)


def known_by(name: str, registry: Registry) -> Recipe | None:
    """The recipe of what was stored under this name, if this program has it."""
    known = registry.recipe(function_of(name))
    return chunk_recipe(known) if known is not None and name.endswith(_CHUNK) else known


def options_of(spec: Spec, base: Spec | None) -> dict[str, Any]:
    """What ``spec`` asks, beyond what ``base`` does if that is known, in what can be stored."""
    if spec is base:
        return {}
    if (LAST_CHANCE, 1) in spec.gates:
        own = tuple(gate for gate in spec.gates if gate[0] != LAST_CHANCE)
        spec = dataclasses.replace(spec, gates=own)
    options: dict[str, Any] = {
        name: getattr(spec, name)
        for name in _OF_SPEC
        if base is None or getattr(spec, name) != getattr(base, name)
    }
    if base is None or spec.priority is not base.priority:
        options["priority"] = int(spec.priority)
    if base is None or spec.retry != base.retry:
        options["retry"] = {name: getattr(spec.retry, name) for name in _OF_RETRY}
    return options


def recipe_with(
    options: Mapping[str, Any], known: Recipe | None, name: str, **changes: Any
) -> Recipe:
    """The recipe ``known`` with ``options`` as they were stored, and then with ``changes``.

    If it is not known, that of a function which nothing calls.
    """
    asked: dict[str, Any] = {one: options[one] for one in _OF_SPEC if one in options}
    if "priority" in options:
        asked["priority"] = TaskPriority(options["priority"])
    if "retry" in options:
        retry = known.spec.retry if known is not None else NO_RETRY
        asked["retry"] = dataclasses.replace(retry, **options["retry"])
    asked |= changes
    if known is None:
        asked.setdefault("name", name)
        spec = Spec(**asked)
        return Recipe(_nobody, None, spec, CallShape(_nobody, name))
    return known.with_spec(**asked) if asked else known


def _nobody(*_: Any, **__: Any) -> None:
    """Stands for a function that this program does not have; nothing calls it."""

"""Handles among the arguments: found at submit, replaced by results at the start.

They are found in the arguments themselves and, nested as deep as it goes, in lists, tuples (named
ones too), dict values, dataclass fields and what ``map`` returned, which becomes a list. In a set
or as a dict's key a handle could not be replaced in place, so it is refused there instead of being
passed on unnoticed.
"""

from __future__ import annotations

import copy
import dataclasses
from typing import TYPE_CHECKING, Any, TypeAlias

from .._core.outcome import Ok
from .chunks import Handles
from .handle import Output, TaskHandle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MAX_HANDLES = 10_000

# Nothing to be found in these; a sequence of them is passed over at the speed of C.
_ATOMS = frozenset(
    {type(None), bool, int, float, complex, str, bytes, bytearray, range, type, type(len)}
)


class Ref:
    """Stands for the result of another task of the same graph; see ``windlass.ref``."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"ref({self.name!r})"


_STAND_INS = (TaskHandle, Output, Ref)
StandIn: TypeAlias = TaskHandle[Any] | Ref


def find_handles(args: Iterable[Any], kwargs: dict[str, Any] | None) -> list[TaskHandle[Any]]:
    """All handles among the arguments, each once, in order."""
    handles: list[TaskHandle[Any]] = []
    for value in (*args, *kwargs.values()) if kwargs else args:
        kind = type(value)
        if kind is TaskHandle:
            handles.append(value)
        elif kind not in _ATOMS:
            break
    else:  # nothing but handles and plain values, which is what most calls are made of
        return handles
    handles = []
    for stand_in in find_stand_ins(args, kwargs):
        if isinstance(stand_in, Ref):
            raise TypeError(f"{stand_in!r} has a meaning only inside manager.graph({{...}})")
        handles.append(stand_in)
    return handles


def find_stand_ins(args: Iterable[Any], kwargs: dict[str, Any] | None) -> list[StandIn]:
    """All that stands for results among the arguments, each once, in order."""
    found: dict[int, StandIn] = {}
    seen: set[int] = set()  # containers may contain themselves
    line: list[Any] = [*args, *(kwargs or {}).values()][::-1]
    while line:
        value = line.pop()
        if type(value) is tuple and _ATOMS.issuperset(map(type, value)):
            continue
        if isinstance(value, _STAND_INS):
            stand_in = value._windlass_handle if isinstance(value, Output) else value
            found.setdefault(id(getattr(stand_in, "_job", stand_in)), stand_in)
            if len(found) > MAX_HANDLES:
                raise ValueError(
                    f"more than {MAX_HANDLES} handles among the arguments; use after=[...] for "
                    "order alone, or combine results in several steps"
                )
        elif type(value) not in _ATOMS and id(value) not in seen:
            seen.add(id(value))
            inside = list(_inside(value))
            if not _ATOMS.issuperset(map(type, inside)):
                line.extend(reversed(inside))
    return list(found.values())


def _inside(value: Any) -> Iterable[Any]:
    """What a container holds; nothing for anything else."""
    if isinstance(value, (list, tuple)):
        return value
    if isinstance(value, dict):
        _refuse_among(value, "a key of a dict")
        return value.values()
    if isinstance(value, Handles):
        return value._tasks
    if isinstance(value, (set, frozenset)):
        _refuse_among(value, "a member of a set")
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, field.name, None) for field in dataclasses.fields(value)]
    return ()


def _refuse_among(values: Iterable[Any], place: str) -> None:
    if find_stand_ins(values, None):
        raise TypeError(
            f"a handle cannot be {place}, or in one: its result could not take its place there. "
            "Pass it as an argument of its own, or in a list, tuple, dict value or dataclass field"
        )


def results_in(args: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """The arguments with results for handles, if they are just that, and there; else None."""
    results = []
    for value in args:
        kind = type(value)
        if kind is TaskHandle and type(outcome := value._job.outcome) is Ok:
            results.append(outcome.value)
        elif kind in _ATOMS:
            results.append(value)
        else:
            return None
    return tuple(results)


def filled(
    args: tuple[Any, ...], kwargs: dict[str, Any], value_for: Callable[[Any], Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments with each handle replaced by ``value_for`` it; what holds none is shared."""
    fill = _Filling(value_for).fill
    return (
        tuple([value if type(value) in _ATOMS else fill(value) for value in args]),
        {name: fill(value) for name, value in kwargs.items()} if kwargs else kwargs,
    )


class _Filling:
    def __init__(self, value_for: Callable[[Any], Any]) -> None:
        self._value_for = value_for
        self._open: set[int] = set()

    def fill(self, value: Any) -> Any:
        """``value`` itself, or a copy of it with results for handles."""
        if isinstance(value, _STAND_INS):
            stand_in = value._windlass_handle if isinstance(value, Output) else value
            return self._value_for(stand_in)
        if type(value) in _ATOMS or id(value) in self._open:
            return value  # what is inside itself stays as it is
        self._open.add(id(value))
        try:
            if isinstance(value, (list, tuple, Handles)):
                return self._fill_sequence(value)
            if isinstance(value, dict):
                return self._replace(value, value.items(), dict.__setitem__)
            if dataclasses.is_dataclass(value) and not isinstance(value, type):
                fields = [field.name for field in dataclasses.fields(value)]
                items = [(name, getattr(value, name, None)) for name in fields]
                # object.__setattr__, because a frozen dataclass is as good a container as any
                return self._replace(value, items, object.__setattr__)
            return value
        finally:
            self._open.discard(id(value))

    def _fill_sequence(self, value: list[Any] | tuple[Any, ...] | Handles[Any]) -> Any:
        if isinstance(value, Handles):
            return [self._value_for(handle) for handle in value]
        if _ATOMS.issuperset(map(type, value)):
            return value
        items = [self.fill(item) for item in value]
        if all(new is old for new, old in zip(items, value, strict=True)):
            return value
        if isinstance(value, list):
            changed = copy.copy(value)
            changed[:] = items
            return changed
        kind: Any = type(value)
        return kind._make(items) if hasattr(kind, "_make") else kind(items)

    def _replace(
        self, value: Any, items: Iterable[tuple[Any, Any]], put: Callable[..., None]
    ) -> Any:
        """``value``, or a copy of it in which ``put`` has put what was filled."""
        changes = [(place, new) for place, old in items if (new := self.fill(old)) is not old]
        if not changes:
            return value
        changed = copy.copy(value)
        for place, new in changes:
            put(changed, place, new)
        return changed

"""Which classes can be stored, and under which ids.

An id in stored bytes is looked up here and nowhere else: nothing is ever imported because bytes
name it.

``import windlass`` brings this module along, for ``register_type``; how classes are stored is
imported when the first one is registered.
"""

from __future__ import annotations

import builtins
import functools
import os
import sys
import typing
from typing import TYPE_CHECKING, Any, TypeVar, overload

from .. import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from .forms import Form

T = TypeVar("T", bound=type)

_by_type: dict[type, Form] = {}
_by_id: dict[str, Form] = {}


@overload
def register_type(cls: T, /, *, id: str | None = None, aliases: Iterable[str] = ()) -> T: ...
@overload
def register_type(*, id: str | None = None, aliases: Iterable[str] = ()) -> Callable[[T], T]: ...
def register_type(cls: Any = None, /, *, id: str | None = None, aliases: Iterable[str] = ()) -> Any:
    """Let values of a class be stored, and come back as what they were.

    As a decorator above ``@dataclass``, ``@register_type`` or ``@register_type(id="order")``; as a
    function, ``register_type(Order)``, for a class of somebody else. It takes dataclasses, msgspec
    Structs, pydantic models, Enums, named tuples and exceptions. Subclasses are registered each by
    itself.

    Args:
        cls: The class.
        id: What stands for the class in stored values, by default its module and name. Give one
            before you rename a class, or move it to another module.
        aliases: Other ids under which values may have been stored, such as its former names.
    """
    from .forms import form_of  # noqa: PLC0415  # as said above

    if cls is None:
        return lambda decorated: register_type(decorated, id=id, aliases=aliases)
    if not isinstance(cls, type):
        raise TypeError(f"register_type takes a class, not {cls!r}")
    if isinstance(aliases, str):
        raise TypeError(f"aliases= takes several ids, not one text: write aliases=[{aliases!r}]")
    known_as = [_default_id(cls) if id is None else id, *aliases]
    if not all(isinstance(one, str) for one in known_as):
        raise TypeError(f"id= and aliases= take texts, not {known_as!r}")
    form = form_of(cls, known_as[0])
    for one in known_as:
        _require_free(one, cls)
    for one in known_as:
        old = _by_id.get(one)
        if old is not None and old.kind is not cls:
            _by_type.pop(old.kind, None)  # the class was defined anew, as in a notebook
        _by_id[one] = form
    _by_type[cls] = form
    return cls


def _require_free(id: str, cls: type) -> None:
    old = _by_id.get(id) or _built_in().get(id)
    if old is not None and _full_name(old.kind) != _full_name(cls):
        raise ValueError(
            f"the id {id!r} stands for {_full_name(old.kind)} already: give {_full_name(cls)} "
            "another one, with id="
        )


def _full_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _default_id(cls: type) -> str:
    module = cls.__module__
    if module in {"__main__", "__mp_main__"}:
        # A script is known by its file, so that its id is the same wherever it is imported.
        file = getattr(sys.modules.get(module), "__file__", None)
        module = os.path.splitext(os.path.basename(file))[0] if file else "__main__"  # noqa: PTH119, PTH122  # pathlib is slow to import
    return f"{module}.{cls.__qualname__}"


@functools.cache
def _built_in() -> dict[str, Form]:
    """The forms of Python's own exceptions and ours, made when one is first met."""
    from .forms import form_of  # noqa: PLC0415  # as said above

    ours = (getattr(errors, name) for name in errors.__all__)
    kinds = (kind for kind in (*vars(builtins).values(), *ours) if isinstance(kind, type))
    ids = {kind: f"{kind.__module__}.{kind.__name__}" for kind in kinds}
    return {id: form_of(kind, id) for kind, id in ids.items() if issubclass(kind, BaseException)}


def form_for(kind: type) -> Form | None:
    """The form of a class, or None if it is not registered."""
    form = _by_type.get(kind)
    if form is not None or not issubclass(kind, BaseException):
        return form
    if kind.__bases__[0] is errors.TaskExecutionError and "[" in kind.__name__:
        kind = errors.TaskExecutionError  # one of those that are two types at once
    form = _built_in().get(f"{kind.__module__}.{kind.__name__}")
    return form if form is not None and form.kind is kind else None


def form_named(id: str) -> Form | None:
    """The form of the class that ``id`` stands for, or None."""
    return _by_id.get(id) or _built_in().get(id)


# -- annotations -----------------------------------------------------------------------------------


def types_in(annotations: Mapping[str, Any]) -> list[type]:
    """The classes in annotations that can be registered and are not, with those of their fields.

    Args:
        annotations: As ``typing.get_type_hints(function)`` returns them. What is still a text in
            there, and what cannot be resolved in the fields of a class, is passed over.
    """
    from .forms import sort_of  # noqa: PLC0415  # as said above

    found: list[type] = []
    seen: dict[int, Any] = {}  # hints need not be hashable
    waiting = list(annotations.values())
    while waiting:
        hint = waiting.pop()
        if id(hint) in seen:
            continue
        seen[id(hint)] = hint
        if not isinstance(hint, type) or typing.get_args(hint):
            waiting += _parts(hint)
        elif sort_of(hint) is not None:
            waiting += _field_hints(hint)
            if _can_register(hint):
                found.append(hint)
    return found


def _can_register(kind: type) -> bool:
    from .forms import form_of  # noqa: PLC0415  # as said above

    if form_for(kind) is not None:
        return False
    try:
        form_of(kind, "")
    except TypeError:
        return False
    return True


def _field_hints(kind: type) -> list[Any]:
    try:
        return list(typing.get_type_hints(kind).values())
    except (AttributeError, NameError, TypeError):  # a name that only type checkers see
        return []


def _parts(hint: Any) -> Iterator[Any]:
    """What a generic, a union, an alias or a list of parameters is made of."""
    if isinstance(hint, list):
        yield from hint
    for name in ("__supertype__", "__value__", "__bound__"):
        part = getattr(hint, name, None)
        if part is not None:
            yield part
    if typing.get_origin(hint) is typing.Literal:
        yield from map(type, typing.get_args(hint))
        return
    origin = typing.get_origin(hint)
    if isinstance(origin, type):
        yield origin
    yield from typing.get_args(hint)

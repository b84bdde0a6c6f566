"""Trees back to values: what ``packing`` took apart.

A tree comes from bytes whose checksum was right, and is not trusted all the same: what has no
meaning raises, and the codec makes StoreCorruptError of it. Nothing is called but the constructors
of registered classes, and pickle where that was asked for.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

from ..errors import SerializationError
from .forms import type_name
from .leaves import TOGETHER
from .packing import (
    DICT,
    FROZENSET,
    LIST,
    MAP,
    OBJECT,
    PICKLE,
    PLAIN,
    REFERENCE,
    SCALARS,
    SET,
    TEXT,
    TUPLE,
)
from .refusal import short_error
from .registry import form_named

Resolve = Callable[[str], Any]


class Unpacker:
    """Makes values of trees.

    Raises SerializationError for what cannot be rebuilt here, and whatever comes for what is no
    tree.
    """

    __slots__ = ("_pickle", "_resolve")

    def __init__(self, resolve: Resolve | None, *, pickle: bool) -> None:
        self._resolve = resolve
        self._pickle = pickle

    def value(self, node: Any) -> Any:
        """The value that ``node`` is the tree of."""
        kind = type(node)
        if kind in SCALARS:
            return node
        if kind is not list:
            raise ValueError(f"a {kind.__name__} where a tagged array should be")
        tag, *parts = node
        read = _READERS.get(tag)
        if read is not None:
            return read(self, *parts)
        (stored,) = parts
        return TOGETHER[tag](stored)

    def items(self, nodes: Any) -> list[Any]:
        """The values of several trees."""
        if type(nodes) is not list:
            raise ValueError(f"a {type(nodes).__name__} where an array should be")
        if SCALARS.issuperset(map(type, nodes)):
            return nodes
        return list(map(self.value, nodes))

    def named(self, nodes: Any) -> dict[str, Any]:
        """The values of a map of trees, by the same names."""
        if not TEXT.issuperset(map(type, nodes)):
            raise TypeError("a map by something else than names")
        return dict(zip(nodes, map(self.value, nodes.values()), strict=True))

    def _tuple(self, nodes: Any) -> tuple[Any, ...]:
        return tuple(self.items(nodes))

    def _dict(self, keys: Any, values: Any) -> dict[Any, Any]:
        return dict(zip(self.items(keys), self.items(values), strict=True))

    def _set(self, nodes: Any) -> set[Any]:
        return set(self.items(nodes))

    def _frozenset(self, nodes: Any) -> frozenset[Any]:
        return frozenset(self.items(nodes))

    def _object(self, id: str, parts: Any) -> Any:
        if type(id) is not str:
            raise TypeError(f"a type with the id {id!r}")
        form = form_named(id)
        if form is None:
            raise SerializationError(
                f"a value of the type {id!r} was stored, and no such type is "
                "registered here. Import the module that registers it before the tasks are "
                f"opened; if the class was renamed, give it aliases=[{id!r}]"
            )
        known = self.named(parts) if type(parts) is dict else self.value(parts)
        try:
            return form.together(known)
        except SerializationError:
            raise
        except Exception as error:
            raise SerializationError(
                f"a {type_name(form.kind)} cannot be built again from what was "
                f"stored: {short_error(error)}. If the class has changed since, let it take both"
            ) from error

    def _reference(self, id: str) -> Any:
        if self._resolve is None or type(id) is not str:
            raise ValueError(f"a reference to the task {id!r}, where there can be none")
        return self._resolve(id)

    def _unpickle(self, data: bytes) -> Any:
        if not self._pickle:
            raise SerializationError(
                "a value was stored with pickle, which is not allowed here. Allow it "
                "only if everybody who can write to the file may also run code here"
            )
        try:
            return pickle.loads(data)  # noqa: S301  # asked for
        except Exception as error:
            raise SerializationError(
                f"a pickled value cannot be built again: {short_error(error)}. Its "
                "class must be importable under the name that it had"
            ) from error


def _plain(_: Unpacker, value: Any) -> Any:
    return value


_READERS: dict[int, Callable[..., Any]] = {
    PLAIN: _plain,
    LIST: Unpacker.items,
    TUPLE: Unpacker._tuple,
    MAP: Unpacker.named,
    DICT: Unpacker._dict,
    SET: Unpacker._set,
    FROZENSET: Unpacker._frozenset,
    OBJECT: Unpacker._object,
    REFERENCE: Unpacker._reference,
    PICKLE: Unpacker._unpickle,
}

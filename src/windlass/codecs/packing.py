"""Values to trees of what msgpack has, with everything tagged that msgpack would change.

msgspec writes a tuple, a set, a datetime or a dataclass without a word, and reads back a list or a
text. So it never gets to see one. A tree consists of:

- ``None``, bools, ints, floats, texts and bytes, which stand for themselves;
- arrays ``[tag, part, ...]`` for everything else.

Most values need no tree at all, see ``is_plain``. And in a tree a list of scalars, or a dict of
them by texts, is written whole behind one tag: neither side looks at its parts one by one.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from typing import Any

from .leaves import LEAF_OF
from .refusal import Refused, short, short_error, why_not
from .registry import form_for

# The tags stand in stored bytes. They are never given to another meaning; leaves begin at 16.
PLAIN, LIST, TUPLE, MAP, DICT, SET, FROZENSET, OBJECT, REFERENCE, PICKLE = range(10)

SCALARS: frozenset[type] = frozenset({type(None), bool, int, float, str, bytes})
TEXT = frozenset({str})
_CERTAIN = SCALARS - {int, str}

Reference = Callable[[Any], str | None]


def _no_reference(_: Any) -> None:
    return None


def is_plain(value: Any, depth: int) -> bool:
    """Whether ``value`` is scalars in lists and in dicts by texts, nested no deeper than ``depth``.

    msgspec gives it back as it was, or refuses to write it.
    """
    kind = type(value)
    items: Iterable[Any]
    if kind is dict and TEXT.issuperset(map(type, value)):
        items = value.values()
    elif kind is list:
        items = value
    else:
        return kind in SCALARS
    if depth == 0:
        return False
    return SCALARS.issuperset(map(type, items)) or all(
        is_plain(item, depth - 1) for item in items if type(item) not in SCALARS
    )


class Packer:
    """Packs values; raises Refused, with where it was, for one that cannot be stored.

    A ``careful`` one looks at each int and text as well, which msgspec may refuse: an int of more
    than 64 bits, a text with half a surrogate pair.
    """

    __slots__ = ("_careful", "_max_depth", "_pickle", "_reference", "_scalars")

    def __init__(
        self,
        reference: Reference | None,
        *,
        max_depth: int,
        pickle: bool,
        careful: bool = False,
    ) -> None:
        self._reference = reference or _no_reference
        self._max_depth = max_depth
        self._pickle = pickle
        self._careful = careful
        self._scalars = _CERTAIN if careful else SCALARS

    def value(self, value: Any) -> Any:
        """The tree of ``value``."""
        return self._pack(value, self._max_depth)

    def _pack(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind in self._scalars:
            return value
        container = _CONTAINERS.get(kind)
        if container is not None:
            return container(self, value, self._below(depth))
        if self._careful and kind is str:
            return _whole(value)
        if self._careful and kind is int and -(2**63) <= value < 2**64:
            return value
        leaf = LEAF_OF.get(kind)
        if leaf is not None:
            part = leaf.apart(value)
            if self._careful and type(part) is str:
                _whole(part)
            return [leaf.tag, part]
        return self._other(kind, value, depth)

    def _below(self, depth: int) -> int:
        if depth == 0:
            raise Refused(
                f"is nested more than {self._max_depth} levels deep: store a flatter form of it",
                too_deep=True,
            )
        return depth - 1

    def _other(self, kind: type, value: Any, depth: int) -> list[Any]:
        id = self._reference(value)
        if id is not None:
            return [REFERENCE, id]
        form = form_for(kind)
        if form is not None:
            below = self._below(depth)
            try:
                parts = form.apart(value)
            except Exception as error:  # a property may raise anything
                raise Refused(f"cannot be taken apart: {short_error(error)}") from error
            if type(parts) is not dict:
                return [OBJECT, form.id, self._pack(parts, below)]
            nodes = self._nodes(value, parts.values(), below, parts, ".{}".format)
            return [OBJECT, form.id, dict(zip(parts, nodes, strict=True))]
        if not self._pickle:
            raise Refused(why_not(value))
        try:
            return [PICKLE, pickle.dumps(value, pickle.HIGHEST_PROTOCOL)]
        except Exception as error:  # a __reduce__ may raise anything
            raise Refused(f"cannot be pickled: {short_error(error)}") from error

    def _nodes(
        self,
        container: Any,
        values: Iterable[Any],
        depth: int,
        keys: Iterable[Any] | None = None,
        step: Callable[[Any], str] = "[{}]".format,
    ) -> list[Any]:
        """The trees of ``values``, which are found in ``container`` at ``keys``, or by number."""
        nodes: list[Any] = []
        pack = self._pack
        try:
            for value in values:
                nodes.append(pack(value, depth))  # noqa: PERF401  # to know how far it came
        except Refused as refused:
            done = len(nodes)
            refused.inside(container, step(done if keys is None else list(keys)[done]))
            raise
        return nodes

    # -- containers ------------------------------------------------------------------------------

    def _list(self, value: list[Any], depth: int) -> list[Any]:
        if self._scalars.issuperset(map(type, value)):
            return [PLAIN, value]
        return [LIST, self._nodes(value, value, depth)]

    def _tuple(self, value: tuple[Any, ...], depth: int) -> list[Any]:
        if self._scalars.issuperset(map(type, value)):
            return [TUPLE, value]
        return [TUPLE, self._nodes(value, value, depth)]

    def _set(self, value: set[Any] | frozenset[Any], depth: int) -> list[Any]:
        items = list(value)
        tag = SET if type(value) is set else FROZENSET
        return [tag, self._nodes(value, items, depth, items, _element)]

    def _dict(self, value: dict[Any, Any], depth: int) -> list[Any]:
        by_text = TEXT.issuperset(map(type, value))
        if by_text and self._scalars.issuperset(map(type, value.values())) and not self._careful:
            return [PLAIN, value]
        keys = list(value)
        nodes = self._nodes(value, value.values(), depth, keys, _at)
        if by_text and not self._careful:
            return [MAP, dict(zip(keys, nodes, strict=True))]
        return [DICT, self._nodes(value, keys, depth, keys, _key), nodes]


_CONTAINERS: dict[type, Callable[[Packer, Any, int], Any]] = {
    list: Packer._list,
    tuple: Packer._tuple,
    dict: Packer._dict,
    set: Packer._set,
    frozenset: Packer._set,
}


def _whole(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Refused(
            f"has half of a surrogate pair in its text, {text[error.start]!r} at {error.start}, "
            "which UTF-8 does not have. Store it as bytes: text.encode(errors='surrogatepass'), or "
            "os.fsencode(path)"
        ) from None
    return text


def _at(key: Any) -> str:
    return f"[{short(key)}]"


def _key(key: Any) -> str:
    return f" the key {short(key)}"


def _element(element: Any) -> str:
    return f" the element {short(element)}"

"""How a registered class is taken apart into plain parts, and put together again.

Nothing is written down about a class but its id: the parts are the fields as they are named now.
Putting together calls the class, so that ``__post_init__`` and defaults for new fields do their
work, and then sets what came out otherwise than it was stored.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import sys
from datetime import date, datetime, time, timedelta, tzinfo
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import RemoteError, SerializationError, TaskExecutionError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

CONTENT: frozenset[type] = frozenset(
    {int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset}
    | {date, datetime, time, timedelta, tzinfo}
)
"""What a subclass of these holds is not in its fields, and would be lost."""


class Form(NamedTuple):
    """How the values of one class are stored under its ``id``."""

    id: str
    kind: type
    apart: Callable[[Any], Any]
    """A dict of parts by name, or one plain value."""
    together: Callable[[Any], Any]
    """The value again. What it raises is the class's own doing."""


class Sort(NamedTuple):
    """A sort of classes that can be registered, and how their forms are made."""

    word: str
    fits: Callable[[type], bool]
    ways: Callable[[Any], tuple[Callable[[Any], Any], Callable[[Any], Any]]]


def type_name(kind: type) -> str:
    """A class's name, with its module unless that is ``builtins``."""
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def sort_of(kind: type) -> Sort | None:
    """What sort of class it is, of those that can be registered."""
    return next((sort for sort in _SORTS if sort.fits(kind)), None)


def form_of(kind: type, id: str) -> Form:
    """The form of a class; TypeError, with the reason, for one that cannot have any."""
    sort = sort_of(kind)
    if sort is None:
        raise TypeError(
            f"{type_name(kind)} cannot be registered: only dataclasses, msgspec Structs, pydantic "
            "models, Enums, named tuples and exceptions can. Put @dataclass below @register_type"
        )
    return Form(id, kind, *sort.ways(kind))


def _refuse_content(kind: type) -> None:
    base = next((base for base in kind.__mro__ if base in CONTENT), None)
    if base is not None:
        raise TypeError(
            f"{type_name(kind)} cannot be registered: as a subclass of {type_name(base)} it holds "
            "more than its fields. Give it a field for that instead"
        )


def _known_only(kind: type, stored: Mapping[str, Any], names: Collection[str]) -> None:
    gone = sorted(stored.keys() - set(names))
    if gone:
        raise SerializationError(
            f"{type_name(kind)} has no field {', '.join(map(repr, gone))}, and it was stored with "
            "one: the class has changed since. Give it the field again, with a default"
        )


# -- dataclasses ---------------------------------------------------------------------------------


def _is_dataclass(kind: type) -> bool:
    return dataclasses.is_dataclass(kind) and not issubclass(kind, BaseException)


def _of_dataclass(kind: type) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    _refuse_content(kind)
    names = [field.name for field in dataclasses.fields(kind)]
    asked = inspect.signature(kind).parameters.values()
    for one in asked:
        variable = one.kind in {one.VAR_POSITIONAL, one.VAR_KEYWORD}
        by_name = one.kind is not one.POSITIONAL_ONLY and one.name in names
        if not variable and not by_name and one.default is one.empty:
            raise TypeError(
                f"{type_name(kind)} cannot be registered: its constructor needs {one.name!r}, "
                "which is not among the fields that are stored. Give it a default"
            )
    passed = {one.name for one in asked} & set(names)

    def apart(value: Any) -> dict[str, Any]:
        return {name: getattr(value, name) for name in names}

    def together(parts: dict[str, Any]) -> Any:
        _known_only(kind, parts, names)
        value = kind(**{name: parts[name] for name in passed & parts.keys()})
        for name, part in parts.items():
            if getattr(value, name, parts) is not part:
                object.__setattr__(value, name, part)  # frozen or not
        return value

    return apart, together


# -- msgspec and pydantic: whoever has such a class has imported them ------------------------------


def _is_struct(kind: type) -> bool:
    msgspec = sys.modules.get("msgspec")
    return msgspec is not None and issubclass(kind, msgspec.Struct)


def _of_struct(kind: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    from msgspec.structs import force_setattr  # noqa: PLC0415  # see above

    names: tuple[str, ...] = kind.__struct_fields__

    def apart(value: Any) -> dict[str, Any]:
        return {name: getattr(value, name) for name in names}

    def together(parts: dict[str, Any]) -> Any:
        _known_only(kind, parts, names)
        value = kind(**parts)
        for name, part in parts.items():
            if getattr(value, name) is not part:
                force_setattr(value, name, part)
        return value

    return apart, together


def _is_model(kind: type) -> bool:
    pydantic = sys.modules.get("pydantic")
    model = getattr(pydantic, "BaseModel", None)  # it may be half imported
    return model is not None and issubclass(kind, model)


_STATE = ("__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")


def _of_model(kind: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    # By the model's own state, and not validated again: values were valid when they were stored,
    # and validators need not accept what they made (``"1 km"`` became 1000).
    def apart(value: Any) -> dict[str, Any]:
        own = vars(value)  # and in it what cached properties have worked out
        fields = {name: own[name] for name in kind.model_fields if name in own}
        return {**fields, **{name: getattr(value, name, None) for name in _STATE}}

    def together(parts: dict[str, Any]) -> Any:
        state = {name: parts.pop(name) for name in _STATE}
        fields = kind.model_fields
        _known_only(kind, parts, fields)
        for name in fields.keys() - parts.keys():
            if fields[name].is_required():
                raise SerializationError(
                    f"{type_name(kind)} needs the field {name!r}, and it was stored without: the "
                    "class has changed since. Give the field a default"
                )
            parts[name] = fields[name].get_default(call_default_factory=True)
        value = kind.__new__(kind)
        value.__setstate__({"__dict__": parts, **state})
        return value

    return apart, together


# -- named tuples and enumerations -----------------------------------------------------------------


def _is_named_tuple(kind: type) -> bool:
    return issubclass(kind, tuple) and hasattr(kind, "_fields") and hasattr(kind, "_field_defaults")


def _of_named_tuple(kind: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    names: tuple[str, ...] = kind._fields

    def apart(value: Any) -> dict[str, Any]:
        return dict(zip(names, value, strict=True))

    def together(parts: dict[str, Any]) -> Any:
        _known_only(kind, parts, names)
        return kind(**parts)

    return apart, together


def _of_enum(kind: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    # Members by name: values are free to change, and may be of any type. Flags by value, since
    # those that are set together have no name.
    if issubclass(kind, enum.Flag):
        return lambda member: member._value_, kind

    def together(name: str) -> Any:
        try:
            return kind[name]
        except KeyError:
            raise SerializationError(
                f"{type_name(kind)} has no member {name!r}, which was stored: the class has "
                "changed since. Give it the member again, or an alias of that name"
            ) from None

    return lambda member: member._name_, together


# -- exceptions ------------------------------------------------------------------------------------


def _of_exception(kind: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    # As the built-in class below it would be pickled, and never by the class's own __init__, which
    # need not take ``args``: that is what makes exceptions famous for not coming back.
    if issubclass(kind, TaskExecutionError):
        return _of_task_execution_error()
    builtin: Any = kind
    while builtin.__module__ != "builtins":
        builtin = builtin.__base__

    def apart(error: BaseException) -> dict[str, Any]:
        _, args, *state = builtin.__reduce__(error)
        parts = {"args": args, "state": state[0] if state else None}
        cause = error.__cause__
        if cause is None and not error.__suppress_context__:
            cause = error.__context__
        if cause is not None:
            parts["cause"] = [type_name(type(cause)), text_of(cause), traceback_of(cause)]
            parts["explicit"] = error.__cause__ is not None
        return parts

    def together(parts: dict[str, Any]) -> Any:
        error = builtin.__new__(kind, *parts["args"])
        builtin.__init__(error, *parts["args"])
        if parts["state"]:
            builtin.__setstate__(error, parts["state"])
        if "cause" in parts:
            cause = RemoteError(*parts["cause"])
            if parts["explicit"]:
                error.__cause__ = cause
            else:
                error.__context__ = cause
        return error

    return apart, together


def _of_task_execution_error() -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    names = ("original_error", "message", "task_id", "remote_traceback")

    def apart(error: TaskExecutionError) -> dict[str, Any]:
        _, args = error.__reduce__()
        return dict(zip(names, args, strict=True))

    def together(parts: dict[str, Any]) -> TaskExecutionError:
        return TaskExecutionError.wrapping(*(parts[name] for name in names))

    return apart, together


def text_of(error: BaseException) -> str:
    """What the exception says, in characters that can be stored; its ``__str__`` may raise."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001
        text = "<its text cannot be had>"
    return storable(text)


def storable(text: str) -> str:
    """A text that is shown only, without what UTF-8 does not have."""
    return text.encode(errors="backslashreplace").decode()


def traceback_of(error: BaseException) -> str:
    """The traceback as text, with those of its causes."""
    import traceback  # noqa: PLC0415  # only for what failed

    try:
        text = "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001  # an exception's own methods may raise
        text = f"{type_name(type(error))}: {text_of(error)}\n"
    return storable(text)


_SORTS = (
    Sort("an Enum", lambda kind: issubclass(kind, enum.Enum), _of_enum),
    Sort("an exception", lambda kind: issubclass(kind, BaseException), _of_exception),
    Sort("a named tuple", _is_named_tuple, _of_named_tuple),
    Sort("a dataclass", _is_dataclass, _of_dataclass),
    Sort("a msgspec Struct", _is_struct, _of_struct),
    Sort("a pydantic model", _is_model, _of_model),
)

"""Fields of a message to arguments of a function, and its result to a text.

A field is the text that it is, if the parameter of its name takes texts; else it is read as JSON,
as the annotation says. A parameter without an annotation takes texts, one of ``bytes`` whatever
there is.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, get_type_hints

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# Of a field that cannot be read, so many characters are told.
_SHOWN = 100
_BY_NAME = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}


class Unreadable(ValueError):  # noqa: N818  # said of a message, and told as a reason
    """A message does not fit its function."""


class Reader:
    """Reads messages for ``function``; raises TypeError if it can take none."""

    def __init__(self, function: Callable[..., Any]) -> None:
        plain = inspect.unwrap(function)
        self._name = getattr(plain, "__qualname__", repr(plain))
        try:
            hints = get_type_hints(plain)
        except NameError as error:
            raise TypeError(
                f"the annotations of {self._name} say how messages are read, and cannot be "
                f"understood at run time: {error}; import it outside of `if TYPE_CHECKING:`"
            ) from error
        except TypeError:
            hints = {}  # a callable object: it takes texts
        self.parameters: dict[str, Any] = {}
        """What each takes, by the names that can be given."""
        self._needed: list[str] = []
        self._rest: Any = None
        for name, parameter in inspect.signature(plain).parameters.items():
            kind = hints.get(name, str)
            if parameter.kind in _BY_NAME:
                self.parameters[name] = kind
                if parameter.default is parameter.empty:
                    self._needed.append(name)
            elif parameter.kind is parameter.VAR_KEYWORD:
                self._rest = kind
            elif parameter.kind is parameter.POSITIONAL_ONLY:
                raise TypeError(
                    f"a message's fields are given by name, and {self._name} takes {name!r} by "
                    "position only"
                )

    def read(self, fields: Mapping[bytes, bytes]) -> dict[str, Any]:
        """The keyword arguments that the fields are; raises Unreadable."""
        arguments: dict[str, Any] = {}
        for key, value in fields.items():
            name = _text(key, "the name of a field")
            kind = self.parameters.get(name, self._rest)
            if kind is not None:
                arguments[name] = self.read_one(name, value, kind)
        missing = [name for name in self._needed if name not in arguments]
        if missing:
            there = ", ".join(key.decode(errors="replace") for key in fields) or "none"
            raise Unreadable(
                f"{self._name}() needs the field {', '.join(missing)}; the message has: {there}"
            )
        return arguments

    def read_one(self, name: str, value: bytes, kind: Any) -> Any:
        """One field, as its annotation says."""
        if kind is bytes:
            return value
        text = _text(value, f"the field {name!r}")
        if kind is str or kind is Any:
            return text
        try:
            return msgspec.convert(text, kind, dec_hook=_made)
        except Exception:  # noqa: BLE001, S110  # it takes no texts, then it is JSON
            pass
        try:
            return msgspec.json.decode(text, type=kind, dec_hook=_made, strict=False)
        except Exception as error:  # a class of the user's may raise anything
            said = kind.__name__ if isinstance(kind, type) else str(kind)
            shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
            raise Unreadable(
                f"{self._name}() takes {name!r} as {said}, and the field is {shown!r}: {error}"
            ) from error


def _text(value: bytes, what: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise Unreadable(f"{what} is no text in UTF-8: {error}") from None


def _made(kind: Any, value: Any) -> Any:
    """A value of a class that msgspec does not know; those of pydantic know themselves."""
    validate = getattr(kind, "model_validate", None)
    if validate is None:
        raise NotImplementedError(f"there is no way to read a {kind!r} from a message")
    return validate(value)


def written(value: Any) -> bytes:
    """A result as JSON; raises TypeError for what has no such form."""
    return msgspec.json.encode(value, enc_hook=_plain)


def _plain(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    if dump is None:
        raise NotImplementedError(f"JSON has no form for a {type(value).__name__}")
    return dump(mode="json")

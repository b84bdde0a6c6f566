"""Is this call one the function can take? Asked at submit, where the mistake is made.

``inspect.signature().bind()`` costs 12 µs; comparing the number of arguments with two numbers
costs nothing. So the numbers are worked out once per function, and only calls with keywords, or
with the wrong number, are bound.
"""

from __future__ import annotations

import functools
import inspect
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class CallShape:
    """What calls a function takes; ``low`` and ``high`` bound the plain positional ones."""

    __slots__ = ("_name", "_signature", "high", "low")

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        self._name = name
        self.low, self.high = 0, sys.maxsize
        try:
            self._signature: inspect.Signature | None = inspect.signature(function)
        except (TypeError, ValueError):  # some builtins have none: they check for themselves
            self._signature = None
            return
        parameters = self._signature.parameters.values()
        positional = [
            p for p in parameters if p.kind in {p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD}
        ]
        self.low = sum(1 for p in positional if p.default is p.empty)
        if not any(p.kind is p.VAR_POSITIONAL for p in parameters):
            self.high = len(positional)
        if any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters):
            self.low = sys.maxsize  # no positional call is complete: always bind

    def check(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Raise TypeError, naming the parameter, unless the function takes this call."""
        if self._signature is None or (not kwargs and self.low <= len(args) <= self.high):
            return
        try:
            self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self._name}{self._signature}: {error}") from None


def name_of(function: Any) -> str:
    """What a function is called, if nobody calls it otherwise."""
    inner = function.func if isinstance(function, functools.partial) else function
    return str(getattr(inner, "__name__", type(inner).__name__))


def is_asynchronous(function: Any) -> bool:
    """Whether calling ``function`` makes a coroutine."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004  # an object whose __call__ is async
    )

"""Why a value is not stored, where in the arguments it sits, and what to do about it."""

from __future__ import annotations

import dataclasses
import reprlib
import types
from typing import TYPE_CHECKING, Any

from .forms import CONTENT, sort_of, text_of, type_name

if TYPE_CHECKING:
    from collections.abc import Sequence

_STEPS_SHOWN = 12

_CODE = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    types.ModuleType,
    types.CodeType,
    type,
)
_RUNNING = (types.CoroutineType, types.GeneratorType, types.AsyncGeneratorType, types.FrameType)


@dataclasses.dataclass(eq=False)
class Refused(Exception):  # noqa: N818  # it never leaves the codec, which makes the error of it
    """A value that is not stored: ``reason`` follows on the words of where it is.

    On its way up it gathers the steps of ``path`` and the containers of ``trail``, innermost first.
    """

    reason: str
    too_deep: bool = False
    path: list[str] = dataclasses.field(default_factory=list)
    trail: list[Any] = dataclasses.field(default_factory=list)

    def inside(self, container: Any, step: str) -> None:
        """Note that it was met in ``container``, at ``step``."""
        self.path.append(step)
        self.trail.append(container)

    def words(self, what: str) -> str:
        """The whole message about ``what``, such as "argument 2"."""
        path = self.path[::-1]
        if not self.too_deep:
            return f"{_place(what, path)} {self.reason}"
        trail = self.trail[::-1]
        seen: dict[int, int] = {}
        for depth, container in enumerate(trail):
            first = seen.setdefault(id(container), depth)
            if first != depth:
                return (
                    f"{_place(what, path[:depth])} is {_place(what, path[:first])} again: what "
                    "contains itself cannot be stored. Refer to it by a name or an id instead"
                )
        return f"{_place(what, path)} {self.reason}"


def _place(what: str, path: Sequence[str]) -> str:
    if not path:
        return what
    if len(path) > _STEPS_SHOWN:
        path = (*path[: _STEPS_SHOWN // 2], "...", *path[-_STEPS_SHOWN // 2 :])
    return f"{what}, {''.join(path).lstrip()}"


def short(value: Any) -> str:
    """A value in few characters, whatever its ``__repr__`` does."""
    try:
        return reprlib.repr(value)
    except Exception:  # noqa: BLE001  # an int may have too many digits to be shown
        return f"<a {type_name(type(value))}>"


def short_error(error: BaseException) -> str:
    """An exception as it stands at the end of a traceback."""
    return f"{type(error).__name__}: {text_of(error)}"


def why_not(value: Any) -> str:
    """Why a value of none of the known types is refused, and what to do about it."""
    kind = type(value)
    name = _with_article(type_name(kind))
    if isinstance(value, _CODE):
        what = f"the class {type_name(value)}" if isinstance(value, type) else name
        return f"is {what}: code is not stored. Store its name, and look it up in the task"
    if isinstance(value, _RUNNING):
        return f"is {name}, which is at work in this process. Store what it yields or returns"
    sort = sort_of(kind)
    if sort is not None:
        return (
            f"is {name}, {sort.word} that is not registered. Put @windlass.register_type above the "
            f"class, or call windlass.register_type({kind.__name__}) if it is not yours"
        )
    base = next((base for base in kind.__mro__ if base in CONTENT), kind)
    if base is not kind:
        plain = type_name(base)
        return (
            f"is {name}, a subclass of {plain}, and would come back as a plain {plain}. Store a "
            f"plain {plain}, or a registered dataclass that says the rest"
        )
    if hasattr(value, "fileno") or hasattr(value, "acquire"):
        return (
            f"is {name}, which belongs to this process. Store what it is made from, such as a "
            "path or an address, and open it in the task"
        )
    return (
        f"is {name}, which is not among the types that can be stored. Make it a dataclass with "
        "@windlass.register_type, turn it into plain data, or allow pickle"
    )


def _with_article(name: str) -> str:
    return f"an {name}" if name[0] in "aeiouAEIOU" else f"a {name}"

"""Values to bytes and back, equal and of the same type, for tasks that outlive their process.

- ``register_type``: makes a class of yours one that can be stored.
- ``types_in``: the classes in a function's annotations that can be registered.
- ``MsgpackCodec``: the codec, which fulfils ``windlass.ports.Codec``.

``MsgpackCodec`` is imported when it is first asked for: it needs msgspec, which costs as much to
import as asyncio.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .registry import register_type as register_type
from .registry import types_in as types_in

if TYPE_CHECKING:
    from .codec import MsgpackCodec as MsgpackCodec

__all__ = ["MsgpackCodec", "register_type", "types_in"]


def __getattr__(name: str) -> Any:
    if name != "MsgpackCodec":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .codec import MsgpackCodec  # noqa: PLC0415  # msgspec is slow to import

    return MsgpackCodec


def __dir__() -> list[str]:
    return sorted({*globals(), "MsgpackCodec"})

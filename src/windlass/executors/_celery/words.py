"""What the executor asks of whoever knows values and functions: both belong to other layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ..._core.outcome import Outcome
    from ...ports import Call


class Words(Protocol):
    """Turns what is said into bytes and back. Each may raise SerializationError."""

    def why_not(self, function: Any) -> str | None:
        """Why ``function`` cannot be run by a worker, or None if it can."""
        ...

    def letter(self, parcel: Any) -> dict[str, Any]:
        """The parcel of a call as plain JSON."""
        ...

    def say(self, kind: str, payload: Any) -> bytes:
        """A message, or a reply, as bytes."""
        ...

    def hear(self, data: bytes) -> tuple[str, Any]:
        """Its kind and what it says."""
        ...

    def error(self, error: BaseException) -> bytes:
        """An exception as bytes."""
        ...

    def ended(self, data: bytes, call: Call) -> Outcome:
        """The outcome of ``call``. Raises nothing."""
        ...

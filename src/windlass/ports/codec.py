"""What turns values into bytes and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Codec(Protocol):
    """Turns values into bytes and back, for tasks that outlive their process.

    - What ``encode`` accepts comes back equal and of the same type. What it cannot promise that for
      it refuses with SerializationError, which says where in the value it sits and what to do.
    - Bytes that are not what was written raise StoreCorruptError and nothing else; those of a later
      version raise StoreError. No bytes make it import or call anything that was not registered.
    - What was written once is read by all later versions.
    - It keeps nothing between two calls, and may be called from any thread.

    ``what`` is how messages name what is encoded: "the result of fetch [...]", and of a call the
    task, since an argument is named by its place: "argument 2 of fetch [...]".
    """

    def encode(self, value: Any, what: str = ...) -> bytes:
        """``value`` as bytes."""
        ...

    def decode(self, data: bytes, what: str = ...) -> Any:
        """The value that was encoded.

        SerializationError where a type is not registered any more, or refuses what was stored.
        """
        ...

    def encode_call(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        what: str = ...,
        reference: Callable[[Any], str | None] | None = ...,
    ) -> bytes:
        """The arguments of a call as bytes.

        ``reference`` is asked for each value that is of no built-in type, perhaps twice: the id of
        the task that it stands for is stored in its place, or, on None, the value itself.
        """
        ...

    def decode_call(
        self, data: bytes, what: str = ..., resolve: Callable[[str], Any] | None = ...
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments that were encoded, with what ``resolve`` returns for each reference.

        A TaskError that it raises is passed on.
        """
        ...

    def encode_error(self, error: BaseException, traceback: str | None = ...) -> bytes:
        """An exception as bytes, with ``traceback`` or its own as text. Refuses none."""
        ...

    def decode_error(self, data: bytes, what: str = ...) -> tuple[BaseException, str]:
        """The exception that was encoded, and its traceback.

        Built-in, registered and Windlass's own ones as themselves, with ``args``, notes and what
        they carry, their cause as a RemoteError; a RemoteError in place of all others.
        """
        ...

"""The codec: values, calls and errors as bytes with a version and a checksum.

Theory of operation::

    byte 0        version (upper half) and kind (lower half) of what follows
    bytes 1 - 4   CRC-32 of byte 0 and of the body
    the rest      the body, which is MessagePack

A body of the kind PLAIN is the value as msgspec writes it. It is for values that msgspec gives back
as they were, which most are; they cost a look at the types of their parts and nothing else. One of
the kind TREE is the value with everything else tagged, see ``packing``.

The checksum is looked at first, and stands at the same place in every version: damage is told apart
from what a later version wrote.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast
from zlib import crc32

from msgspec.msgpack import Decoder, Encoder

from .._numbers import require_count
from ..errors import RemoteError, SerializationError, StoreCorruptError, StoreError, TaskError
from .forms import storable, text_of, traceback_of, type_name
from .packing import SCALARS, Packer, Reference, wrapped
from .refusal import Refused, short_error
from .unpacking import Resolve, Unpacker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")

_VERSION = 1
_PLAIN, _TREE = _VERSION << 4, _VERSION << 4 | 1
_HEAD = struct.Struct("<BI")
_SEEDS = [crc32(bytes([lead])) for lead in range(256)]


def _no_extension(code: int, _: memoryview) -> NoReturn:
    raise ValueError(f"an extension of type {code}, which is never written")


_encode = Encoder().encode
_decode = Decoder(ext_hook=_no_extension).decode


class MsgpackCodec:
    """The codec, made of msgspec's MessagePack; see ``windlass.ports.Codec`` for what it promises.

    Args:
        pickle: Whether values of other types are pickled. Reading them runs what was pickled: allow
            it only if everybody who can write to the file may also run code here.
        max_depth: How deep values may be nested.
    """

    __slots__ = ("_max_depth", "_pickle")

    def __init__(self, *, pickle: bool = False, max_depth: int = 100) -> None:
        self._pickle = pickle
        self._max_depth = require_count("max_depth", max_depth, least=1)

    # -- writing ---------------------------------------------------------------------------------

    def encode(self, value: Any, what: str = "the value") -> bytes:
        """``value`` as bytes."""
        try:
            if type(value) in SCALARS:
                try:
                    return _sealed(_PLAIN, _encode(value))
                except (OverflowError, UnicodeEncodeError):
                    pass  # it takes a tree, or is refused
            return self._write(value, lambda packer: packer.value(value), what)
        except Refused as refused:
            raise SerializationError(refused.words(what)) from refused.__cause__

    def encode_call(
        self,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        what: str = "the task",
        reference: Reference | None = None,
    ) -> bytes:
        """The arguments of a call as bytes."""
        call = (args, kwargs)
        if SCALARS.issuperset(map(type, args)) and SCALARS.issuperset(map(type, kwargs.values())):
            try:
                return _sealed(_PLAIN, _encode(call))
            except (OverflowError, UnicodeEncodeError):
                pass  # it takes a tree, or is refused
        return self._write(call, lambda packer: _pack_call(packer, call, what), what, reference)

    def encode_error(self, error: BaseException, traceback: str | None = None) -> bytes:
        """An exception as bytes, with its traceback."""
        shown = traceback_of(error) if traceback is None else storable(traceback)

        def pack(packer: Packer) -> list[Any]:
            try:
                tree = packer.value(error)
            except (Refused, RecursionError):
                tree = None  # it returns as a RemoteError
            return [type_name(type(error)), text_of(error), shown, tree]

        return self._write(None, pack, "the error")

    def _write(
        self,
        plain: Any,
        pack: Callable[[Packer], Any],
        what: str,
        reference: Reference | None = None,
    ) -> bytes:
        """What ``pack`` makes, as bytes: a tree, or ``plain`` itself."""
        try:
            tree = pack(self._packer(reference))
            try:
                body = _encode(tree)
            except (OverflowError, UnicodeEncodeError):
                tree = pack(self._packer(reference, careful=True))
                body = _encode(tree)
        except RecursionError as error:
            raise SerializationError(
                f"{what} is nested deeper than Python's stack has room for here: store a flatter "
                "form of it"
            ) from error
        except ValueError as error:
            raise SerializationError(f"{what} is too large to be stored: {error}") from error
        return _sealed(_PLAIN if tree is plain else _TREE, body)

    def _packer(self, reference: Reference | None, *, careful: bool = False) -> Packer:
        return Packer(reference, max_depth=self._max_depth, pickle=self._pickle, careful=careful)

    # -- reading ---------------------------------------------------------------------------------

    def decode(self, data: bytes, what: str = "the value") -> Any:
        """The value that was encoded."""
        return self._read(data, what, lambda unpacker, tree: unpacker.value(tree))

    def decode_call(
        self, data: bytes, what: str = "the task", resolve: Resolve | None = None
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments that were encoded."""
        args, kwargs = self._read(data, f"the arguments of {what}", _unpack_call, resolve)
        return tuple(args), kwargs

    def decode_error(self, data: bytes, what: str = "the error") -> tuple[BaseException, str]:
        """The exception that was encoded, or the RemoteError that stands for it; its traceback."""
        return self._read(data, what, _unpack_error)

    def _read(
        self,
        data: bytes,
        what: str,
        unpack: Callable[[Unpacker, Any], T],
        resolve: Resolve | None = None,
    ) -> T:
        kind, body = _opened(data, what)
        try:
            tree = _decode(body)
            if kind == _PLAIN:
                return cast("T", tree)
            return unpack(Unpacker(resolve, pickle=self._pickle), tree)
        except SerializationError as error:
            raise SerializationError(f"{what}: {error}", error.task_id) from error.__cause__
        except TaskError:
            raise
        except Exception as error:
            raise StoreCorruptError(
                f"{what}: the checksum is right, and what was stored makes no sense "
                f"({short_error(error)}): Windlass has not written it. Restore the file "
                "from a backup"
            ) from error


def _pack_call(packer: Packer, call: tuple[tuple[Any, ...], Mapping[str, Any]], what: str) -> Any:
    args, kwargs = call
    positional: list[Any] = []
    named: dict[str, Any] = {}
    plain = True
    try:
        for value in args:
            tree = packer.value(value)
            plain = plain and tree is value
            positional.append(wrapped(tree, value))
        for name, value in kwargs.items():
            tree = packer.value(value)
            plain = plain and tree is value
            named[packer.value(name)] = wrapped(tree, value)
    except Refused as refused:
        done = len(positional)
        place = done + 1 if done < len(args) else repr(list(kwargs)[len(named)])
        words = refused.words(f"argument {place} of {what}")
        raise SerializationError(words) from refused.__cause__
    return call if plain else [positional, named]


def _unpack_call(unpacker: Unpacker, tree: Any) -> Any:
    args, kwargs = tree
    return unpacker.items(args), unpacker.named(kwargs)


def _unpack_error(unpacker: Unpacker, tree: Any) -> tuple[BaseException, str]:
    name, text, traceback, stored = tree
    if stored is not None:
        try:
            error = unpacker.value(stored)
        except SerializationError:
            pass  # its class is not what it was, or not there: the words are
        else:
            if not isinstance(error, BaseException):
                raise TypeError(f"a {type_name(type(error))} where an exception should be")
            return error, traceback
    return RemoteError(name, text, traceback), traceback


# -- bytes -----------------------------------------------------------------------------------------


def _sealed(lead: int, body: bytes) -> bytes:
    return _HEAD.pack(lead, crc32(body, _SEEDS[lead])) + body


def _opened(data: bytes, what: str) -> tuple[int, Any]:
    """The first byte and the body of what was sealed."""
    try:
        lead, stored = _HEAD.unpack_from(data)
        body = memoryview(data)[_HEAD.size :]
        found = crc32(body, _SEEDS[lead])
    except (struct.error, TypeError) as error:
        raise StoreCorruptError(
            f"{what} cannot be read: it is cut off, or no bytes at all ({error}). Restore the file "
            "from a backup, or cancel the task and submit it again"
        ) from None
    if found != stored:
        raise StoreCorruptError(
            f"{what} is damaged: its checksum is {found:08x} and should be {stored:08x}. Restore "
            "the file from a backup, or cancel the task and submit it again"
        )
    if lead not in (_PLAIN, _TREE):
        raise StoreError(
            f"{what} was written by a later version of Windlass (format {lead >> 4}.{lead & 15}, "
            f"and this one reads up to {_VERSION}.1): install that version here as well"
        )
    return lead, body

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
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar
from zlib import crc32

from msgspec.msgpack import Decoder, Encoder

from .._numbers import require_count
from ..errors import RemoteError, SerializationError, StoreCorruptError, StoreError, TaskError
from .forms import storable, text_of, traceback_of, type_name
from .packing import TEXT, Packer, Reference, is_plain
from .refusal import Refused, short_error
from .unpacking import Resolve, Unpacker

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..ports import Codec

T = TypeVar("T")

_VERSION = 1
_PLAIN, _TREE = _VERSION << 4, _VERSION << 4 | 1
_HEAD = struct.Struct("<BI")
_REMEDY = "Restore the file from a backup, or submit the task again"
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
            if is_plain(value, self._max_depth):
                try:
                    return _sealed(_PLAIN, _encode(value))
                except (OverflowError, UnicodeEncodeError):
                    pass  # it takes a tree, or is refused
            return self._write(lambda packer: packer.value(value), what)
        except Refused as refused:
            raise SerializationError(refused.words(what)) from refused.__cause__
        except RecursionError as error:
            raise _no_room(what) from error

    def encode_call(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        what: str = "the task",
        reference: Reference | None = None,
    ) -> bytes:
        """The arguments of a call as bytes."""
        depth = self._max_depth + 1  # the arguments are one level themselves
        try:
            if is_plain([*args], depth) and is_plain(kwargs, depth):
                try:
                    return _sealed(_PLAIN, _encode((args, kwargs)))
                except (OverflowError, UnicodeEncodeError):
                    pass  # it takes a tree, or is refused
            return self._write(
                lambda packer: _pack_call(packer, args, kwargs, what), what, reference
            )
        except RecursionError as error:
            raise _no_room(f"an argument of {what}") from error

    def encode_error(self, error: BaseException, traceback: str | None = None) -> bytes:
        """An exception as bytes, with its traceback."""
        shown = traceback_of(error) if traceback is None else storable(traceback)

        def pack(packer: Packer) -> list[Any]:
            try:
                tree = packer.value(error)
            except (Refused, RecursionError):
                tree = None  # it returns as a RemoteError
            return [type_name(type(error)), text_of(error), shown, tree]

        return self._write(pack, "the error")

    def _write(
        self, pack: Callable[[Packer], Any], what: str, reference: Reference | None = None
    ) -> bytes:
        """The tree that ``pack`` makes, as bytes."""
        try:
            try:
                body = _encode(pack(self._packer(reference)))
            except (OverflowError, UnicodeEncodeError):
                body = _encode(pack(self._packer(reference, careful=True)))
        except ValueError as error:
            raise SerializationError(f"{what} cannot be stored: {error}") from error
        return _sealed(_TREE, body)

    def _packer(self, reference: Reference | None, *, careful: bool = False) -> Packer:
        return Packer(reference, max_depth=self._max_depth, pickle=self._pickle, careful=careful)

    # -- reading ---------------------------------------------------------------------------------

    def decode(self, data: bytes, what: str = "the value") -> Any:
        """The value that was encoded."""
        return self._read(data, what, _plain_value, _value)

    def decode_call(
        self, data: bytes, what: str = "the task", resolve: Resolve | None = None
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments that were encoded."""
        return self._read(data, f"the arguments of {what}", _plain_call, _call, resolve)

    def decode_error(self, data: bytes, what: str = "the error") -> tuple[BaseException, str]:
        """The exception that was encoded, or the RemoteError that stands for it; its traceback."""
        return self._read(data, what, _no_plain_error, _error)

    def _read(
        self,
        data: bytes,
        what: str,
        plain: Callable[[Any], T],
        unpack: Callable[[Unpacker, Any], T],
        resolve: Resolve | None = None,
    ) -> T:
        kind, body = _opened(data, what)
        try:
            tree = _decode(body)
            if kind == _PLAIN:
                return plain(tree)
            return unpack(Unpacker(resolve, pickle=self._pickle), tree)
        except SerializationError as error:
            raise SerializationError(f"{what}: {error}", error.task_id) from error.__cause__
        except TaskError:
            raise
        except Exception as error:
            raise StoreCorruptError(
                f"{what}: what was stored has the right checksum and makes no sense "
                f"({short_error(error)}), so Windlass has not written it. {_REMEDY}"
            ) from error


if TYPE_CHECKING:
    _fulfils: Codec = MsgpackCodec()


def _no_room(what: str) -> SerializationError:
    return SerializationError(
        f"{what} is nested deeper than Python's stack has room for here: store a flatter form of it"
    )


def _pack_call(
    packer: Packer, args: tuple[Any, ...], kwargs: dict[str, Any], what: str
) -> tuple[list[Any], dict[str, Any]]:
    positional: list[Any] = []
    named: dict[str, Any] = {}
    try:
        for value in args:
            positional.append(packer.value(value))  # noqa: PERF401  # to know how far it came
        for name, value in kwargs.items():
            named[packer.value(name)] = packer.value(value)
    except Refused as refused:
        done = len(positional)
        place = done + 1 if done < len(args) else repr(list(kwargs)[len(named)])
        words = refused.words(f"argument {place} of {what}")
        raise SerializationError(words) from refused.__cause__
    return positional, named


# What a body of either kind is read as.


def _plain_value(body: Any) -> Any:
    return body


def _value(unpacker: Unpacker, tree: Any) -> Any:
    return unpacker.value(tree)


def _plain_call(body: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    args, kwargs = body
    if type(args) is not list or type(kwargs) is not dict:
        raise TypeError("no arguments")
    if kwargs and not TEXT.issuperset(map(type, kwargs)):
        raise TypeError("arguments by something else than names")
    return tuple(args), kwargs


def _call(unpacker: Unpacker, tree: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    args, kwargs = tree
    return tuple(unpacker.items(args)), unpacker.named(kwargs)


def _no_plain_error(_: Any) -> NoReturn:
    raise TypeError("no error")


def _error(unpacker: Unpacker, tree: Any) -> tuple[BaseException, str]:
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
            f"{what}: what was stored is cut off, or no bytes at all ({error}). {_REMEDY}"
        ) from None
    if found != stored:
        raise StoreCorruptError(
            f"{what}: what was stored is damaged, its checksum is {found:08x} and should be "
            f"{stored:08x}. {_REMEDY}"
        )
    if lead not in (_PLAIN, _TREE):
        raise StoreError(
            f"{what}: written by a later version of Windlass (format {lead >> 4}.{lead & 15}, and "
            f"this one reads up to {_VERSION}.1). Install that version here as well"
        )
    return lead, body

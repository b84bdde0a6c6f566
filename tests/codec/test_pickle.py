"""Pickle is opt-in, on both sides."""

import threading

import pytest
from wares import Line, Sums

from windlass import SerializationError
from windlass.codecs import MsgpackCodec

plain, pickling = MsgpackCodec(), MsgpackCodec(pickle=True)


class Fragile:
    def __init__(self, why=None):
        self.why = why

    def __setstate__(self, state):
        raise LookupError("no such thing any more")


def test_with_pickle_other_types_come_back():
    value = [Line(Sums(a=1)), {1j: bytearray(b"x")}]
    found = pickling.decode(pickling.encode(value))
    assert found == value
    assert type(found[0].name) is Sums


def test_what_needs_no_pickle_is_stored_without():
    value = [Line((1,)), {1: {2}}]
    assert pickling.encode(value) == plain.encode(value)


def test_without_pickle_nothing_is_unpickled():
    data = pickling.encode([Sums()])
    with pytest.raises(SerializationError, match=r"^the result: a value was stored with pickle, "):
        plain.decode(data, "the result")


def test_what_cannot_be_pickled_is_named():
    with pytest.raises(SerializationError, match=r"it, \[0\] cannot be pickled: TypeError: cannot"):
        pickling.encode([threading.Lock()], "it")


def test_what_cannot_be_unpickled_is_named():
    data = pickling.encode(Fragile("x"))
    with pytest.raises(SerializationError, match="it: a pickled value cannot be built again: Look"):
        pickling.decode(data, "it")

"""What cannot be stored is refused before anything has happened: where it sits, why, what to do."""

import asyncio
import collections
import datetime as dt
import threading
from pathlib import Path

import pytest
from wares import (
    Customer,
    Line,
    NotRegistered,
    Offer,
    Pair,
    Point,
    StrangeError,
    Sums,
    Unknown,
)

from windlass import SerializationError
from windlass.codecs import MsgpackCodec

codec = MsgpackCodec()
lock = threading.Lock()
LOCK = "is a _thread.lock, which belongs to this process"


class Anything:
    pass


class Moment(dt.datetime):
    pass


class OwnZone(dt.tzinfo):
    def utcoffset(self, moment):
        return dt.timedelta(0)


def refusal(value, what="it"):
    with pytest.raises(SerializationError) as caught:
        codec.encode(value, what)
    return str(caught.value)


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (lock, "it"),
        ([1, (2, lock)], "it, [1][1]"),
        ({"users": [0, 1, 2, Line(lock)]}, "it, ['users'][3].name"),
        ({1: {("b", 2): lock}}, "it, [1][('b', 2)]"),
        (Offer("x", [lock]), "it, .price[0]"),
        (Point(x=1, y=lock), "it, .y"),
        (Customer(name={"a": lock}), "it, .name['a']"),
        (Pair(1, lock), "it, .right"),
        (ValueError(1, lock), "it, .args[1]"),
        ({"x" * 200: [lock]}, "it, ['xxxxxxxxxxxx...xxxxxxxxxxxxx'][0]"),
        ({10**5000: lock}, "it, [<a int>]"),
        ([[[[[[[[[[[[[[lock]]]]]]]]]]]]]], "it, [0][0][0][0][0][0]...[0][0][0][0][0][0]"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_it_says_where_it_sits(value, place):
    assert refusal(value).startswith(f"{place} {LOCK}")


def test_a_key_and_an_element_are_shown():
    shown = r"it, ['a'] the key <_thread.lock ...> is a _thread.lock, which"
    found = refusal({"a": {lock: 1}})
    assert (found[:17], found[found.index(" is a ") :][:25]) == (shown[:17], shown[-25:])
    assert refusal([{len}]).startswith("it, [0] the element <built-in function len> is a builtin")


def test_it_says_which_argument():
    with pytest.raises(SerializationError, match=r"^argument 2 of fetch, \['a'\] is a _thread\."):
        codec.encode_call((1, {"a": lock}), {}, "fetch")
    with pytest.raises(SerializationError, match=r"^argument 'lock' of fetch is a _thread\.lock"):
        codec.encode_call(((), 1), {"a": 1, "lock": lock}, "fetch")
    with pytest.raises(SerializationError, match=r"^argument 2 of fetch, \[1\] has half of"):
        codec.encode_call(("a", [2**64, "\ud800"]), {}, "fetch")


@pytest.mark.parametrize(
    ("value", "reason", "remedy"),
    [
        (lock, "is a _thread.lock, which belongs to this process", "open it in the task"),
        (len, "is a builtin_function_or_method: code is not stored", "Store its name"),
        (lambda: 1, "is a function: code is not stored", "Store its name"),
        (Anything, "is the class test_refusals.Anything: code", "Store its name"),
        (asyncio, "is a module: code", "Store its name"),
        ((n for n in ()), "is a generator, which is at work", "what it yields"),
        (Anything(), "is a test_refusals.Anything, which is not among", "Make it a dataclass"),
        (object(), "is an object, which is not among", "Make it a dataclass"),
        (bytearray(), "is a bytearray, which is not among", "plain data"),
        (1j, "is a complex, which is not among", "or allow pickle"),
        (Unknown(), "is a wares.Unknown, a dataclass that is not registered", "register_type"),
        (NotRegistered.ONE, "is a wares.NotRegistered, an Enum that is not", "register_type"),
        (StrangeError(), "is a wares.StrangeError, an exception that", "call windlass.register"),
        (
            asyncio.CancelledError(),
            "is an asyncio.exceptions.CancelledError, an exception that is not registered",
            "call windlass.register_type(CancelledError) if it is not yours",
        ),
        (Sums(), "is a wares.Sums, a subclass of dict", "Store a plain dict"),
        (collections.OrderedDict(), "is a collections.OrderedDict, a sub", "a plain dict"),
        (
            Moment(2020, 1, 1),
            "is a test_refusals.Moment, a subclass of datetime.datetime",
            "a plain",
        ),
        (
            dt.time(tzinfo=OwnZone()),
            "has a time zone of type test_refusals.OwnZone",
            "use zoneinfo.ZoneInfo",
        ),
        ("ab\ud800", "has half of a surrogate pair in its text, '\\ud800' at 2", "as bytes"),
        (Path("\udcff"), "has half of a surrogate pair", "os.fsencode(path)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_it_says_why_and_what_to_do(value, reason, remedy):
    found = refusal([value])
    assert found.startswith(f"it, [0] {reason}")
    assert remedy in found


@pytest.mark.parametrize("careful", [[], [2**64]], ids=["", "with a large int"])
def test_half_of_a_surrogate_pair_is_refused_wherever_it_is(careful):
    for value in (
        ["\ud800"],
        {"\udfff": 1},
        {"\udfff": None},
        {"a": "\ud800"},
        {1: "\ud800"},
        {("\ud800",)},
    ):
        assert "has half of a surrogate pair in its text" in refusal([*careful, value])


def test_what_is_left_for_msgspec_to_refuse():
    zone = dt.timezone(dt.timedelta(hours=1), "\ud800")
    assert refusal(zone).startswith("it cannot be stored: 'utf-8' codec can't encode character")


def test_what_contains_itself():
    ring = []
    ring.append({"again": ring})
    assert refusal([1, ring]).startswith("it, [1][0]['again'] is it, [1] again: what contains its")
    line = Line("x")
    line.price = (line,)
    assert refusal(line).startswith("it, .price[0] is it again: what contains itself cannot be")


@pytest.mark.parametrize("nest", [lambda x: [x], lambda x: {"a": x}, lambda x: (x,), Line])
def test_depth_is_bounded(nest):
    value = 1
    for _ in range(100):
        value = nest(value)
    assert codec.decode(codec.encode(value)) == value
    assert codec.decode_call(codec.encode_call((value,), {"a": value})) == ((value,), {"a": value})
    value = nest(value)
    assert "is nested more than 100 levels deep: store a flatter form" in refusal(value)
    with pytest.raises(SerializationError, match="argument 1 of f, .* is nested more than 100"):
        codec.encode_call((value,), {}, "f")
    with pytest.raises(SerializationError, match="argument 'a' of f, .* is nested more than 100"):
        codec.encode_call((), {"a": value}, "f")
    roomy = MsgpackCodec(max_depth=101)
    assert roomy.decode(roomy.encode(value)) == value


def test_the_bound_is_checked():
    with pytest.raises(ValueError, match="max_depth must be at least 1, not 0"):
        MsgpackCodec(max_depth=0)


def test_a_stack_without_room_is_an_error_of_ours():
    value = [(1,)]
    for _ in range(5000):
        value = [value]
    with pytest.raises(SerializationError, match="deeper than Python's stack has room for"):
        MsgpackCodec(max_depth=10_000).encode(value)
    with pytest.raises(SerializationError, match="an argument of fetch is nested deeper than Pyth"):
        MsgpackCodec(max_depth=10_000).encode_call((value,), {}, "fetch")


def test_a_property_that_raises():
    value = Line("x")
    del value.__dict__["name"]
    assert "it, [0] cannot be taken apart: AttributeError:" in refusal([value])


def test_a_refusal_leaves_no_trace_in_the_message_of_the_next():
    assert refusal([lock]) == refusal([lock])

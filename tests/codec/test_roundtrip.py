"""Whatever can be stored comes back equal and of the same type, however it is nested."""

import math
import sys
import zoneinfo
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PurePosixPath, PureWindowsPath
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wares import (
    Box,
    Colour,
    Counted,
    Customer,
    Kind,
    Line,
    Offer,
    Old,
    Open,
    Pair,
    Point,
    Right,
    Root,
    Size,
    Spot,
    told,
)

from windlass.codecs import MsgpackCodec

codec = MsgpackCodec()
ZONES = [
    None,
    UTC,
    timezone(timedelta(hours=-3, minutes=30, microseconds=7)),
    timezone(timedelta(hours=1), "Here"),
    zoneinfo.ZoneInfo("Europe/Berlin"),
    zoneinfo.ZoneInfo("UTC"),
]
zones = st.sampled_from(ZONES)
folds = st.integers(0, 1)
texts = st.text(st.characters(exclude_categories=["Cs"]))

hashables = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    texts,
    st.binary(),
    st.builds(lambda moment, fold: moment.replace(fold=fold), st.datetimes(timezones=zones), folds),
    st.dates(),
    st.builds(lambda at, fold: at.replace(fold=fold), st.times(timezones=zones), folds),
    st.timedeltas(),
    zones,
    st.decimals().filter(lambda number: not number.is_snan()),  # not hashable
    st.uuids(),
    st.sampled_from([*Colour, *Size, *Kind, Right(0), Right.READ, Right.READ | Right.WRITE]),
    st.builds(Path, texts.filter(lambda text: "\0" not in text)),
    st.builds(PurePosixPath, texts),
    st.builds(PureWindowsPath, st.sampled_from(["", "C:/a", "//host/share/x", "a\\b"])),
)
keys = st.recursive(
    hashables,
    lambda inner: st.one_of(
        st.tuples(inner, inner),
        st.frozensets(inner, max_size=3),
        st.builds(Pair, inner, inner),
        st.builds(Point, x=inner, y=inner),
    ),
    max_leaves=5,
)
values = st.recursive(
    keys,
    lambda inner: st.one_of(
        st.lists(inner),
        st.lists(inner).map(tuple),
        st.dictionaries(texts, inner),
        st.dictionaries(keys, inner, max_size=4),
        st.sets(keys, max_size=4),
        st.builds(Line, inner, inner),
        st.builds(Box, inner),
        st.builds(Offer, inner, inner),
        st.builds(Spot, long_name=inner, other=inner),
        st.builds(Customer, name=inner, tags=st.sets(texts), remark=texts),
        st.builds(Open, known=inner, beyond=inner),
        st.builds(Old, inner, inner),
    ),
    max_leaves=12,
)


@settings(max_examples=400, deadline=None)
@given(values)
def test_every_value_comes_back_as_it_was(value):
    assert told(codec.decode(codec.encode(value))) == told(value)


@settings(max_examples=150, deadline=None)
@given(st.lists(values, max_size=4).map(tuple), st.dictionaries(texts, values, max_size=3))
def test_every_call_comes_back_as_it_was(args, kwargs):
    found = codec.decode_call(codec.encode_call(args, kwargs))
    assert told(found) == told((args, kwargs))


@pytest.mark.parametrize(
    "value",
    [
        2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**5000, True, False,
        math.nan, math.inf, -math.inf, -0.0, 5e-324, sys.float_info.max,
        "", "é", "\0", "😀", b"", bytes(range(256)),
        [], (), {}, set(), frozenset(), [()], ([],), {(): {}}, [[]], {"": {}},
        date.min, date.max, datetime.max.replace(tzinfo=UTC), time.max,
        datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
        time(1, 2, tzinfo=zoneinfo.ZoneInfo("Asia/Tokyo")),
        timedelta.min, timedelta.max, timedelta(0), timezone.max, timezone.min,
        Decimal("NaN"), Decimal("sNaN123"), Decimal("-Infinity"), Decimal("-0.00"),
        Decimal("1E+999999"), Decimal("1." + "3" * 60), UUID(int=0),
        Path(), Path("/a/../b"), PurePosixPath("//a"), PureWindowsPath("C:\\x"),
        Colour.AZURE, Size.LARGE, Kind.BOOK, Right(0), ~Right.READ,
        {1: "int", "1": "text", (1,): "tuple", None: "none", b"1": "bytes"},
        {True: 1}, {1.5: 1}, {math.nan: 1}, {frozenset({1}): {"a": {2}}}, {"": (1, [2, (3,)])},
        Root([1, 2]), Pair(1), Old(1, Old(2, 3)), Box[int](1), Line(Line(Line(None))),
        [2**64, "x", [1, 2.0, None], {"a": 1, "b": [2**70]}, ("é", 3)],
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_corner_cases(value):
    assert told(codec.decode(codec.encode(value))) == told(value)


def test_dicts_keep_their_order():
    assert list(codec.decode(codec.encode({"b": 1, "a": (), "c": 3}))) == ["b", "a", "c"]
    assert list(codec.decode(codec.encode({2: 1, 1: 1, 3: 1}))) == [2, 1, 3]


def test_members_of_enums_are_the_very_ones():
    assert codec.decode(codec.encode([Colour.BLUE]))[0] is Colour.BLUE


def test_a_constructor_runs_and_what_it_changes_is_as_it_was_stored():
    value = Counted(1)
    value.seen.append(7)
    found = codec.decode(codec.encode(value))
    assert (found.count, found.seen, found.doubled) == (11, [7], 42)
    spot = Spot(long_name=(1,))
    assert codec.decode(codec.encode(spot)) == spot
    msgspec.structs.force_setattr(spot, "other", "set later")
    assert codec.decode(codec.encode(spot)).other == "set later"


def test_a_model_comes_back_with_what_was_set_and_what_is_private():
    value = Customer(name=("x", 1), remark="hm")
    value._secret = {1, 2}
    found = codec.decode(codec.encode(value))
    assert told(found) == told(value)
    assert found.model_fields_set == {"name", "note"}
    assert told(codec.decode(codec.encode(Open(more=(1,))))) == told(Open(more=(1,)))


def test_what_was_shared_comes_back_twice():
    inner = [()]
    one, other = codec.decode(codec.encode([inner, inner]))
    assert one == other == inner
    assert one is not other


def test_large_values():
    value = {"numbers": tuple(range(200_000)), "texts": ["x" * 100] * 10_000, "data": bytes(10**6)}
    assert codec.decode(codec.encode(value)) == value


@pytest.mark.parametrize("data", [bytearray, memoryview])
def test_bytes_of_any_kind_are_read(data):
    assert codec.decode(data(codec.encode([1, (2,)]))) == [1, (2,)]
    assert codec.decode_call(data(codec.encode_call((1,), {"a": 2}))) == ((1,), {"a": 2})


def test_small_values_are_small():
    """One byte for the version, four for the checksum, and the value."""
    assert len(codec.encode(1)) == 6
    assert len(codec.encode_call(("x",), {})) == 5 + 1 + 3 + 1

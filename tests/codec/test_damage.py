"""Bytes that are not what was written: always StoreCorruptError, and nothing is run or imported."""

import random
import sys
from zlib import crc32

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from wares import Colour, Customer, Line, Offer, Pair, ShopError

from windlass import SerializationError, StoreCorruptError, StoreError, TaskError
from windlass.codecs import MsgpackCodec
from windlass.codecs.registry import form_for

codec = MsgpackCodec()
SAMPLES = [
    codec.encode(None),
    codec.encode({"a": [1, 2.5, "text", b"bytes"], "b": None}),
    codec.encode([Line((1, {2: {3}})), Offer("x"), Customer(name="n"), Pair(1), Colour.RED, 2**70]),
    codec.encode_call(("https://example.org",), {"depth": 3}),
    codec.encode_call((("a",),), {"line": Line(1)}),
    codec.encode_error(ShopError(7, why="sold")),
]
READERS = [codec.decode, codec.decode_call, codec.decode_error]


def sealed(body, lead=0x11):
    """A body with the right checksum, as somebody would make who means harm."""
    return bytes([lead]) + crc32(bytes([lead]) + body).to_bytes(4, "little") + body


def tree(*node):
    return sealed(msgspec.msgpack.encode(list(node)))


@pytest.mark.parametrize("data", SAMPLES, ids=range(len(SAMPLES)))
@pytest.mark.parametrize("read", READERS)
def test_every_flipped_bit_and_every_cut_is_found(data, read):
    for place in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << place % 8
        with pytest.raises(StoreCorruptError):
            read(bytes(flipped))
    for length in range(len(data)):
        with pytest.raises(StoreCorruptError):
            read(data[:length])
    with pytest.raises(StoreCorruptError):
        read(data + b"\0")


@given(st.binary(max_size=60))
def test_noise_is_found(data):
    for read in READERS:
        with pytest.raises(StoreCorruptError):
            read(data)


@pytest.mark.parametrize("data", [None, "text", 3, 1.5, [1]])
def test_what_is_no_bytes_at_all(data):
    with pytest.raises(StoreCorruptError, match="^the result: what was stored is cut off, or no b"):
        codec.decode(data, "the result")


def test_the_message_says_what_is_damaged_and_what_to_do():
    data = codec.encode("x")[:-1] + b"y"
    message = (
        r"^the arguments of f \[t1\]: what was stored is damaged, its checksum is \w{8} and sho"
    )
    with pytest.raises(StoreCorruptError, match=message):
        codec.decode_call(data, "f [t1]")


def test_a_later_version_is_not_damage():
    with pytest.raises(StoreError, match=r"by a later version of Windlass \(format 2\.0") as caught:
        codec.decode(sealed(b"\x01", lead=0x20), "it")
    assert type(caught.value) is StoreError
    with pytest.raises(StoreError, match=r"format 1\.2, and this one reads up to 1\.1"):
        codec.decode(sealed(b"\x01", lead=0x12), "it")


LINE = form_for(Line).id


@pytest.mark.parametrize(
    "data",
    [
        tree(), tree(99), tree(99, 1), tree(1), tree(1, 1, 1), tree("a", 1), tree(None, 1),
        tree([2, []], 1), tree(2, 3), tree(2, {"a": 1}), tree(4, [1], [1, 2]),
        tree(4, [[1, []]], [1]), tree(5, [[1, []]]), tree(7, 3, 4), tree(8, "t"),
        tree(8, 1), tree(10, b""), tree(16, "x"), tree(17, "no date"), tree(18, "x"),
        tree(19, ["2020-01-01", 2, None]),
        tree(19, ["2020-01-01", 0, "../../etc/passwd"]), tree(22, "os.path"), tree(22, "a..b"),
        tree(20, [10**12, 0, 0]), tree(21, [10**15]), tree(23, "one"), tree(24, b"short"),
        tree(25, 1), tree(3, [1]), tree(3, 1), sealed(b""), sealed(b"\xc1"), sealed(b"\x01\x01"),
        sealed(b"\x80"), sealed(b"\xd4\x05a", lead=0x10), sealed(b"\xdd\xff\xff\xff\xff"),
        sealed(b"\xc6\xff\xff\xff\xff"), sealed(b"\x91" * 100_000),
        sealed(b"\x92\x02\x91" * 30_000 + b"\x01"),
        sealed(b"\xa1\xff"), sealed(b"\x91" * 100_000, lead=0x10),
        sealed(msgspec.msgpack.encode(msgspec.msgpack.Ext(-1, b"\0\0\0\0"))),
    ],
    ids=lambda data: data[5:25].hex(),
)  # fmt: skip
def test_what_was_never_written_makes_no_sense(data):
    with pytest.raises(StoreCorruptError, match="^it: what was stored has the right checksum and "):
        codec.decode(data, "it")
    with pytest.raises(StoreCorruptError):
        codec.decode_call(data)
    with pytest.raises(StoreCorruptError):
        codec.decode_error(data)


def test_a_value_is_no_error_and_no_call():
    with pytest.raises(StoreCorruptError):
        codec.decode_error(codec.encode([1, 2]))
    with pytest.raises(StoreCorruptError, match="a str where an exception should be"):
        codec.decode_error(tree("a", "b", "c", "d"))
    with pytest.raises(StoreCorruptError):
        codec.decode_call(codec.encode(1))
    for lead in 0x10, 0x11:
        for call in [1, 2], [[], []], [[1], ["a"]], [{}, {}], [[], {1: 2}], [[], {}, 3]:
            with pytest.raises(StoreCorruptError):
                codec.decode_call(sealed(msgspec.msgpack.encode(call), lead))


@pytest.mark.parametrize(
    "id", ["os.system", "subprocess.Popen", "builtins.eval", "this", "", "x" * 999]
)
def test_a_name_in_the_bytes_is_looked_up_among_registered_ones_only(id):
    before = set(sys.modules)
    with pytest.raises(SerializationError, match="no such type is registered here"):
        codec.decode(tree(7, id, {"args": [2, ["true"]]}))
    assert set(sys.modules) == before


def test_a_time_zone_that_is_not_known_here_is_named():
    with pytest.raises(
        SerializationError, match=r"^it: the time zone 'Nowhere/Land' was stored, and"
    ):
        codec.decode(tree(22, "Nowhere/Land"), "it")


nodes = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-5, 40), st.floats(), st.text(max_size=5),
        st.binary(max_size=5), st.sampled_from([LINE, "builtins.ValueError", "builtins.OSError"]),
        st.sampled_from(["args", "state", "cause", "name", "RED", form_for(Colour).id]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(st.integers(0, 30), inner).map(list),
        st.tuples(st.just(7), st.sampled_from([LINE, "builtins.OSError"]), inner).map(list),
        st.dictionaries(st.text(max_size=3), inner, max_size=3),
    ),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(nodes, st.sampled_from(READERS), st.sampled_from([0x10, 0x11]))
@example([7, "builtins.BaseExceptionGroup", {"args": 1}], codec.decode, 0x11)
def test_well_formed_nonsense_is_an_error_of_ours_or_a_value(node, read, lead):
    try:
        read(sealed(msgspec.msgpack.encode(node), lead))
    except TaskError:
        pass  # StoreCorruptError, or SerializationError from a class that refuses its parts


def test_mutated_rows_with_a_right_checksum_are_an_error_of_ours_or_a_value():
    draw = random.Random(7)
    for _ in range(4000):
        body = bytearray(draw.choice(SAMPLES)[5:])
        for _ in range(draw.randint(1, 3)):
            body[draw.randrange(len(body))] = draw.randrange(256)
        try:
            draw.choice(READERS)(sealed(bytes(body), draw.choice([0x10, 0x11])))
        except TaskError:
            pass

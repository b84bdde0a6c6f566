"""Rows as the first version of the format wrote them: later ones must read them for ever."""

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PurePosixPath, PureWindowsPath
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from wares import Colour, Customer, Line, Offer, Pair, Right, Root, Size, told

from windlass.codecs import MsgpackCodec

codec = MsgpackCodec()

# Nothing in here may ever change. What is written differently from some version on gets a new row.
ROWS = [
    (None, "101ec27f90c0"),
    ({"a": [1, 2.5, "é", b"x", True]}, "105920313b81a1619501cb4004000000000000a2c3a9c40178c3"),
    (
        (1, [(), []], {"a": (1,)}, {1: 2}, {(2,): {3}}, frozenset({4})),
        (
            "11237a6d2c92029601920192920290920090920381a1619202910193049101910293049192029102"
            "919205910392069104"
        ),
    ),
    ([2**64, -(2**63) - 1], "11b08e48ef9201929210c4090000000000000000019210c409ffffffffffffff7fff"),
    (
        [date(2024, 2, 29), time(1, 2, 3, 4, tzinfo=UTC), timedelta(-1, 2, 3)],
        (
            "114caaca769201939211aa323032342d30322d3239921293af30313a30323a30332e303030303034"
            "009100921493ff0203"
        ),
    ),
    (
        [datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")), datetime.max],  # noqa: DTZ901
        (
            "119a9b15cf920192921393b3323032342d31302d32375430323a33303a303001ad4575726f70652f"
            "4265726c696e921393ba393939392d31322d33315432333a35393a35392e39393939393900c0"
        ),
    ),
    (
        [timezone(timedelta(hours=1), "Here"), ZoneInfo("UTC"), Decimal("-0.10"), UUID(int=7)],
        (
            "118af094cd920194921592ced693a400a4486572659216a35554439217a52d302e31309218c41000"
            "000000000000000000000000000007"
        ),
    ),
    (
        [Path("/a"), PurePosixPath("b"), PureWindowsPath("C:/c")],
        "1145b383c79201939219a22f61921aa162921ba4433a5c63",
    ),
    (
        [Colour.BLUE, Size.LARGE, Right.READ | Right.WRITE],
        (
            "11570bf98d9201939307ac77617265732e436f6c6f7572a4424c55459307aa77617265732e53697a"
            "65a54c415247459307ab77617265732e526967687403"
        ),
    ),
    (
        [Line("x", (1,)), Offer("y"), Pair(1), Customer(name="z", remark="r"), Root([1])],
        (
            "11ce45a1469201959307aa77617265732e4c696e6582a46e616d65a178a570726963659202910193"
            "07ab77617265732e4f6666657282a57469746c65a179a57072696365009307aa77617265732e5061"
            "697282a46c65667401a57269676874c09307ae77617265732e437573746f6d657286a46e616d65a1"
            "7aa474616773920590a46e6f7465a172b75f5f707964616e7469635f6669656c64735f7365745f5f"
            "920592a46e6f7465a46e616d65b25f5f707964616e7469635f65787472615f5fc0b45f5f70796461"
            "6e7469635f707269766174655f5f920081a75f736563726574c09307aa77617265732e526f6f7484"
            "a4726f6f7492009101b75f5f707964616e7469635f6669656c64735f7365745f5f920591a4726f6f"
            "74b25f5f707964616e7469635f65787472615f5fc0b45f5f707964616e7469635f70726976617465"
            "5f5fc0"
        ),
    ),
]


@pytest.mark.parametrize(("value", "stored"), ROWS, ids=range(len(ROWS)))
def test_values_of_the_first_version_are_read(value, stored):
    assert told(codec.decode(bytes.fromhex(stored))) == told(value)


@pytest.mark.parametrize(("value", "stored"), ROWS[:2], ids=range(2))
def test_what_is_written_now_is_what_was_written_then(value, stored):
    """Sets have no order, and Path has another name elsewhere; these hold for all."""
    assert codec.encode(value).hex() == stored


def test_calls_and_errors_of_the_first_version_are_read():
    call = bytes.fromhex(
        "11c64c5e579292019202910281a1619307aa77617265732e4c696e6582a46e616d6501a5707269636500"
    )
    assert codec.decode_call(call) == ((1, (2,)), {"a": Line(1)})
    call = bytes.fromhex("101629f9b992910180")
    assert codec.decode_call(call) == ((1,), {})
    error, traceback = codec.decode_error(
        bytes.fromhex(
            "11889bbe4594b146696c654e6f74466f756e644572726f72b15b4572726e6f20325d204e6f3a2027"
            "6627a954726163656261636b9307ba6275696c74696e732e46696c654e6f74466f756e644572726f"
            "7282a46172677392029302a24e6fa166a57374617465c0"
        )
    )
    assert (type(error), error.errno, error.filename) == (FileNotFoundError, 2, "f")
    assert traceback == "Traceback"

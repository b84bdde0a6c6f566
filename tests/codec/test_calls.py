"""Calls: arguments, and references to other tasks among them."""

import pytest
from wares import Line, Offer, told

from windlass import SerializationError, StoreCorruptError, TaskNotFoundError
from windlass.codecs import MsgpackCodec

codec = MsgpackCodec()


class Handle:
    """Stands for another task, as the caller's handles do."""

    def __init__(self, id):
        self.id = id

    def __eq__(self, other):
        return type(other) is Handle and other.id == self.id

    def __hash__(self):
        return hash(self.id)


def reference(value):
    return value.id if type(value) is Handle else None


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((), {}),
        (("https://example.org/x",), {}),
        ((1, [2, {"a": None}]), {"b": b""}),
        (((),), {}),
        ((), {"a": (1, 2)}),
        (({1: 2},), {"a": 2**64}),
        (([],), {"": "", "é": {}}),
    ],
)
def test_calls_come_back(args, kwargs):
    assert told(codec.decode_call(codec.encode_call(args, kwargs))) == told((args, kwargs))


@pytest.mark.parametrize("large", [0, 2**70], ids=["", "with a large int"])
def test_references_are_stored_by_id_wherever_they_are(large):
    args = (Handle("a"), [1, Handle("b")], {"x": (Handle("a"),)}, {Handle("c"): {Handle("d")}})
    kwargs = {"line": Line(Handle("e")), "offer": Offer(Handle("f"), [large])}
    asked = []
    data = codec.encode_call(
        args, kwargs, "fetch", lambda value: asked.append(value) or reference(value)
    )
    assert {value.id for value in asked if type(value) is Handle} == set("abcdef")
    assert codec.decode_call(data, "fetch", Handle) == (args, kwargs)
    resolved = codec.decode_call(data, "fetch", str.upper)[0]
    assert resolved == ("A", [1, "B"], {"x": ("A",)}, {"C": {"D"}})


def test_without_the_hook_a_handle_is_an_object_like_any_other():
    with pytest.raises(SerializationError, match=r"argument 1 of f is a test_calls\.Handle, which"):
        codec.encode_call((Handle("a"),), {}, "f")


def test_what_resolving_raises_is_passed_on():
    data = codec.encode_call((Handle("a"),), {}, "f", reference)

    def resolve(id):
        raise TaskNotFoundError(f"no task {id}", id)

    with pytest.raises(TaskNotFoundError, match="^no task a$"):
        codec.decode_call(data, "f", resolve)


def test_a_reference_where_there_can_be_none():
    data = codec.encode_call((Handle("a"),), {}, "f", reference)
    with pytest.raises(StoreCorruptError, match="a reference to the task 'a', where there can be"):
        codec.decode_call(data, "f")

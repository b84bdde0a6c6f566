"""Registration: which classes, under which ids, and what becomes of those that change."""

import dataclasses
import enum
import subprocess
import sys
import textwrap
import typing
from collections import namedtuple
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, TypeVar

import msgspec
import pydantic
import pytest
from wares import Colour, Line, told

from windlass import SerializationError, register_type
from windlass.codecs import MsgpackCodec, registry, types_in

codec = MsgpackCodec()


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch):
    monkeypatch.setattr(registry, "_by_type", dict(registry._by_type))
    monkeypatch.setattr(registry, "_by_id", dict(registry._by_id))


def forget(kind):
    form = registry._by_type.pop(kind)
    for id in [id for id, known in registry._by_id.items() if known is form]:
        del registry._by_id[id]


# -- registering -----------------------------------------------------------------------------------


def test_it_is_a_decorator_and_a_function():
    @register_type
    @dataclasses.dataclass
    class One:
        x: int

    @register_type(id="shop.Two")
    @dataclasses.dataclass
    class Two:
        x: int

    @dataclasses.dataclass
    class Three:
        x: int

    assert register_type(Three, id="shop.Three") is Three
    assert codec.decode(codec.encode([One(1), Two(2), Three(3)])) == [One(1), Two(2), Three(3)]
    assert b"shop.Two" in codec.encode(Two(2))


def test_a_renamed_class_reads_what_was_stored():
    @dataclasses.dataclass
    class Order:
        x: int

    register_type(Order, id="shop.Order")
    data = codec.encode(Order(1))
    forget(Order)

    @register_type(id="shop.Purchase", aliases=["shop.Order"])
    @dataclasses.dataclass
    class Purchase:
        x: int

    assert codec.decode(data) == Purchase(1)
    assert b"shop.Purchase" in codec.encode(codec.decode(data))


def test_a_class_that_is_not_registered_any_more_is_named():
    @register_type(id="shop.Order")
    @dataclasses.dataclass
    class Order:
        x: int

    data = codec.encode([Order(1)])
    forget(Order)
    message = r"^it: a value of the type 'shop\.Order' was stored.*aliases=\['shop\.Order'\]$"
    with pytest.raises(SerializationError, match=message):
        codec.decode(data, "it")


def test_an_id_stands_for_one_class():
    first, second = enum.Enum("A", "RED"), enum.Enum("B", "RED")
    register_type(first, id="shop.Colour")
    with pytest.raises(ValueError, match=r"the id 'shop\.Colour' stands for .*A already: give .*B"):
        register_type(second, id="shop.Colour")
    with pytest.raises(ValueError, match=r"'builtins\.OSError' stands for builtins\.OSError alr"):
        register_type(second, id="builtins.OSError")


def test_registering_again_changes_nothing():
    data = codec.encode(Line(1))
    register_type(Line)
    register_type(Line, id="shop.Line")
    assert codec.decode(data) == Line(1)
    assert codec.decode(codec.encode(Line(1))) == Line(1)


def test_a_class_that_is_defined_anew_takes_the_place_of_the_old_one():
    def define():
        @register_type
        @dataclasses.dataclass
        class Cell:
            x: int

        return Cell

    old, new = define(), define()
    assert type(codec.decode(codec.encode(new(1)))) is new
    with pytest.raises(SerializationError, match="a dataclass that is not registered"):
        codec.encode(old(1))


def test_a_class_of_a_script_is_known_by_its_file(tmp_path):
    script = tmp_path / "shop.py"
    script.write_text(
        textwrap.dedent("""
        import dataclasses, windlass
        from windlass.codecs import MsgpackCodec

        @windlass.register_type
        @dataclasses.dataclass
        class Order:
            x: int

        if __name__ == "__main__":
            print(MsgpackCodec().encode(Order(7)).hex())
        """)
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=True
    )
    assert b"shop.Order" in bytes.fromhex(done.stdout)


@pytest.mark.parametrize(
    ("cls", "options", "error", "words"),
    [
        (int, {}, TypeError, "int cannot be registered: only dataclasses, msgspec Structs"),
        (type("Plain", (), {}), {}, TypeError, "Put @dataclass below @register_type"),
        (3, {}, TypeError, "register_type takes a class, not 3"),
        (Line, {"id": 3}, TypeError, "take texts, not [3]"),
        (Line, {"aliases": "x"}, TypeError, "not one text: write aliases=['x']"),
        (Line, {"aliases": [None]}, TypeError, "take texts"),
        (
            dataclasses.make_dataclass("Bag", ["x"], bases=(dict,)),
            {},
            TypeError,
            "as a subclass of dict it holds more than its fields",
        ),
        (
            dataclasses.make_dataclass("Odd", [("x", dataclasses.InitVar[int])]),
            {},
            TypeError,
            "its constructor needs 'x', which is not among the fields that are stored",
        ),
    ],
)
def test_what_cannot_be_registered_is_refused_at_once(cls, options, error, words):
    with pytest.raises(error) as caught:
        register_type(cls, **options)
    assert words in str(caught.value)


# -- classes that have changed ---------------------------------------------------------------------


def changed(old, new, value):
    """``value`` of the class ``old``, as it comes back when that has become ``new``."""
    register_type(old, id="shop.Thing")
    data = codec.encode(value)
    forget(old)
    register_type(new, id="shop.Thing")
    return codec.decode(data, "it")


def makers():
    def data(*fields):
        return dataclasses.make_dataclass("Thing", fields)

    def struct(*fields):
        return msgspec.defstruct("Thing", fields)

    def model(*fields):
        return pydantic.create_model(
            "Thing", **{name: (kind, *(default or [...])) for name, kind, *default in fields}
        )

    return [data, struct, model]


@pytest.mark.parametrize("make", makers(), ids=["dataclass", "Struct", "model"])
def test_fields_come_and_go(make):
    old = make(("x", int))
    found = changed(old, make(("x", int), ("y", int, 5)), old(x=1))
    assert (found.x, found.y) == (1, 5)
    forget(type(found))
    with pytest.raises(SerializationError, match=r"^it: .*Thing.*'?y'?"):
        changed(old, make(("x", int), ("y", int)), old(x=1))
    old, new = make(("x", int), ("y", int)), make(("x", int))
    forget(next(kind for kind, form in registry._by_type.items() if form.id == "shop.Thing"))
    with pytest.raises(SerializationError, match="has no field 'y', and it was stored with one"):
        changed(old, new, old(x=1, y=2))


def test_named_tuples_change_as_well():
    old = NamedTuple("Thing", [("x", int)])  # noqa: UP014  # one name, two classes
    with pytest.raises(SerializationError, match="it: a .*Thing cannot be built again .*TypeError"):
        changed(old, namedtuple("Thing", "x y"), old(1))


def test_a_member_that_is_gone_is_named():
    old = enum.Enum("Thing", "RED BLUE")
    new = enum.Enum("Thing", {"RED": 7})
    assert changed(old, new, old.RED) is new.RED
    forget(new)
    with pytest.raises(SerializationError, match=r"^it: .*Thing has no member 'BLUE', which was"):
        changed(old, enum.Enum("Thing", "RED"), old.BLUE)


def test_a_constructor_that_refuses_is_named():
    @dataclasses.dataclass
    class Thing:
        x: int

    @dataclasses.dataclass
    class Strict:
        x: int

        def __post_init__(self):
            raise LookupError("not like this")

    Strict.__qualname__ = Thing.__qualname__
    with pytest.raises(SerializationError, match=r"cannot be built again .* LookupError: not like"):
        changed(Thing, Strict, Thing(1))


# -- annotations -----------------------------------------------------------------------------------


@dataclasses.dataclass
class Leaf:
    x: int


@dataclasses.dataclass
class Tree:
    leaf: "Leaf | None"
    more: "list[Tree]"
    colour: Colour


@dataclasses.dataclass
class Unresolved:
    x: "NowhereToBeFound"  # noqa: F821


class Shade(enum.Enum):
    DARK = 1


class Bag(dict):
    pass


@dataclasses.dataclass
class Needy:
    x: dataclasses.InitVar[int]


T = TypeVar("T", bound=Leaf)


@dataclasses.dataclass
class Crate(Generic[T]):
    x: T


Number = NewType("Number", Leaf)


@pytest.mark.parametrize(
    ("hint", "found"),
    [
        (int, []),
        (Any, []),
        (None, []),
        ("Leaf", []),
        (Bag, []),
        (Needy, []),
        (datetime, []),
        (Colour, []),
        (Leaf, [Leaf]),
        (list[Leaf], [Leaf]),
        (dict[str, Leaf | None], [Leaf]),
        (typing.Optional[tuple[Leaf, ...]], [Leaf]),  # noqa: UP045
        (Annotated[Leaf, [1]], [Leaf]),
        (Literal[Shade.DARK], [Shade]),
        (Callable[[Leaf], Shade], [Leaf, Shade]),
        (Number, [Leaf]),
        (T, [Leaf]),
        (Crate[Leaf], [Crate, Leaf]),
        (Tree, [Leaf, Tree]),
        (Unresolved, [Unresolved]),
    ],
    ids=repr,
)
def test_classes_in_annotations(hint, found):
    assert sorted(types_in({"x": hint}), key=repr) == sorted(found, key=repr)


def test_classes_below_registered_ones_are_found_too():
    register_type(Tree)
    assert types_in({"return": Tree}) == [Leaf]


def test_what_is_found_can_be_registered():
    def function(tree: Tree, *, shade: Shade) -> Crate[Leaf]: ...

    for kind in types_in(typing.get_type_hints(function)):
        register_type(kind)
    value = [Tree(Leaf(1), [], Colour.RED), Shade.DARK, Crate(Leaf(2))]
    assert told(codec.decode(codec.encode(value))) == told(value)
    assert types_in(typing.get_type_hints(function)) == []


# -- what is imported ------------------------------------------------------------------------------


def test_nothing_is_imported_before_it_is_needed():
    code = """
        import sys
        import windlass
        assert "msgspec" not in sys.modules
        from windlass import codecs
        codecs.types_in({"x": int})
        assert "msgspec" not in sys.modules
        codec = codecs.MsgpackCodec()
        assert codec.decode(codec.encode([(1,), {2}])) == [(1,), {2}]
        assert "msgspec" in sys.modules
        assert "pydantic" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], timeout=60, check=True)


def test_the_names_of_the_package():
    from windlass import codecs

    assert set(codecs.__all__) == {"MsgpackCodec", "register_type", "types_in"}
    assert set(codecs.__all__) <= set(dir(codecs))
    with pytest.raises(AttributeError, match=r"'windlass\.codecs' has no attribute 'Codex'"):
        codecs.Codex  # noqa: B018

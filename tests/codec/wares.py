"""Classes of every sort that can be registered, and what the tests compare values by."""

import dataclasses
import enum
from collections import namedtuple
from datetime import datetime, time
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
import pydantic

from windlass import register_type

T = TypeVar("T")


@register_type
class Colour(enum.Enum):
    RED = "red"
    BLUE = (0, 0, 255)
    AZURE = (0, 0, 255)  # noqa: PIE796  # another name for BLUE


@register_type
class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


@register_type
class Kind(enum.StrEnum):
    BOOK = "book"


@register_type
class Right(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


@register_type
@dataclasses.dataclass
class Line:
    name: Any
    price: Any = 0


@register_type
@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    x: Any
    y: Any = None


@register_type
@dataclasses.dataclass
class Counted:
    """Its constructor changes what it is given, has a field of its own and needs a lock."""

    count: int
    start: dataclasses.InitVar[int] = 10
    seen: list[int] = dataclasses.field(init=False, default_factory=list)

    def __post_init__(self, start):
        self.count += start
        self.doubled = 2 * self.count


@register_type
@dataclasses.dataclass
class Box(Generic[T]):
    content: T


@register_type
class Offer(msgspec.Struct):
    title: Any
    price: Any = 0


@register_type
class Spot(msgspec.Struct, frozen=True, kw_only=True, tag=True, rename="camel", array_like=True):
    long_name: Any
    other: Any = None

    def __post_init__(self):
        msgspec.structs.force_setattr(self, "other", "set by __post_init__")


@register_type
class Customer(pydantic.BaseModel):
    name: Any
    tags: set[str] = set()
    note: str = pydantic.Field(default="", alias="remark")
    _secret: Any = pydantic.PrivateAttr(default=None)


@register_type
class Open(pydantic.BaseModel, frozen=True, extra="allow"):
    known: Any = None


@register_type
class Root(pydantic.RootModel[list[int]]):
    pass


@register_type
class Pair(NamedTuple):
    left: Any
    right: Any = None


Old = register_type(namedtuple("Old", "a b"))


@register_type
class ShopError(Exception):
    """One that does not take its own ``args``, as most exceptions of users do."""

    def __init__(self, order: int, *, why: str):
        super().__init__(f"order {order}: {why}")
        self.order = order
        self.why = why


@register_type
class DiskError(OSError):
    def __init__(self, code: int, text: str, name: str):
        super().__init__(code, text, name)
        self.extra = "x"


class StrangeError(Exception):
    """Not registered."""


class NotRegistered(enum.Enum):
    ONE = 1


@dataclasses.dataclass
class Unknown:
    name: str = ""


class Sums(dict):
    """A subclass of a builtin."""


def told(value: Any) -> Any:
    """A value told in types and texts: two are the same if this is, and nan is nan."""
    kind = type(value)
    parts: Any
    if isinstance(value, list | tuple):
        parts = [told(part) for part in value]
    elif isinstance(value, dict):
        parts = [(told(key), told(part)) for key, part in value.items()]
    elif isinstance(value, set | frozenset):
        parts = sorted(repr(told(part)) for part in value)
    elif isinstance(value, time | datetime):
        parts = (repr(value), value.fold, type(value.tzinfo), str(value.tzinfo))
    elif isinstance(value, pydantic.BaseModel):
        names = ("__pydantic_extra__", "__pydantic_private__", "__pydantic_fields_set__")
        parts = told([value.__dict__, *(getattr(value, name) for name in names)])
    elif dataclasses.is_dataclass(value):
        parts = [told(getattr(value, field.name)) for field in dataclasses.fields(value)]
    elif isinstance(value, msgspec.Struct):
        parts = [told(getattr(value, name)) for name in value.__struct_fields__]
    else:
        parts = hex(value) if kind is int else repr(value)  # no digit limit
    return kind, parts

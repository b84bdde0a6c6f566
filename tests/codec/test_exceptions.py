"""Exceptions: built-in and registered ones return as themselves, others as what can be said."""

import builtins
import json
import pickle
import socket
import traceback

import pytest
from wares import DiskError, ShopError, StrangeError, Unknown

import windlass
from windlass import (
    DeadlockError,
    RemoteError,
    SerializationError,
    Snooze,
    StoreCorruptError,
    TaskExecutionError,
    TaskNotFoundError,
    TaskTimeoutError,
    register_type,
)
from windlass.codecs import MsgpackCodec, registry

codec = MsgpackCodec()


def there_and_back(error, **options):
    return codec.decode_error(codec.encode_error(error, **options))


def raised(error):
    try:
        raise error
    except BaseException as caught:  # noqa: BLE001
        return caught


@pytest.mark.parametrize(
    "error",
    [
        ValueError(),
        ValueError("x", (1, {2})),
        KeyError("k"),
        SystemExit(3),
        KeyboardInterrupt(),
        StopIteration(5),
        TimeoutError("late"),
        FileNotFoundError(2, "No such file", "a.txt"),
        OSError(18, "cross-device", "a", None, "b"),
        OSError("odd"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        UnicodeEncodeError("ascii", "é", 0, 1, "bad"),
        ImportError("no", name="a.b", path="/x"),
        SyntaxError("bad", ("f.py", 1, 2, "x =", 1, 3)),
        ExceptionGroup("many", [ValueError(1), ExceptionGroup("more", [KeyError(2)])]),
        BaseExceptionGroup("all", [KeyboardInterrupt()]),
        ShopError(7, why="sold"),
        DiskError(28, "full", "disk"),
        TaskTimeoutError("late", "t1", {"after": 3}),
        TaskNotFoundError("none", "t2"),
        DeadlockError("ring", None, {"path": ("a", "b", "a")}),
        SerializationError("x"),
        StoreCorruptError("y", "t3"),
        Snooze(2.0),
        RemoteError("lib.Odd", "no luck", "Traceback ..."),
    ],
    ids=lambda error: type(error).__name__,
)
def test_it_returns_as_itself(error):
    error.add_note("seen twice")
    found, _ = there_and_back(error)
    assert type(found) is type(error)
    # What pickle would keep, and the notes; groups are compared by how they look.
    assert repr(found) == repr(error)
    assert str(found) == str(error)
    assert repr(found.args) == repr(error.args)
    assert {**vars(found)} == {**vars(error)}
    assert found.__notes__ == ["seen twice"]
    names = ("errno", "filename", "filename2", "code", "value", "name", "path", "object", "lineno")
    for name in names:
        assert getattr(found, name, None) == getattr(error, name, None)


def test_they_are_values_as_well():
    (found,) = codec.decode(codec.encode([ShopError(7, why="sold")]))
    assert (type(found), found.order, str(found)) == (ShopError, 7, "order 7: sold")


def test_every_builtin_exception_and_all_of_ours_are_known():
    ours = {getattr(windlass.errors, name) for name in windlass.errors.__all__}
    ours -= {TaskExecutionError}
    samples = {Snooze: (1.0,), RemoteError: ("a", "b", "c")}
    for kind in ours:
        found, _ = there_and_back(kind(*samples.get(kind, ("x",))))
        assert type(found) is kind
    for kind in vars(builtins).values():
        if isinstance(kind, type) and issubclass(kind, BaseException):
            form = registry.form_for(kind)
            assert form.kind is kind
            assert registry.form_named(form.id) is form


def test_an_error_of_two_types():
    error = TaskExecutionError.wrapping(ShopError(7, why="sold"), "it failed", "t1", "Traceback")
    found, _ = there_and_back(error)
    assert type(found) is type(error)
    assert isinstance(found, ShopError)
    assert (found.order, found.task_id, found.remote_traceback) == (7, "t1", "Traceback")
    assert type(found.original_error) is ShopError
    assert found.__cause__ is found.original_error


def test_the_cause_returns_as_text():
    error = raised(ValueError("outer"))
    error.__cause__ = raised(StrangeError("inner \ud800"))
    error.__cause__.__cause__ = raised(KeyError("innermost"))
    found, _ = there_and_back(error)
    cause = found.__cause__
    assert type(cause) is RemoteError
    assert (cause.type_name, cause.text) == ("wares.StrangeError", "inner \\ud800")
    assert "KeyError: 'innermost'" in cause.traceback
    assert "test_exceptions.py" in cause.traceback
    assert found.__suppress_context__


def test_so_does_what_was_being_handled():
    error = ValueError("outer")
    error.__context__ = KeyError("inner")
    found, _ = there_and_back(error)
    assert found.__cause__ is None
    assert str(found.__context__) == "KeyError: 'inner'"
    error.__suppress_context__ = True
    found, _ = there_and_back(error)
    assert found.__context__ is None


def test_the_traceback_is_kept():
    error = raised(ValueError("x"))
    _, kept = there_and_back(error)
    assert kept == "".join(traceback.format_exception(error))
    assert there_and_back(error, traceback="elsewhere \ud800")[1] == "elsewhere \\ud800"


@pytest.mark.parametrize(
    ("error", "name", "text"),
    [
        (StrangeError("x"), "wares.StrangeError", "x"),
        (json.JSONDecodeError("bad", "doc", 1), "json.decoder.JSONDecodeError", "bad: line 1 col"),
        (ValueError(socket), "ValueError", "<module 'socket'"),
        (ValueError("\ud800"), "ValueError", "\\ud800"),
        (ExceptionGroup("g", [StrangeError()]), "ExceptionGroup", "g (1 sub-exception)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_others_return_as_what_can_be_said(error, name, text):
    found, kept = there_and_back(raised(error))
    assert type(found) is RemoteError
    assert found.type_name == name
    assert found.text.startswith(text)
    assert found.traceback == kept
    assert "raise error" in kept


def test_an_exception_whose_methods_raise():
    class RudeError(Exception):
        def __str__(self):
            raise LookupError("no")

    found, _ = there_and_back(RudeError())
    assert found.text == "<its text cannot be had>"


def test_an_exception_that_cannot_be_shown():
    class HiddenError(SyntaxError):
        @property
        def filename(self):
            raise LookupError("no")

    found, kept = there_and_back(HiddenError("x"))
    assert type(found) is RemoteError
    assert kept.endswith("HiddenError: x\n")


def test_one_that_is_not_registered_is_refused_as_a_value():
    with pytest.raises(
        SerializationError, match=r"it, \[0\] is a wares\.StrangeError, an exceptio"
    ):
        codec.encode([StrangeError("x")], "it")


def test_one_whose_class_is_gone_returns_as_what_can_be_said():
    class GoneError(Exception):
        pass

    register_type(GoneError, id="shop.Gone")
    data = codec.encode_error(GoneError("x"))
    assert type(codec.decode_error(data)[0]) is GoneError
    del registry._by_id["shop.Gone"], registry._by_type[GoneError]
    found, _ = codec.decode_error(data)
    assert type(found) is RemoteError
    assert (found.type_name.rpartition(".")[2], found.text) == ("GoneError", "x")


def test_what_comes_back_can_be_sent_on():
    found, _ = there_and_back(DiskError(28, "full", "disk"))
    assert found.extra == "x"
    assert pickle.loads(pickle.dumps(there_and_back(TaskTimeoutError("x", "t"))[0])).task_id == "t"


def test_with_pickle_others_return_as_themselves():
    pickling = MsgpackCodec(pickle=True)
    found, _ = pickling.decode_error(pickling.encode_error(StrangeError(Unknown("a"))))
    assert type(found) is StrangeError
    assert found.args == (Unknown("a"),)
    # And where it is not allowed, nothing is unpickled.
    found, _ = codec.decode_error(pickling.encode_error(StrangeError("x")))
    assert type(found) is RemoteError

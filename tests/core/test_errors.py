"""The errors: whose instances they are, what they carry, and that they survive a journey."""

from __future__ import annotations

import builtins
import errno
import inspect
import pickle

import pytest

from windlass import errors
from windlass.errors import (
    DeadlockError,
    ManagerClosedError,
    RemoteError,
    Snooze,
    TaskCancellationError,
    TaskError,
    TaskExecutionError,
    TaskNotFoundError,
    TaskTimeoutError,
)

EVERY = [value for name, value in vars(errors).items() if name in errors.__all__]
TASK_ERRORS = [kind for kind in EVERY if issubclass(kind, TaskError)]


def wrap(original: BaseException, traceback: str | None = None) -> TaskExecutionError:
    return TaskExecutionError.wrapping(original, "fetch [t1] failed", "t1", traceback)


class PickyError(Exception):
    """Its __init__ cannot be called with its args."""

    def __init__(self, status, url):
        super().__init__(f"{status} for {url}")
        self.status = status
        self.url = url


class DefaultedError(Exception):
    status = None  # on the class, as some libraries do

    def __init__(self, status):
        super().__init__("no luck")
        self.status = status


class OddNewError(Exception):
    def __new__(cls, one, two):
        return super().__new__(cls, one)

    def __init__(self, one, two):
        super().__init__(one)


class FinalError(Exception):
    def __init_subclass__(cls):
        raise TypeError("final")


class FinalInItsOwnWayError(Exception):
    def __init_subclass__(cls):
        raise RuntimeError("do not inherit from me")


class PossessiveError(Exception):
    """Has a read-only name that is one of ours."""

    @property
    def task_id(self):
        return "mine"


class SlottedError(Exception):
    __slots__ = ("code", "unset")

    def __init__(self, code):
        super().__init__(code)
        self.code = code


class ComputedError(Exception):
    def __getattr__(self, name):
        if name == "reason":
            return "worked out"
        raise AttributeError(name)


class UnspeakableError(Exception):
    def __str__(self):
        raise RuntimeError("no words")


def test_an_execution_error_is_caught_as_what_the_function_raised():
    with pytest.raises(ValueError, match=r"fetch \[t1\] failed") as caught:
        raise wrap(ValueError("bad", 3))
    error = caught.value
    assert isinstance(error, TaskExecutionError)
    assert str(error) == error.message == "fetch [t1] failed"
    assert error.task_id == "t1"
    assert error.details == {}
    assert error.original_error.args == ("bad", 3)
    assert error.__cause__ is error.original_error


def test_an_os_error_keeps_its_errno():
    error = wrap(FileNotFoundError(errno.ENOENT, "not there", "a.txt"))
    assert isinstance(error, FileNotFoundError)
    assert (error.errno, error.strerror, error.filename) == (errno.ENOENT, "not there", "a.txt")
    assert str(error) == "fetch [t1] failed"


def test_a_unicode_error_keeps_its_fields():
    with pytest.raises(UnicodeDecodeError) as caught:
        b"\xff".decode()
    error = wrap(caught.value)
    assert isinstance(error, UnicodeDecodeError)
    assert (error.encoding, error.object, error.start) == ("utf-8", b"\xff", 0)
    assert str(error) == "fetch [t1] failed"


def test_a_key_error_shows_the_message_and_not_its_repr():
    error = wrap(KeyError("name"))
    assert isinstance(error, KeyError)
    assert str(error) == "fetch [t1] failed"


def test_an_exception_group_is_still_a_group():
    with pytest.raises(ExceptionGroup) as caught:
        raise wrap(ExceptionGroup("several", [ValueError(1), KeyError(2)]))
    assert [type(error) for error in caught.value.exceptions] == [ValueError, KeyError]
    assert str(caught.value) == "fetch [t1] failed"


def test_the_init_of_the_original_is_not_run():
    error = wrap(PickyError(404, "http://x"))
    assert isinstance(error, PickyError)
    assert (error.status, error.url) == (404, "http://x")


def test_what_an_instance_carries_wins_over_its_class():
    assert wrap(DefaultedError(404)).status == 404


def test_slots_are_carried_where_they_are_set():
    error = wrap(SlottedError(7))
    assert isinstance(error, SlottedError)
    assert error.code == 7
    with pytest.raises(AttributeError):
        _ = error.unset


def test_what_the_original_works_out_is_found():
    assert wrap(ComputedError()).reason == "worked out"
    plain = wrap(SystemExit(3))
    assert plain.code == 3
    with pytest.raises(AttributeError):
        _ = plain.nothing_of_the_kind


def test_notes_are_shown_once_with_the_original():
    original = ValueError("bad")
    original.add_note("while on page 7")
    assert not hasattr(wrap(original), "__notes__")


@pytest.mark.parametrize(
    "original",
    [
        OddNewError(1, 2),
        FinalError(),
        FinalInItsOwnWayError(),
        PossessiveError(),
        SystemExit(3),
        KeyboardInterrupt(),
        StopIteration(1),
        StopAsyncIteration(),
        TimeoutError("the function's own"),
        TaskTimeoutError("of another task", "t0"),
    ],
    ids=lambda original: type(original).__name__,
)
def test_what_cannot_be_both_is_an_execution_error_alone(original):
    for _ in range(2):  # the second time the answer is known
        error = wrap(original)
        assert type(error) is TaskExecutionError
        assert error.original_error is original
        assert str(error) == "fetch [t1] failed"


def test_a_task_that_ran_out_of_time_is_no_timeout_of_the_waiter():
    assert not issubclass(TaskTimeoutError, TimeoutError)
    assert not isinstance(wrap(TimeoutError()), TimeoutError)


def test_an_exception_without_words_is_wrapped_all_the_same():
    assert isinstance(wrap(UnspeakableError()), UnspeakableError)


@pytest.mark.parametrize(
    "kind",
    [
        kind
        for kind in vars(builtins).values()
        if inspect.isclass(kind) and issubclass(kind, Exception) and not issubclass(kind, Warning)
    ],
    ids=lambda kind: kind.__name__,
)
def test_every_builtin_exception_can_be_wrapped(kind):
    try:
        original = kind("x")
    except TypeError:
        original = {
            "UnicodeDecodeError": lambda: kind("ascii", b"", 0, 1, "why"),
            "UnicodeEncodeError": lambda: kind("ascii", "", 0, 1, "why"),
            "UnicodeTranslateError": lambda: kind("", 0, 1, "why"),
            "ExceptionGroup": lambda: kind("x", [ValueError()]),
        }[kind.__name__]()
    error = wrap(original)
    assert isinstance(error, TaskExecutionError)
    assert str(error) == "fetch [t1] failed"
    assert error.original_error is original


@pytest.mark.parametrize("kind", TASK_ERRORS, ids=lambda kind: kind.__name__)
def test_every_task_error_survives_a_journey(kind):
    error = kind("what, where, and what to do", "t1", {"path": ["a", "b"]})
    if kind is TaskExecutionError:
        error = wrap(ValueError("bad"), "Traceback of the far side")
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert (back.task_id, back.details) == (error.task_id, error.details)


def test_an_execution_error_arrives_with_its_original_and_its_traceback():
    back = pickle.loads(pickle.dumps(wrap(FileNotFoundError(2, "not there"), "far away")))
    assert isinstance(back, FileNotFoundError)
    assert isinstance(back.original_error, FileNotFoundError)
    assert back.errno == 2
    assert back.remote_traceback == "far away"
    assert back.__cause__ is back.original_error


def test_a_remote_error_stands_for_a_type_that_is_not_here():
    error = pickle.loads(pickle.dumps(RemoteError("lib.Odd", "no luck", "Traceback ...")))
    assert str(error) == "lib.Odd: no luck"
    assert (error.type_name, error.text, error.traceback) == ("lib.Odd", "no luck", "Traceback ...")
    assert isinstance(wrap(error), RemoteError)


def test_errors_are_also_what_python_calls_them():
    assert issubclass(TaskNotFoundError, LookupError)
    assert issubclass(ManagerClosedError, RuntimeError)


def test_errors_tell_their_particulars():
    assert TaskCancellationError("x", "t1", {"cause": "expired"}).cause == "expired"
    assert TaskCancellationError("x").cause == "asked"
    assert DeadlockError("x", "t1", {"path": ["a", "b", "a"]}).path == ("a", "b", "a")
    assert DeadlockError("x").path == ()


def test_a_snooze_takes_seconds():
    assert Snooze(1.5).delay == 1.5
    assert Snooze(0).delay == 0.0
    with pytest.raises(ValueError, match="delay must be zero or more seconds, not -1"):
        Snooze(-1)


def test_both_orders_of_a_task_errors_arguments_are_understood():
    boom = ValueError("boom")
    newer = TaskError("m", "id-1", {"a": 1})
    older = TaskError("m", {"a": 1}, boom)
    assert (newer.task_id, newer.details, newer.__cause__) == ("id-1", {"a": 1}, None)
    assert (older.task_id, older.details, older.__cause__) == (None, {"a": 1}, boom)
    assert TaskError("m", None, boom).__cause__ is boom
    named = TaskError("m", details={"a": 1}, cause=boom)
    assert (named.details, named.__cause__) == ({"a": 1}, boom)
    assert TaskError("m").details == {}

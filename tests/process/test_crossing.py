"""What crosses to a worker process and back: values, exceptions, messages; and what cannot."""

from __future__ import annotations

import asyncio
import functools
import os
import sys
import threading

import errands
import pytest
from errands import Errand
from office import on_a_loop, opened

from windlass.errors import RemoteError, SerializationError
from windlass.executors.crossing import why_not

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX")


# -- talking ---------------------------------------------------------------------------------------


@on_a_loop
async def test_a_task_can_talk_to_its_manager():
    def heard_of(kind, payload):
        assert kind == "add"
        if payload == 3:
            raise LookupError("no three")
        return payload + 1

    async with opened() as office:
        assert await office.value(errands.converse, 3, talks=True, heard=heard_of) == [1, 2, 3]
        outcome = await office.error(errands.converse, 5, talks=True, heard=heard_of)
        assert isinstance(outcome.error, LookupError)
        assert str(outcome.error) == "no three"


@on_a_loop
async def test_all_threads_of_a_task_can_talk():
    async with opened() as office:
        answers = await office.value(
            errands.ask_in_threads, 4, 50, talks=True, heard=lambda _, payload: payload
        )
        assert answers == list(range(200))


@on_a_loop
async def test_what_a_task_says_after_its_end_is_not_heard(tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    async with opened(slots=1) as office:
        call = Errand(errands.leave_a_thread_behind, str(gate), talks=True)
        office.start(call)
        await office.outcome(call)
        await asyncio.to_thread(gate.write_text, "speak")
        assert "has ended" in await asyncio.to_thread(gate.read_text)
        assert await office.value(errands.identity, 1) == 1
        assert call.messages == []


@on_a_loop
async def test_what_cannot_be_said_raises_where_it_is_said():
    async with opened() as office:
        outcome = await office.error(errands.say_the_unsayable, talks=True)
        assert isinstance(outcome.error, SerializationError)
        assert "cannot send this to the manager (progress)" in str(outcome.error)


# -- what crosses over -----------------------------------------------------------------------------


@on_a_loop
async def test_an_exception_keeps_type_text_and_traceback():
    async with opened() as office:
        outcome = await office.error(errands.raise_, KeyError, "missing")
        assert type(outcome.error) is KeyError
        assert outcome.error.args == ("missing",)
        assert outcome.raised
        assert not outcome.crashed
        assert "errands.py" in outcome.traceback
        assert outcome.traceback.endswith("KeyError: 'missing'\n")
        assert "windlass/executors" not in outcome.traceback


@pytest.mark.parametrize(
    ("error", "args", "text"),
    [
        (errands.PicklesBadlyError, ("this", "that"), "this and that"),
        (errands.RefusesPickleError, ("no",), "no"),
        (errands.HasNoTextError, (), "<HasNoTextError whose text cannot be had>"),
    ],
)
@on_a_loop
async def test_an_exception_that_cannot_cross_is_told_of(error, args, text):
    async with opened() as office:
        pid = await office.value(errands.process_id)
        outcome = await office.error(errands.raise_, error, *args)
        assert type(outcome.error) is RemoteError
        assert outcome.error.type_name == f"errands.{error.__name__}"
        assert outcome.error.text == text
        assert "errands.py" in outcome.error.traceback
        assert await office.value(errands.process_id) == pid


@on_a_loop
async def test_sys_exit_ends_the_task_and_not_the_worker():
    async with opened() as office:
        pid = await office.value(errands.process_id)
        outcome = await office.error(errands.quit_)
        assert type(outcome.error) is SystemExit
        assert await office.value(errands.process_id) == pid


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (errands.a_lock, "its result cannot be sent back: it is of type _thread.lock"),
        (errands.refuses_unpickle, "cannot be rebuilt in this process: cannot be rebuilt"),
    ],
)
@on_a_loop
async def test_a_result_that_cannot_cross_fails_its_task_only(function, words):
    async with opened() as office:
        pid = await office.value(errands.process_id)
        outcome = await office.error(function)
        assert type(outcome.error) is SerializationError
        assert not outcome.raised
        assert words in str(outcome.error)
        assert await office.value(errands.process_id) == pid


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        (threading.Lock(), "identity [t"),
        (errands.RefusesUnpickle(), "cannot be unpacked in the other process"),
    ],
)
@on_a_loop
async def test_an_argument_that_cannot_cross_fails_its_task_only(argument, words):
    async with opened() as office:
        outcome = await office.error(errands.identity, argument)
        assert type(outcome.error) is SerializationError
        assert not outcome.raised
        assert words in str(outcome.error)
        assert await office.value(errands.identity, 1) == 1


# -- why not ---------------------------------------------------------------------------------------


def nested():
    def inner():
        pass

    return inner


def iter_nothing():
    yield


class Outer:
    @classmethod
    def made(cls):
        pass

    @staticmethod
    def static():
        pass


@pytest.mark.parametrize(
    "function",
    [
        errands.nothing,
        functools.partial(errands.identity, 1),
        errands.Holder,
        errands.Holder().method,
        errands.Holder(),
        Outer.made,
        Outer.static,
        len,
        [].append,
        str.upper,
        os.getpid,
    ],
)
def test_what_can_cross(function):
    assert why_not(function) is None


renamed = nested()
renamed.__qualname__ = "renamed_and_gone"


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda: None, "it is a lambda"),
        (nested(), "it is defined inside a function (nested.<locals>.inner)"),
        (functools.partial(functools.partial(nested())), "inside a function"),
        (functools.wraps(errands.nothing)(lambda: None), "is something else"),
        (renamed, "is missing"),
        (threading.Lock().acquire, "cannot be pickled"),
        (iter_nothing().send, "a generator, cannot be pickled"),
    ],
)
def test_what_cannot_cross_is_said_why(function, words):
    assert words in why_not(function)

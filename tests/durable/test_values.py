"""Results and errors come back from the file as they went in."""

import asyncio
import enum
import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from runtime.stage import on_a_loop

from windlass import (
    RemoteError,
    SerializationError,
    TaskExecutionError,
    TaskManager,
    TaskTimeoutError,
    register_type,
    task,
)
from windlass.codecs import MsgpackCodec

from .stage import add, count, door, echo, wait_at


@register_type(id="colour")
class Colour(enum.Enum):
    RED = 1


@register_type(id="point")
@dataclass(frozen=True)
class Point:
    x: int
    y: tuple[int, ...] = ()


@register_type(id="own-error")
class OwnError(Exception):
    def __init__(self, code, *, where):
        super().__init__(f"{code} at {where}")
        self.code = code
        self.where = where


class UnknownError(Exception):
    pass


VALUES = [
    None, True, 0, -(10**40), 1.5, float("inf"), "text", "\0", b"\xff\0", [1, [2]], (1, (2,), []),
    {"a": 1, 2: "b", (3, "c"): {4}, None: None}, {1, "b"}, frozenset({(1, 2)}),
    datetime(2026, 1, 2, 3, 4, 5, 6),  # noqa: DTZ001  # naive on purpose
    datetime(2026, 1, 2, tzinfo=UTC),
    datetime(2026, 1, 2, tzinfo=ZoneInfo("Europe/Oslo")), date(2026, 1, 2), time(3, 4, 5, 6),
    time(3, tzinfo=timezone(timedelta(hours=2))), timedelta(days=-1, microseconds=1),
    Decimal("1.10"), UUID(int=7), Path("a/b"), PurePosixPath("/c"), Colour.RED,
    Point(1, (2, 3)), [Point(1), {"deep": (Colour.RED, Decimal(1))}],
]  # fmt: skip


@on_a_loop
async def test_results_and_arguments_are_equal_and_of_the_same_type(jobs):
    async with TaskManager(jobs) as tm:
        ended = tm.map(echo, VALUES)
        nan = tm.submit(echo, math.nan)
        await tm.gather(*ended, nan)
        tm.pause()
        waiting = tm.map(echo.options(after=[tm.submit(echo)]), VALUES)
        await tm.shutdown(wait=False)
    async with TaskManager(jobs) as tm:
        for handles in (ended, waiting):
            for handle, value in zip(handles, VALUES, strict=True):
                result = await tm.get_handle(handle.id)
                assert result == value
                assert type(result) is type(value)
        assert math.isnan(tm.get_task_result(nan.id))


@on_a_loop
async def test_errors_are_of_their_types_with_their_traceback_and_cause(jobs):
    async with TaskManager(jobs) as tm:
        kinds = ["key", "own", "unknown", "exit", "cause"]
        handles = {kind: tm.submit(break_, kind) for kind in kinds}
        handles["late"] = tm.submit(wait_at.options(timeout=0.01))
        door()
        await tm.gather(*handles.values(), return_errors=True)
    async with TaskManager(jobs) as tm:
        errors = {kind: tm.get_task_error(handle.id) for kind, handle in handles.items()}
        for error in errors.values():
            assert error.task_id in {handle.id for handle in handles.values()}
        assert isinstance(errors["key"], KeyError)
        assert errors["key"].args == ("k",) or errors["key"].original_error.args == ("k",)
        assert isinstance(errors["own"], OwnError)
        assert (errors["own"].code, errors["own"].where) == (7, "here")
        remote = errors["unknown"].original_error
        assert isinstance(remote, RemoteError)
        assert remote.type_name.endswith("UnknownError")
        assert isinstance(errors["exit"].original_error, SystemExit)
        assert isinstance(errors["late"], TaskTimeoutError)
        cause = errors["cause"].original_error.__cause__
        assert isinstance(cause, RemoteError)
        assert "ZeroDivisionError" in cause.type_name
        for kind in kinds:
            assert isinstance(errors[kind], TaskExecutionError)
            assert "in break_" in errors[kind].remote_traceback
        with pytest.raises(OwnError, match="7 at here"):
            await tm.get_handle(handles["own"].id)


@task
async def break_(kind):
    if kind == "key":
        raise KeyError("k")
    if kind == "own":
        raise OwnError(7, where="here")
    if kind == "unknown":
        raise UnknownError("strange")
    if kind == "exit":
        raise SystemExit(3)
    if kind == "cause":
        try:
            1 / 0  # noqa: B018
        except ZeroDivisionError as error:
            raise LookupError("because") from error


@task
async def strange():
    return Fraction(1, 3)


@on_a_loop
async def test_a_result_that_cannot_be_stored_is_given_to_those_who_wait(jobs, caplog):
    async with TaskManager(jobs) as tm:
        handle = tm.submit(strange)
        assert await tm.submit(add, handle.output) == Fraction(4, 3)
        assert await handle == Fraction(1, 3)
        tm.pause()
        hold = tm.submit(echo)
        later = tm.submit(add.options(after=[hold]), handle.output)
        ordered = tm.submit(add.options(after=[hold, handle]), 1)
        await tm.shutdown(wait=False)
    assert "its result cannot be stored, and will be gone after a restart" in caplog.text
    async with TaskManager(jobs) as tm:
        assert tm.get_task_status(handle.id) == "completed"
        with pytest.raises(SerializationError, match="its result could not be stored"):
            await tm.get_handle(handle.id)
        with pytest.raises(TaskExecutionError, match="its result could not be stored") as told:
            await tm.get_handle(later.id)
        assert isinstance(told.value.original_error, SerializationError)
        assert await tm.get_handle(ordered.id) == 2


@on_a_loop
async def test_another_codec_stores_it(jobs):
    async with TaskManager(jobs, codec=MsgpackCodec(pickle=True)) as tm:
        handle = tm.submit(strange)
        await handle
    async with TaskManager(jobs, codec=MsgpackCodec(pickle=True)) as tm:
        assert tm.get_task_result(handle.id) == Fraction(1, 3)


@on_a_loop
async def test_a_checkpoint_that_cannot_be_stored_is_the_tasks_own_error(jobs):
    async with TaskManager(jobs) as tm:
        with pytest.raises(TaskExecutionError, match="a checkpoint of") as told:
            await tm.submit(odd_checkpoint)
        assert isinstance(told.value.original_error, SerializationError)


@task
async def odd_checkpoint():
    from windlass import current_task

    current_task().checkpoint(Fraction(1, 3))


@on_a_loop
async def test_large_values(jobs):
    big = "x" * 5_000_000
    async with TaskManager(jobs) as tm:
        handle = tm.submit(echo, big)
        assert await tm.submit(count, handle.output) == len(big)
    async with TaskManager(jobs) as tm:
        assert tm.get_task_result(handle.id) == big


def test_a_result_is_kept_for_those_of_another_event_loop(jobs):
    tm = TaskManager(jobs)

    async def submit():
        async with tm:
            return tm.submit(echo, [1])

    async def look(handle):
        async with tm:
            return await handle

    handle = asyncio.run(submit())
    assert asyncio.run(look(handle)) == [1]

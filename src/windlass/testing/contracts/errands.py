"""What the contract has executors run: functions of a module, so that they can cross over."""

from __future__ import annotations

import asyncio
import builtins
import os
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from ..._runtime.current import current_task
from ...errors import Snooze
from .gate import come_to, visit, visit_async

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from .gate import Address

    Maker: TypeAlias = Callable[[], object]

colour: ContextVar[str] = ContextVar("colour", default="none")
MANY_BYTES = 1 << 20


def add(left: int, right: int = 0) -> int:
    """Return the sum."""
    return left + right


async def add_async(left: int, right: int = 0) -> int:
    """Return the sum, from a coroutine that has been suspended."""
    await asyncio.sleep(0)
    return left + right


def echo(value: Any) -> Any:
    """Return what was given."""
    return value


def fail(text: str) -> NoReturn:
    """Raise a ValueError."""
    raise ValueError(text)


class AwkwardError(Exception):
    """Cannot be rebuilt from its own ``args``, as many exceptions cannot."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{reason} ({code})")


def fail_awkwardly() -> NoReturn:
    """Raise an exception that does not survive pickling."""
    raise AwkwardError(7, "awkward")


class UnspeakableError(Exception):
    """Its text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def fail_unspeakably() -> NoReturn:
    """Raise an exception whose ``__str__`` raises."""
    raise UnspeakableError


def leave_python(by: str) -> NoReturn:
    """Raise SystemExit or KeyboardInterrupt, which is not meant for tasks."""
    leaving: type[BaseException] = getattr(builtins, by)
    raise leaving


def tell_of_itself() -> tuple[str, str, int, dict[str, Any], bool]:
    """What ``current_task()`` knows."""
    me = current_task()
    return me.id, me.name, me.attempt, dict(me.metadata), me.cancelled


def nobody() -> str:
    """The id of the current task, where there may be none."""
    return current_task().id


def succeed_at(attempt: int) -> int:
    """Fail until then."""
    if current_task().attempt < attempt:
        raise ConnectionError(f"attempt {current_task().attempt}")
    return current_task().attempt


def snooze_if_told(gate: Address) -> int:
    """Ask to be put off, if let go with an "s"."""
    if visit(gate) == "s":
        raise Snooze(0)
    return current_task().attempt


def remember() -> Any:
    """Return what an earlier attempt has left."""
    restored = current_task().restored
    if restored is None:
        current_task().checkpoint({"step": 3})
        raise ConnectionError("first attempt")
    return restored


def make_progress(gate: Address) -> None:
    """Get halfway, and stop there."""
    current_task().progress(0.5, "halfway")
    # What a task says arrives in order: with the child, the progress is there as well.
    current_task().submit(nobody)
    visit(gate)


def have_child(function: Any, gate: Address) -> str:
    """Submit a child that stops at the gate, and stop there too; the child's id."""
    child: str = current_task().submit(function, gate).id
    visit(gate)
    return child


async def have_child_async(function: Any, gate: Address) -> str:
    """The same, on an event loop."""
    child: str = current_task().submit(function, gate).id
    await visit_async(gate)
    return child


def wait_for_child(function: Any, left: int, right: int) -> Any:
    """Submit a child, and wait for it."""
    return current_task().submit(function, left, right).result()


async def wait_for_child_async(function: Any, left: int, right: int) -> Any:
    """The same, on an event loop."""
    return await current_task().submit(function, left, right)


def clean_up_badly() -> str:
    """Leave a clean-up behind that raises."""
    current_task().defer(fail, "in the clean-up")
    return "done"


def clean_up(gate: Address) -> str:
    """Leave a clean-up behind that can be seen from outside."""
    current_task().defer(visit, gate)
    return "done"


def see_colour() -> str:
    """The value of a context variable."""
    return colour.get()


def change_colour() -> str:
    """Change a context variable, which is this task's own affair."""
    before = colour.get()
    colour.set("changed by a task")
    return before


def where() -> tuple[int, int]:
    """The process and the thread that it runs in."""
    return os.getpid(), threading.get_ident()


def thread() -> threading.Thread:
    """The thread that it runs in."""
    return threading.current_thread()


def die() -> NoReturn:
    """End the process, without a word."""
    os._exit(3)


def die_until(attempt: int) -> int:
    """End the process, until then. Crashes count as attempts."""
    if current_task().attempt < attempt:
        os._exit(3)
    return current_task().attempt


_kept: list[socket.socket] = []


def leave_a_trace(gate: Address) -> None:
    """Connect to the gate for as long as this process lives."""
    _kept.append(come_to(gate))


class Unsendable:
    """Cannot be pickled."""

    def __reduce__(self) -> Any:
        raise TypeError("not to be sent")


def make_unsendable() -> Unsendable:
    """Return something that cannot be pickled."""
    return Unsendable()


class Unreadable:
    """Can be pickled, but not be rebuilt."""

    def __reduce__(self) -> Any:
        return fail, ("not to be read",)


def make_unreadable() -> Unreadable:
    """Return something that can be pickled, but not be rebuilt."""
    return Unreadable()

"""A worker as the manager sees it, and what its calls have to say."""

from __future__ import annotations

import logging
import pickle
from collections import deque
from typing import TYPE_CHECKING

from ...ports import Later
from ..crossing import label, pack_error
from .wire import REFUSAL, REPLY, frame

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from ...ports import Call
    from .spawn import Process

logger = logging.getLogger("windlass")


class Worker:
    """One worker process, as the manager sees it."""

    __slots__ = (
        "call",
        "dead",
        "death",
        "doomed",
        "heard",
        "leaving",
        "process",
        "ready",
        "rest",
        "serial",
        "verdict",
    )

    def __init__(self, process: Process) -> None:
        self.process = process
        self.call: Call | None = None
        self.serial = 0
        """The number of its call, by which late messages are told apart."""
        self.heard = bytearray()
        """What it said that is not yet a whole frame."""
        self.rest: deque[memoryview] = deque()
        """What did not fit into its pipe yet."""
        self.ready = False
        self.leaving = False
        """It said that it will be of no use."""
        self.death: asyncio.TimerHandle | None = None
        """Set while its call is to stop: the end of the grace."""
        self.doomed = False
        """We killed it."""
        self.dead = False
        self.verdict = ""
        """Why we killed it, if not because its call was to stop."""


def said(call: Call, body: memoryview) -> None:
    """Pass on what a call said."""
    try:
        call.heard(*pickle.loads(body))  # noqa: S301  # from our own worker
    except Exception:
        logger.exception("what %s said cannot be taken in", label(call))


def answer(
    call: Call | None, serial: int, body: memoryview, send: Callable[[bytes], object]
) -> None:
    """Pass on what a call asked; ``send`` the frame with the reply, or what it raised instead."""
    try:
        if call is None:
            raise RuntimeError("cannot ask the manager: the task has ended")  # noqa: TRY301
        reply = call.heard(*pickle.loads(body))  # noqa: S301
        if isinstance(reply, Later):
            nothing = frame(REPLY, serial, pickle.dumps(None, 5))
            reply.when_there(lambda: send(nothing))
            return
        answered = frame(REPLY, serial, pickle.dumps(reply, 5))
    except BaseException as error:  # noqa: BLE001  # it is raised where it was asked
        answered = frame(REFUSAL, serial, pickle.dumps(pack_error(error), 5))
    send(answered)


def parts_left(header: bytes, data: bytes, written: int) -> list[memoryview]:
    """What a write of ``header`` and ``data`` left over; ``data``, perhaps large, is not copied."""
    if written < len(header):
        return [memoryview(header)[written:], memoryview(data)]
    return [memoryview(data)[written - len(header) :]]

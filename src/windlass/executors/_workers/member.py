"""A worker as the manager sees it: what it has to do, to hear and to say, and how it ended."""

from __future__ import annotations

import logging
import os
import pickle
from collections import deque
from typing import TYPE_CHECKING, TypeAlias

from ..._core.outcome import Err
from ...errors import TaskCrashedError
from ...ports import Later
from ..crossing import label, pack_error
from .spawn import PIPE_SIZE, cause_of_death
from .wire import CALL, HEADER, REFUSAL, REPLY, SERIAL, frame

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from ...ports import Call
    from .spawn import Process

    Understand: TypeAlias = "Callable[[Worker, int, int, memoryview], None]"
    """Takes in a frame: of whom, its kind, serial number and body."""

logger = logging.getLogger("windlass")

_AT_ONCE = 64 * 1024
_MANY = 512 * SERIAL.size


class Worker:
    """One worker process, as the manager sees it."""

    __slots__ = (
        "_loop",
        "_rest",
        "_unsent",
        "_unsent_turns",
        "calls",
        "dead",
        "death",
        "doomed",
        "heard",
        "leaving",
        "listed",
        "looks",
        "process",
        "proof",
        "ready",
        "seen",
        "stopping",
        "trusted",
        "verdict",
    )

    def __init__(self, process: Process, loop: asyncio.AbstractEventLoop) -> None:
        self.process = process
        self._loop = loop
        self.calls: dict[int, Call] = {}
        """By serial number: the one it runs, and those that were sent ahead."""
        self.heard = bytearray()
        """What it said that is not yet a whole frame."""
        self._rest: deque[memoryview] = deque()
        """What did not fit into its pipe yet."""
        self._unsent: list[bytes] = []
        """Calls that are still to be written, and their serial numbers."""
        self._unsent_turns = b""
        self.ready = False
        self.leaving = False
        """It said that it will be of no use."""
        self.stopping = 0
        """The call that is to stop, and the end of its grace."""
        self.death: asyncio.TimerHandle | None = None
        self.doomed = False
        """We killed it."""
        self.dead = False
        self.verdict = ""
        """Why we killed it, if not because its call was to stop."""
        # See ``ahead``.
        self.proof = 0
        self.trusted = False
        self.listed = False
        self.seen = self.looks = 0
        """The call it ran at the last look, and how often that was seen before."""

    @property
    def is_fit(self) -> bool:
        """Whether nothing speaks against giving it another call."""
        return not (self.dead or self.doomed) and self.death is None

    def look(self) -> int:
        """How often it was seen before at the call that it runs now."""
        first = next(iter(self.calls))
        self.looks = self.looks + 1 if first == self.seen else 0
        self.seen = first
        return self.looks

    # -- calls -------------------------------------------------------------------------------

    def put(self, serial: int, call: Call, data: bytes) -> None:
        """Have it run ``call`` after those it has; to be sent by ``send``."""
        self.calls[serial] = call
        self._unsent_turns += SERIAL.pack(serial)
        self._unsent += (HEADER.pack(len(data), serial, CALL), data)

    def send(self) -> None:
        """Send all calls that were put, in one go: to be woken costs a worker more than a call."""
        turns, self._unsent_turns = self._unsent_turns, b""
        unsent, self._unsent = self._unsent, []
        os.write(self.process.turns, turns)
        self.write(*unsent)

    def take_back(self) -> list[Call]:
        """The calls it had not begun, and never will."""
        try:
            turns = os.read(self.process.turns_left, _MANY)
        except BlockingIOError:
            return []
        return [self.calls.pop(serial) for (serial,) in SERIAL.iter_unpack(turns)]

    # -- writing -----------------------------------------------------------------------------

    def write(self, *parts: bytes | memoryview) -> None:
        """Write what the pipe takes now, and the rest when it takes more."""
        written = 0
        if not self._rest:
            try:
                written = os.writev(self.process.calls, parts)
            except BlockingIOError:
                pass
            except OSError:
                return  # it is dead, as we shall hear
        left = _left(parts, written)
        if left:
            if not self._rest:
                self._loop.add_writer(self.process.calls, self._flush)
            self._rest.extend(left)

    def _flush(self) -> None:
        pipe, rest = self.process.calls, self._rest
        try:
            while rest:
                written = os.write(pipe, rest[0])
                if written < len(rest[0]):
                    rest[0] = rest[0][written:]
                else:
                    rest.popleft()
        except BlockingIOError:
            return
        except OSError:
            rest.clear()  # it is dead, as we shall hear
        self._loop.remove_writer(pipe)

    # -- reading -----------------------------------------------------------------------------

    def read(self, understand: Understand) -> int | None:
        """Read and pass on what is there: how many bytes, 0 at the end, None for nothing yet."""
        try:
            # A large buffer costs more than a small message, so it is for the rest of a large one.
            chunk = os.read(self.process.reports, PIPE_SIZE if self.heard else _AT_ONCE)
        except BlockingIOError:
            return None
        if not self.heard and len(chunk) > HEADER.size:
            length, serial, kind = HEADER.unpack_from(chunk)
            if len(chunk) == HEADER.size + length:  # one whole frame, as mostly
                understand(self, kind, serial, memoryview(chunk)[HEADER.size :])
                return len(chunk)
        heard: bytes | bytearray = chunk
        if self.heard:
            heard = self.heard
            heard += chunk
        done, size = 0, len(heard)
        with memoryview(heard) as view:
            while size - done >= HEADER.size:
                length, serial, kind = HEADER.unpack_from(view, done)
                end = done + HEADER.size + length
                if end > size:
                    break
                with view[done + HEADER.size : end] as body:
                    understand(self, kind, serial, body)
                done = end
        if heard is not chunk:
            del self.heard[:done]
        elif done < size:
            self.heard += chunk[done:]
        return len(chunk)


def _left(parts: Iterable[bytes | memoryview], written: int) -> list[memoryview]:
    """What is left of ``parts``, perhaps large and not copied, after so many bytes."""
    left: list[memoryview] = []
    for part in parts:
        if written < len(part):
            left.append(memoryview(part)[written:])
        written = max(0, written - len(part))
    return left


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


def told(worker: Worker, status: int | None) -> tuple[str, str]:
    """How a worker died, and what it last said, in words."""
    story = f"the worker process {worker.process.pid} {worker.verdict or cause_of_death(status)}"
    last = worker.process.last_lines()
    return story, f". The last lines of its stderr:\n{last}" if last else ""


def crash(worker: Worker, call: Call, status: int | None) -> Err:
    """The verdict on a call whose worker died under it."""
    story, tail = told(worker, status)
    last, log = worker.process.last_lines(), list(call.last_lines)
    said = [line for line in log if line.partition(": ")[2] not in last]
    if said:
        tail = "\n".join((". The last lines of its log:", *said)) + tail
    text = f"{story} while it ran {label(call)}{tail}"
    details = {"pid": worker.process.pid, "status": status, "stderr": last, "log": log}
    return Err(TaskCrashedError(text, call.task_id, details), raised=False, crashed=True)

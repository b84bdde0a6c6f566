"""Requests: messages of a stream, each of which is made a task and ended once.

Theory of operation
-------------------
One coroutine reads: on each connection it makes the group if there is none, claims what it had
been given and has not heard of, and then reads, blocking, never more than there is room for. In
between, every third of ``idle``, it looks around: it says that its own messages are alive, and
takes over those of consumers that have fallen silent.

Every message is followed by a coroutine of its own, from reading its fields to its end. In memory
a message stays pending until then. With a file it is acknowledged as soon as its task is on disk,
and what is left to do is written down as owed; whoever finds the task in the file can do that.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .. import (
    ManagerClosedError,
    NotDurableError,
    StoreError,
    StoreFencedError,
    TaskCancellationError,
    TaskError,
    TaskExecutionError,
    TaskHandle,
)
from .reading import Reader, Unreadable, written
from .stream import CORRELATION, Message, Stream

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .server import Server
    from .starting import Starter

logger = logging.getLogger("windlass.messaging")

# A blocking read ends by itself after so long, which is how a server that froze is noticed.
_LONGEST_READ = 5.0
_STORE_PAUSE = 1.0


class Requests:
    """What ``listen`` opens; see the module."""

    def __init__(
        self,
        starter: Starter,
        server: Server,
        stream: Stream,
        *,
        reply: str | None,
        dead: str,
        in_flight: int,
        tries: int,
    ) -> None:
        self.server = server
        self.name = f"listening to {stream.name}"
        self._starter = starter
        self._stream = stream
        self._reader = Reader(starter.plain)
        self._reply, self._dead = reply, dead
        self._most, self._tries = in_flight, tries
        self._open: dict[str, Message] = {}
        """What is in flight, by id."""
        self._unknown: dict[str, int] = {}
        """How often owed messages were seen whose tasks are not in our file."""
        self._changed = asyncio.Event()
        """Something has ended."""

    # -- the work of a listener ----------------------------------------------------------------

    async def begin(self) -> None:
        """See that everything is there, and make what can be made."""
        self._stream.client = self.server.client()
        self._changed = asyncio.Event()
        try:
            await self._stream.refuse_others(self._stream.name, self._reply, self._dead)
            await self._stream.make()
        except self.server.troubles as error:
            await self._stream.client.aclose()
            raise self.server.refusal(error) from error
        except ValueError:
            await self._stream.client.aclose()
            raise

    async def serve(self) -> None:
        """Read until it is to stop, and then let what is in flight come to its end."""
        stream, starter = self._stream, self._starter
        try:
            await self._read_on()
            with suppress(*self.server.troubles):  # then it is found by others
                # What the server sent while the last read was given up is done before leaving.
                await self._take_over(self._room, 0.0, own=True)
            while not await starter.finish(stream.silence / 3):
                with suppress(*self.server.troubles):  # then others may take over
                    await stream.keep_alive(self._open.values())
            with suppress(*self.server.troubles):  # then it goes when it is long dead
                await stream.dismiss(stream.consumer)
        finally:
            await starter.close()
            await stream.client.aclose()

    # -- reading -------------------------------------------------------------------------------

    async def _read_on(self) -> None:
        stream, attempt, everybody = self._stream, 0, True
        while not self.server.stopping.is_set():
            try:
                await stream.make()
                await self._take_over(self._room, 0.0, own=True)
                due = 0.0
                while not self.server.stopping.is_set():
                    self.server.well()
                    attempt = 0
                    if self._now() >= due:
                        await self._look_around(everybody=everybody)
                        everybody, due = False, self._now() + stream.silence / 3
                    await self._read_some(due)
            except self.server.troubles as error:
                attempt += 1
                await self.server.pause(error, attempt)

    async def _read_some(self, due: float) -> None:
        """Read once, when there is room, or leave it at ``due`` or when all is to stop."""
        seconds = min(max(due - self._now(), 0.001), _LONGEST_READ)
        room = self._room
        if room <= 0:
            self._changed.clear()
            await self._first_of(self._changed.wait(), seconds)
            return
        messages = await self._first_of(self._stream.read(room, seconds), None)
        if messages:
            await self._accept(messages)

    async def _first_of(self, awaitable: Any, seconds: float | None) -> Any:
        """What an awaitable gives, or None if stopping, or the time, comes first."""
        wanted = asyncio.ensure_future(awaitable)
        stopping = asyncio.ensure_future(self.server.stopping.wait())
        try:
            await asyncio.wait(
                {wanted, stopping}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
            return wanted.result() if wanted.done() else None
        finally:
            for one in (wanted, stopping):
                one.cancel()
            await asyncio.gather(wanted, stopping, return_exceptions=True)

    async def _look_around(self, *, everybody: bool) -> None:
        """Say that we live, and take over from those who do not."""
        stream = self._stream
        await stream.keep_alive(self._open.values())
        await self._take_over(self._room, stream.silence)
        if not self._starter.durable:
            return
        debts = await stream.debts(self._open, of_living=everybody)
        unknown, self._unknown = self._unknown, {}
        for message, id in debts:
            handle = None
            if self._room > 0:
                times = self._unknown[message.id] = unknown.get(message.id, 0) + 1
                # It may be in a file elsewhere, and looking costs: seldom, after the first times.
                if times & (times - 1) == 0:
                    handle = await self._starter.outside(self._found, message, id)
            if handle is not None and message.id not in self._open:
                self._open[message.id] = message
                self._starter.follow(self._follow(message, handle=handle))

    def _found(self, message: Message, id: str) -> TaskHandle[Any] | None:
        """The task of a message that is owed, if it is in our file.

        A client of the file learns only later that its task has given way to one with its key.
        """
        manager = self._starter.manager
        try:
            handle = manager.get_handle(id)
            if handle is None:
                infos = manager.list_tasks(key=self._key(message), limit=1)
                handle = manager.get_handle(infos[0].id) if infos else None
        except TaskError as error:  # the file cannot be read just now
            logger.warning("message %s is owed, and not looked for: %s", message.id, error)
            return None
        return handle

    async def _take_over(self, count: int, idle: float, *, own: bool = False) -> None:
        if count <= 0:
            return
        messages, gone = await self._stream.claim(count, idle, self._open, own=own)
        if gone:
            logger.error(
                "%d messages were removed from the stream %r before they were done: %s. Trim it "
                "no shorter than what may wait in it",
                len(gone),
                self._stream.name,
                ", ".join(gone),
            )
        await self._accept(messages)

    async def _accept(self, messages: Iterable[Message]) -> None:
        """Start what was read; what is in flight already is not started again."""
        for message in messages:
            if message.id not in self._open:
                self._open[message.id] = message
                self._starter.follow(self._follow(message))

    @property
    def _room(self) -> int:
        return self._most - len(self._open)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    # -- one message ---------------------------------------------------------------------------

    async def _follow(self, message: Message, handle: TaskHandle[Any] | None = None) -> None:
        """One message, from its fields to its end."""
        try:
            handle = handle or await self._started(message)
            if handle is not None:
                await self._end(message, *await self._outcome(message, handle))
        except (ManagerClosedError, StoreFencedError):
            # With a file it goes on when that is opened again, else with somebody else.
            self._tell_closed()
        except self.server.troubles as error:
            logger.warning(
                "message %s of %r is left to others, since the server cannot be reached: %s",
                message.id,
                self._stream.name,
                error,
            )
        except Exception:
            logger.exception("message %s of %r is left pending", message.id, self._stream.name)
        finally:
            del self._open[message.id]
            self._changed.set()

    async def _started(self, message: Message) -> TaskHandle[Any] | None:
        """The task of a message, stored if it is to be; None if the message has ended without."""
        if message.deliveries > self._tries:
            reason = (
                f"given to consumers {message.deliveries} times, and not one of them has come "
                f"to its end: it has died, or was silent for {self._stream.silence:g} s"
            )
            await self._refuse(message, "Poison", reason)
            return None
        try:
            arguments = self._reader.read(message.fields)
            handle = await self._submitted(message, arguments)
        except (ManagerClosedError, NotDurableError):
            raise
        except (Unreadable, TaskError, TypeError) as error:
            await self._refuse(message, type(error).__name__, str(error))
            return None
        if self._starter.durable:
            await self.server.insist(lambda: self._stream.owe(message, handle.id))
        return handle

    def _key(self, message: Message) -> str:
        """By which a message that comes twice is one task."""
        return f"{self._stream.name} {self._stream.group} {message.id}"

    async def _submitted(self, message: Message, arguments: dict[str, Any]) -> TaskHandle[Any]:
        key, submit = self._key(message), self._starter.submit
        while True:
            try:
                waiting = await self._starter.outside(submit, arguments, key=key)
                return await waiting
            except StoreError as error:  # a full disk, say: the message is kept, and time may help
                logger.error("message %s is not stored: %s; trying again", message.id, error)  # noqa: TRY400  # it is all in its text
                if self.server.stopping.is_set():
                    raise
                await asyncio.sleep(_STORE_PAUSE)

    async def _outcome(
        self, message: Message, handle: TaskHandle[Any]
    ) -> tuple[dict[str, Any], str | None]:
        """The fields of the reply, and if it has failed the reason for a dead letter."""
        try:
            result = await handle
        except (ManagerClosedError, StoreFencedError):
            raise
        except TaskCancellationError as error:
            if not self._starter.manager.is_open:
                raise ManagerClosedError(str(error), handle.id) from None
            return _failed("cancelled", error), None
        except TaskError as error:
            return _failed("failed", error), str(error)
        try:
            return {"status": "completed", "result": written(result)}, None
        except Exception as error:  # noqa: BLE001  # whatever a class of the user's raises
            reason = f"{handle.name} has completed, and its result has no form as JSON: {error}"
            return {"status": "failed", "error": reason, "error_type": type(error).__name__}, reason

    async def _refuse(self, message: Message, kind: str, reason: str) -> None:
        answer = {"status": "failed", "error": reason, "error_type": kind}
        await self._end(message, answer, reason)

    async def _end(self, message: Message, answer: Mapping[str, Any], reason: str | None) -> None:
        entries: dict[str, list[Any]] = {}
        if self._reply is not None:
            entries[self._reply] = [CORRELATION, message.correlation, "id", message.id]
            entries[self._reply] += _flat(answer)
        if reason is not None:
            about = {
                "dead_reason": reason,
                "dead_stream": self._stream.name,
                "dead_id": message.id,
                "dead_deliveries": message.deliveries,
            }
            entries[self._dead] = _flat(message.fields) + _flat(about)
        ended = await self.server.insist(lambda: self._stream.end(message, entries))
        if not ended:
            # Of what is owed by another this is to be expected: both have followed one task.
            logger.log(
                logging.DEBUG if message.adopted else logging.WARNING,
                "message %s of %r had been ended before; what came of it here is dropped",
                message.id,
                self._stream.name,
            )
        elif reason is not None:
            logger.warning("message %s goes to %r: %s", message.id, self._dead, reason)

    def _tell_closed(self) -> None:
        if not self.server.stopping.is_set():
            logger.error(
                "the manager was closed before %s: what was in flight is left to others. Open the "
                "listener within the manager's block",
                self.name,
            )
            self.server.stopping.set()


def _failed(status: str, error: TaskError) -> dict[str, Any]:
    original = error.original_error if isinstance(error, TaskExecutionError) else error
    kind = getattr(original, "type_name", None) or type(original).__name__
    return {"status": status, "error": str(error), "error_type": kind}


def _flat(fields: Mapping[Any, Any]) -> list[Any]:
    return [text for pair in fields.items() for text in pair]

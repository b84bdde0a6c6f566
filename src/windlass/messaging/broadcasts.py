"""Broadcasts: what is published to a channel reaches all who listen at that moment.

Nothing is kept for those who do not, and nothing is acknowledged: what must not be lost goes
through a stream.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import msgspec

from .. import ManagerClosedError, StoreError, TaskError, task
from .reading import Reader, Unreadable, written

if TYPE_CHECKING:
    from .server import Server
    from .starting import Starter

logger = logging.getLogger("windlass.messaging")

_CONFIRMED = {"subscribe", "psubscribe"}
_A_MESSAGE = {"message", "pmessage"}
_GLANCE = 5.0


class Broadcasts:
    """What ``subscribe`` opens."""

    def __init__(self, starter: Starter, server: Server, channel: str, in_flight: int) -> None:
        self.server = server
        self.name = f"subscribed to {channel}"
        self._starter = starter
        self._channel = channel
        self._reader = Reader(starter.plain)
        names = list(self._reader.parameters)
        if not names:
            raise TypeError(f"{starter.plain!r} takes no argument, and has to take the message")
        self._first, self._wants_channel = names[0], "channel" in names[1:]
        self._in_flight = in_flight
        self._room = asyncio.Semaphore(in_flight)
        self._client: Any = None
        self._connection: Any = None

    async def begin(self) -> None:
        """Subscribe, or raise why that cannot be."""
        self._client = self.server.client()
        self._room = asyncio.Semaphore(self._in_flight)
        try:
            await self._connect()
        except self.server.troubles as error:
            await self._disconnect()
            await self._client.aclose()
            raise self.server.refusal(error) from error

    async def serve(self) -> None:
        """Receive until it is to stop, and then let what is in flight come to its end."""
        reading = asyncio.ensure_future(self._read_on())
        stopping = asyncio.ensure_future(self.server.stopping.wait())
        try:
            await asyncio.wait({reading, stopping}, return_when=asyncio.FIRST_COMPLETED)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            await self._starter.finish()
        finally:
            for one in (reading, stopping):
                one.cancel()
            await asyncio.gather(reading, stopping, return_exceptions=True)
            await self._starter.close()
            await self._disconnect()
            await self._client.aclose()

    async def _connect(self) -> None:
        """Subscribe, and have it confirmed: what is published from now on is heard."""
        self._connection = self._client.pubsub()
        if any(sign in self._channel for sign in "*?["):
            await self._connection.psubscribe(self._channel)
        else:
            await self._connection.subscribe(self._channel)
        answer = await self._connection.get_message(timeout=_GLANCE)
        if answer is None or answer["type"] not in _CONFIRMED:
            raise ConnectionError("it does not confirm the subscription")

    async def _disconnect(self) -> None:
        if self._connection is not None:
            await self._connection.aclose()
            self._connection = None

    async def _read_on(self) -> None:
        attempt = 0
        while True:
            try:
                if self._connection is None:
                    await self._connect()
                self.server.well()
                attempt = 0
                await self._read()
            except self.server.troubles as error:
                attempt += 1
                await self._disconnect()
                await self.server.pause(error, attempt)

    async def _read(self) -> None:
        while True:
            message = await self._connection.get_message(timeout=_GLANCE)
            if message is None:
                # A quiet server and one that is gone look alike; it is asked, and answers.
                await self._connection.ping()
            elif message["type"] in _A_MESSAGE:
                await self._room.acquire()
                self._starter.follow(self._follow(message["channel"], message["data"]))

    async def _follow(self, channel: bytes, data: bytes) -> None:
        try:
            kind = self._reader.parameters[self._first]
            arguments = {self._first: self._reader.read_one(self._first, data, kind)}
            if self._wants_channel:
                arguments["channel"] = channel.decode()
            waiting = await self._starter.outside(self._starter.submit, arguments)
            await (await waiting)
        except ManagerClosedError:
            if not self.server.stopping.is_set():
                logger.error("the manager was closed before this was: %s", self.name)  # noqa: TRY400
                self.server.stopping.set()
        except (Unreadable, TaskError, StoreError, TypeError) as error:
            logger.error("a message to %r was not done: %s", channel.decode(), error)  # noqa: TRY400
        except Exception:
            logger.exception("a message to %r was not done", channel.decode())
        finally:
            self._room.release()


@task(executor="thread", durable=False)
def send(server: Server, channel: str, message: Any) -> int:
    """Publish a message; see ``publish``."""
    client = server.plain_client()
    try:
        heard: int = client.publish(channel, encoded(message))
    except server.troubles as error:
        raise server.refusal(error) from error
    finally:
        client.close()
    return heard


def encoded(message: Any) -> bytes:
    """A message as it is sent: texts and bytes as they are, all else as JSON."""
    if isinstance(message, bytes):
        return message
    if isinstance(message, str):
        return message.encode()
    try:
        return written(message)
    except (TypeError, ValueError, NotImplementedError, msgspec.MsgspecError) as error:
        raise TypeError(f"a message is a text, bytes, or has a form as JSON: {error}") from error

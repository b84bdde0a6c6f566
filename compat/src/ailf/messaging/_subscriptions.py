"""Publish and subscribe on an event loop: handlers are Windlass tasks.

Theory of operation
-------------------
From the first ``subscribe`` to ``unsubscribe_all`` there is a *session*: a task manager in which
one task, the reader, receives what comes, and every message makes another, which calls the handler.
So handlers run concurrently, plain functions among them in threads, and one that fails is logged.
When too many are behind, the reader waits, and the server keeps the messages or drops the
connection.

``subscriptions`` says what is wanted. The reader makes it so on every connection it has, the first
and those after the server was away; ``live`` are the channels that the server has confirmed on the
current one. What is published while there is none is lost: that is what publishing is in Redis. A
stream loses nothing.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import defaultdict
from collections.abc import Callable
from typing import Any, TypeAlias

import windlass

from ._clients import AsyncRedisClient
from ._server import decoded, lost, reaching

logger = logging.getLogger("ailf")

Handler: TypeAlias = Callable[[str, Any], Any]

_AT_ONCE = 100
_IN_LINE = 1000
LOST = "lost the Redis server at %s (%s); subscriptions come back with it"
# Between attempts to reach a server that went away.
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
# How long handlers may go on after the last subscription has ended.
_FAREWELL = 10.0


class AsyncRedisPubSub:
    """Messages to whoever listens now. A handler gets the channel, and the message read as JSON."""

    def __init__(self, client: AsyncRedisClient | None = None) -> None:
        if not isinstance(client, AsyncRedisClient | None):
            raise TypeError(f"client= takes an AsyncRedisClient, not {client!r}")
        self._owns_client = client is None
        self.client = client or AsyncRedisClient()
        self.subscriptions: dict[str, Handler] = {}
        self._session: Session | None = None

    async def connect(self) -> None:
        """See whether the server is there."""
        await self.client.connect()

    async def publish(self, channel: str, message: Any) -> int:
        """Send a text, or anything else as JSON; how many have received it."""
        received: int = await self.client.publish(channel, message)
        return received

    async def subscribe(self, channel: str, handler: Handler) -> None:
        """Have ``handler`` called with what is published from when this returns."""
        if not callable(handler):
            raise TypeError(f"subscribe() takes a function of channel and message, not {handler!r}")
        await self.connect()
        self.subscriptions[channel] = handler
        session = self._session
        if session is not None and session.loop is not asyncio.get_running_loop():
            await session.end()  # its loop has ended, without a word
            session = None
        if session is None:
            session = self._session = Session(self)
            await session.begin()
        else:
            await session.tell_server("subscribe", channel)
        try:
            with reaching(self.client.address):
                async with asyncio.timeout(self.client.config.socket_connect_timeout):
                    await session.live[channel].wait()
        except ConnectionError:
            await self.unsubscribe(channel)
            raise

    async def unsubscribe(self, channel: str) -> None:
        """Listen to a channel no more."""
        if self.subscriptions.pop(channel, None) is None or self._session is None:
            return
        if self.subscriptions:
            self._session.live.pop(channel, None)
            await self._session.tell_server("unsubscribe", channel)
        else:
            await self.unsubscribe_all()

    async def unsubscribe_all(self) -> None:
        """Listen no more, and wait for the handlers that run; one of them may be who asks."""
        self.subscriptions.clear()
        session, self._session = self._session, None
        if session is not None:
            await session.end()

    def read(self, text: Any) -> Any:
        """What a handler is given for a text."""
        return decoded(text)

    async def close(self) -> None:
        """Listen no more, and disconnect a client that was not given."""
        await self.unsubscribe_all()
        if self._owns_client:
            await self.client.disconnect()


class Session:
    """From the first subscription to the end of the last one, on one event loop."""

    def __init__(self, pubsub: AsyncRedisPubSub) -> None:
        self.loop = asyncio.get_running_loop()
        self.live: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._pubsub = pubsub
        self._tasks = windlass.TaskManager(
            max_concurrent_tasks=_AT_ONCE + 1,
            max_pending=_IN_LINE,
            retention_count=0,  # which also logs a failure at once
        )
        self._reader: windlass.TaskHandle[None] | None = None
        self._connection: Any = None
        self._speaking = asyncio.Lock()  # redis-py connects at the first word: one at a time

    async def begin(self) -> None:
        """Start to receive."""
        await self._tasks.start()
        self._reader = self._tasks.submit(self._listen)

    async def end(self) -> None:
        """Receive no more, and let the handlers come to their end."""
        if self._reader is not None:
            self._reader.cancel()
        await self._tasks.shutdown(timeout=_FAREWELL)

    async def tell_server(self, command: str, channel: str) -> None:
        """Add or drop a channel of the connection there is; a later one has what is wanted then."""
        connection = self._connection
        try:
            if connection is not None:
                async with self._speaking:
                    await getattr(connection, command)(channel)
        except Exception as error:
            if not lost(error):
                raise
            # The reader finds out as well, and begins anew.

    async def _listen(self) -> None:
        """The reader: receive on one connection after another."""
        address, client = self._pubsub.client.address, self._pubsub.client.listener()
        pause = 0.0
        try:
            while True:
                connection = self._connection = client.pubsub()
                try:
                    async with self._speaking:
                        await connection.subscribe(*self._pubsub.subscriptions)
                    while True:
                        message = await connection.get_message(timeout=None)
                        pause = 0.0
                        if message is not None:
                            await self._receive(**message)
                except Exception as error:
                    if not lost(error):
                        raise
                    if not pause:
                        logger.warning(LOST, address, error)
                finally:
                    for confirmed in self.live.values():
                        confirmed.clear()
                    await connection.aclose()
                pause = min(max(2 * pause, FIRST_PAUSE), LONGEST_PAUSE)
                await asyncio.sleep(pause)
        finally:
            await client.aclose()
            await client.connection_pool.disconnect()

    async def _receive(self, type: str, channel: str, data: Any, **_: Any) -> None:
        handler = self._pubsub.subscriptions.get(channel)
        if handler is None:
            return
        if type == "subscribe":
            self.live[channel].set()
        elif type == "message":
            call = _call_async if _is_asynchronous(handler) else _call_plain
            named = call.options(name=f"handler of {channel}")
            await self._tasks.enqueue(named, handler, channel, self._pubsub.read(data))


@windlass.task(executor="async")
async def _call_async(handler: Handler, channel: str, message: Any) -> None:
    await handler(channel, message)


@windlass.task(executor="thread")
def _call_plain(handler: Handler, channel: str, message: Any) -> Any:
    return handler(channel, message)


def _is_asynchronous(handler: Any) -> bool:
    method = getattr(handler, "__call__", None)  # noqa: B004  # of an object, perhaps
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(method)

"""Clients of a Redis server, one for plain code and one for event loops.

What is asked of the server is written once, as *steps*: a generator that yields commands and is
sent their answers. A client carries them out in its own way.
"""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

from ..schemas.redis import RedisConfig
from ._server import address_of, driver, encoded, open_client, reaching

Step: TypeAlias = tuple[str, tuple[Any, ...], dict[str, Any]]
Steps: TypeAlias = Generator[Step, Any, Any]


class Commands(ABC):
    """What both clients can do. In an ``AsyncRedisClient`` each of these is awaited."""

    @abstractmethod
    def carry_out(self, steps: Steps) -> Any:
        """Do what the steps say; what they return, or an awaitable of it."""

    def get(self, key: str) -> Any:
        """The value of ``key``, or None."""
        return self._ask("get", key)

    def set(self, key: str, value: Any, expire: float | None = None) -> Any:
        """Set a key, for ``expire`` seconds if given; True if that was done."""
        expires = None if expire is None else max(1, round(expire * 1000))
        return self._ask("set", key, value, px=expires, then=bool)

    def delete(self, *keys: str) -> Any:
        """Delete keys; True if there was one."""
        return self._ask("delete", *keys, then=bool)

    def exists(self, key: str) -> Any:
        """Whether there is such a key."""
        return self._ask("exists", key, then=bool)

    def set_json(self, key: str, value: Any, expire: float | None = None) -> Any:
        """Set a key to a value as JSON."""
        return self.set(key, json.dumps(value), expire)

    def get_json(self, key: str) -> Any:
        """The value of ``key``, read as JSON, or None; ValueError if it is none."""

        def read(text: str | None) -> Any:
            try:
                return None if text is None else json.loads(text)
            except ValueError as error:
                raise ValueError(f"the value of the key {key!r} is not JSON: {error}") from error

        return self._ask("get", key, then=read)

    def publish(self, channel: str, message: Any) -> Any:
        """Send a text, or anything else as JSON; how many have received it."""
        return self._ask("publish", channel, encoded(message))

    def health_check(self) -> Any:
        """Whether the server answers."""
        return self.carry_out(_healthy())

    def _ask(
        self, command: str, *args: Any, then: Callable[[Any], Any] | None = None, **options: Any
    ) -> Any:
        return self.carry_out(_one((command, args, options), then))


def _one(step: Step, then: Callable[[Any], Any] | None) -> Steps:
    answer = yield step
    return answer if then is None else then(answer)


def _healthy() -> Steps:
    try:
        return bool((yield "ping", (), {}))
    except driver().RedisError:
        return False


class RedisClient(Commands):
    """A client for plain code and threads. It connects when it is first used."""

    def __init__(self, config: RedisConfig | None = None) -> None:
        self.config = config or RedisConfig()
        self.client = open_client(self.config.url, self.config, asynchronous=False)
        """redis-py's client, for all that is not here."""
        self.address = address_of(self.config.url)

    def carry_out(self, steps: Steps) -> Any:
        answer, error = None, None
        try:
            while True:
                command, args, options = steps.throw(error) if error else steps.send(answer)
                answer, error = None, None
                try:
                    with reaching(self.address):
                        answer = getattr(self.client, command)(*args, **options)
                except driver().RedisError as refused:
                    error = refused
        except StopIteration as stop:
            return stop.value

    def connect(self) -> None:
        """Connect now rather than at the first command, to see whether the server is there."""
        self._ask("ping")

    def close(self) -> None:
        """Close all connections; the next command opens new ones."""
        self.client.connection_pool.disconnect()

    @contextmanager
    def pipeline(self) -> Generator[Any]:
        """Commands that are sent together at the end of the block; not if it raises."""
        with self.client.pipeline() as pipe:
            yield pipe
            with reaching(self.address):
                pipe.execute()

    def listener(self) -> Any:
        """Another redis-py client for the same server, for listening."""
        return open_client(self.config.url, self.config, asynchronous=False, listener=True)


class AsyncRedisClient(Commands):
    """A client for event loops: whatever waits for the server is awaited, and blocks nobody.

    ``url`` (``redis://:secret@host:port/db``) says where the server is, in place of ``config``.
    """

    def __init__(self, config: RedisConfig | None = None, url: str | None = None) -> None:
        self.config = config or RedisConfig()
        self.url = url or self.config.url
        # Connections belong to an event loop, and a client may serve several, one after another.
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, Any] = WeakKeyDictionary()
        self.address = address_of(self.url)

    @property
    async def client(self) -> Any:
        """redis-py's client for the running loop, for all that is not here: ``await x.client``."""
        return self._here()

    def _here(self) -> Any:
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            self._clients[loop] = open_client(self.url, self.config, asynchronous=True)
        return self._clients[loop]

    async def carry_out(self, steps: Steps) -> Any:
        answer, error = None, None
        try:
            while True:
                command, args, options = steps.throw(error) if error else steps.send(answer)
                answer, error = None, None
                try:
                    with reaching(self.address):
                        answer = await getattr(self._here(), command)(*args, **options)
                except driver().RedisError as refused:
                    error = refused
        except StopIteration as stop:
            return stop.value

    async def connect(self) -> None:
        """Connect now rather than at the first command, to see whether the server is there."""
        await self._ask("ping")

    async def disconnect(self) -> None:
        """Close this loop's connections; the next command opens new ones."""
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()
            await client.connection_pool.disconnect()

    async def close(self) -> None:
        """The same as ``disconnect``."""
        await self.disconnect()

    @asynccontextmanager
    async def pipeline(self) -> AsyncGenerator[Any]:
        """Commands that are sent together at the end of the block; not if it raises."""
        async with self._here().pipeline() as pipe:
            yield pipe
            with reaching(self.address):
                await pipe.execute()

    def listener(self) -> Any:
        """Another redis-py client for the same server, for listening."""
        return open_client(self.url, self.config, asynchronous=True, listener=True)

"""The way to a Redis server: all that depends on which driver it is, redis-py."""

from __future__ import annotations

import functools
import json
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Generator

    from ..schemas.redis import RedisConfig

# How often a command is tried again on a new connection, and how long each pause may become:
# a server that is restarted is back within them, one that is not there is reported within a second.
_RETRIES = 4
_PAUSE, _LONGEST_PAUSE = 0.04, 0.3


@functools.cache
def driver() -> Any:
    """The module ``redis``, which is first needed, and asked for, when a client is made."""
    try:
        import redis  # noqa: PLC0415  # comes with an extra
        import redis.asyncio  # noqa: PLC0415  # pyright: ignore[reportUnusedImport]
    except ImportError as error:
        raise ImportError(
            "messages through Redis need the package redis, which is not installed: "
            "pip install 'redis>=6.4'"
        ) from error
    return redis


def open_client(
    url: str, config: RedisConfig, *, asynchronous: bool, listener: bool = False
) -> Any:
    """A redis-py client that connects when it is first used.

    That of a ``listener`` has one connection, waits for ever, and leaves it to the listener to
    connect again, who has subscriptions to restore.
    """
    redis = driver()
    world = redis.asyncio if asynchronous else redis
    backoff = redis.backoff.ExponentialBackoff(cap=_LONGEST_PAUSE, base=_PAUSE)
    retry = redis.asyncio.retry.Retry if asynchronous else redis.retry.Retry
    again = (redis.ConnectionError, *([redis.TimeoutError] if config.retry_on_timeout else []))
    pool = world.BlockingConnectionPool.from_url(
        url,
        protocol=2,  # answers have the same shape with every version of the driver
        decode_responses=config.decode_responses,
        socket_timeout=None if listener else config.socket_timeout,
        socket_connect_timeout=config.socket_connect_timeout,
        socket_keepalive=config.socket_keepalive,
        max_connections=1 if listener else config.max_connections,
        retry=retry(backoff, 0 if listener else _RETRIES, again),
    )
    return world.Redis.from_pool(pool)


def address_of(url: str) -> str:
    """Where that is, in words; without the password."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return parts.path
    return f"{parts.hostname or 'localhost'}:{parts.port or 6379}"


def lost(error: BaseException) -> bool:
    """Whether the server could not be reached, or went away; it may come back."""
    redis = driver()
    if isinstance(error, redis.AuthenticationError):
        return False  # to redis-py a connection error as well
    return isinstance(error, (redis.ConnectionError, redis.TimeoutError, OSError))


@contextmanager
def reaching(address: str) -> Generator[None]:
    """Say which server was not reached, and for how long it was tried."""
    began = monotonic()
    try:
        yield
    except Exception as error:
        if not lost(error) or isinstance(error, unreachable_error()):
            raise
        raise unreachable_error()(
            f"no answer from the Redis server at {address}, tried for {monotonic() - began:.1f} s "
            f"({error}). Start it with `redis-server`, or say where it is: RedisConfig(host=..., "
            "port=...)"
        ) from error


@functools.cache
def unreachable_error() -> type[ConnectionError]:
    """The error for that: Python's own ConnectionError, and redis-py's as well."""
    bases = (driver().ConnectionError, ConnectionError)
    return type("RedisUnreachableError", bases, {"__module__": __name__})


def encoded(message: Any) -> Any:
    """A message as it is sent: texts and bytes as they are, all else as JSON."""
    return message if isinstance(message, str | bytes) else json.dumps(message)


def decoded(text: Any) -> Any:
    """What a text means as JSON, or itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text

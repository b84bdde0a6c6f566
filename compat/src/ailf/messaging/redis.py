"""Messages, streams, locks and limits through a Redis server.

redis-py is imported when the first client is made, and every server that cannot be reached is named
in a ``ConnectionError``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..schemas.redis import RedisConfig
from ._clients import AsyncRedisClient, RedisClient
from ._listening import Listener
from ._locks import RedisLock, RedisRateLimiter
from ._streams import RedisStream
from ._subscriptions import AsyncRedisPubSub

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

__all__ = [
    "AsyncRedisClient",
    "RedisClient",
    "RedisConfig",
    "RedisLock",
    "RedisPubSub",
    "RedisRateLimiter",
    "RedisStream",
]


class RedisPubSub:
    """Messages to whoever listens now, in plain code or, with an ``AsyncRedisClient``, on a loop.

    In plain code a handler gets the message, read as JSON, once ``run`` or ``run_in_thread`` goes.
    On a loop whatever this does is awaited, a handler gets the channel and the text, and there is
    nothing to run.
    """

    def __init__(
        self,
        redis_client: RedisClient | None = None,
        *,
        client: AsyncRedisClient | RedisClient | None = None,
    ) -> None:
        given = client or redis_client
        if not isinstance(given, AsyncRedisClient | RedisClient | None):
            raise TypeError(f"client= takes an AsyncRedisClient or a RedisClient, not {given!r}")
        self._half: _Texts | Listener = (
            _Texts(given) if isinstance(given, AsyncRedisClient) else Listener(given)
        )

    @property
    def client(self) -> AsyncRedisClient | RedisClient:
        """The client it works through."""
        return self._half.client

    @property
    def subscriptions(self) -> dict[str, Any]:
        """The handlers by channel."""
        return dict(self._half.subscriptions)

    def connect(self) -> Any:
        """See whether the server is there."""
        return self._half.connect()

    def publish(self, channel: str, message: Any) -> Any:
        """Send a text, or anything else as JSON; how many have received it."""
        return self._half.publish(channel, message)

    def subscribe(self, channel: str, handler: Callable[..., Any]) -> Any:
        """Have ``handler`` called with what is published from when this is done."""
        return self._half.subscribe(channel, handler)

    def unsubscribe(self, channel: str) -> Any:
        """Listen to a channel no more."""
        return self._half.unsubscribe(channel)

    def unsubscribe_all(self) -> Any:
        """Listen to no channel any more."""
        return self._half.unsubscribe_all()

    def close(self) -> Any:
        """Listen no more, and let go of the connection for it."""
        return self._half.close()

    def run(self) -> None:
        """Receive messages and call their handlers, until ``stop``."""
        self._listener("run").run()

    def run_in_thread(self, daemon: bool = True) -> threading.Thread:
        """The same in a thread of its own, which is returned."""
        return self._listener("run_in_thread").run_in_thread(daemon=daemon)

    def stop(self) -> None:
        """End ``run`` after the message it is at, and wait for that a while."""
        self._listener("stop").stop()

    def _listener(self, method: str) -> Listener:
        if isinstance(self._half, Listener):
            return self._half
        raise RuntimeError(
            f"{method}() is for plain code: with an AsyncRedisClient messages come from "
            "`await subscribe(...)` on, until `await unsubscribe_all()`"
        )


class _Texts(AsyncRedisPubSub):
    def read(self, text: Any) -> Any:
        return text

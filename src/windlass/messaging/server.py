"""The way to a Redis server, and patience with it while it is away."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import random
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

logger = logging.getLogger("windlass.messaging")

T = TypeVar("T")

URL = "redis://localhost:6379/0"
# An answer that takes longer is none: the server is frozen, or the network is gone.
PATIENCE = 10.0
# One reads, and replies of many messages share the others.
_CONNECTIONS = 8
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0


@functools.cache
def driver() -> Any:
    """The module ``redis``, which comes with an extra."""
    try:
        import redis  # noqa: PLC0415  # comes with an extra
        import redis.asyncio  # noqa: PLC0415  # pyright: ignore[reportUnusedImport]
    except ImportError as error:
        raise ImportError(
            "windlass.messaging needs the package redis, which is not installed: "
            "pip install 'windlass[redis]'"
        ) from error
    return redis


class Server:
    """A Redis server: clients for it, and one account of whether it is there."""

    def __init__(self, url: str | None) -> None:
        if not isinstance(url, str | None):
            raise TypeError(f"url= takes a text like {URL!r}, not {url!r}")
        self.url = url or os.environ.get("REDIS_URL") or URL
        parts = urlsplit(self.url)
        where = parts.path if parts.scheme == "unix" else f"{parts.hostname}:{parts.port or 6379}"
        self.address = f"{parts.scheme}://{where}"  # without the password
        redis = driver()
        redis.connection.parse_url(self.url)  # which raises ValueError for what is no address
        self.troubles: tuple[type[Exception], ...] = (redis.RedisError, OSError)
        """What a command may fail with, through no fault of who gives it."""
        self.stopping = asyncio.Event()
        self._trouble: str | None = None

    def client(self) -> Any:
        """A client for the running loop, which connects when it is first used."""
        redis = driver()
        no_retries = redis.asyncio.retry.Retry(redis.backoff.NoBackoff(), 0)
        pool = redis.asyncio.BlockingConnectionPool.from_url(
            self.url,
            **self._settings,
            retry=no_retries,
            max_connections=_CONNECTIONS,
            timeout=PATIENCE,
        )
        return redis.asyncio.Redis.from_pool(pool)

    def plain_client(self) -> Any:
        """A client for a thread."""
        redis = driver()
        no_retries = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
        return redis.Redis.from_url(self.url, **self._settings, retry=no_retries)

    @property
    def _settings(self) -> dict[str, Any]:
        return {
            "protocol": 2,  # answers have one shape, whatever the version of the driver
            "socket_timeout": PATIENCE,
            "socket_connect_timeout": PATIENCE,
            "socket_keepalive": True,
        }

    def refusal(self, error: Exception) -> Exception:
        """What to raise, at the beginning, for what the server has answered, or not."""
        redis = driver()
        text = str(error).rstrip(".")
        if isinstance(error, redis.AuthenticationError) or text.startswith(("NOAUTH", "NOPERM")):
            return PermissionError(
                f"the Redis server at {self.address} refuses the password or the user: {text}. "
                "Both are a part of url=: redis://user:password@host:port/0"
            )
        if isinstance(error, (redis.ConnectionError, redis.TimeoutError, OSError)):
            return ConnectionError(
                f"there is no Redis server at {self.address}: {text}. Start one with "
                "`redis-server`, or say where it is: url=, or the variable REDIS_URL"
            )
        return RuntimeError(f"the Redis server at {self.address} refuses: {text}")

    def well(self) -> None:
        """It answers."""
        if self._trouble is not None:
            logger.info("the Redis server at %s is back", self.address)
            self._trouble = None

    async def pause(self, error: Exception, attempt: int) -> None:
        """Wait a while after the ``attempt`` that failed; longer each time, unless stopping."""
        trouble = f"{type(error).__name__}: {error}"
        if self._trouble is None:
            logger.warning(
                "trouble with the Redis server at %s: %s; trying until it works",
                self.address,
                trouble,
            )
        self._trouble = trouble
        longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(attempt, 10))
        seconds = longest * random.uniform(0.5, 1.0)  # noqa: S311  # or all would come at once
        if self.stopping.is_set():
            await asyncio.sleep(seconds)
            return
        try:
            await asyncio.wait_for(self.stopping.wait(), seconds)
        except TimeoutError:
            pass  # that was the pause

    async def insist(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask until there is an answer; once stopping, for a while only."""
        loop, attempt, until = asyncio.get_running_loop(), 0, None
        while True:
            try:
                answer = await ask()
            except self.troubles as error:
                attempt += 1
                if self.stopping.is_set():
                    until = until or loop.time() + PATIENCE
                    if loop.time() > until:
                        raise
                await self.pause(error, attempt)
            else:
                self.well()
                return answer

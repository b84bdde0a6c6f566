"""A lock and a rate limit that programs on several machines share through a Redis server.

How the lock is kept from being held twice
------------------------------------------
Its key holds the token of one acquisition, is set only where there is none, and is deleted only by
who has that token. The key expires, so that a lock does not outlive its program; while the lock is
held a thread renews it, and stops when nothing refers to the lock any more.

A server that is killed may come back without the key. Whoever holds the lock notices within
``_EVERY`` and sets it again, and has the first ``_SETTLING`` seconds of the server's life for that:
a newcomer who finds the lock free so early waits until they are over, and has the lock if it was
not claimed meanwhile. A holder that reaches no server until the key must have expired has lost the
lock.
"""

from __future__ import annotations

import logging
import threading
import weakref
from contextlib import contextmanager
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ._clients import RedisClient
from ._server import reaching

if TYPE_CHECKING:
    from collections.abc import Generator

logger = logging.getLogger("ailf")

_EVERY = 0.5
_SETTLING = 2

_UPTIME = """
local uptime = tonumber(string.match(redis.call('INFO', 'server'), 'uptime_in_seconds:(%d+)'))
"""
# Each answers whether the lock is ours, and how old the server is.
_TAKE = (
    _UPTIME
    + """
local taken = redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2])
return {taken and 1 or 0, uptime}
"""
)
_RENEW = (
    _UPTIME
    + """
local owner = redis.call('GET', KEYS[1])
local held = ARGV[3] == 'holder' and (not owner or uptime < tonumber(ARGV[4]))
if owner == ARGV[1] or held then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return {1, uptime}
end
return {0, uptime}
"""
)
_RELEASE = """
return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1]) or 0
"""
_ALLOW = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - ARGV[2]))
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[1]) then return 0 end
redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[3])
redis.call('PEXPIRE', KEYS[1], math.ceil(ARGV[2] / 1000))
return 1
"""


class RedisLock:
    """A lock with a name; one object holds it once at a time, whatever thread asks."""

    def __init__(
        self, lock_name: str, expire: float = 10, redis_client: RedisClient | None = None
    ) -> None:
        if not expire > 0:
            raise ValueError(f"expire must be more than zero seconds, not {expire!r}")
        self.client = redis_client or RedisClient()
        self.lock_name = f"lock:{lock_name}"
        self.expire = expire
        self.token: str | None = None
        self._valid_until = 0.0
        self._door = threading.Lock()
        self._released = threading.Event()

    @property
    def held(self) -> bool:
        """Whether this object holds the lock, as far as it can know."""
        return self.token is not None and monotonic() < self._valid_until

    def acquire(self, retry: int = 3, retry_delay: float = 0.2) -> bool:
        """Take the lock; False if others, or this object, held it at all ``retry + 1`` tries."""
        for attempt in range(retry + 1):
            if attempt:
                sleep(retry_delay)
            with self._door:
                if self._take():
                    return True
        return False

    def release(self) -> bool:
        """Give the lock back; False if it was not held, or had been lost."""
        with self._door:
            token, self.token = self.token, None
            self._released.set()
            if token is None:
                return False
            return bool(_evaluate(self.client, _RELEASE, self.lock_name, token))

    @contextmanager
    def acquire_context(self, retry: int = 3, retry_delay: float = 0.2) -> Generator[bool]:
        """For ``with``: whether the lock was acquired, and its release at the end if it was."""
        acquired = self.acquire(retry, retry_delay)
        try:
            yield acquired
        finally:
            if acquired:
                self.release()

    def _take(self) -> bool:
        token = uuid4().hex
        began = monotonic()
        ours, uptime = self._ask(_TAKE, token)
        while ours and uptime < _SETTLING:
            sleep(_EVERY / 2)
            began = monotonic()
            ours, uptime = self._ask(_RENEW, token, "newcomer")
        if ours:
            self.token, self._valid_until = token, began + self.expire
            self._released.set()  # of an earlier time that has run out
            self._released = threading.Event()
            threading.Thread(
                target=_keep,
                args=(weakref.ref(self), self._released, min(_EVERY, self.expire / 3)),
                name="ailf-lock",
                daemon=True,
            ).start()
        return bool(ours)

    def renew(self) -> bool:
        """Hold the lock for ``expire`` seconds from now on; done by itself all the time."""
        with self._door:
            began = monotonic()
            try:
                if self.token is None:
                    return False
                kept = self.held and bool(self._ask(_RENEW, self.token, "holder")[0])
            except ConnectionError:
                return True  # the lock stays ours until it expires
            if kept:
                self._valid_until = began + self.expire
            else:
                self.token = None
                self._released.set()
                logger.warning("lost the lock %s: others may hold it now", self.lock_name)
            return kept

    def _ask(self, script: str, token: str, *role: str) -> tuple[int, int]:
        milliseconds = max(1, round(self.expire * 1000))
        ours, uptime = _evaluate(
            self.client, script, self.lock_name, token, milliseconds, *role, _SETTLING
        )
        return ours, uptime


def _keep(lock: weakref.ref[RedisLock], released: threading.Event, every: float) -> None:
    """Renew a lock until it is released, lost, or nobody has it in hand any more."""
    while not released.wait(every):
        held = lock()
        if held is None or not held.renew():
            return
        del held  # or it would be in our hands


class RedisRateLimiter:
    """At most ``rate`` times in any ``period`` seconds, for each key."""

    def __init__(
        self,
        key_prefix: str,
        rate: int = 10,
        period: float = 1,
        redis_client: RedisClient | None = None,
    ) -> None:
        if not (rate >= 1 and period > 0):
            raise ValueError(f"rate={rate!r} and period={period!r} have to be more than zero")
        self.client = redis_client or RedisClient()
        self.key_prefix = f"ratelimit:{key_prefix}"
        self.rate = rate
        self.period = period

    def is_allowed(self, key: str) -> bool:
        """Whether it may be done now; if so it counts as done."""
        microseconds = round(self.period * 1_000_000)
        name = f"{self.key_prefix}:{key}"
        return bool(_evaluate(self.client, _ALLOW, name, self.rate, microseconds, uuid4().hex))


def _evaluate(client: RedisClient, script: str, key: str, *args: Any) -> Any:
    with reaching(client.address):
        return client.client.eval(script, 1, key, *args)

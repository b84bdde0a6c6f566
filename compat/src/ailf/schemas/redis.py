"""Where a Redis server is, and how to talk to it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True)
class RedisConfig:
    """Where a Redis server is. No more than ``max_connections`` are open; others wait for one."""

    host: str = "localhost"
    port: int = 6379
    db: int = 0
    password: str | None = None
    ssl: bool = False
    socket_timeout: float = 5
    socket_connect_timeout: float = 5
    socket_keepalive: bool = True
    retry_on_timeout: bool = True
    max_connections: int = 10
    decode_responses: bool = True

    @property
    def url(self) -> str:
        """The same as an address; what is no part of one is left out."""
        scheme = "rediss" if self.ssl else "redis"
        secret = f":{quote(self.password, safe='')}@" if self.password else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{secret}{host}:{self.port}/{self.db}"

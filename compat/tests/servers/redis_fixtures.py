"""Fixtures for tests that need a Redis server, to be imported by a ``conftest``."""

from collections.abc import Iterator

import pytest
from redis_server import HOW_TO_GET_ONE, RedisServer, find_redis_server

__all__ = ["mortal", "redis_program", "server", "standing_server"]


@pytest.fixture(scope="session")
def redis_program() -> str:
    """The server's program, for tests that start their own; they are skipped where it is not."""
    pytest.importorskip("redis", reason="needs the Redis client: pip install 'windlass[redis]'")
    program = find_redis_server()
    if program is None:
        pytest.skip(HOW_TO_GET_ONE)
    return program


@pytest.fixture(scope="session")
def standing_server(redis_program, tmp_path_factory) -> Iterator[RedisServer]:
    """The server that many tests share, with whatever the last one has left."""
    server = RedisServer(redis_program, tmp_path_factory.mktemp("redis"), durable=False)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def server(standing_server) -> RedisServer:
    """A server that many tests share, empty."""
    import redis

    with redis.Redis(port=standing_server.port) as client:
        client.flushall()
    return standing_server


@pytest.fixture
def mortal(redis_program, tmp_path) -> Iterator[RedisServer]:
    """A server of one's own, to be killed; what it has confirmed is on disk."""
    folder = tmp_path / "redis"
    folder.mkdir()
    server = RedisServer(redis_program, folder)
    server.start()
    yield server
    server.kill()

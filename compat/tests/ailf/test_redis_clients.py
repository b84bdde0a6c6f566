"""Clients of a real Redis server; what they say when there is none, and that they block no loop."""

import asyncio
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis_server import free_port

from ailf.messaging.redis import AsyncRedisClient, RedisClient, RedisConfig, RedisStream
from ailf.schemas.redis import RedisConfig as ConfigOfSchemas


@pytest.fixture
def client(server):
    client = RedisClient(RedisConfig(port=server.port))
    yield client
    client.close()


def test_the_plain_client(client):
    client.connect()
    assert client.health_check() is True
    assert client.get("k") is None
    assert client.set("k", "v") is True
    assert (client.get("k"), client.exists("k"), client.exists("no")) == ("v", True, False)
    assert client.delete("k") is True
    assert client.delete("k") is False
    assert client.set("brief", "v", expire=60) is True
    assert 0 < client.client.ttl("brief") <= 60
    assert client.set_json("j", {"a": [1, None]}, expire=60) is True
    assert client.get_json("j") == {"a": [1, None]}
    assert client.get_json("no") is None
    assert client.publish("channel", {"a": 1}) == 0
    with client.pipeline() as pipe:
        pipe.set("x", 1)
        pipe.incr("x")
    assert client.get("x") == "2"
    client.close()
    assert client.get("x") == "2", "a closed client connects again"


def test_a_pipeline_whose_block_raises_sends_nothing(client):
    with pytest.raises(KeyError), client.pipeline() as pipe:
        pipe.set("x", 1)
        raise KeyError
    assert not client.exists("x")


def test_what_is_not_json_is_named(client):
    client.set("k", "{broken")
    with pytest.raises(ValueError, match="value of the key 'k' is not JSON"):
        client.get_json("k")


async def test_the_async_client(server):
    client = AsyncRedisClient(url=server.url)
    await client.connect()
    assert await client.health_check() is True
    assert await client.set("k", "v", expire=60) is True
    assert (await client.get("k"), await client.exists("k")) == ("v", True)
    assert await client.delete("k") is True
    assert await client.set_json("j", {"a": 1}) is True
    assert await client.get_json("j") == {"a": 1}
    assert await client.publish("channel", "text") == 0
    async with client.pipeline() as pipe:
        pipe.set("x", 1)
        pipe.incr("x")
    assert await (await client.client).get("x") == "2"
    await client.disconnect()
    assert await client.get("x") == "2", "a disconnected client connects again"
    await client.close()


def test_one_async_client_in_one_loop_after_another(server):
    client = AsyncRedisClient(RedisConfig(port=server.port))

    async def life():
        await client.set("n", 1)
        assert await client.get("n") == "1"
        await client.disconnect()

    asyncio.run(life())
    asyncio.run(life())


async def test_more_at_once_than_there_are_connections_wait_for_one(server):
    client = AsyncRedisClient(RedisConfig(port=server.port, max_connections=3))
    await asyncio.gather(*(client.set(f"k{n}", n) for n in range(300)))
    assert await (await client.client).dbsize() == 300
    assert len(await (await client.client).client_list()) <= 4
    await client.disconnect()


def test_the_config():
    assert ConfigOfSchemas is RedisConfig
    config = RedisConfig()
    assert (config.host, config.port, config.db, config.password, config.ssl) == (
        "localhost", 6379, 0, None, False,
    )  # fmt: skip
    assert RedisConfig("there", 6380, 1).url == "redis://there:6380/1"
    secret = RedisConfig(host="::1", db=2, password="p:@/s", ssl=True)
    assert secret.url == "rediss://:p%3A%40%2Fs@[::1]:6379/2"
    with pytest.raises(AttributeError):
        config.port = 1


def test_a_password_is_used_and_never_shown(server):
    client = RedisClient(RedisConfig(port=server.port))
    client.client.config_set("requirepass", "hidden")
    try:
        known = RedisClient(RedisConfig(port=server.port, password="hidden"))
        assert known.health_check()
        stranger = RedisClient(RedisConfig(port=server.port, password="wrong-secret"))
        with pytest.raises(Exception, match="invalid username-password") as caught:
            stranger.connect()
        assert "wrong-secret" not in str(caught.value)
        assert not isinstance(caught.value, OSError), "the server was reached"
        known.client.config_set("requirepass", "")
        known.close()
        stranger.close()
    finally:
        client.close()


# -- no server -------------------------------------------------------------------------------------


def test_an_unreachable_server_is_named_with_how_long_it_was_tried():
    import redis

    port = free_port()
    client = RedisClient(RedisConfig(port=port))
    assert client.health_check() is False
    expected = rf"Redis server at localhost:{port}, tried for [0-9.]+ s .*RedisConfig\(host="
    asked = (
        client.connect,
        lambda: client.get("k"),
        lambda: RedisStream("s", client).add({"a": 1}),
    )

    def ask(question):
        with pytest.raises(ConnectionError, match=expected) as caught:
            question()
        assert isinstance(caught.value, redis.ConnectionError), (
            "who expects redis-py's is right too"
        )

    with ThreadPoolExecutor() as pool:  # each is tried for a second
        list(pool.map(ask, asked))


async def test_the_same_from_a_loop():
    port = free_port()
    client = AsyncRedisClient(url=f"redis://:secret@127.0.0.1:{port}/0")
    assert await client.health_check() is False
    with pytest.raises(ConnectionError, match=f"at 127.0.0.1:{port}, tried for") as caught:
        await client.get("k")
    assert "secret" not in str(caught.value)


async def test_a_server_that_does_not_answer_blocks_no_loop(own_server):
    config = RedisConfig(
        port=own_server.port,
        socket_timeout=0.5,
        socket_connect_timeout=0.5,
        retry_on_timeout=False,
    )
    client = AsyncRedisClient(config)
    await client.connect()
    own_server.freeze()
    asked = asyncio.create_task(client.get("k"))
    turns = 0
    while not asked.done():
        await asyncio.sleep(0)
        turns += 1
    own_server.thaw()
    with pytest.raises(ConnectionError, match=r"tried for [0-9.]+ s"):
        await asked
    assert turns > 100, "the loop went on all the time"
    await client.disconnect()


def test_a_server_that_was_restarted_is_found_again(own_server):
    client = RedisClient(RedisConfig(port=own_server.port))
    client.set("k", "kept")
    own_server.restart()
    assert client.get("k") == "kept", "on a new connection, unnoticed"
    client.close()


# -- no driver -------------------------------------------------------------------------------------

WITHOUT_DRIVERS = """
import sys
sys.modules["redis"] = sys.modules["celery"] = None  # as if they were not installed
import ailf, ailf.async_tasks, ailf.messaging.redis, ailf.messaging.async_redis, ailf.schemas.redis
for make in (
    ailf.messaging.redis.RedisClient,
    lambda: ailf.messaging.redis.RedisStream("s"),
    ailf.messaging.redis.RedisPubSub,
    lambda: __import__("ailf.workers.celery_app"),
):
    try:
        make()
    except ImportError as error:
        print(error)
"""


def test_a_missing_package_is_named_with_its_pip_command():
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_DRIVERS], capture_output=True, text=True, check=True
    )
    lines = ran.stdout.splitlines()
    assert len(lines) == 4
    assert all("pip install 'redis>=6.4'" in line for line in lines[:3])
    assert "pip install 'celery[redis]'" in lines[3]


QUIET = """
import json, sys, threading
import ailf.messaging.redis, ailf.messaging.async_redis
heavy = {"redis", "celery", "windlass.cli"} & set(sys.modules)
import ailf.workers.tasks
client = ailf.messaging.redis.AsyncRedisClient()
print(json.dumps([sorted(heavy), threading.active_count()]))
"""


def test_importing_starts_nothing_and_connects_to_nothing():
    ran = subprocess.run([sys.executable, "-c", QUIET], capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout) == [[], 1]

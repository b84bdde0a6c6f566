"""Publish and subscribe: in plain code, on a loop, with another process, and across a restart."""

import asyncio
import json
import threading
from contextlib import suppress
from queue import Queue

import pytest
from redis_server import free_port

from ailf.messaging.async_redis import AsyncRedisPubSub
from ailf.messaging.redis import AsyncRedisClient, RedisClient, RedisConfig, RedisPubSub

PUBLISHER = """
import sys
from ailf.messaging.redis import RedisClient, RedisConfig
client = RedisClient(RedisConfig(port=int(sys.argv[1])))
for n in range(int(sys.argv[2])):
    assert client.publish("news", {"n": n}) == 1
"""


@pytest.fixture
def client(server):
    client = RedisClient(RedisConfig(port=server.port))
    yield client
    client.close()


@pytest.fixture
def pubsub(client):
    pubsub = RedisPubSub(client)
    yield pubsub
    pubsub.close()


# -- in plain code ---------------------------------------------------------------------------------


def test_what_was_published_since_subscribing_is_handled_once_it_runs(pubsub):
    got = Queue()
    pubsub.subscribe("news", got.put)
    assert pubsub.publish("news", {"n": 1}) == 1
    pubsub.publish("news", "plain text")
    pubsub.subscribe("other", lambda data: got.put(("other", data)))
    pubsub.publish("other", [1])
    thread = pubsub.run_in_thread()
    assert thread.daemon
    assert [got.get(timeout=60) for _ in range(3)] == [{"n": 1}, "plain text", ("other", [1])]
    pubsub.stop()
    assert not thread.is_alive(), "stop waits"
    assert set(pubsub.subscriptions) == {"news", "other"}


def test_run_blocks_until_a_handler_stops_it(pubsub):
    got = []

    def handle(data):
        got.append(data)
        pubsub.stop()

    pubsub.subscribe("news", handle)
    pubsub.publish("news", "stop")
    pubsub.run()
    assert got == ["stop"]


def test_a_handler_that_raises_does_not_end_it(pubsub, caplog):
    got = Queue()

    def handle(data):
        if data == "bad":
            raise ValueError("cannot handle this")
        got.put(data)

    pubsub.subscribe("news", handle)
    pubsub.publish("news", "bad")
    pubsub.publish("news", "good")
    pubsub.run_in_thread()
    assert got.get(timeout=60) == "good"
    assert "the handler of the channel news raised" in caplog.text
    assert "cannot handle this" in caplog.text


def test_channels_come_and_go_while_it_runs(pubsub):
    got = Queue()
    pubsub.run_in_thread()
    pubsub.subscribe("a", got.put)
    assert pubsub.publish("a", "1") == 1
    assert got.get(timeout=60) == 1

    def subscribe_another(data):
        pubsub.subscribe("c", got.put)
        got.put(data)

    pubsub.subscribe("b", subscribe_another)
    pubsub.publish("b", "2")
    assert got.get(timeout=60) == 2
    assert pubsub.publish("c", "3") == 1, "subscribed from within a handler"
    assert got.get(timeout=60) == 3
    pubsub.unsubscribe("a")
    pubsub.unsubscribe("nowhere")
    pubsub.publish("a", "lost")
    pubsub.publish("c", "4")
    assert got.get(timeout=60) == 4


def test_stopped_it_can_run_again(pubsub):
    got = Queue()
    pubsub.subscribe("news", got.put)
    pubsub.run_in_thread()
    pubsub.stop()
    pubsub.run_in_thread()
    while not pubsub.publish("news", "again"):
        pass  # it is on its way to the server
    assert got.get(timeout=60) == "again"


def test_messages_of_another_process(pubsub, server, other_process):
    got = Queue()
    pubsub.subscribe("news", got.put)
    pubsub.run_in_thread()
    assert other_process(PUBLISHER, server.port, 200).wait(60) == 0
    assert [got.get(timeout=60) for _ in range(200)] == [{"n": n} for n in range(200)]


def test_subscriptions_come_back_with_the_server(own_server, caplog):
    pubsub = RedisPubSub(RedisClient(RedisConfig(port=own_server.port)))
    got = Queue()
    pubsub.subscribe("news", got.put)
    thread = pubsub.run_in_thread()
    for turn in range(2):
        own_server.restart()
        while not pubsub.publish("news", turn):
            pass  # until it is subscribed again
        assert got.get(timeout=60) == turn
    assert thread.is_alive()
    assert f"lost the Redis server at localhost:{own_server.port}" in caplog.text
    pubsub.close()


def test_messages_from_eight_threads(pubsub, server):
    got = Queue()
    pubsub.subscribe("news", got.put)
    pubsub.run_in_thread()

    def publish(thread):
        for n in range(1250):
            assert pubsub.publish("news", [thread, n]) == 1

    threads = [threading.Thread(target=publish, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    messages = [tuple(got.get(timeout=60)) for _ in range(10_000)]
    assert sorted(messages) == [(thread, n) for thread in range(8) for n in range(1250)]


# -- on a loop -------------------------------------------------------------------------------------


async def test_on_a_loop_handlers_get_channel_and_text(server):
    redis = AsyncRedisClient(RedisConfig(port=server.port))
    pubsub = RedisPubSub(client=redis)
    await pubsub.connect()
    got = asyncio.Queue()

    async def handle(channel, message):
        await got.put((channel, message))

    await pubsub.subscribe("a", handle)
    await pubsub.subscribe("b", handle)
    assert await pubsub.publish("a", {"n": 1}) == 1
    assert await pubsub.publish("b", "text") == 1
    assert sorted([await got.get(), await got.get()]) == [("a", '{"n": 1}'), ("b", "text")]
    await pubsub.unsubscribe("a")
    while await pubsub.publish("a", "nobody listens"):
        await asyncio.sleep(0.01)  # the server comes to hear of it
    await pubsub.unsubscribe_all()
    while await pubsub.publish("b", "nobody listens"):
        await asyncio.sleep(0.01)
    await pubsub.subscribe("b", handle)
    assert await pubsub.publish("b", "again") == 1
    assert await got.get() == ("b", "again")
    await pubsub.close()
    await redis.disconnect()


async def test_asyncredispubsub_decodes(server, default_port):
    default_port(server.port)
    pubsub = AsyncRedisPubSub()
    got = asyncio.Queue()

    async def handle(channel, message):
        await got.put((channel, message))

    await pubsub.subscribe("a", handle)
    await pubsub.publish("a", {"n": [1]})
    assert await got.get() == ("a", {"n": [1]})
    await pubsub.publish("a", "no json")
    assert await got.get() == ("a", "no json")
    await pubsub.close()


async def test_handlers_of_one_subscription_run_concurrently(server):
    redis = AsyncRedisClient(RedisConfig(port=server.port))
    pubsub = RedisPubSub(client=redis)
    all_there = asyncio.Barrier(10)

    async def handle(channel, message):
        await all_there.wait()  # which none passes before the others have begun

    await pubsub.subscribe("a", handle)
    for _ in range(9):
        await pubsub.publish("a", "x")
    async with asyncio.timeout(60):
        await all_there.wait()
    await pubsub.unsubscribe_all()
    await redis.disconnect()


async def test_a_plain_function_runs_in_a_thread_never_on_the_loop(server):
    redis = AsyncRedisClient(RedisConfig(port=server.port))
    pubsub = RedisPubSub(client=redis)
    went_on = threading.Event()
    done = asyncio.Event()
    loop = asyncio.get_running_loop()

    def blocking(channel, message):
        assert threading.current_thread() is not threading.main_thread()
        assert went_on.wait(60)
        loop.call_soon_threadsafe(done.set)

    await pubsub.subscribe("a", blocking)
    await pubsub.publish("a", "x")
    went_on.set()
    async with asyncio.timeout(60):
        await done.wait()
    await pubsub.unsubscribe_all()
    await redis.disconnect()


async def test_a_failing_handler_is_logged_and_the_others_go_on(server, caplog):
    redis = AsyncRedisClient(RedisConfig(port=server.port))
    pubsub = RedisPubSub(client=redis)
    got = asyncio.Queue()

    async def handle(channel, message):
        await got.put(message)
        json.loads(message)

    await pubsub.subscribe("a", handle)
    await pubsub.publish("a", "{broken")
    await pubsub.publish("a", "1")
    assert [await got.get(), await got.get()] == ["{broken", "1"]
    await pubsub.unsubscribe_all()
    assert "handler of a" in caplog.text
    assert "JSONDecodeError" in caplog.text
    await redis.disconnect()


async def test_a_handler_may_end_the_subscriptions_it_is_called_for(server):
    redis = AsyncRedisClient(RedisConfig(port=server.port))
    pubsub = RedisPubSub(client=redis)
    ended = asyncio.Event()

    async def handle(channel, message):
        await pubsub.unsubscribe_all()
        ended.set()

    await pubsub.subscribe("a", handle)
    await pubsub.publish("a", "end")
    async with asyncio.timeout(60):
        await ended.wait()
        while await pubsub.publish("a", "nobody listens"):
            await asyncio.sleep(0.01)
    await redis.disconnect()


async def test_subscriptions_of_a_loop_come_back_with_the_server(own_server, caplog):
    redis = AsyncRedisClient(RedisConfig(port=own_server.port))
    pubsub = RedisPubSub(client=redis)
    got = asyncio.Queue()

    async def handle(channel, message):
        await got.put((channel, message))

    await pubsub.subscribe("a", handle)
    await pubsub.subscribe("b", handle)
    for turn in range(2):
        await asyncio.to_thread(own_server.restart)
        for channel in ("a", "b"):
            heard = None
            while heard != (channel, str(turn)):  # what is said before it is back is lost
                await pubsub.publish(channel, str(turn))
                with suppress(TimeoutError):
                    heard = await asyncio.wait_for(got.get(), 0.2)
    assert f"lost the Redis server at localhost:{own_server.port}" in caplog.text
    await pubsub.unsubscribe_all()
    await redis.disconnect()


async def test_messages_of_another_process_on_a_loop(server, other_process):
    redis = AsyncRedisClient(RedisConfig(port=server.port))
    pubsub = AsyncRedisPubSub(redis)
    numbers = set()
    all_there = asyncio.Event()

    async def handle(channel, message):
        await asyncio.sleep(0)
        numbers.add(message["n"])
        if len(numbers) == 3000:
            all_there.set()

    await pubsub.subscribe("news", handle)
    other_process(PUBLISHER, server.port, 3000)
    async with asyncio.timeout(60):
        await all_there.wait()
    assert numbers == set(range(3000)), "more than wait in line, and none is lost"
    await pubsub.close()
    await redis.disconnect()


def test_one_pubsub_in_one_loop_after_another(server):
    redis = AsyncRedisClient(RedisConfig(port=server.port))
    pubsub = RedisPubSub(client=redis)

    async def life():
        got = asyncio.get_running_loop().create_future()

        async def handle(channel, message):
            got.set_result(message)

        await pubsub.subscribe("a", handle)
        await pubsub.publish("a", "x")
        assert await got == "x"
        await pubsub.unsubscribe_all()
        await redis.disconnect()

    asyncio.run(life())
    asyncio.run(life())


def test_a_loop_that_ends_without_a_word_takes_nothing_with_it(server):
    redis = AsyncRedisClient(RedisConfig(port=server.port))
    pubsub = RedisPubSub(client=redis)
    handled = []

    async def handle(channel, message):
        handled.append((channel, message))

    async def begin():
        await pubsub.subscribe("a", handle)
        await redis.disconnect()

    async def go_on():
        await pubsub.subscribe("b", handle)
        assert await pubsub.publish("a", "1") >= 1, "the server may still know of the lost one"
        assert await pubsub.publish("b", "2") == 1
        while len(handled) < 2:
            await asyncio.sleep(0)
        await pubsub.unsubscribe_all()
        await redis.disconnect()

    asyncio.run(begin())
    asyncio.run(go_on())
    assert sorted(handled) == [("a", "1"), ("b", "2")]


# -- bad input -------------------------------------------------------------------------------------


async def test_what_is_for_plain_code_says_so(server):
    pubsub = RedisPubSub(client=AsyncRedisClient(RedisConfig(port=server.port)))
    for method in (pubsub.run, pubsub.run_in_thread, pubsub.stop):
        with pytest.raises(RuntimeError, match="is for plain code"):
            method()
    with pytest.raises(TypeError, match="takes a function of channel and message"):
        await pubsub.subscribe("a", None)
    with pytest.raises(TypeError, match="takes an AsyncRedisClient or a RedisClient"):
        RedisPubSub("redis://localhost")
    with pytest.raises(TypeError, match="takes an AsyncRedisClient"):
        AsyncRedisPubSub(RedisClient())


async def test_subscribing_where_no_server_is():
    port = free_port()
    pubsub = RedisPubSub(client=AsyncRedisClient(RedisConfig(port=port)))
    with pytest.raises(ConnectionError, match=f"localhost:{port}, tried for"):
        await pubsub.subscribe("a", print)
    plain = RedisPubSub(RedisClient(RedisConfig(port=port)))
    with pytest.raises(ConnectionError, match=f"localhost:{port}, tried for"):
        await asyncio.to_thread(plain.subscribe, "a", print)
    assert plain.subscriptions == {}

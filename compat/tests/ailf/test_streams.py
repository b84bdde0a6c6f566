"""Streams: nothing is lost, whoever dies: a consumer, its process, or the server."""

import asyncio
import threading
from queue import Queue
from time import sleep

import pytest

from ailf.messaging.redis import AsyncRedisClient, RedisClient, RedisConfig, RedisStream

CONSUMER = """
import sys, time
from ailf.messaging.redis import RedisClient, RedisConfig, RedisStream
stream = RedisStream("jobs", RedisClient(RedisConfig(port=int(sys.argv[1]))))
stream.create_consumer_group("workers", sys.argv[2], start_id="0")
def process(data):
    if data["n"] == sys.argv[3]:
        print("dying", flush=True)
        time.sleep(60)  # here it is killed
    print(data["n"], flush=True)
    return True
stream.process_messages(process, count=5, block=100)
"""
PRODUCER = """
import sys
from ailf.messaging.redis import RedisClient, RedisConfig, RedisStream
stream = RedisStream("jobs", RedisClient(RedisConfig(port=int(sys.argv[1]))))
for n in range(int(sys.argv[2])):
    while True:
        try:
            stream.add({"n": n})
            break
        except ConnectionError:
            pass
"""


@pytest.fixture
def client(server):
    client = RedisClient(RedisConfig(port=server.port))
    yield client
    client.close()


def test_add_and_read(client):
    stream = RedisStream("s", client)
    assert stream.read() == []
    first = stream.add({"text": "a", "number": 1, "nested": {"x": [1]}, "none": None})
    second = stream.add({"text": "b"})
    assert isinstance(first, str)
    assert stream.read(last_id="0") == [
        {
            "id": first,
            "data": {"text": "a", "number": "1", "nested": '{"x": [1]}', "none": "None"},
        },
        {"id": second, "data": {"text": "b"}},
    ]
    assert [entry["id"] for entry in stream.read(count=1, last_id="0")] == [first]
    assert [entry["id"] for entry in stream.read(last_id=first)] == [second]
    assert stream.read() == [], "nothing is newer than now"


def test_a_read_that_blocks_sees_what_comes_meanwhile(client):
    stream = RedisStream("s", client)
    stream.add({"n": "old"})
    got = Queue()
    # Longer than a single command waits: what comes between two of them counts as well.
    reading = threading.Thread(target=lambda: got.put(stream.read(block=8000)))
    reading.start()
    while not any(c["cmd"] == "xread" for c in client.client.client_list()):
        pass  # it is on its way to the server
    stream.add({"n": "new"})
    reading.join()
    assert [entry["data"] for entry in got.get()] == [{"n": "new"}]
    assert stream.read(block=1) == []


def test_what_comes_between_two_waits_is_new_as_well(client):
    steps = RedisStream("s", client)._read(10, 1500, "$")
    assert next(steps)[:2] == ("xrevrange", ("s",))
    assert steps.send([("5-1", {})]) == ("xread", ({"s": "5-1"},), {"count": 10, "block": 1000})
    assert steps.send([]) == ("xread", ({"s": "5-1"},), {"count": 10, "block": 500})
    with pytest.raises(StopIteration):
        steps.send([])


def test_a_group_hands_each_entry_to_one_consumer(client):
    one, two = RedisStream("s", client), RedisStream("s", client)
    assert one.create_consumer_group("g", "one") is True
    assert two.create_consumer_group("g", "two") is True, "it exists, which is as good"
    ids = [one.add({"n": n}) for n in range(4)]
    first = one.read_group(count=2)
    assert [entry["id"] for entry in first] == ids[:2]
    assert [entry["id"] for entry in two.read_group()] == ids[2:]
    assert one.read_group(block=50) == []
    assert [entry["id"] for entry in one.read_group(last_id="0")] == ids[:2], "its own, once more"
    assert one.acknowledge(ids[0]) is True
    assert one.acknowledge(ids[0]) is False
    assert [entry["id"] for entry in one.read_group(last_id="0")] == ids[1:2]


def test_a_group_begins_where_it_is_told_to(client):
    stream = RedisStream("s", client)
    id = stream.add({"n": 1})
    stream.create_consumer_group("new", "c")
    assert stream.read_group() == []
    stream.create_consumer_group("all", "c", start_id="0")
    assert [entry["id"] for entry in stream.read_group()] == [id]


def test_without_a_group(client):
    stream = RedisStream("s", client)
    calls = [
        stream.read_group,
        lambda: stream.acknowledge("0-1"),
        lambda: stream.process_messages(print),
        lambda: stream.process_in_thread(print),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"no consumer group of 's'.*create_consumer_group"):
            call()


# -- processing ------------------------------------------------------------------------------------


def test_what_a_processor_cannot_handle_comes_again(client, caplog):
    stream = RedisStream("s", client)
    stream.create_consumer_group("g", "c")
    seen = Queue()
    times = dict.fromkeys("abc", 0)

    def process(data):
        times[data["n"]] += 1
        seen.put(data["n"])
        if data["n"] == "a" and times["a"] == 1:
            raise ValueError("not yet")
        return not (data["n"] == "b" and times["b"] == 1)

    for n in "abc":
        stream.add({"n": n})
    thread = stream.process_in_thread(process, block=50, claim_after=0.2)
    assert [seen.get(timeout=60) for _ in range(5)] == ["a", "b", "c", "a", "b"]
    stream.stop()
    assert not thread.is_alive()
    assert client.client.xpending("s", "g")["pending"] == 0
    assert "the processor of s raised at the entry" in caplog.text


def test_a_processor_may_stop_it(client):
    stream = RedisStream("s", client)
    stream.create_consumer_group("g", "c")
    ids = [stream.add({"n": n}) for n in range(3)]
    got = []

    def process(data):
        got.append(data["n"])
        stream.stop()
        return True

    stream.process_messages(process)
    assert got == ["0"]
    assert [entry["id"] for entry in stream.read_group(last_id="0")] == ids[1:], "they are kept"


def test_entries_of_a_dead_process_are_claimed_and_handled(client, server, other_process):
    producer = RedisStream("jobs", client)
    ids = [producer.add({"n": n}) for n in range(10)]
    dead = other_process(CONSUMER, server.port, "dead", 2)
    assert [dead.stdout.readline().strip() for _ in range(3)] == ["0", "1", "dying"]
    dead.kill()
    assert client.client.xpending("jobs", "workers")["pending"] == 3, "2, 3 and 4 are its own"

    heir = RedisStream("jobs", client)
    heir.create_consumer_group("workers", "heir")
    handled = Queue()
    heir.process_in_thread(
        lambda data: handled.put(data["n"]) is None, count=2, block=50, claim_after=0.5
    )
    assert sorted(handled.get(timeout=60) for _ in range(8)) == [str(n) for n in range(2, 10)]
    heir.stop()
    assert client.client.xpending("jobs", "workers")["pending"] == 0
    assert len(ids) == 10


def test_nothing_is_lost_when_the_server_is_killed(own_server, other_process):
    client = RedisClient(RedisConfig(port=own_server.port))
    stream = RedisStream("jobs", client)
    stream.create_consumer_group("workers", "one", start_id="0")
    handled = Queue()
    stream.process_in_thread(
        lambda data: handled.put(int(data["n"])) is None, block=100, claim_after=1
    )
    producer = other_process(PRODUCER, own_server.port, 1000)
    seen = []
    for stop_at, away in ((200, 0), (500, 1.5)):
        while len(seen) < stop_at:
            seen.append(handled.get(timeout=60))
        own_server.kill()
        sleep(away)  # the second time for longer than a command is tried
        own_server.start()
    while len(set(seen)) < 1000:
        seen.append(handled.get(timeout=60))
    assert producer.wait(60) == 0
    assert set(seen) == set(range(1000))
    # At least once: each restart may have come between a command and its answer.
    assert len(seen) <= 1000 + 2 * 11
    stream.stop()
    assert client.client.xpending("jobs", "workers")["pending"] == 0
    client.close()


def test_a_server_that_forgot_everything_gets_the_group_again(server, client):
    stream = RedisStream("jobs", client)
    stream.create_consumer_group("workers", "one")
    handled = Queue()
    stream.process_in_thread(lambda data: handled.put(data["n"]) is None, block=50)
    stream.add({"n": 1})
    assert handled.get(timeout=60) == "1"
    client.client.flushall()
    stream.add({"n": 2})
    assert handled.get(timeout=60) == "2"
    stream.stop()


def test_ten_thousand_entries_by_eight_threads(client):
    producer = RedisStream("s", client)
    handled = Queue()
    consumers = []
    for n in range(4):
        stream = RedisStream("s", client)
        stream.create_consumer_group("g", f"c{n}", start_id="0")
        stream.process_in_thread(
            lambda data: handled.put((data["t"], data["n"])) is None, count=100, block=50
        )
        consumers.append(stream)

    def produce(thread):
        for n in range(2500):
            producer.add({"t": thread, "n": n})

    threads = [threading.Thread(target=produce, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen = [handled.get(timeout=60) for _ in range(10_000)]
    for stream in consumers:
        stream.stop()
    assert sorted(seen) == sorted((str(t), str(n)) for t in range(4) for n in range(2500))
    assert handled.empty()


# -- on a loop -------------------------------------------------------------------------------------


async def test_streams_on_a_loop(server):
    redis = AsyncRedisClient(RedisConfig(port=server.port))
    stream = RedisStream(client=redis, stream_name="events")
    assert await stream.create_group("g") is True
    assert await stream.create_group("g") is True
    id = await stream.add({"kind": "started", "n": 1})
    member = {"group_name": "g", "consumer_name": "c"}
    assert await stream.read_group(**member, count=10, block=1000) == [
        (id, {"kind": "started", "n": "1"})
    ]
    assert await stream.read_group(**member, count=10, block=20) == []
    assert await stream.acknowledge(group_name="g", message_id=id) is True
    assert await stream.read(last_id="0") == [(id, {"kind": "started", "n": "1"})]
    with pytest.raises(ValueError, match="no consumer group of 'events'"):
        await stream.read_group()
    with pytest.raises(RuntimeError, match="would block the event loop"):
        stream.process_messages(print)
    await redis.disconnect()


async def test_entries_of_a_dead_consumer_are_claimed_on_a_loop(server):
    redis = AsyncRedisClient(RedisConfig(port=server.port))
    stream = RedisStream(client=redis, stream_name="events")
    await stream.create_group("g")
    ids = [await stream.add({"n": n}) for n in range(25)]
    dead = await stream.read_group(group_name="g", consumer_name="dead", count=25)
    assert [id for id, _ in dead] == ids
    await stream.acknowledge(group_name="g", message_id=ids[0])
    await (await redis.client).xdel("events", ids[1])
    claimed = []
    while len(claimed) < 23:
        claimed += await stream.read_group(
            group_name="g", consumer_name="heir", count=10, claim_after=0
        )
    assert sorted(id for id, _ in claimed) == sorted(ids[2:])
    await redis.disconnect()


async def test_a_read_that_waits_blocks_no_loop(server):
    redis = AsyncRedisClient(RedisConfig(port=server.port))
    stream = RedisStream(client=redis, stream_name="events")
    waiting = asyncio.create_task(stream.read(block=0))
    client = await redis.client
    while not any(c["cmd"] == "xread" for c in await client.client_list()):
        await asyncio.sleep(0)
    id = await stream.add({"n": 1})
    assert await waiting == [(id, {"n": "1"})]
    await redis.disconnect()

"""Redis is stopped, comes back, comes back empty, or stands still; or the disk is full."""

import asyncio
import logging
import sys

import pytest

from windlass import TaskManager, task

STREAM, GROUP = "agent:requests", "windlass"
_SILENT_SECONDS = 60


@task(id="messaging.double")
async def double(number: int, seconds: float = 0.0) -> int:
    await asyncio.sleep(seconds)
    return 2 * number


@task(id="messaging.length")
async def length(text: str) -> int:
    return len(text)


@pytest.fixture
def listen(mortal):
    from windlass.messaging import listen

    def listen_here(manager, **more):
        given = {"task": double, "reply": "results", "url": mortal.url, "idle": 0.5, **more}
        return listen(manager, stream=STREAM, **given)

    return listen_here


@pytest.fixture
def send(mortal):
    """Add a request and say its id."""
    import redis

    def send_one(**fields):
        with redis.Redis(port=mortal.port, decode_responses=True) as client:
            return client.xadd(STREAM, fields)

    return send_one


async def replies(mortal, count):
    import redis.asyncio

    found, last, silent = [], "0", 0
    async with redis.asyncio.Redis(port=mortal.port, decode_responses=True) as client:
        while len(found) < count:
            answer = await client.xread({"results": last}, block=1000)
            silent = 0 if answer else silent + 1
            assert silent < _SILENT_SECONDS, f"{len(found)} of {count} replies"
            for _, entries in answer or ():
                for last, fields in entries:  # noqa: B007  # the next read goes on there
                    found.append(fields)
    return found


@pytest.mark.parametrize("file", [None, "jobs.db"])
async def test_a_reply_waits_until_the_server_is_back(file, mortal, listen, send, tmp_path, caplog):
    caplog.set_level(logging.INFO, "windlass.messaging")
    async with (
        TaskManager(None if file is None else tmp_path / file) as manager,
        listen(manager),
    ):
        id = send(number=1, seconds=0.3)
        while not manager.list_tasks(status="running"):
            await asyncio.sleep(0.01)
        mortal.kill()
        await manager.join()
        mortal.start()
        second = send(number=2)
        found = await replies(mortal, 2)
    assert {reply["id"]: reply["result"] for reply in found} == {id: "2", second: "4"}
    assert caplog.text.count("trying until it works") == caplog.text.count("is back") >= 1


async def test_a_server_that_comes_back_empty_gets_a_new_group_and_the_replies(
    redis_program, tmp_path, listen, caplog
):
    import redis
    from redis_server import RedisServer

    server = RedisServer(redis_program, tmp_path, durable=False)
    server.start()
    try:
        async with TaskManager() as manager, listen(manager, url=server.url):
            with redis.Redis(port=server.port, decode_responses=True) as client:
                before = client.xadd(STREAM, {"number": 1, "seconds": 0.3})
            while not manager.list_tasks(status="running"):
                await asyncio.sleep(0.01)
            server.restart()
            with redis.Redis(port=server.port, decode_responses=True) as client:
                after = client.xadd(STREAM, {"number": 2})
                found = await replies(server, 2)
                assert client.xpending(STREAM, GROUP)["pending"] == 0
    finally:
        server.kill()
    assert sorted(reply["id"] for reply in found) == sorted([before, after])


async def test_a_server_that_stands_still_is_left_and_found_again(
    mortal, listen, send, monkeypatch, caplog
):
    monkeypatch.setattr("windlass.messaging.server.PATIENCE", 0.5)
    monkeypatch.setattr("windlass.messaging.requests._LONGEST_READ", 0.2)
    async with TaskManager() as manager, listen(manager):
        mortal.freeze()
        while "trying until it works" not in caplog.text:
            await asyncio.sleep(0.01)
        mortal.thaw()
        send(number=1)
        assert len(await replies(mortal, 1)) == 1


async def test_stopping_does_not_wait_for_a_server_that_is_gone(
    mortal, listen, send, monkeypatch, caplog
):
    monkeypatch.setattr("windlass.messaging.server.PATIENCE", 0.5)
    async with TaskManager() as manager:
        async with listen(manager):
            send(number=1, seconds=0.2)
            while not manager.list_tasks(status="running"):
                await asyncio.sleep(0.01)
            mortal.kill()
        assert "is left to others, since the server cannot be reached" in caplog.text
        mortal.start()
        async with listen(manager):  # which are we ourselves
            (reply,) = await replies(mortal, 1)
        assert reply["result"] == "2"


async def test_subscriptions_come_back_with_the_server(mortal, caplog):
    from windlass.messaging import publish, subscribe

    heard = asyncio.Event()

    async def hear(text: str) -> None:
        heard.set()

    caplog.set_level(logging.INFO, "windlass.messaging")
    async with TaskManager() as manager, subscribe(manager, "news", hear, url=mortal.url):
        mortal.restart()
        while not heard.is_set():  # what is sent while a subscription is made anew may be lost
            await publish(manager, "news", "hello", url=mortal.url)
            await asyncio.sleep(0.01)
    assert "is back" in caplog.text


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX")
async def test_a_message_waits_until_the_disk_has_room(
    mortal, listen, send, tmp_path, monkeypatch, caplog
):
    import resource

    monkeypatch.setattr("windlass.messaging.requests._STORE_PAUSE", 0.05)
    room = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with TaskManager(tmp_path / "jobs.db") as manager, listen(manager, task=length):
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, room[1]))
        try:
            send(text="x" * 300_000)
            while "is not stored" not in caplog.text:
                await asyncio.sleep(0.01)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, room)
        (reply,) = await replies(mortal, 1)
    assert reply["result"] == "300000"

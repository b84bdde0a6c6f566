"""What is published reaches all who listen."""

import asyncio

import pytest

from windlass import NotDurableError, TaskManager, task


@pytest.fixture
def subscribe(server):
    from windlass.messaging import subscribe

    def subscribe_here(manager, channel, task, **more):
        return subscribe(manager, channel, task, url=server.url, **more)

    return subscribe_here


@pytest.fixture
def publish(server):
    from windlass.messaging import publish

    def publish_here(manager, channel, message):
        return publish(manager, channel, message, url=server.url)

    return publish_here


@pytest.mark.parametrize("file", [None, "jobs.db"])
async def test_all_who_listen_hear_it_as_their_annotations_say(file, tmp_path, subscribe, publish):
    heard = []

    async def texts(text, channel):
        heard.append((text, channel))

    async def dicts(news: dict[str, int]):
        heard.append(news)

    async with TaskManager(None if file is None else tmp_path / file) as manager:
        assert await publish(manager, "news.sport", "too early") == 0
        async with (
            subscribe(manager, "news.*", task(texts, durable=False)),
            subscribe(manager, "news.sport", task(dicts, durable=False)),
        ):
            assert await publish(manager, "news.sport", {"goals": 3}) == 2
            assert await publish(manager, "news.art", "a picture") == 1
            await manager.join()
    assert {"goals": 3} in heard
    assert ('{"goals":3}', "news.sport") in heard
    assert ("a picture", "news.art") in heard
    assert len(heard) == 3


def test_the_same_in_plain_code(subscribe, publish):
    heard = []
    with TaskManager() as manager:
        with subscribe(manager, "news", lambda text: heard.append(text)):
            assert publish(manager, "news", b"plain").result(timeout=60) == 1
        assert heard == ["plain"]  # what was received is done before it is closed


async def test_what_cannot_be_read_or_fails_is_logged_and_the_next_one_is_heard(
    subscribe, publish, caplog
):
    heard = []

    async def numbers(number: int):
        if number == 13:
            raise ValueError("unlucky")
        heard.append(number)

    async with TaskManager() as manager, subscribe(manager, "numbers", numbers):
        for message in ("seven", 13, 7):
            await publish(manager, "numbers", message)
    assert heard == [7]
    assert "takes 'number' as int, and the field is 'seven'" in caplog.text
    assert "unlucky" in caplog.text


async def test_never_more_are_in_flight_than_so_many(subscribe, publish):
    begun, go_on = asyncio.Semaphore(0), asyncio.Event()

    async def patient(text):
        begun.release()
        await go_on.wait()

    async with TaskManager() as manager, subscribe(manager, "news", patient, in_flight=2):
        for number in range(5):
            await publish(manager, "news", str(number))
        await begun.acquire()
        await begun.acquire()
        assert len(manager.list_tasks(status="running", name="patient")) <= 2
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(begun.acquire(), 0.1)
        go_on.set()
        for _ in range(3):
            await asyncio.wait_for(begun.acquire(), 60)


async def test_what_is_wrong_is_said(tmp_path, subscribe, publish, server):
    import windlass.messaging

    async with TaskManager(tmp_path / "jobs.db") as manager:
        with pytest.raises(NotDurableError):
            subscribe(manager, "news", print)
        with pytest.raises(TypeError, match="has to take the message"):
            subscribe(manager, "news", task(lambda: None, durable=False))
        with pytest.raises(TypeError, match="channel= takes a text"):
            publish(manager, 3, "text")
        with pytest.raises(TypeError, match="JSON has no form"):
            publish(manager, "news", object())
        with pytest.raises(ConnectionError, match="no Redis server"):
            await windlass.messaging.publish(manager, "news", "x", url="redis://localhost:1")
        quiet = task(lambda text: None, durable=False)
        with pytest.raises(ConnectionError, match="no Redis server"):
            async with windlass.messaging.subscribe(
                manager, "news", quiet, url="redis://localhost:1"
            ):
                pass

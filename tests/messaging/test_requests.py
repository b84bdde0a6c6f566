"""What becomes of a message: tasks, replies, dead letters, and who does it."""

import asyncio
import json
import threading
from dataclasses import dataclass

import pytest

from windlass import ManagerClosedError, NotDurableError, Retry, TaskManager, current_task, task

STREAM, GROUP = "agent:requests", "windlass"
_SILENT_SECONDS = 60


@dataclass
class Place:
    city: str
    zip: int


@task(id="messaging.ask")
async def ask(
    question: str,
    times: int = 1,
    place: Place | None = None,
    raw: bytes = b"",
    wish: str | None = None,
) -> dict:
    return {"answer": question * times, "place": place, "raw": raw.hex(), "wish": wish}


@task(id="messaging.fail", retry=Retry(1, delay=0.0))
def fail(question: str) -> None:
    raise ValueError(f"no answer to {question}, attempt {current_task().attempt}")


@pytest.fixture
def listen(server):
    """``listen`` at the test's server, with short times."""
    from windlass.messaging import listen

    def listen_here(manager, task, **more):
        given = {"stream": STREAM, "reply": "results", "url": server.url, "idle": 0.3, **more}
        return listen(manager, task=task, **given)

    return listen_here


def replies(client, count, stream="results"):
    """So many entries of a stream, waited for."""
    found, last, silent = [], "0", 0
    while len(found) < count:
        answer = client.xread({stream: last}, block=1000)
        silent = 0 if answer else silent + 1
        assert silent < _SILENT_SECONDS, f"{len(found)} of {count} entries in {stream}"
        for _, entries in answer or ():
            for last, fields in entries:  # noqa: B007  # the next read goes on there
                found.append(fields)
    return found


async def replies_of(client, count, stream="results"):
    return await asyncio.to_thread(replies, client, count, stream)


# Who tells ten times a second that it is alive is not held to be dead when a busy machine stands
# still for a while; one that does not tell is, by whoever looks around every third of ``SILENT``.
SILENT, LONGER = 3.0, 4.5


def pending(client):
    return client.xpending(STREAM, GROUP)["pending"]


FILES = pytest.mark.parametrize("file", [None, "jobs.db"])


def at(file, tmp_path):
    return None if file is None else tmp_path / file


@FILES
async def test_fields_are_arguments_and_the_reply_names_its_request(
    file, tmp_path, listen, redis_client
):
    fields = {
        "question": "42",
        "times": "2",
        "place": json.dumps({"city": "Oslo", "zip": 150}),
        "raw": "\x01\x02",
        "wish": "7",
        "correlation_id": "mine",
        "trace": "of no interest",
    }
    id = redis_client.xadd(STREAM, fields)  # before there is a group
    async with TaskManager(at(file, tmp_path)) as manager, listen(manager, ask):
        (reply,) = await replies_of(redis_client, 1)
    assert json.loads(reply.pop("result")) == {
        "answer": "4242",
        "place": {"city": "Oslo", "zip": 150},
        "raw": "0102",
        "wish": "7",
    }
    assert reply == {"correlation_id": "mine", "id": id, "status": "completed"}
    assert pending(redis_client) == 0
    assert redis_client.xinfo_consumers(STREAM, GROUP) == []  # who left is no consumer


def test_the_same_in_plain_code(listen, redis_client):
    with TaskManager() as manager, listen(manager, ask) as listener:
        redis_client.xadd(STREAM, {"question": "x"})
        assert len(replies(redis_client, 1)) == 1
        assert listener.is_open
        with pytest.raises(TimeoutError):
            listener.join().result(timeout=0)
        assert listener.stop().result(timeout=60) is None
        assert not listener.is_open
        listener.start().result(timeout=60)  # it can be opened again
        redis_client.xadd(STREAM, {"question": "y"})
        assert len(replies(redis_client, 2)) == 2


@FILES
@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"times": "1"}, "needs the field question; the message has: times"),
        ({"question": "x", "times": "many"}, "takes 'times' as int, and the field is 'many'"),
        ({"question": b"\xff"}, "the field 'question' is no text in UTF-8"),
        ({"question": "x", "place": '{"city": "Oslo"}'}, "missing required field `zip`"),
    ],
)
async def test_what_cannot_be_read_is_a_dead_letter_and_an_error(
    file, fields, reason, tmp_path, server, listen, redis_client
):
    import redis

    with redis.Redis(port=server.port) as raw:
        id = raw.xadd(STREAM, fields).decode()
        async with TaskManager(at(file, tmp_path)) as manager, listen(manager, ask):
            (reply,) = await replies_of(redis_client, 1)
            redis_client.xadd(STREAM, {"question": "the next one"})
            await replies_of(redis_client, 2)
            assert len(manager.list_tasks()) == 1
        ((_, dead),) = raw.xrange(f"{STREAM}:dead")
    assert (reply["status"], reply["error_type"], reply["id"]) == ("failed", "Unreadable", id)
    assert reason in reply["error"]
    assert dead.pop(b"dead_reason").decode() == reply["error"]
    assert (dead.pop(b"dead_stream"), dead.pop(b"dead_id")) == (STREAM.encode(), id.encode())
    assert dead.pop(b"dead_deliveries") == b"1"
    assert [*dead] == [name.encode() for name in fields]
    assert pending(redis_client) == 0


@FILES
async def test_a_task_that_fails_is_retried_answered_and_kept_as_a_dead_letter(
    file, tmp_path, listen, redis_client
):
    redis_client.xadd(STREAM, {"question": "why"})
    async with TaskManager(at(file, tmp_path)) as manager, listen(manager, fail, dead="graves"):
        (reply,) = await replies_of(redis_client, 1)
    assert reply["error_type"] == "ValueError"
    assert "no answer to why, attempt 2" in reply["error"]
    ((_, dead),) = redis_client.xrange("graves")
    assert (dead["question"], dead["dead_reason"]) == ("why", reply["error"])


async def test_tries_are_retries_of_what_has_none(listen, redis_client):
    attempts = []

    def once(question):
        attempts.append(question)
        raise KeyError(question)

    redis_client.xadd(STREAM, {"question": "a"})
    failing = task(once, retry_delay=0.0)
    async with TaskManager() as manager, listen(manager, failing, tries=4):
        await replies_of(redis_client, 1)
    assert attempts == ["a"] * 4


async def test_a_result_without_a_form_as_json_is_an_error(listen, redis_client):
    redis_client.xadd(STREAM, {"question": "a"})
    async with TaskManager() as manager, listen(manager, lambda question: object()):
        (reply,) = await replies_of(redis_client, 1)
    assert "its result has no form as JSON" in reply["error"]
    assert redis_client.xlen(f"{STREAM}:dead") == 1


async def test_a_durable_manager_acknowledges_what_is_stored(
    tmp_path, listen, redis_client, release
):
    id = redis_client.xadd(STREAM, {"question": "a"})
    async with (
        TaskManager(tmp_path / "jobs.db") as manager,
        listen(manager, patient),
    ):
        await release.arrived()
        while pending(redis_client):  # on disk a moment before
            await asyncio.sleep(0.01)
        (info,) = manager.list_tasks(key=f"{STREAM} {GROUP} {id}")
        assert info.status == "running"
        assert redis_client.xlen("results") == 0
        release.set()
        (reply,) = await replies_of(redis_client, 1)
        assert reply["result"] == '"a"'


async def test_in_memory_a_message_is_acknowledged_when_its_task_has_ended(
    listen, redis_client, release
):
    redis_client.xadd(STREAM, {"question": "a"})
    async with TaskManager() as manager, listen(manager, patient) as listener:
        await release.arrived()
        assert pending(redis_client) == 1
        stopping = listener.stop()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(stopping, 0.05)  # what is in flight is waited for
        release.set()
        await stopping
        assert pending(redis_client) == 0
        assert redis_client.xlen("results") == 1


async def test_what_is_waited_for_at_the_end_is_kept_alive(listen, redis_client, release):
    redis_client.xadd(STREAM, {"question": "a"})
    async with (
        TaskManager() as manager,
        TaskManager() as other,
        listen(manager, patient) as leaving,
    ):
        await release.arrived()
        async with listen(other, ask, idle=SILENT):
            stopping = leaving.stop()
            await asyncio.sleep(LONGER)
            assert other.list_tasks() == []
            release.set()
            await stopping
    assert redis_client.xlen("results") == 1


async def test_what_is_stored_is_answered_after_a_restart(tmp_path, listen, redis_client, release):
    """The reply is owed by a consumer that is gone, and comes from the one with the file."""
    redis_client.xadd(STREAM, {"question": "a", "correlation_id": "mine"})
    with pytest.raises(RuntimeError, match="crash"):
        async with (
            TaskManager(tmp_path / "jobs.db") as manager,
            listen(manager, patient),
        ):
            await release.arrived()
            while pending(redis_client):
                await asyncio.sleep(0.01)
            raise RuntimeError("crash")
    assert redis_client.xlen("results") == 0
    release.set()
    async with TaskManager(tmp_path / "jobs.db") as manager, listen(manager, patient):
        (reply,) = await replies_of(redis_client, 1)
    assert (reply["correlation_id"], reply["result"]) == ("mine", '"a"')
    assert redis_client.hlen(f"{STREAM}:{GROUP}:owed") == 1  # its epoch


async def test_what_is_owed_is_found_by_its_key_when_its_task_has_another_id(
    tmp_path, listen, redis_client
):
    """A client of the file was told another id than that of the task with the key."""
    id = redis_client.xadd(STREAM, {"question": "a"})
    redis_client.xgroup_create(STREAM, GROUP, id="$")
    note = json.dumps(["an id that gave way", "dead", "mine", 1])
    redis_client.hset(f"{STREAM}:{GROUP}:owed", id, note)
    async with TaskManager(tmp_path / "jobs.db") as manager:
        await manager.enqueue(ask.options(key=f"{STREAM} {GROUP} {id}"), "a")
        async with listen(manager, ask):
            (reply,) = await replies_of(redis_client, 1)
    assert (reply["correlation_id"], reply["id"]) == ("mine", id)


async def test_a_message_that_comes_twice_is_one_task(tmp_path, listen, redis_client):
    """Stored and not acknowledged, which is where a crash would have been."""
    id = redis_client.xadd(STREAM, {"question": "a"})
    async with TaskManager(tmp_path / "jobs.db") as manager:
        redis_client.xgroup_create(STREAM, GROUP, id="0")
        redis_client.xreadgroup(GROUP, "dead", {STREAM: ">"})
        before = await manager.enqueue(ask.options(key=f"{STREAM} {GROUP} {id}"), "a")
        async with listen(manager, ask):
            (reply,) = await replies_of(redis_client, 1)
        assert reply["id"] == id
        assert [info.id for info in manager.list_tasks()] == [before.id]


async def test_what_a_dead_consumer_left_is_taken_over_and_poison_is_not(listen, redis_client):
    redis_client.xadd(STREAM, {"question": "innocent"})
    redis_client.xgroup_create(STREAM, GROUP, id="0")
    redis_client.xreadgroup(GROUP, "dead", {STREAM: ">"})
    poison = redis_client.xadd(STREAM, {"question": "deadly"})
    redis_client.xreadgroup(GROUP, "dead", {STREAM: ">"})
    redis_client.xclaim(STREAM, GROUP, "dead", 0, [poison], retrycount=3)
    async with TaskManager() as manager, listen(manager, ask, tries=3):
        found = await replies_of(redis_client, 2)
        assert len(manager.list_tasks()) == 1
    by_status = {reply["status"]: reply for reply in found}
    assert json.loads(by_status["completed"]["result"])["answer"] == "innocent"
    assert by_status["failed"]["error_type"] == "Poison"
    ((_, dead),) = redis_client.xrange(f"{STREAM}:dead")
    assert dead["dead_deliveries"] == "4"
    assert "given to consumers 4 times" in dead["dead_reason"]


async def test_a_long_task_is_kept_alive_and_one_of_the_silent_is_answered_once(
    listen, redis_client, release
):
    redis_client.xadd(STREAM, {"question": "a"})
    async with (
        TaskManager() as manager,
        TaskManager() as other,
        listen(manager, patient),
    ):
        await release.arrived()
        async with listen(other, patient, idle=SILENT):
            await asyncio.sleep(LONGER)
            assert other.list_tasks() == []
            # Somebody has thought it dead all the same, and is done first.
            redis_client.xack(STREAM, GROUP, redis_client.xrange(STREAM)[0][0])
            release.set()
    assert redis_client.xlen("results") == 0


async def test_never_more_are_in_flight_than_so_many(listen, redis_client, release):
    for number in range(50):
        redis_client.xadd(STREAM, {"question": str(number)})
    async with TaskManager() as manager, listen(manager, patient, in_flight=5):
        await release.arrived(5)
        await asyncio.sleep(0.3)  # looks around meanwhile, and finds no room either
        assert len(manager.list_tasks()) == pending(redis_client) == 5
        release.set()
        assert len(await replies_of(redis_client, 50)) == 50


async def test_a_message_that_is_trimmed_away_in_flight_is_answered(listen, redis_client, release):
    redis_client.xadd(STREAM, {"question": "a"})
    async with TaskManager() as manager, listen(manager, patient):
        await release.arrived()
        redis_client.xtrim(STREAM, maxlen=0)
        await asyncio.sleep(0.3)
        release.set()
        assert (await replies_of(redis_client, 1))[0]["result"] == '"a"'
    assert pending(redis_client) == 0


async def test_cancelled_by_hand_is_told_and_by_closing_is_left_to_others(
    listen, redis_client, release
):
    redis_client.xadd(STREAM, {"question": "a"})
    redis_client.xadd(STREAM, {"question": "b"})
    with pytest.raises(RuntimeError, match="enough"):
        async with TaskManager() as manager, listen(manager, patient):
            await release.arrived(2)
            manager.cancel_task(manager.list_tasks()[0].id, "not wanted")
            (reply,) = await replies_of(redis_client, 1)
            assert (reply["status"], "not wanted" in reply["error"]) == ("cancelled", True)
            raise RuntimeError("enough")
    assert pending(redis_client) == 1
    release.set()
    async with TaskManager() as manager, listen(manager, patient):
        assert (await replies_of(redis_client, 2))[1]["result"] == '"b"'


async def test_two_groups_have_every_message_each(listen, redis_client):
    redis_client.xadd(STREAM, {"question": "a"})
    async with (
        TaskManager() as manager,
        listen(manager, ask),
        listen(manager, ask, group="others", reply="others"),
    ):
        await replies_of(redis_client, 1)
        await replies_of(redis_client, 1, "others")


@pytest.mark.parametrize("how", ["connection", "stop"])
async def test_what_was_read_and_never_arrived_is_found_at_once(
    how, listen, redis_client, monkeypatch
):
    """The server has sent a message, and the connection broke, or the listener was stopped."""
    from windlass.messaging.stream import Stream

    sent, read = asyncio.Event(), Stream.read

    async def read_and_lose(self, count, seconds):
        messages = await read(self, count, seconds)
        if messages and not sent.is_set():
            loop.call_soon_threadsafe(sent.set)
            if how == "connection":
                raise ConnectionError("it broke")
            await asyncio.Event().wait()
        return messages

    monkeypatch.setattr(Stream, "read", read_and_lose)
    loop = asyncio.get_running_loop()
    async with TaskManager() as manager, listen(manager, ask, idle=60.0) as listener:
        redis_client.xadd(STREAM, {"question": "a"})
        await asyncio.wait_for(sent.wait(), 60)
        if how == "stop":
            await listener.stop()
        assert len(await replies_of(redis_client, 1)) == 1


# -- bad input -------------------------------------------------------------------------------------


async def test_what_is_wrong_is_said_where_it_is_asked_for(tmp_path, listen, redis_client):
    redis_client.rpush("results", "a list")
    async with TaskManager() as manager:
        with pytest.raises(ValueError, match="the key 'results' is a list, and has to be a stream"):
            await listen(manager, ask).start()
        with pytest.raises(
            ConnectionError, match=r"no Redis server at redis://localhost:1: .*url="
        ):
            async with listen(manager, ask, url="redis://:secret@localhost:1"):
                pass
        with pytest.raises(ValueError, match="redis://"):
            listen(manager, ask, url="http://localhost")
        with pytest.raises(ValueError, match="is the stream to read"):
            listen(manager, ask, reply=STREAM)
        with pytest.raises(TypeError, match="reply= takes a text"):
            listen(manager, ask, reply=3)
        with pytest.raises(ValueError, match="in_flight"):
            listen(manager, ask, in_flight=0)
        with pytest.raises(TypeError, match="by position only"):
            listen(manager, lambda x, /: x)
        listener = listen(manager, ask, reply=None)
        with pytest.raises(RuntimeError, match="does not listen yet"):
            listener.join()
        async with listener:
            with pytest.raises(RuntimeError, match="started before"):
                listener.start()
        with pytest.raises(RuntimeError, match="use `async with`"), listener:
            pass
    with pytest.raises(ManagerClosedError, match="needs an open manager"):
        listener.start()
    async with TaskManager(tmp_path / "jobs.db") as manager:
        with pytest.raises(NotDurableError, match="Decorate it"):
            listen(manager, print)


async def test_a_wrong_password_is_named_and_not_shown(listen, redis_client, server):
    redis_client.config_set("requirepass", "right")
    try:
        async with TaskManager() as manager:
            for url in (server.url, server.url.replace("127", ":wrong@127")):
                with pytest.raises(PermissionError, match="refuses the password") as caught:
                    await listen(manager, ask, url=url).start()
                assert "wrong" not in str(caught.value).replace("WRONGPASS", "")
            async with listen(manager, ask, url=server.url.replace("127", ":right@127")):
                redis_client.xadd(STREAM, {"question": "a"})
                await replies_of(redis_client, 1)
    finally:
        redis_client.config_set("requirepass", "")


def test_without_the_package_the_error_names_the_extra(monkeypatch):
    from windlass.messaging import listen, server

    monkeypatch.setitem(__import__("sys").modules, "redis", None)
    server.driver.cache_clear()
    with (
        TaskManager() as manager,
        pytest.raises(ImportError, match=r"pip install 'windlass\[redis"),
    ):
        listen(manager, STREAM, ask)


@pytest.mark.parametrize("key", ["results", f"{STREAM}:dead"])
async def test_a_stream_that_is_none_any_more_holds_up_and_loses_nothing(
    key, listen, redis_client, caplog
):
    async with TaskManager() as manager, listen(manager, ask):
        redis_client.set(key, "a text")
        redis_client.xadd(STREAM, {"unreadable": "a"})
        while f"WRONGTYPE {key} is a string" not in caplog.text:
            await asyncio.sleep(0.01)
        assert pending(redis_client) == 1
        redis_client.delete(key)
        for stream in ("results", f"{STREAM}:dead"):
            assert len(await replies_of(redis_client, 1, stream)) == 1


@pytest.mark.parametrize("in_flight", [0, 1])
async def test_a_manager_that_is_closed_before_its_listener_is_told_of(
    in_flight, listen, redis_client, release, caplog
):
    manager = TaskManager()
    await manager.start()
    listener = listen(manager, patient)
    await listener.start()
    for _ in range(in_flight):
        redis_client.xadd(STREAM, {"question": "a"})
        await release.arrived()
    await manager.stop()
    if not in_flight:
        redis_client.xadd(STREAM, {"question": "a"})
    await listener.join()
    await listener.stop()
    assert "the manager was closed before listening to agent:requests" in caplog.text
    assert pending(redis_client) == 1
    assert redis_client.xlen("results") == 0


# -- a task that waits for the test ----------------------------------------------------------------


class Release:
    """Tells the test when tasks have begun, and them when they may end."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self._event = threading.Event()
        self.set = self._event.set
        self.wait = self._event.wait

    async def arrived(self, count: int = 1) -> None:
        for _ in range(count):
            assert await asyncio.to_thread(self.begun.acquire, timeout=60)


_release = Release()


@pytest.fixture
def release():
    global _release  # noqa: PLW0603  # a stored task finds it by its name
    _release = Release()
    yield _release
    _release.set()


@task(id="messaging.patient")
async def patient(question: str) -> str:
    mine = _release
    mine.begun.release()
    while not await asyncio.to_thread(mine.wait, 0.02):
        pass
    return question

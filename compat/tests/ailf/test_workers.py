"""The Celery tasks, by a real worker that is started with the documented command."""

import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from time import sleep

import pytest
from redis_server import free_port

from ailf.messaging.redis import RedisClient, RedisConfig

pytestmark = pytest.mark.timeout(120)


def result(async_result):
    return async_result.get(timeout=100)


def words(processed):
    assert processed["status"] == "success"
    return processed["document_id"], processed["metadata"]["word_count"]


def test_a_document_given_as_text(tasks):
    processed = result(tasks.process_document.delay("d1", {"text": "three short words"}))
    assert set(processed) == {"document_id", "status", "processing_time", "metadata"}
    assert words(processed) == ("d1", 3)
    assert set(processed["metadata"]) == {"word_count", "processed_at"}
    assert processed["processing_time"] >= 0


def test_a_document_that_lies_in_redis(tasks, celery_server):
    client = RedisClient(RedisConfig(port=celery_server.port))
    client.set("document:d2", "two words")
    assert words(result(tasks.process_document.delay("d2"))) == ("d2", 2)
    client.close()


def test_a_document_that_is_a_file_and_never_one_outside(tasks, worker):
    (worker.documents / "d3").write_text("a file of five words")
    outside = worker.documents.parent / "outside"
    outside.write_text("not to be read")
    (worker.documents / "link").symlink_to(outside)
    assert words(result(tasks.process_document.delay("d3"))) == ("d3", 5)
    for id in ("nowhere", "../outside", str(outside), "link", "."):
        assert words(result(tasks.process_document.delay(id))) == (id, 0)


def test_analyze_content(tasks):
    text = "Engines are great. The engines of ships love water, and engines need care."
    analysis = result(tasks.analyze_content.delay(text, "brief"))
    assert analysis["analysis_type"] == "brief"
    assert analysis["results"]["key_topics"][0] == "engines"
    assert analysis["results"]["summary"] == "Engines are great."
    assert analysis["results"]["sentiment"] == "positive"
    empty = result(tasks.analyze_content.delay(""))
    assert (empty["analysis_type"], empty["results"]["key_topics"]) == ("general", [])


def test_batch_process_says_how_far_it_is(tasks):
    sent = tasks.batch_process.delay([f"d{n}" for n in range(300)], {"text": "one two"})
    seen = []
    sent.get(timeout=100, on_message=seen.append)
    progress = [message["result"] for message in seen if message["status"] == "PROGRESS"]
    assert progress, "somebody who listens hears of it"
    assert all(
        set(said) == {"current", "total", "percent", "processed", "failed"} for said in progress
    )
    assert all(0 <= said["percent"] < 100 and said["total"] == 300 for said in progress)
    batch = sent.get()
    assert (batch["processed"], batch["failed"], batch["total"]) == (300, 0, 300)
    assert batch["items"][7]["item_id"] == "d7"


def test_one_bad_item_does_not_spoil_the_batch(tasks):
    batch = result(tasks.batch_process.delay(["good", "bad\0name"]))
    assert (batch["processed"], batch["failed"]) == (1, 1)
    assert batch["items"][1]["status"] == "error"
    assert "null" in batch["items"][1]["error"]


def test_fetch_and_process(tasks):
    asked = []

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200 if "page" in self.path else 404)
            self.end_headers()
            self.wfile.write(b"x" * 1234)

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Pages) as pages:
        serving = threading.Thread(target=pages.serve_forever)
        serving.start()
        address = f"http://127.0.0.1:{pages.server_port}"
        try:
            fetched = result(tasks.fetch_and_process.delay(f"{address}/page", {"q": "a b"}))
            with pytest.raises(Exception, match="404"):
                result(tasks.fetch_and_process.delay(f"{address}/none"))
        finally:
            pages.shutdown()
            serving.join()
    assert asked == ["/page?q=a+b", "/none"]
    assert (fetched["status_code"], fetched["data_size"], fetched["processed"]) == (200, 1234, True)
    with pytest.raises(ValueError, match="only http:// and https:// are fetched"):
        result(tasks.fetch_and_process.delay("file:///etc/passwd"))


def test_periodic_cleanup(tasks):
    cleaned = result(tasks.periodic_cleanup.delay())
    assert cleaned["task"] == "cleanup"
    assert cleaned["duration"] >= 0


def test_the_tasks_are_functions_as_well(tasks):
    assert words(tasks.process_document("d", {"text": "a b"})) == ("d", 2)
    assert tasks.batch_process(["d"], {"text": "a b"})["processed"] == 1
    assert words(tasks.process_document.apply(args=["d", {"text": "a b"}]).get()) == ("d", 2)


def test_the_worker_knows_the_tasks_and_takes_json_only(tasks, worker):
    from celery.utils.nodenames import host_format

    from ailf.workers.celery_app import app

    result(tasks.process_document.delay("d", {"text": ""}))  # by then it is there
    (known,) = app.control.inspect([host_format("celery@%h")], timeout=60).registered().values()
    assert set(known) == {f"tasks.{name}" for name in tasks.__all__}
    pickled = tasks.process_document.apply_async(["d"], serializer="pickle")
    while "untrusted content of type pickle" not in worker.log.read_text():
        sleep(0.05)
    assert pickled.state == "PENDING"
    pickled.forget()
    assert app.conf.task_acks_late
    assert app.conf.task_reject_on_worker_lost


NOWHERE = """
import os
os.environ["CELERY_BROKER_URL"] = os.environ["CELERY_RESULT_BACKEND"] = os.sys.argv[1]
from ailf.workers.celery_app import app
from ailf.workers.tasks import process_document
app.conf.result_backend_transport_options = {"retry_policy": {"max_retries": 2}}
try:
    process_document.delay("d")
except ConnectionError as error:
    print(error)
"""


def test_a_broker_that_is_not_there_is_named_with_how_long_it_was_tried():
    url = f"redis://:secret@localhost:{free_port()}/0"
    ran = subprocess.run(
        [sys.executable, "-c", NOWHERE, url], stdout=subprocess.PIPE, text=True, check=True
    )
    address = url.removeprefix("redis://:secret@").removesuffix("/0")
    assert f"was not sent: no answer from {address}, tried for " in ran.stdout
    assert "secret" not in ran.stdout


# -- a task that kills its worker ------------------------------------------------------------------


@pytest.fixture(scope="module", autouse=True)
def chores(own_worker, tmp_path_factory):
    """Tasks of a worker of their own, begun before the first test.

    Celery looks every five seconds whether a process has died; the other tests do not wait for it.
    """
    own_worker("-I", "deadly_chores", "-Q", "chores", "-n", "chores@%h", "-c", "3")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parent / "chores"))
        import deadly_chores
    return Chores(deadly_chores, tmp_path_factory.mktemp("diaries"))


class Chores:
    """What the worker has been told to do."""

    def __init__(self, tasks, folder):
        self._tasks, self._folder = tasks, folder
        self.kills_twice = self.send("kills twice", 2)
        self.kills_always = self.send("kills always", 100)
        self.fails = self.send("fails")

    def send(self, diary, *times):
        task = self._tasks.kill_worker if times else self._tasks.fail
        return task.apply_async([str(self._folder / diary), *times], queue="chores")

    def begun(self, diary):
        return len((self._folder / diary).read_text().splitlines())


def test_a_task_whose_worker_died_runs_again(chores):
    assert result(chores.kills_twice) == "done the 3. time"


def test_a_task_that_kills_its_worker_is_not_delivered_for_ever(chores):
    with pytest.raises(Exception, match="was begun 3 times and its worker died each time"):
        result(chores.kills_always)
    assert chores.begun("kills always") == 3
    assert chores.kills_always.status == "FAILURE"
    # The worker is well, and others have their turn.
    assert result(chores.send("another", 0))


def test_a_task_that_fails_is_not_delivered_again(chores):
    with pytest.raises(ValueError, match="cannot be done"):
        result(chores.fails)
    assert result(chores.send("the next", 0))
    assert chores.begun("fails") == 1

"""A real Redis server and real Celery workers, started once; but those to be killed are own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from celery_worker import Worker
from redis_fixtures import *  # noqa: F403  # fixtures are found by their names
from redis_server import RedisServer

from windlass.testing.contracts.gate import Gate

_EXAMPLES = Path(__file__).parents[2] / "examples"
_PATIENCE = 60


@pytest.fixture(scope="session")
def newsroom(redis_program, tmp_path_factory):
    """The example of a cluster, on its way, and the folder it runs in."""
    folder = tmp_path_factory.mktemp("newsroom")
    command = [sys.executable, _EXAMPLES / "cluster" / "run.py"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=folder, start_new_session=True, **pipes) as running:
        yield running, folder
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)


@pytest.fixture(scope="session", autouse=True)
def _what_waits_is_begun_first(request):
    """The longest example takes half a minute, mostly of waiting: it runs beside the rest."""
    if any("newsroom" in getattr(item, "fixturenames", ()) for item in request.session.items):
        request.getfixturevalue("newsroom")


@pytest.fixture
def gate():
    """Where tasks stop until the test lets them go."""
    gate = Gate(_PATIENCE)
    yield gate
    gate.close()


@pytest.fixture(scope="session")
def server(redis_program, tmp_path_factory):
    """The server that most tests share."""
    pytest.importorskip("celery", reason="needs Celery: pip install 'windlass[celery]'")
    server = RedisServer(redis_program, tmp_path_factory.mktemp("redis"), durable=False)
    server.start()
    os.environ["WINDLASS_TEST_REDIS"] = server.url
    yield server
    server.kill()


@pytest.fixture(scope="session")
def program(server):
    """The module that the workers run, here."""
    import far_program

    yield far_program
    far_program.app.close()


@pytest.fixture(scope="session")
def worker(server):
    """A worker that most tests share, with four child processes."""
    worker = Worker(server.url, "-c", "4", "-n", "shared@here")
    yield worker
    worker.stop()


@pytest.fixture
def own_worker(server):
    """Starts workers that a test may do anything to."""
    started: list[Worker] = []

    def start(*options: str, address: str = server.url, **more: str) -> Worker:
        name = f"own{len(started)}@here"
        started.append(Worker(address, "-n", name, *options, **more))
        return started[-1]

    yield start
    for worker in started:
        worker.stop()

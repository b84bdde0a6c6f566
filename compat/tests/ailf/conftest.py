"""What the tests of ``ailf`` share: loops in virtual time, a Redis server, a Celery worker."""

import asyncio
import gc
import inspect
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis_fixtures import *  # noqa: F403  # fixtures are found by their names
from redis_server import RedisServer
from windlass.testing import VirtualClock, VirtualLoop


@pytest.fixture
def virtual_time(monkeypatch):
    """The clock of an async test that asks for it, and of the managers it makes."""
    clock = VirtualClock()
    monkeypatch.setattr("windlass.composition.SystemClock", lambda: clock)
    return clock


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an async test on an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    given = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    clock = given.get("virtual_time")
    make_loop = None if clock is None else lambda: VirtualLoop(clock)
    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(pyfuncitem.obj(**given))
    return True


@pytest.fixture(autouse=True)
def no_threads_left():
    """Whatever a test starts is over when it ends."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
        assert not thread.is_alive(), thread


# -- Redis -----------------------------------------------------------------------------------------


@pytest.fixture
def own_server(mortal) -> RedisServer:
    """A server to be killed: what it has confirmed is on disk."""
    return mortal


@pytest.fixture
def default_port(monkeypatch):
    """Have a client without a config find the server on ``port``, as on a machine with one."""

    def be(port: int) -> None:
        from ailf.schemas.redis import RedisConfig

        monkeypatch.setattr("ailf.messaging._clients.RedisConfig", lambda: RedisConfig(port=port))

    return be


# -- other processes -------------------------------------------------------------------------------


@pytest.fixture
def other_process(tmp_path):
    """Run a program in a process of its own, until the end of the test at most."""
    running: list[subprocess.Popen[str]] = []

    def run(program: str, *args: object) -> subprocess.Popen[str]:
        path = tmp_path / f"program{len(running)}.py"
        path.write_text(program)
        process = subprocess.Popen(
            [sys.executable, str(path), *map(str, args)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        running.append(process)
        return process

    yield run
    for process in running:
        process.kill()
        process.communicate()


# -- Celery ----------------------------------------------------------------------------------------


CHORES = Path(__file__).parent / "chores"


class Worker:
    """A Celery worker, started as its documentation says."""

    def __init__(self, server: RedisServer, folder: Path, *options: str) -> None:
        celery = str(Path(sys.executable).with_name("celery"))
        self.documents = folder / "documents"
        self.documents.mkdir()
        self.log = folder / "worker.log"
        addresses = dict.fromkeys(("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"), server.url)
        path = os.pathsep.join([str(CHORES), os.environ.get("PYTHONPATH", "")])
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [celery, "-A", "ailf.workers.celery_app", "worker", *options],
                env={
                    **os.environ,
                    **addresses,
                    "AILF_DOCUMENTS_DIR": str(self.documents),
                    "PYTHONPATH": path,
                },
                cwd=folder, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def kill(self) -> None:
        """Kill it and its processes; an orderly end takes it seconds."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="session")
def celery_server(redis_program, tmp_path_factory) -> Iterator[RedisServer]:
    """The server that the app of this process talks to, which it is told on import."""
    pytest.importorskip("celery", reason="pip install 'celery[redis]'")
    server = RedisServer(redis_program, tmp_path_factory.mktemp("celery-redis"), durable=False)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CELERY_BROKER_URL", server.url)
        patch.setenv("CELERY_RESULT_BACKEND", server.url)
        yield server
        from ailf.workers.celery_app import app

        gc.collect()  # results say good-bye to the server while there is one
        app.close()
    server.kill()


@pytest.fixture(scope="module")
def own_worker(celery_server, tmp_path_factory):
    """Workers of a module's own, with other options than the documented ones."""
    running: list[Worker] = []

    def start(*options: str) -> Worker:
        running.append(Worker(celery_server, tmp_path_factory.mktemp("worker"), *options))
        return running[-1]

    yield start
    for worker in running:
        worker.kill()


@pytest.fixture(scope="session")
def worker(celery_server, tmp_path_factory) -> Iterator[Worker]:
    worker = Worker(celery_server, tmp_path_factory.mktemp("worker"))
    yield worker
    worker.kill()


@pytest.fixture(scope="session")
def tasks(worker):
    """The module of the tasks, with a worker that runs them."""
    import ailf.workers.tasks

    return ailf.workers.tasks

"""A real Redis server and real Celery workers, started once; but those to be killed are own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TextIO

import pytest
from redis_fixtures import *  # noqa: F403  # fixtures are found by their names
from redis_server import RedisServer

from windlass.testing.contracts.gate import Gate

_HERE = Path(__file__).parent
_READY = " ready."
_PATIENCE = 60


@pytest.fixture
def gate():
    """Where tasks stop until the test lets them go."""
    gate = Gate(_PATIENCE)
    yield gate
    gate.close()


class Worker:
    """A Celery worker, with child processes, started as its documentation says."""

    def __init__(
        self, address: str, *options: str, program: str = "far_program", broker: str = ""
    ) -> None:
        celery = str(Path(sys.executable).with_name("celery"))
        path = os.pathsep.join([str(_HERE), os.environ.get("PYTHONPATH", "")])
        self.process = subprocess.Popen(
            [celery, "-A", program, "worker", "--without-mingle", "-l", "INFO", *options],
            env={
                **os.environ,
                "WINDLASS_TEST_REDIS": address,
                "WINDLASS_TEST_BROKER": broker or address,
                "PYTHONPATH": path,
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            if _READY in line:
                break
        else:
            raise RuntimeError("the worker did not start:\n" + "".join(self.lines))
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read, args=(self.process.stderr,))
        self._reader.start()  # or the pipe would be full, and the worker stand still

    def _read(self, stream: TextIO) -> None:
        for line in stream:
            with self._more:
                self.lines.append(line)
                self._more.notify_all()

    def says(self, text: str) -> str:
        """Wait until it has written a line with ``text``; the line."""

        def found() -> list[str]:
            return [line for line in self.lines if text in line]

        with self._more:
            assert self._more.wait_for(found, _PATIENCE), self.lines[-20:]
            return found()[-1]

    def kill(self) -> None:
        """Kill the main process, and it alone, without a word."""
        self.process.kill()
        self._bury()

    def kill_all(self) -> None:
        """Kill it and its children at the same moment, as a power cut does."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self._bury()

    def stop(self) -> None:
        """End it and its children, in whatever state they are: a good-bye would take seconds."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._bury()

    def _bury(self) -> None:
        self.process.wait(_PATIENCE)
        assert self.process.stderr is not None
        if self.process.stderr.closed:
            return
        self._reader.join(_PATIENCE)
        self.process.stderr.close()


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

"""A real Redis server, and consumers in processes of their own."""

import asyncio
import inspect
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis_fixtures import *  # noqa: F403  # fixtures are found by their names

_PROGRAM = Path(__file__).parent / "agent_program.py"


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an async test on an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    given = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    asyncio.run(pyfuncitem.obj(**given))
    return True


@pytest.fixture(autouse=True)
def no_threads_left() -> Iterator[None]:
    """Whatever a test starts is over when it ends."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
        assert not thread.is_alive(), thread


@pytest.fixture
def redis_client(server) -> Iterator[object]:
    """Redis as those see it who know nothing of Windlass."""
    import redis

    with redis.Redis(port=server.port, decode_responses=True) as client:
        yield client


class Consumer:
    """A process that listens."""

    def __init__(self, url: str, file: object, record: Path) -> None:
        self._ready = False
        self.log = record.with_suffix(".log").open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", str(_PROGRAM), url, str(file), str(record)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
        )

    def is_ready(self) -> None:
        """Wait until it listens."""
        assert self._process.stdout is not None
        if not self._ready:
            self._ready = self._process.stdout.readline() == b"ready\n"
        assert self._ready

    def kill(self) -> None:
        """Kill it, without a word."""
        self._process.kill()
        self._bury()

    def leave(self) -> int:
        """Let it end in order; its exit code."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)
        return self._bury()

    def _bury(self) -> int:
        code = self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self.log):
            assert pipe is not None
            pipe.close()
        return code


@pytest.fixture
def consumers(tmp_path) -> Iterator[Callable[..., Consumer]]:
    """Starts consumers; those that are left at the end are killed."""
    started: list[Consumer] = []

    def start(url: str, file: object = "-") -> Consumer:
        started.append(Consumer(url, file, tmp_path / "record.txt"))
        return started[-1]

    yield start
    for consumer in started:
        if consumer._process.poll() is None:
            consumer.kill()

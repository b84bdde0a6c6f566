"""What the tests of the task managers share."""

import asyncio
import importlib
import threading
import time
import warnings

import pytest

SOON = 60
"""Seconds after which what should have happened long ago is given up."""


class Gate:
    """Holds functions in threads up until it is opened; knows how many have come."""

    def __init__(self):
        self._open = threading.Event()
        self._came = threading.Semaphore(0)
        self._lock = threading.Lock()
        self.inside = self.most = 0

    def __call__(self, result=None, **_):
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        self._came.release()
        try:
            assert self._open.wait(SOON)
        finally:
            with self._lock:
                self.inside -= 1
        return result

    def open(self):
        self._open.set()

    def wait_for(self, count=1):
        """Wait until ``count`` more functions have come."""
        for _ in range(count):
            assert self._came.acquire(timeout=SOON)

    async def came(self, count=1):
        await asyncio.to_thread(self.wait_for, count)


class Clock:
    """The system's, put forward by ``ahead`` seconds."""

    ahead = 0.0

    def now(self):
        return time.monotonic() + self.ahead

    def wall(self):
        return time.time() + self.ahead


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def gate():
    """A gate that is open at the end, whatever the test did."""
    gate = Gate()
    yield gate
    gate.open()


@pytest.fixture
def new():
    """Makes managers, and stops them at the end."""
    made = []

    def make(kind, *args, **kwargs):
        made.append(kind(*args, **kwargs))
        return made[-1]

    yield make
    for manager in made:
        (manager.engine.manager if hasattr(manager, "engine") else manager).stop().result(SOON)


@pytest.fixture
def oldest():
    """The module ``core.task_manager``, without its warning."""
    return _quietly("core.task_manager")


@pytest.fixture
def pool():
    """The module ``core.thread_pool_manager``, without its warning."""
    return _quietly("core.thread_pool_manager")


def _quietly(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return importlib.import_module(name)


@pytest.fixture
def until():
    """Waits for something that another thread is about to do and that gives no sign."""

    def wait(condition):
        end = time.monotonic() + SOON
        while not condition():
            assert time.monotonic() < end, "it did not happen"
            time.sleep(0.001)

    return wait


@pytest.fixture
def heard():
    """All events of the event system, while the test runs."""
    from core import event_system

    events = []
    event_system.subscribe(None, events.append)
    yield events
    event_system.unsubscribe(None, events.append)


@pytest.fixture(autouse=True)
def _no_shared_leftovers():
    """The engine of the global objects starts every test empty."""
    yield
    from core._engine import SHARED

    SHARED.manager.cancel_all()
    SHARED.manager.stop().result(SOON)
    SHARED.cleanup(0)

"""What the tests of the runtime share: doors to go through, and functions that wait for a sign."""

from __future__ import annotations

import asyncio
import functools
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

import windlass
from windlass import current_task
from windlass.testing import VirtualClock

SOON = 60
"""Seconds after which what should have happened long ago is given up."""


def on_a_loop(test):
    """Run an async test under ``asyncio.run``."""

    @functools.wraps(test)
    def run(*args, **kwargs):
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 2 * SOON))

    return run


class Gate:
    """Holds functions in threads up until it is opened; knows how many have come."""

    def __init__(self):
        self._open = threading.Event()
        self._came = threading.Semaphore(0)

    def __call__(self, result=None):
        """Come to the gate, and return ``result`` once it is open."""
        self._came.release()
        assert self._open.wait(SOON)
        return result

    def open(self):
        self._open.set()

    def wait_for(self, count=1):
        """Wait until ``count`` more functions have come."""
        for _ in range(count):
            assert self._came.acquire(timeout=SOON)

    async def came(self, count=1):
        await asyncio.to_thread(self.wait_for, count)


class Door:
    """The same for coroutines of one loop."""

    def __init__(self):
        self._open = asyncio.Event()
        self._came = asyncio.Semaphore(0)
        self._error = None

    async def __call__(self, result=None):
        """Come to the door, and return ``result`` once it is open."""
        self._came.release()
        await self._open.wait()
        if self._error is not None:
            raise self._error
        return result

    def open(self):
        self._open.set()

    def fail(self, error):
        """Have those who come fail with ``error``."""
        self._error = error
        self._open.set()

    async def came(self, count=1):
        for _ in range(count):
            await asyncio.wait_for(self._came.acquire(), SOON)


def hangs_at_first(gate):
    """A function whose first attempt hangs at ``gate``, and the numbers of those that began."""
    attempts = []

    def work():
        attempt = current_task().attempt
        attempts.append(attempt)
        if attempt == 1:
            gate()
        return attempt

    return work, attempts


class Told(VirtualClock):
    """The clock of a manager whose tasks run in real threads: time passes when a test says so."""

    def pass_for(self, manager, seconds=3600.0):
        self.advance(seconds)
        manager._runtime.pump.wake()


def double(x):
    return 2 * x


async def double_async(x):
    return 2 * x


def fail(text="broken"):
    raise ValueError(text)


async def fail_async(text="broken"):
    raise ValueError(text)


async def forever():
    await asyncio.get_running_loop().create_future()


EVERYWHERE = pytest.mark.parametrize("executor", ["async", "thread", "sequential"])


def on(executor, function, **options):
    """``function`` as a task for ``executor``: as a coroutine function where there is a loop."""

    async def coroutine(*args):
        return function(*args)

    return windlass.task(
        coroutine if executor == "async" else function, executor=executor, **options
    )


def root_of(error):
    """What was raised in the first place, however many tasks it went through."""
    while isinstance(error, windlass.TaskExecutionError):
        error = error.original_error
    return error


def windlass_threads():
    """The names of our threads, but for those that are just leaving."""
    ours = [t for t in threading.enumerate() if t.name.startswith("windlass-")]
    for thread in ours:
        thread.join(60)
    return [thread.name for thread in ours if thread.is_alive()]


def python(code, *arguments, timeout=SOON, check=True, **options):
    """Run ``code`` in a Python of its own, where every warning is an error."""
    source = str(Path(windlass.__file__).parents[1])
    inherited = os.environ.get("PYTHONPATH")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([source, inherited] if inherited else [source]),
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=environment,
        check=False,
        **options,
    )
    if check:
        assert done.returncode == 0, done.stderr
    return done

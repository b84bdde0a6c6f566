"""Tasks for worker processes, as a user would write them."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from windlass import Retry, current_task, task


@task(executor="process")
def double(x):
    return 2 * x


@task(executor="process", id="a name of its own")
def where():
    return os.getpid()


@task(executor="process")
async def later(x):
    await asyncio.sleep(0)
    return x


@task(executor="process")
def report_progress(path):
    me = current_task()
    me.progress(0.5, f"attempt {me.attempt} of {me.name}")
    return Path(path).read_text()


@task(executor="process")
def until_cancelled(gate, path):
    me = current_task()
    me.defer(Path(path).write_text, "cleaned up")
    Path(gate).write_text("started")
    while True:
        me.check_cancelled()
        time.sleep(0.001)  # what a task does that has something to do


@task(executor="process")
def hang_with_child(gate):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
    Path(gate).write_text(f"{os.getpid()} {child.pid}")
    threading.Event().wait()


@task(executor="process")
def crash_until(attempt):
    if current_task().attempt < attempt:
        ctypes.string_at(0)
    return current_task().attempt


@task(executor="process", retry=Retry(2, delay=0.001))
def fail_until(attempt):
    if current_task().attempt < attempt:
        raise LookupError("not yet")
    return current_task().attempt


@task(executor="process")
def have_a_child():
    return current_task().submit(double, 21).id


@task(executor="process")
def wait_for_a_child():
    return current_task().submit(double, 21).result()


def grow(line):
    line.append(None)
    return len(line)


class Growing:
    def __init__(self):
        self.line = []

    def grow(self):
        return grow(self.line)


@task(executor="process")
def say_and_die():
    logging.getLogger("chores").warning("about to %s", "die")
    os._exit(3)


@task(executor="process")
def say(text):
    logging.getLogger("chores").warning(text)


@task(executor="process")
def say_while_saying(times):
    """Say something in the log while something else is just being said to the manager."""
    said = logging.getLogger("chores.interrupted")
    said.propagate = False
    said.addHandler(logging.NullHandler())
    signal.signal(signal.SIGALRM, lambda *_: said.warning("tick"))
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        for n in range(times):
            current_task().progress(n / times)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    return times


@task(executor="process")
def append(path, n):
    with Path(path).open("a") as file:
        file.write(f"{n}\n")


@task(executor="process")
def append_slowly(path, n):
    time.sleep(0.02)
    append(path, n)


@task(executor="process", max_crashes=1)
def append_and_die(path, n):
    append(path, n)
    os._exit(1)

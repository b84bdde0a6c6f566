"""Real calls for executors to run, and what they do over there. Workers import this module."""

from __future__ import annotations

import ctypes
import os
import pickle
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from windlass._core.outcome import Cancelled, Err, Ok


class Parcel:
    """Runs ``function(*args)``, or ``function(channel, *args)``, wherever it is unpacked."""

    def __init__(self, function, args, talks):
        self.function, self.args, self.talks = function, args, talks

    def flat(self):
        return pickle.dumps(Parcel), self.function, self.args, self.talks

    def run(self, channel):
        try:
            return Ok(self.function(*((channel, *self.args) if self.talks else self.args)))
        except StoppedError as stopped:
            return Cancelled(str(stopped))
        except BaseException as error:  # noqa: BLE001
            return Err(error)


class StoppedError(Exception):
    pass


class Errand:
    """The smallest honest ``Call``."""

    number = 1
    loop = None
    place: Any = None
    last_lines = ()

    def __init__(self, function, *args, talks=False, heard=None):
        self.task_id = f"t{next(_ids)}"
        self.name = getattr(function, "__name__", "errand")
        self.function, self.args, self.talks = function, args, talks
        self.messages: list[Any] = []
        self.reply = heard
        self.said = threading.Event()

    def run(self):
        return self.parcel().run(None)

    def interrupt(self):
        pass

    def parcel(self):
        return Parcel(self.function, self.args, self.talks)

    def heard(self, kind, payload):
        self.messages.append((kind, payload))
        self.said.set()
        return self.reply(kind, payload) if self.reply is not None else None


_ids = iter(range(10**9))


def gone(pid, timeout=60.0):
    """Whether the process has ended, or does within ``timeout`` seconds."""
    try:
        watch = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([watch], [], [], timeout)[0])
    finally:
        os.close(watch)


# -- over there ------------------------------------------------------------------------------------


def nothing():
    pass


def nap():
    time.sleep(0.001)  # not quick


def identity(value):
    return value


def process_id():
    return os.getpid()


def session():
    return os.getpid(), os.getsid(0), os.getpgrp()


def wait_for(path):
    """Read a named pipe: returns when somebody has written to it."""
    return Path(path).read_text()


def say_and_hang(channel):
    channel.send("pid", os.getpid())
    threading.Event().wait()


def hang_with_child(channel):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
    channel.send("pids", (os.getpid(), child.pid))
    threading.Event().wait()


def until_cancelled(channel):
    told = threading.Event()
    channel.when_cancelled(told.set)
    channel.send("pid", os.getpid())
    told.wait()
    assert channel.cancelled
    raise StoppedError("saw it")


def check_now_and_then(channel):
    channel.send("pid", os.getpid())
    while not channel.cancelled:
        time.sleep(0.001)  # what a task does that has something to do
    raise StoppedError("saw it")


def converse(channel, count):
    return [channel.ask("add", n) for n in range(count)]


def ask_in_threads(channel, threads, count):
    answers = []

    def run(k):
        answers.extend(channel.ask("add", k * count + n) for n in range(count))

    crowd = [threading.Thread(target=run, args=(k,)) for k in range(threads)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    return sorted(answers)


def leave_a_thread_behind(channel, path):
    """Its thread speaks up when the next call is running."""

    def run():
        wait_for(path)
        channel.send("late", None)
        try:
            channel.ask("late", None)
        except RuntimeError as error:
            Path(path).write_text(str(error))

    threading.Thread(target=run, daemon=True).start()


def say_the_unsayable(channel):
    channel.send("progress", threading.Lock())


def segfault():
    ctypes.string_at(0)


def leave(code):
    print("famous last words", file=sys.stderr)  # noqa: T201
    os._exit(code)


def close_everything():
    os.closerange(3, 1000)
    threading.Event().wait()


def append_line(path):
    with Path(path).open("a") as file:
        file.write("line\n")


def interrupt_yourself():
    os.kill(os.getpid(), signal.SIGINT)
    return "unimpressed"


def fork_and_come_back():
    pid = os.fork()
    if pid == 0:
        return "the child's"
    os.waitpid(pid, 0)
    return "the parent's"


def hold_the_gil(channel):
    channel.send("pid", os.getpid())
    ctypes.PyDLL(None).sleep(1000)


def print_there(text):
    print(text)  # noqa: T201


def raise_(error, *args):
    raise error(*args)


class PicklesBadlyError(Exception):
    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


class RefusesPickleError(Exception):
    def __reduce__(self):
        raise TypeError("never")


class HasNoTextError(Exception):
    def __str__(self):
        raise ValueError("not even this")

    __repr__ = __str__

    def __reduce__(self):
        raise TypeError("never")


class RefusesUnpickle:
    def __reduce__(self):
        return (raise_, (ValueError, "cannot be rebuilt"))


def a_lock():
    return threading.Lock()


def refuses_unpickle():
    return RefusesUnpickle()


def quit_():
    sys.exit("enough")


class Holder:
    def __init__(self, held=None):
        self.held = held

    def method(self):
        return self.held

    def __call__(self):
        return self.held

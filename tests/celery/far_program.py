"""The program that the workers of the tests run: the contract's errands, and a few of its own."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from types import FunctionType

from celery import Celery

from windlass import current_task, task
from windlass.celery import install
from windlass.testing.contracts import errands, gate

ADDRESS = os.environ["WINDLASS_TEST_REDIS"]

app = Celery("far", broker=os.environ.get("WINDLASS_TEST_BROKER", ADDRESS), backend=ADDRESS)
app.conf.broker_connection_retry_on_startup = True
app.conf.worker_hijack_root_logger = False
install(app)
told = logging.StreamHandler()
told.setFormatter(logging.Formatter("%(message)s by %(task_id)s, attempt %(task_attempt)s"))
logging.getLogger("far").addHandler(told)

for module in (errands, gate):
    for thing in list(vars(module).values()):
        if isinstance(thing, FunctionType) and thing.__module__ == module.__name__:
            task(thing)


@app.task(name="plain.add")
def plain_add(left: int, right: int) -> int:
    return left + right


@app.task(name="plain.fail")
def plain_fail(text: str) -> None:
    raise ValueError(text)


@app.task(name="plain.inside")
def plain_inside() -> str:
    return current_task().id


@app.task(name="plain.visit")
def plain_visit(address: tuple[str, int]) -> str:
    return gate.visit(tuple(address))


@task(executor="celery")
def add(left: int, right: int = 0) -> int:
    return left + right


@task(executor="celery")
async def add_soon(left: int, right: int = 0) -> int:
    await asyncio.sleep(0)
    return left + right


@task(executor="celery")
def nap(number: int, seconds: float) -> int:
    time.sleep(seconds)
    return number


@task(executor="celery")
def where() -> tuple[int, int]:
    return os.getpid(), os.getppid()


@task(executor="celery")
def large(size: int) -> bytes:
    return b"x" * size


@task(executor="celery")
def visit(address: tuple[str, int]) -> str:
    """Stop at the gate."""
    return gate.visit(tuple(address))


@task(executor="celery")
def visit_and_tell(address: tuple[str, int]) -> tuple[str, int, int]:
    """Stop at the gate, and say there where this runs, and which attempt it is."""
    with gate.come_to(tuple(address)) as connection:
        connection.sendall(f"{os.getpid()} {os.getppid()} {current_task().attempt}\n".encode())
        letter = connection.recv(1).decode()
    if letter == "k":
        os.kill(os.getpid(), signal.SIGKILL)
    return letter, os.getpid(), current_task().attempt


@task(executor="celery")
def speak() -> None:
    logging.getLogger("far").warning("spoken")


@task(executor="celery")
def count_to(most: int) -> int:
    for n in range(most + 1):
        current_task().progress(n / most, f"{n} of {most}")
    return most


@task(executor="celery")
def steps(address: tuple[str, int]) -> list[int]:
    """Two steps, the second of which stops at the gate the first time."""
    me = current_task()
    return [me.step("one", add, 1, me.attempt).result(), me.step("two", stop, address).result()]


def stop(address: tuple[str, int]) -> int:
    if gate.visit(tuple(address)) == "f":
        raise ConnectionError("told to fail")
    return current_task().attempt


@task(executor="celery")
def twice(number: int, record: str) -> int:
    """Leave a line in the record, so that it is known how often this has run."""
    write_line(record, f"ran {number}")
    time.sleep(number % 5 / 10)
    return 2 * number


def write_line(path: str, line: str) -> None:
    """Add a line to a file in one piece, whoever else does."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, f"{line}\n".encode())
    finally:
        os.close(descriptor)

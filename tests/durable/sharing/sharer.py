"""A program that shares a file with others: ``python sharer.py FILE COMMAND ...``.

``lead``: run whatever comes until standard input is closed.
``add LOG K N``: submit every third of N marks, from K on, and wait for them.
"""

import asyncio
import os
import sys
import threading
from pathlib import Path

from windlass import TaskManager, task


@task(id="sharer.mark")
async def mark(log: str, number: int) -> int:
    with Path(log).open("a") as file:  # noqa: ASYNC230
        file.write(f"{number}\n")
    await asyncio.sleep(0.002)
    return number


@task(id="sharer.who")
async def who() -> int:
    return os.getpid()


@task(id="sharer.fail")
async def fail(text: str) -> None:
    raise ValueError(text)


@task(id="sharer.wait")
async def wait(path: str) -> int:
    while not Path(path).exists():  # noqa: ASYNC240
        await asyncio.sleep(0.01)
    return os.getpid()


async def lead(file: str) -> None:
    closed = asyncio.Event()
    loop = asyncio.get_running_loop()

    def listen() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(closed.set)

    async with TaskManager(file, max_concurrent_tasks=5) as tm:
        threading.Thread(target=listen, daemon=True).start()
        print("open", flush=True)  # noqa: T201  # this is how it tells
        await closed.wait()
        await tm.shutdown(wait=False)


async def add(file: str, log: str, first: int, total: int) -> None:
    async with TaskManager(file, max_concurrent_tasks=5) as tm:
        handles = [await tm.enqueue(mark, log, n) for n in range(first, total, 3)]
        await tm.gather(*handles)
    print("done", len(handles), flush=True)  # noqa: T201


if __name__ == "__main__":
    file, command, *rest = sys.argv[1:]
    if command == "lead":
        asyncio.run(lead(file))
    else:
        asyncio.run(add(file, rest[0], int(rest[1]), int(rest[2])))

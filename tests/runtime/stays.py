"""Functions that stay behind a gate until they are let go, in whatever executor they run.

Each waits at a named pipe of its own, which works across processes as well: whoever reads waits for
whoever writes, and the other way round.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path


def stay(pipe):
    """Wait until the pipe is written to; what was written."""
    return Path(pipe).read_text()


async def stay_async(pipe):
    return await asyncio.to_thread(stay, pipe)


def die():
    """Take the worker process down."""
    os._exit(3)


class Pipes:
    """One named pipe for each of ``count`` tasks."""

    def __init__(self, folder, count):
        self.paths = [str(folder / f"pipe-{n}") for n in range(count)]
        for path in self.paths:
            os.mkfifo(path)

    def release(self, *numbers):
        """Let these tasks go; waits until they are there."""
        for number in numbers:
            Path(self.paths[number]).write_text(str(number))

    async def release_async(self, *numbers):
        await asyncio.to_thread(self.release, *numbers)

    def give_up(self):
        """Let go whoever still waits: a test has failed."""
        for path in self.paths:
            with contextlib.suppress(OSError):
                os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))

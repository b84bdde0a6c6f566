import asyncio
import os
import sys
from typing import Any

import chore
from saq import Queue

queue = Queue.from_url(os.environ["REDIS_URL"])


async def work(_: Any, *, n: int) -> None:
    await asyncio.to_thread(chore.chore, n)


settings = {"queue": queue, "functions": [work], "concurrency": 2}


async def submit() -> None:
    await queue.connect()
    for n in map(int, sys.argv[1:]):
        await queue.enqueue("work", n=n)
    await queue.disconnect()


if __name__ == "__main__":
    asyncio.run(submit())

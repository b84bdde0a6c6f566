import asyncio
import os
import sys

import chore
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

broker = RedisStreamBroker(os.environ["REDIS_URL"]).with_result_backend(
    RedisAsyncResultBackend(os.environ["REDIS_URL"])
)


@broker.task(task_name="work")
def work(n: int) -> None:
    chore.chore(n)


async def submit() -> None:
    await broker.startup()
    for n in map(int, sys.argv[1:]):
        await work.kiq(n)
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(submit())

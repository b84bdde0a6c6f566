import asyncio
import os
import sys

import chore
from apscheduler import AsyncScheduler
from apscheduler.datastores.sqlalchemy import SQLAlchemyDataStore


def work(n: int) -> None:
    chore.chore(n)


async def main() -> None:
    store = SQLAlchemyDataStore(f"sqlite+aiosqlite:///{os.environ['STORE']}")
    async with AsyncScheduler(store, max_concurrent_jobs=2) as scheduler:
        import app  # functions are known by their module

        await scheduler.configure_task("work", func=app.work, max_running_jobs=2)
        for n in map(int, sys.argv[1:]):
            await scheduler.add_job("work", args=[n])
        if not sys.argv[1:]:
            await scheduler.run_until_stopped()


if __name__ == "__main__":
    asyncio.run(main())

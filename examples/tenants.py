"""Tenants: one has submitted a thousand tasks, two others ten each. Nobody waits for a thousand."""

import asyncio

from windlass import TaskCancellationError, TaskManager, task

done: list[str] = []


async def convert(tenant: str) -> None:
    await asyncio.sleep(0.001)
    done.append(tenant)


def last_of(tenant: str) -> int:
    """How many tasks had been done in all when the tenant's last one was."""
    return len(done) - done[::-1].index(tenant)


async def main() -> None:
    async with TaskManager(max_concurrent_tasks=6) as tm:
        for tenant, count in (("Giant", 1000), ("Small", 10), ("Tiny", 10)):
            tm.map(task(convert, owner=tenant), [tenant] * count)

        # Its answer is of use to somebody for 0.02 seconds; after that it is not begun any more.
        late = task(convert, owner="Giant", expires=0.02)
        too_late = tm.submit(late, "Giant, too late")
        await tm.join()

        soon = max(last_of("Small"), last_of("Tiny")) < 100
        print("Small and Tiny were among the first hundred:", soon)
        print("Giant got through, too:", done.count("Giant"))
        try:
            await too_late
        except TaskCancellationError:
            print("not begun:", too_late.explain())


if __name__ == "__main__":
    asyncio.run(main())

"""Groups: tasks that belong together. Leaving the block waits for all; a failure ends the rest."""

import asyncio

from windlass import TaskManager, current_task


async def ask(shop: str, seconds: float) -> str:
    await asyncio.sleep(seconds)
    if shop == "Burnt & Sons":
        raise ConnectionError("the shop has burnt down")
    return f"{shop} has it"


async def search(*shops: str) -> list[str]:
    """A task may have children; they are cancelled with it."""
    children = [current_task().submit(ask, shop, 0.05) for shop in shops]
    return [await child for child in children]


async def main() -> None:
    async with TaskManager() as tm:
        async with tm.group("all well") as group:
            answers = [group.submit(ask, shop, 0.05) for shop in ("Ash", "Birch")]
        print([await answer for answer in answers])

        try:
            async with tm.group("one fails") as group:
                slow = group.submit(ask, "Cedar", 30)
                group.submit(ask, "Burnt & Sons", 0.05)
        except* ConnectionError as failed:
            print("failed:", failed.exceptions[0].__cause__)
        print("Cedar was", slow.status)

        # Waiting for a child lends one's slot to it, so that even a limit of one is enough.
        tm.max_concurrent_tasks = 1
        print(await tm.submit(search, "Elm", "Fir"))


if __name__ == "__main__":
    asyncio.run(main())

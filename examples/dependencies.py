"""Dependencies: what waits for what, with its result or without, and what a failure does to it."""

import asyncio

from windlass import TaskDependencyError, TaskManager, task


def price(item: str) -> float:
    if item == "unicorn":
        raise LookupError("nobody sells unicorns")
    return float(len(item))


def total(prices: list[float]) -> float:
    return sum(prices)


def ship(order: str) -> str:
    return f"{order} is on its way"


@task(run_if="all_done")
def report(*results: float | Exception) -> str:
    found = [one for one in results if not isinstance(one, Exception)]
    return f"{len(found)} of {len(results)} prices are known"


async def main() -> None:
    async with TaskManager() as tm:
        # Handles are found inside of lists, tuples, dicts and dataclasses.
        prices = [tm.submit(price, item) for item in ("lamp", "chair", "table")]
        bill = tm.submit(total, [one.output for one in prices])
        # With `after=` a task waits for another one without needing its result.
        parcel = tm.submit(task(ship).options(after=[bill]), "the order")
        print("the bill:", await bill, "-", await parcel)

        # What depends on a failed task does not start; its error names the cause.
        unicorn = tm.submit(price, "unicorn")
        hopeless = tm.submit(total, [prices[0].output, unicorn.output])
        try:
            await hopeless
        except TaskDependencyError as error:
            print(f"the total {hopeless.status} without a start:", "price" in str(error))

        # Unless it wants to run whatever happens: then it is passed the error.
        print(await tm.submit(report, prices[0].output, unicorn.output))


if __name__ == "__main__":
    asyncio.run(main())

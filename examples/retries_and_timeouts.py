"""Retries and timeouts: what fails is tried again, what takes too long is stopped."""

import asyncio

from windlass import Retry, TaskManager, TaskTimeoutError, current_task, task


@task(retry=Retry(retries=3, delay=0.05, backoff=2.0, on=ConnectionError))
async def flaky() -> str:
    attempt = current_task().attempt
    print("  attempt", attempt)
    if attempt < 3:
        raise ConnectionError("the line is dead")
    return f"through on attempt {attempt}"


@task(retry=Retry(retries=3, delay=0.05, unless=ValueError))
def picky(text: str) -> int:
    return int(text)  # what is wrong now will be wrong next time


@task(timeout=0.1)
async def dawdle(first: float, later: float) -> str:
    current_task().defer(print, "  cleaned up")  # however this ends
    await asyncio.sleep(first if current_task().attempt == 1 else later)
    return "in time"


async def main() -> None:
    async with TaskManager() as tm:
        print(await tm.submit(flaky))

        hopeless = tm.submit(picky, "seven")
        try:
            await hopeless
        except ValueError as error:  # the error is an instance of what the function raised
            print(
                f"given up after {hopeless.info.attempt} attempt: {type(error.__cause__).__name__}"
            )

        # The options of a function can be others for one call.
        print(await tm.submit(dawdle.options(max_retries=1, retry_delay=0.05), 5, 0))
        try:
            await tm.submit(dawdle, 5, 5)
        except TaskTimeoutError as error:
            print("stopped:", "timeout of 0.1 s" in str(error))


if __name__ == "__main__":
    asyncio.run(main())

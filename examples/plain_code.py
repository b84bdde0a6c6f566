"""Plain code: the same manager without async. What is awaited elsewhere has `.result()` here."""

import time
from concurrent.futures import as_completed

from windlass import TaskManager, task


def square(number: int) -> int:
    time.sleep(0.05)
    return number * number


@task(max_retries=1, retry_delay=0)
async def greet(name: str) -> str:  # coroutines run on a loop of the manager's own
    return f"hello, {name}"


def main() -> None:
    with TaskManager() as tm:
        print(tm.submit(square, 12).result())
        print(tm.submit(greet, "plain code").result(timeout=5))

        # Waiting can end before the task does, and leaves it alone.
        slow = tm.submit(time.sleep, 1)
        try:
            slow.result(timeout=0.01)
        except TimeoutError:
            print("not yet:", slow.done())

        squares = tm.map(square, range(5))
        print(sorted(done.result() for done in tm.as_completed(squares)))

        # Code that takes an executor of the standard library takes this one, too.
        pool = tm.as_executor()
        futures = [pool.submit(square, number) for number in (6, 7)]
        print(sorted(future.result() for future in as_completed(futures)))
    print("all done:", slow.status)


if __name__ == "__main__":
    main()

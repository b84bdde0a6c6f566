"""Crash: this program kills itself in the middle. Run again, it finishes exactly the rest."""

import asyncio
import os
import signal

from windlass import TaskManager, current_task, task


@task
async def pay(invoice: int) -> int:
    if invoice == 3 and current_task().attempt == 1:
        print("killed while paying 3", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)  # no clean-up, no goodbye
    print("paid", invoice, flush=True)
    return invoice


async def main() -> None:
    # One at a time, so that what is printed is the same each time.
    async with TaskManager("invoices.db", max_concurrent_tasks=1) as tm:
        # A key makes submitting again harmless: the task that has it is returned.
        invoices = [tm.submit(pay.options(key=f"invoice {n}"), n) for n in range(1, 6)]
        total = sum(await tm.gather(*invoices))
        runs = [handle.info.attempt for handle in invoices]
        print("all paid:", total, "in so many attempts:", runs)


if __name__ == "__main__":
    asyncio.run(main())

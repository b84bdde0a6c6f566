"""Progress and cancellation: a task says how far it is, and can be told to stop."""

import asyncio
import time

from windlass import TaskCancellationError, TaskManager, current_task


def copy(files: int) -> int:
    """A plain function in a thread: it is stopped where it looks whether it is to stop."""
    me = current_task()
    for number in range(files):
        me.check_cancelled()
        me.progress(number / files, f"file {number} of {files}")
        time.sleep(0.01)
    return files


async def listen() -> None:
    """A coroutine is cancelled where it awaits. What is deferred happens however it ends."""
    current_task().defer(print, "  the socket is closed")
    await asyncio.Event().wait()


async def main() -> None:
    async with TaskManager() as tm:
        print("copied:", await tm.submit(copy, 10))

        endless = tm.submit(copy, 1_000_000)
        await asyncio.sleep(0.2)
        print("under way:", endless.progress < 1)
        print("cancelled:", endless.cancel())
        try:
            await endless
        except TaskCancellationError as error:
            print("ended:", endless.status, f"({error.cause})")

        listening = tm.submit(listen)
        await asyncio.sleep(0.05)
        print("why it is not done:", tm.explain(listening).split(" for")[0])
        listening.cancel()
        await tm.gather(listening, return_errors=True)
        print("again:", listening.cancel())  # it has ended, there is nothing to cancel


if __name__ == "__main__":
    asyncio.run(main())

"""A program that is killed: it submits, runs and hears of tasks, and writes down what it did.

Each line is one system call on a file opened for appending, so that it is there when the process is
killed in the next moment; it is not in any way written by what is under test.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import threading

from windlass import TaskManager, current_task, task

LOG, LIFE = int(os.environ.get("VICTIM_LOG", "2")), os.environ.get("VICTIM_LIFE", "0")


def note(what, name):
    os.write(LOG, f"{LIFE} {what} {name}\n".encode())


# Being killed is what these are for: it must not be held against them.
@task(id="work", max_crashes=1_000_000)
async def work(pause):
    me = current_task()
    note("start", me.id)
    await asyncio.sleep(pause)
    note("finish", me.id)


@task(id="work-in-thread", max_crashes=1_000_000)
def work_in_thread(pause):
    me = current_task()
    note("start", me.id)
    threading.Event().wait(pause)
    note("finish", me.id)


async def produce(tm, draw):
    """Submit one task after another, and note each that is acknowledged."""
    heard = set()

    async def hear(handle):
        await handle
        note("heard", handle.id)

    while True:
        function = draw.choice([work, work, work_in_thread])
        pause = draw.choice([0.0, 0.002, 0.02])
        if draw.random() < 0.3:  # many at once
            for one in tm.map(function.options(delay=draw.choice([0, 0.01])), [pause] * 5):
                await one.stored
                note("ack", one.id)
        else:
            handle = await tm.enqueue(function, pause)
            note("ack", handle.id)
            waiter = asyncio.ensure_future(hear(handle))
            heard.add(waiter)
            waiter.add_done_callback(heard.discard)
        if draw.random() < 0.1:  # from a thread, after another task
            last = tm.submit(work.options(after=[tm.submit(work, 0.01)]), 0)
            await asyncio.to_thread(last.stored.result, 60)
            note("ack", last.id)


async def main(file, seed):
    async with TaskManager(file, max_concurrent_tasks=8) as tm:
        note("open", "-")
        if seed:
            draw = random.Random(seed)
            await asyncio.gather(*[produce(tm, random.Random(draw.random())) for _ in range(3)])


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1], sys.argv[2]))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)

"""Many tasks at once: what each takes while it waits, and whether many cost more than few."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING

from windlass import TaskManager

from .case import BYTES, Case, Measure
from .coroutines import noop
from .stopwatch import Sample, Stopwatch, in_loop

if TYPE_CHECKING:
    from collections.abc import Iterator

FEW = 1000


# -- bytes ---------------------------------------------------------------------------------------


@in_loop
async def ours_pending(count: int) -> Sample:
    """Tasks and their handles, none of them started; the arguments are the payload, and none."""
    async with TaskManager() as tm:
        tm.pause()
        handles = []
        tracemalloc.start()
        for _ in range(count):
            handles.append(tm.submit(noop))  # noqa: PERF401  # nothing but what is kept
        taken = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        tm.resume()
        await tm.gather(*handles)
    return Sample(taken / count)


@in_loop
async def asyncio_pending(count: int) -> Sample:
    tasks = []
    tracemalloc.start()
    for _ in range(count):
        tasks.append(asyncio.create_task(noop()))  # noqa: PERF401  # nothing but what is kept
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    await asyncio.gather(*tasks)
    return Sample(taken / count)


def resident(what: str) -> Measure:
    """The same as the operating system sees it, in a process of its own."""

    def measure(count: int) -> Sample:
        root = Path(__file__).parents[1]
        done = subprocess.run(
            [sys.executable, "-m", "bench.memory", what, str(count)],
            cwd=root,
            check=True,
            capture_output=True,
            text=True,
        )
        return Sample(float(done.stdout))

    return measure


async def _fill(what: str, count: int) -> None:
    """Print how much the resident memory grows by each of ``count`` tasks, then run them all."""
    if what == "ours":
        async with TaskManager(max_pending=count) as tm:
            tm.pause()
            before = _resident_bytes()
            handles = [tm.submit(noop) for _ in range(count)]
            print((_resident_bytes() - before) / count)
            tm.resume()
            await tm.gather(*handles)
    else:
        before = _resident_bytes()
        tasks = [asyncio.create_task(noop()) for _ in range(count)]
        print((_resident_bytes() - before) / count)
        await asyncio.gather(*tasks)


def _resident_bytes() -> int:
    """What this process has in memory."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


# -- seconds ---------------------------------------------------------------------------------------


@in_loop
async def ours_queued(count: int) -> Sample:
    """Submit ``count`` and run them, again and again until there were a hundred thousand."""
    again = max(1, 100_000 // count)
    async with TaskManager(max_pending=count) as tm:
        with Stopwatch() as watch:
            for _ in range(again):
                await tm.gather(*[tm.submit(noop) for _ in range(count)])
    return watch.per(count * again)


def few_queued(_: int) -> Sample:
    """The yardstick: only a thousand at a time."""
    return ours_queued(FEW)


def _queued_cases() -> Iterator[Case]:
    sizes: tuple[tuple[str, int, int], ...] = (
        ("10k", 10_000, 5),
        ("100k", 100_000, 3),
        ("1m", 1_000_000, 2),
    )
    for collector in (True, False):
        for size, count, rounds in sizes:
            yield Case(
                f"queued-{size}{'' if collector else '-uncollected'}",
                f"{count:,} queued{'' if collector else ', collector off'}",
                "1,000 queued",
                count,
                ours_queued,
                few_queued,
                quick=min(count, 10_000),
                rounds=rounds,
                collector=collector,
            )


CASES = (
    Case(
        "pending",
        "bytes of a pending task, with its handle",
        "asyncio.Task",
        100_000,
        ours_pending,
        asyncio_pending,
        rounds=1,
        unit=BYTES,
    ),
    Case(
        "pending-1m",
        "resident bytes of each of 1,000,000 pending tasks",
        "asyncio.Task",
        1_000_000,
        resident("ours"),
        resident("asyncio"),
        quick=50_000,
        rounds=1,
        unit=BYTES,
    ),
    *_queued_cases(),
)

if __name__ == "__main__":
    asyncio.run(_fill(sys.argv[1], int(sys.argv[2])))

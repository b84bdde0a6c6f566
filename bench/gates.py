"""Gates: what it costs to pass one, whatever their number and however many wait.

A thousand tasks are under way at any time, held back by gates here and by the manager's limit
there; all the others wait in the lines of their gates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from windlass import Gate, TaskManager, task

from .case import Case, Measure
from .coroutines import noop
from .stopwatch import Sample, Stopwatch, in_loop

if TYPE_CHECKING:
    from collections.abc import Iterator

UNDER_WAY = 1_000
OWNERS = 100


def through(number: int) -> Measure:
    """Submit tasks that pass one of so many gates each."""
    names = [f"gate {place}" for place in range(number)]
    works = [task(noop, gates=[name]) for name in names]

    @in_loop
    async def measure(count: int) -> Sample:
        gates = [Gate(name, slots=UNDER_WAY // number) for name in names]
        async with TaskManager(max_concurrent_tasks=count, gates=gates) as tm:
            with Stopwatch() as watch:
                handles = [tm.submit(works[place % number]) for place in range(count)]
                await tm.gather(*handles)
        return watch.per(count)

    return measure


@in_loop
async def owned(count: int) -> Sample:
    """Submit tasks of many owners."""
    works = [task(noop, owner=f"owner {place}") for place in range(OWNERS)]
    async with TaskManager(max_concurrent_tasks=UNDER_WAY) as tm:
        with Stopwatch() as watch:
            handles = [tm.submit(works[place % OWNERS]) for place in range(count)]
            await tm.gather(*handles)
    return watch.per(count)


@in_loop
async def without(count: int) -> Sample:
    """Submit as many that pass none."""
    async with TaskManager(max_concurrent_tasks=UNDER_WAY) as tm:
        with Stopwatch() as watch:
            await tm.gather(*[tm.submit(noop) for _ in range(count)])
    return watch.per(count)


def _cases() -> Iterator[Case]:
    flat = "tasks without gates"
    for number in (1, 10, 1_000):
        for size, count in (("1k", 1_000), ("10k", 10_000), ("100k", 100_000)):
            gates = f"{number:,} gates" if number > 1 else "1 gate"
            yield Case(
                f"gates-{number}-{size}",
                f"{count:,} tasks at {gates}",
                flat,
                count,
                through(number),
                without,
                collector=False,  # how many objects wait is measured elsewhere
            )
    yield Case(
        "owners-100k", f"{OWNERS} owners, 100,000 tasks", flat, 100_000, owned, without,
        collector=False,
    )  # fmt: skip


CASES = tuple(_cases())

"""Dependencies: chains, fans and random layers, beside tasks without any and beside graphlib.

A node takes the results of those it depends on as its arguments; where these are more than a
hundred, it only comes after them. Each shape is measured twice: against our own flat cost, which
says what an edge costs, and against what one would write by hand with
``graphlib.TopologicalSorter`` and asyncio.
"""

from __future__ import annotations

import asyncio
from graphlib import TopologicalSorter
from random import Random
from typing import TYPE_CHECKING, Any, TypeAlias

from windlass import TaskManager, task

from .case import Case, Measure
from .coroutines import ours_at_once
from .stopwatch import Sample, Stopwatch, in_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Edges: TypeAlias = dict[int, tuple[int, ...]]
"""Node -> those it depends on, which come before it."""

WIDTH = 100
MANY = 100


async def node(*inputs: Any) -> int:
    """The work."""
    return len(inputs)


late_node = task(node)


def chain(count: int) -> Edges:
    """Each after the one before."""
    return {0: (), **{name: (name - 1,) for name in range(1, count)}}


def fan(count: int) -> Edges:
    """One, then all others, then one that takes all of their results."""
    middle = range(1, count - 1)
    return {0: (), **dict.fromkeys(middle, (0,)), count - 1: tuple(middle)}


def layers(count: int) -> Edges:
    """Layers of a hundred, each node after one to three of the layer before."""
    draw = Random(1)
    edges: Edges = dict.fromkeys(range(min(WIDTH, count)), ())
    for name in range(len(edges), count):
        before = name // WIDTH * WIDTH - WIDTH
        edges[name] = tuple(draw.sample(range(before, before + WIDTH), draw.randint(1, 3)))
    return edges


def ours(shape: Callable[[int], Edges]) -> Measure:
    """Submit the nodes with handles as arguments."""

    @in_loop
    async def measure(count: int) -> Sample:
        edges = shape(count)
        async with TaskManager() as tm:
            with Stopwatch() as watch:
                handles: list[Any] = []
                for after in edges.values():
                    before = [handles[name] for name in after]
                    if len(before) <= MANY:
                        handles.append(tm.submit(node, *before))
                    else:
                        handles.append(tm.submit(late_node.options(after=before)))
                await tm.gather(*handles)
        return watch.per(count)

    return measure


def by_hand(shape: Callable[[int], Edges]) -> Measure:
    """Create an asyncio task for each node that the sorter says is ready."""

    @in_loop
    async def measure(count: int) -> Sample:
        edges = shape(count)
        with Stopwatch() as watch:
            results: dict[int, Any] = {}
            ended: asyncio.Queue[int] = asyncio.Queue()
            tasks: set[asyncio.Task[None]] = set()

            async def run(name: int) -> None:
                results[name] = await node(*[results[other] for other in edges[name]])
                ended.put_nowait(name)

            sorter = TopologicalSorter(edges)
            sorter.prepare()
            while sorter.is_active():
                for name in sorter.get_ready():
                    one = asyncio.create_task(run(name))
                    tasks.add(one)
                    one.add_done_callback(tasks.discard)
                sorter.done(await ended.get())
        return watch.per(count)

    return measure


def _cases() -> Iterator[Case]:
    shapes = {"chain": chain, "fan": fan, "layers": layers}
    for name, shape in shapes.items():
        for size, count in (("10k", 10_000), ("100k", 100_000)):
            flat = ("flat", "tasks without dependencies", ours_at_once)
            sorter = ("graphlib", "TopologicalSorter + asyncio", by_hand(shape))
            # The chain is held against graphlib: it has no two tasks that could share anything.
            first, second = (sorter, flat) if name == "chain" else (flat, sorter)
            for suffix, (beside, title, yardstick) in (("", first), ("-", second)):
                yield Case(
                    f"{name}-{size}{suffix and suffix + beside}",
                    f"{name}, {count:,} nodes",
                    title,
                    count,
                    ours(shape),
                    yardstick,
                    rounds=5 if count == 10_000 else 3,
                )


CASES = tuple(_cases())

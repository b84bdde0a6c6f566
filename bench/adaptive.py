"""``python -m bench.adaptive``: a limit that finds itself, beside fixed ones.

The service that is called takes its time, and more of it the more calls are on at once: past some
number of them its throughput collapses. Nobody tells the limit that number, only what a call may
take: twice as long as one that is alone. All of it happens in virtual time, so the figures are the
same on every machine.

``--picture`` draws ``docs/images/adaptive.svg``, where that number changes under way.
"""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import dataclass, field
from heapq import heappop, heappush
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, TypeAlias

from windlass import Adaptive, TaskManager
from windlass.testing import VirtualLoop

from .chart import Line, Panel, chart

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

UNLOADED = 0.1
"""Seconds that a call takes, on average, when it is alone."""
FIXED = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SECONDS = 60
LEAST = 0.9
"""The share of the best fixed limit's throughput that is promised."""

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "adaptive.svg"

Slowdown: TypeAlias = "Callable[[int], float]"
"""How many times as long a call takes while so many are on."""


def contended(peak: int) -> Slowdown:
    """Calls queue for a lock, and get into each other's way (the universal scalability law)."""
    queueing = 0.01
    crosstalk = (1 - queueing) / peak**2
    return lambda on: 1 + queueing * (on - 1) + crosstalk * on * (on - 1)


def thrashing(knee: int) -> Slowdown:
    """All is well up to the knee; past it twice as many calls do half as much in all."""
    return lambda on: max(1.0, on / knee) ** 2


class Service:
    """What is called: it shares what it can do among those that are on, evenly."""

    def __init__(self, slowdown: Slowdown) -> None:
        self.slowdown = slowdown
        self.served = 0
        self._loop = asyncio.get_running_loop()
        self._dice = Random(1)
        self._done = 0.0  # how much work each call has had that has been on from the beginning
        self._since = self._loop.time()
        self._on: list[tuple[float, int, asyncio.Future[None]]] = []
        self._alarm: asyncio.TimerHandle | None = None
        self._serial = 0

    async def __call__(self) -> None:
        self._go_on()
        self._serial += 1
        work = UNLOADED * self._dice.gammavariate(4, 0.25)
        future = self._loop.create_future()
        heappush(self._on, (self._done + work, self._serial, future))
        self._set_alarm()
        await future

    def _go_on(self) -> None:
        """Work until now, and let go who is done."""
        now = self._loop.time()
        if self._on:
            self._done += (now - self._since) / self.slowdown(len(self._on))
        self._since = now
        while self._on and self._on[0][0] <= self._done + 1e-9:
            _, _, future = heappop(self._on)
            self.served += 1
            if not future.done():
                future.set_result(None)

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        if self._on:
            left = (self._on[0][0] - self._done) * self.slowdown(len(self._on))
            self._alarm = self._loop.call_later(max(0.0, left), self._ring)

    def _ring(self) -> None:
        self._go_on()
        self._set_alarm()


@dataclass
class Run:
    """What was seen in each second."""

    limits: list[int] = field(default_factory=list)
    served: list[int] = field(default_factory=list)

    @property
    def throughput(self) -> float:
        """Calls a second, from the first second to the last."""
        return sum(self.served) / len(self.served)


def run(limit: int | Adaptive, phases: Sequence[Slowdown], seconds: int) -> Run:
    """Call the service for so many seconds, and change it in between."""
    seen, loop = Run(), VirtualLoop()

    async def main() -> None:
        service = Service(phases[0])
        tm = TaskManager(
            max_concurrent_tasks=limit,
            max_pending=1000,
            retention_count=0,
            watchdog=None,
            clock=loop.clock,
        )
        async with tm:
            feeder = asyncio.ensure_future(feed(tm, service))
            for second in range(seconds):
                service.slowdown = phases[second * len(phases) // seconds]
                before = service.served
                await asyncio.sleep(1)
                seen.limits.append(tm.max_concurrent_tasks)
                seen.served.append(service.served - before)
            feeder.cancel()
            await tm.stop()

    async def feed(tm: TaskManager, service: Service) -> None:
        while True:
            await tm.enqueue(service)

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())
    return seen


POLICY = Adaptive(max=512, cpu=None, memory=None, target_latency=2 * UNLOADED)

SERVICES: dict[str, tuple[Slowdown, ...]] = {
    "thrashes past 12": (thrashing(12),),
    "thrashes past 48": (thrashing(48),),
    "gets crowded, best at 12": (contended(12),),
    "gets crowded, best at 48": (contended(48),),
    "thrashes past 48, 12, 70": (thrashing(48), thrashing(12), thrashing(70)),
}
SMALL = ("thrashes past 12", "gets crowded, best at 12")


def compare(services: Sequence[str]) -> bool:
    """Print calls a second with each limit; whether the one that finds itself does well enough."""
    print("calls a second, with so many at once:")
    print(f"{'the service':25}", *(f"{limit:>5}" for limit in FIXED), "  adaptive, of the best")
    well = True
    for name in services:
        phases = SERVICES[name]
        long = SECONDS * len(phases)
        fixed = [run(limit, phases, long).throughput for limit in FIXED]
        found = run(POLICY, phases, long).throughput
        share = found / max(fixed)
        well &= share >= LEAST
        figures = " ".join(f"{figure:5.0f}" for figure in fixed)
        print(f"{name:25} {figures}   {found:8.0f}, {share:6.0%}", flush=True)
    print(f"promised: {LEAST:.0%} of the best: {'ok' if well else 'short'}")
    return well


def draw(seconds: int = 120) -> str:
    """The limit and the throughput over time, while the service's knee moves."""
    knees = (48, 12, 70)
    found = run(POLICY, [thrashing(knee) for knee in knees], seconds)
    knee_at = [knees[second * len(knees) // seconds] for second in range(seconds)]
    best = [knee / UNLOADED for knee in knee_at]
    return chart(
        "A limit that finds itself, while the service changes",
        [
            Panel(
                "How many run at once",
                [
                    Line("what the service can bear", knee_at, "#c2571a", dashed=True, steps=True),
                    Line("the limit", found.limits, "#00796b"),
                ],
            ),
            Panel(
                "Calls a second",
                [
                    Line("the most there can be", best, "#c2571a", dashed=True, steps=True),
                    Line("served", found.served, "#00796b"),
                ],
            ),
        ],
    )


def main() -> int:
    parser = argparse.ArgumentParser("python -m bench.adaptive", description=__doc__)
    parser.add_argument("--picture", action="store_true", help="draw docs/images/adaptive.svg")
    parser.add_argument("--quick", action="store_true", help="the small services alone")
    options = parser.parse_args()
    if options.picture:
        PICTURE.write_text(draw(), encoding="utf-8")
        print(f"drawn: {PICTURE.name}")
        return 0
    return 0 if compare(SMALL if options.quick else [*SERVICES]) else 1


if __name__ == "__main__":
    raise SystemExit(main())

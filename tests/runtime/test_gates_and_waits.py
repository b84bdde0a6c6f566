"""Random programs whose tasks hold gates and wait for each other: none of them hangs."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from windlass import Breaker, DeadlockError, Gate, Rate, Retry, current_task, task
from windlass.testing import World

LONG = 300  # virtual seconds; each of these programs needs less than a minute


class Program:
    """Tasks that hold gates submit others, which need gates as well, and wait for them."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = Random(seed)
        self.gates = [
            Gate(
                name,
                slots=rng.choice([1, 2, 3]),
                rate=rng.choice([None, Rate(3, per=1.0)]),
                breaker=rng.choice([None, Breaker(2, reset=1.0)]),
            )
            for name in "abc"
        ]
        self.limit = rng.choice([1, 2, 100])

    def part(self):
        """The function of one task, with options of its own."""
        rng = self.rng
        through = rng.sample(self.gates, rng.choice([0, 1, 1, 2]))
        return task(
            self.body,
            gates={gate.name: rng.randint(1, gate.slots) for gate in through},
            priority=rng.choice(["LOW", "NORMAL", "HIGH"]),
            retry=Retry(2, delay=0.2, jitter=0, unless=DeadlockError),
            owner=rng.choice([None, None, "x", "y"]),
        )

    async def body(self, depth: int) -> None:
        me = current_task()
        await asyncio.sleep(self.rng.choice([0, 0.1, 0.5]))
        if me.attempt == 1 and self.rng.random() < 0.25:
            raise ConnectionError
        if depth and self.rng.random() < 0.7:
            children = [
                me.submit(self.part(), depth - 1) for _ in range(self.rng.choice([1, 2, 3]))
            ]
            for child in children:
                await child

    async def run(self, tm) -> list[str]:
        """Why those who have not ended after a long time have not."""
        for _ in range(12):
            tm.submit(self.part(), 2)
            await asyncio.sleep(self.rng.choice([0, 0.05, 0.3]))
        try:
            await asyncio.wait_for(tm.join(), LONG)
        except TimeoutError:
            waiting = [info for info in tm.list_tasks() if not info.status.finished]
            return [f"{info.gates}: {tm.explain(info.id)}" for info in waiting]
        finally:
            tm.cancel_all()
        return []


@pytest.mark.parametrize("seed", range(20))
def test_whoever_waits_behind_a_gate_comes_through_or_is_told(seed):
    program = Program(seed)
    world = World(seed=seed, max_concurrent_tasks=program.limit, gates=program.gates)
    assert world.run(program.run) == []

"""Limits that find themselves: up while they are made use of, down before it hurts."""

from __future__ import annotations

import asyncio

import pytest

from windlass import Adaptive, Gate, TaskManager, task
from windlass._core.meters import Load
from windlass._runtime.load import read_load

from .stage import double, double_async, on_a_loop, python

BLIND = {"cpu": None, "memory": None}
"""An Adaptive that looks at nothing of the machine, and so needs nothing to look with."""


class Service:
    """Takes ``latency`` seconds for a call, and longer beyond ``knee`` calls at once."""

    def __init__(self, knee, latency=0.5):
        self.knee, self.latency = knee, latency
        self.on = self.most = 0

    async def __call__(self):
        self.on += 1
        self.most = max(self.most, self.on)
        await asyncio.sleep(self.latency * max(1.0, self.on / self.knee) ** 2)
        self.on -= 1


EASY = Service(10**6, latency=1.0)


@pytest.fixture
def machine():
    """What the machine says about itself, if a manager is ``watching`` it."""

    class Machine:
        load = Load()

        def watching(self, manager):
            manager._runtime.read_load = lambda: self.load

    return Machine()


async def limits(tm, seconds, of=lambda tm: tm.max_concurrent_tasks):
    """What the limit was at the end of each second."""
    seen = []
    for _ in range(seconds):
        await asyncio.sleep(1)
        seen.append(of(tm))
    return seen


def swamped(tm, work, count=5000, **options):
    return [tm.submit(task(work, **options)) for _ in range(count)]


# -- the global limit ------------------------------------------------------------------------------


def test_it_climbs_while_it_is_made_use_of(windlass_world):
    async def scenario(tm):
        assert tm.max_concurrent_tasks == 2
        swamped(tm, EASY, 1000)
        seen = await limits(tm, 4)
        assert seen == [16, 64, 64, 64], "doubled at every look, up to its most"
        tm.cancel_all()

    windlass_world.run(scenario, max_concurrent_tasks=Adaptive(2, 64, every=0.5))


def test_it_stays_where_it_is_if_nobody_needs_more(windlass_world):
    async def scenario(tm):
        for _ in range(20):
            await tm.gather(*(tm.submit(asyncio.sleep, 1) for _ in range(3)))
        assert tm.max_concurrent_tasks == 4

    windlass_world.run(scenario, max_concurrent_tasks=Adaptive(1, 100))


@pytest.mark.parametrize("knee", [5, 40])
def test_it_finds_the_knee_by_latency(windlass_world, knee):
    service = Service(knee)

    async def scenario(tm):
        swamped(tm, service, 6000)
        seen = await limits(tm, 60)
        tm.cancel_all()
        return seen[30:]

    policy = Adaptive(1, 500, **BLIND, every=1, target_latency=0.65)
    settled = windlass_world.run(scenario, max_concurrent_tasks=policy)
    assert 0.8 * knee <= min(settled)
    assert max(settled) <= 1.3 * knee + 1


def test_it_does_not_climb_before_it_knows_what_the_last_step_did(windlass_world):
    """Calls that take much longer than the time between two looks."""

    async def scenario(tm):
        swamped(tm, Service(20, latency=5.0), 3000)
        seen = await limits(tm, 600)
        tm.cancel_all()
        return seen

    policy = Adaptive(1, 500, **BLIND, target_latency=7.5)
    seen = windlass_world.run(scenario, max_concurrent_tasks=policy)
    assert max(seen) <= 40, "once the double of the knee, and no further"
    assert min(seen[120:]) >= 8
    assert max(seen[120:]) <= 34


def test_memory_halves_it_and_it_climbs_back(windlass_world, machine):
    async def scenario(tm):
        machine.watching(tm)
        swamped(tm, EASY, 3000)
        await asyncio.sleep(10.2)
        assert tm.max_concurrent_tasks == 64
        machine.load = Load(memory=0.9)
        assert await limits(tm, 2) == [16, 4], "twice a second, before it runs out"
        machine.load = Load(memory=0.8)
        assert await limits(tm, 2) == [4, 4], "no higher while it is nearly full"
        machine.load = Load(memory=0.5)
        climbing = await limits(tm, 20)
        assert climbing[:3] == [6, 8, 10], "with care this time"
        assert climbing[-1] > 40
        machine.load = Load(memory=1.0)
        assert (await limits(tm, 6))[-1] == 2, "never below its least"
        tm.cancel_all()

    windlass_world.run(scenario, max_concurrent_tasks=Adaptive(2, 64))


def test_a_busy_cpu_takes_a_tenth_at_a_time(windlass_world, machine):
    async def scenario(tm):
        machine.watching(tm)
        swamped(tm, EASY, 3000)
        await asyncio.sleep(10.2)
        machine.load = Load(cpu=0.95)
        assert await limits(tm, 2) == [81, 65]
        tm.cancel_all()

    windlass_world.run(scenario, max_concurrent_tasks=Adaptive(1, 100))


def test_it_can_be_set_while_tasks_run(windlass_world):
    async def scenario(tm):
        swamped(tm, EASY, 3000)
        await asyncio.sleep(1)
        tm.max_concurrent_tasks = Adaptive(5, 40, **BLIND)
        assert await limits(tm, 3) == [20, 40, 40]
        tm.max_concurrent_tasks = 7
        assert await limits(tm, 3) == [7, 7, 7]
        assert tm.get_metrics().taken == 7
        tm.cancel_all()

    windlass_world.run(scenario, max_concurrent_tasks=3)


def test_nobody_looks_while_nothing_runs(windlass_world, machine):
    looks = []

    async def scenario(tm):
        def look():
            looks.append(windlass_world.elapsed)
            return Load()

        tm._runtime.read_load = look
        await asyncio.sleep(1000)
        await tm.submit(asyncio.sleep, 2.2)
        await asyncio.sleep(1000)

    windlass_world.run(scenario, max_concurrent_tasks=Adaptive())
    assert len(looks) in {5, 6}
    assert all(1000 <= when <= 1003 for when in looks)


# -- a gate's slots --------------------------------------------------------------------------------


def test_a_gate_finds_its_slots(windlass_world):
    service = Service(12)

    async def scenario(tm):
        swamped(tm, service, 2000, gates=["db"])
        seen = await limits(tm, 60, of=lambda tm: tm.gate("db").slots)
        tm.cancel_all()
        return seen[30:]

    db = Gate("db", slots=Adaptive(1, 500, **BLIND, every=1, target_latency=0.65))
    settled = windlass_world.run(scenario, gates=[db], max_concurrent_tasks=10_000)
    assert min(settled) >= 10
    assert max(settled) <= 16


def test_each_for_itself(windlass_world):
    async def scenario(tm):
        slow, quick = Service(4), Service(40)
        for service, name in ((slow, "slow"), (quick, "quick")):
            swamped(tm, service, 4000, gates=[name])
        await asyncio.sleep(60)
        assert 3 <= tm.gate("slow").slots <= 6
        assert 32 <= tm.gate("quick").slots <= 52
        metrics = tm.get_metrics().gates
        assert metrics["quick"].slots == tm.gate("quick").slots
        tm.cancel_all()

    policy = Adaptive(1, 500, **BLIND, every=1, target_latency=0.65)
    gates = [Gate("slow", slots=policy), Gate("quick", slots=policy)]
    windlass_world.run(scenario, gates=gates, max_concurrent_tasks=10_000)


def test_slots_become_adaptive_and_fixed_again(windlass_world):
    async def scenario(tm):
        swamped(tm, EASY, 3000, gates=["db"])
        await asyncio.sleep(1)
        tm.gate("db").slots = Adaptive(2, 16, **BLIND)
        assert (await limits(tm, 3, of=lambda tm: tm.gate("db").slots))[-1] == 16
        tm.gate("db").slots = 3
        assert await limits(tm, 2, of=lambda tm: tm.gate("db").slots) == [3, 3]
        assert tm.gate("db").held == 3
        tm.cancel_all()

    windlass_world.run(scenario, gates=[Gate("db", slots=1)])


@pytest.mark.parametrize("executor", ["async", "thread", "process", "sequential"])
@on_a_loop
async def test_in_real_time_and_in_every_executor(executor):
    function = double_async if executor == "async" else double
    policy = Adaptive(1, 50, every=0.001)
    async with TaskManager(max_concurrent_tasks=policy, gates=[Gate("g", slots=policy)]) as tm:
        handles = tm.map(task(function, executor=executor, gates=["g"]), range(300))
        assert await tm.gather(*handles) == [2 * n for n in range(300)]
        assert tm.gate("g").held == 0


def test_in_plain_code():
    with TaskManager(max_concurrent_tasks=Adaptive(1, 8, every=0.001, **BLIND)) as tm:
        assert tm.gather(*tm.map(double, range(300))).result(timeout=60) == [
            2 * n for n in range(300)
        ]


# -- psutil ----------------------------------------------------------------------------------------


def test_the_load_is_that_of_this_machine():
    pytest.importorskip("psutil")
    load = read_load()
    assert 0 <= load.cpu <= 1
    assert 0 < load.memory <= 1


WITHOUT_PSUTIL = """
    import sys
    sys.modules["psutil"] = None  # as if it were not installed
    from windlass import Adaptive, Gate, TaskManager

    def refused(ask):
        try:
            ask()
        except ImportError as error:
            assert "pip install 'windlass[adaptive]', or pass cpu=None, memory=None" in str(error)
        else:
            raise AssertionError("it was not refused")

    refused(lambda: TaskManager(max_concurrent_tasks=Adaptive()))
    refused(lambda: TaskManager(gates=[Gate("g", slots=Adaptive(memory=None))]))
    blind = Adaptive(1, 4, cpu=None, memory=None, target_latency=1, every=0.001)
    with TaskManager(max_concurrent_tasks=blind, gates=[Gate("g", slots=2)]) as tm:
        refused(lambda: tm.add_gate(Gate("h", slots=Adaptive(cpu=None))))
        refused(lambda: setattr(tm.gate("g"), "slots", Adaptive()))
        refused(lambda: setattr(tm, "max_concurrent_tasks", Adaptive()))
        assert tm.gate("g").slots == 2
        print(tm.gather(*tm.map(abs, range(-100, 0))).result(timeout=60)[0])
"""


def test_without_psutil_it_is_named_and_what_needs_none_works():
    assert python(WITHOUT_PSUTIL).stdout.strip() == "100"


def test_psutil_is_not_imported_for_those_who_have_no_such_limit():
    code = """
        import sys
        from windlass import Gate, TaskManager
        with TaskManager(gates=[Gate("g", slots=2)]) as tm:
            tm.submit(len, "abc").result(timeout=60)
        assert "psutil" not in sys.modules
    """
    python(code)

"""Gates with slots: what passes, what waits, in what order, and in every executor."""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from windlass import (
    Adaptive,
    Breaker,
    Gate,
    LiveGate,
    Rate,
    TaskManager,
    TaskStatus,
    call,
    current_task,
    ref,
    task,
)
from windlass.executors.futures import FuturesExecutor

from .stage import Door, double, double_async, on_a_loop
from .stays import Pipes, stay, stay_async

EXECUTORS = ("async", "thread", "process", "sequential", "futures")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs named pipes")


@pytest.fixture
def pipes(tmp_path):
    made = Pipes(tmp_path, 4)
    yield made
    made.give_up()


@pytest.fixture
def settings():
    """Of managers that have all executors, with a slot for everybody."""
    with ThreadPoolExecutor(4) as pool:
        yield {"executors": {"futures": FuturesExecutor(pool)}, "processes": 4, "threads": 4}


def staying(executor, **options):
    function = stay_async if executor in {"async", "sequential"} else stay
    return task(function, executor=executor, **options)


# -- slots, in every executor and from both doors --------------------------------------------------


@pytest.mark.parametrize("slots", [1, 2])
@pytest.mark.parametrize("executor", EXECUTORS)
@on_a_loop
async def test_no_more_than_its_slots_are_behind_a_gate(executor, slots, pipes, settings):
    async with TaskManager(gates=[Gate("gpu", slots=slots)], **settings) as tm:
        at_once = 1 if executor == "sequential" else slots
        changes = tm.changes()
        handles = tm.map(staying(executor, gates=["gpu"]), pipes.paths)
        started = []

        async def until(count):
            async for change in changes:
                if change.after is TaskStatus.RUNNING:
                    started.append(change.task_id)
                    if len(started) == count:
                        return

        await until(at_once)
        gpu = tm.gate("gpu")
        assert gpu.held == at_once
        assert [h.status for h in handles].count("running") == at_once
        for number in range(4):
            await pipes.release_async(number)
            assert await handles[number] == str(number)
            assert gpu.held <= slots
        assert gpu.held == gpu.waiting == gpu.metrics().pending == 0
        await until(4)
        assert started == [handle.id for handle in handles]


@pytest.mark.parametrize("executor", EXECUTORS)
def test_and_without_an_event_loop(executor, pipes, settings):
    with TaskManager(gates=[Gate("gpu", slots=1)], **settings) as tm:
        handles = tm.map(staying(executor, gates="gpu"), pipes.paths)
        gpu = tm.gate("gpu")
        for number in range(4):
            assert [h.done() for h in handles] == [n < number for n in range(4)]
            pipes.release(number)
            assert handles[number].result(timeout=60) == str(number)
            assert gpu.held <= 1
        assert (gpu.held, gpu.waiting, gpu.metrics().pending) == (0, 0, 0)


# -- weights, and several gates --------------------------------------------------------------------


@pytest.fixture
def spans(windlass_world):
    """What was on, from when to when."""

    class Spans(dict):
        def doing(self, name, seconds, **options):
            async def work():
                began = windlass_world.elapsed
                await asyncio.sleep(seconds)
                self[name] = (began, windlass_world.elapsed)

            return task(work, name=name, **options)

    return Spans()


def test_a_weight_takes_so_many_slots(windlass_world, spans):
    async def scenario(tm):
        for name, weight in (("a", 2), ("b", 2), ("c", 1), ("d", 3)):
            tm.submit(spans.doing(name, 10, gates={"gpu": weight}))
        await tm.join()

    windlass_world.run(scenario, gates=[Gate("gpu", slots=3)])
    # b does not fit beside a; c, which would, does not overtake it.
    assert spans == {"a": (0, 10), "b": (10, 20), "c": (10, 20), "d": (20, 30)}


def test_a_heavy_task_is_not_starved_by_light_ones(windlass_world, spans):
    async def scenario(tm):
        for number in range(40):
            tm.submit(spans.doing(f"light {number}", 1 + number % 2, gates=["gpu"]))
            if number == 6:
                tm.submit(spans.doing("heavy", 1, gates={"gpu": 4}))
        await tm.join()

    windlass_world.run(scenario, gates=[Gate("gpu", slots=4)])
    before = {name for name in spans if spans[name][0] < spans["heavy"][0]}
    assert before == {f"light {number}" for number in range(7)}, "none that came after it"


def test_all_gates_are_passed_at_once_or_none(windlass_world, spans):
    async def scenario(tm):
        tm.submit(spans.doing("a", 10, gates=["left"]))
        tm.submit(spans.doing("both", 10, gates=["left", "right"]))
        await asyncio.sleep(1)
        assert tm.gate("right").held == 0, "who waits holds nothing"
        tm.submit(spans.doing("b", 5, gates=["right"]))
        await tm.join()

    windlass_world.run(scenario, gates=[Gate("left", slots=1), Gate("right", slots=1)])
    assert spans == {"a": (0, 10), "b": (1, 6), "both": (10, 20)}


def test_who_needs_two_gates_gets_through_those_who_need_one(windlass_world, spans):
    async def scenario(tm):
        for number in range(30):
            for side in ("left", "right"):
                # Out of step, so that there never is room at both by chance.
                seconds = 1.0 if side == "left" or number else 0.5
                tm.submit(spans.doing(f"{side} {number}", seconds, gates=[side]))
            if number == 3:
                tm.submit(spans.doing("both", 1, gates=["left", "right"]))
        await tm.join()

    windlass_world.run(scenario, gates=[Gate("left", slots=1), Gate("right", slots=1)])
    assert spans["both"][0] < 15, "not behind all thirty of each"
    assert max(end for _, end in spans.values()) <= 33, "and nobody else was kept long for it"


def test_a_parked_task_delays_nobody_and_takes_no_slot(windlass_world, spans):
    async def scenario(tm):
        for number in range(50):
            tm.submit(spans.doing(f"locked {number}", 10, gates=["lock"], priority="HIGH"))
        tm.submit(spans.doing("free", 1))
        tm.submit(spans.doing("elsewhere", 1, gates=["other"]))
        await tm.join()

    gates = [Gate("lock", slots=1), Gate("other", slots=1)]
    windlass_world.run(scenario, gates=gates, max_concurrent_tasks=2)
    assert spans["free"] == (0, 1)
    assert spans["elsewhere"] == (1, 2)


def test_within_a_gate_priority_goes_first_and_then_who_came_first(windlass_world):
    order = []

    async def note(name):
        order.append(name)
        await asyncio.sleep(1)

    async def scenario(tm):
        tm.submit(task(note, gates=["lock"]), "first")
        await asyncio.sleep(0.5)
        for name, priority in (("b", "NORMAL"), ("d", "LOW"), ("a", "CRITICAL"), ("c", "NORMAL")):
            tm.submit(task(note, gates=["lock"], priority=priority), name)
        await tm.join()

    windlass_world.run(scenario, gates=[Gate("lock", slots=1)])
    assert order == ["first", "a", "b", "c", "d"]


# -- seen and changed while it is at work ----------------------------------------------------------


def test_slots_are_changed_while_tasks_run(windlass_world):
    async def scenario(tm):
        door = Door()
        handles = [tm.submit(task(door, gates=["gpu"]), n) for n in range(8)]
        await door.came(2)
        gpu = tm.gate("gpu")
        assert (gpu.slots, gpu.held, gpu.waiting) == (2, 2, 6)
        gpu.slots = 5
        await door.came(3)
        assert (gpu.slots, gpu.held, gpu.waiting) == (5, 5, 3)
        gpu.slots = 1
        await asyncio.sleep(1)
        assert (gpu.slots, gpu.held, gpu.waiting) == (1, 5, 3), "those behind it are not disturbed"
        handles[0].cancel()
        await asyncio.sleep(1)
        assert (gpu.held, gpu.waiting) == (4, 3), "nor does anybody follow until there is room"
        door.open()
        assert await tm.gather(*handles[1:]) == list(range(1, 8))

    windlass_world.run(scenario, gates=[Gate("gpu", slots=2)])


@on_a_loop
async def test_a_gate_is_added_while_the_manager_is_open():
    async with TaskManager() as tm:
        with pytest.raises(ValueError, match="manager has none"):
            tm.submit(task(double_async, gates=["db"]), 1)
        added = tm.add_gate(Gate("db", slots=1, rate=Rate(5, per=1), max_pending=7))
        assert isinstance(added, LiveGate)
        assert (added.name, added.slots, added.max_pending, added.state) == ("db", 1, 7, None)
        assert added.rate == Rate(5, per=1)
        assert await tm.submit(task(double_async, gates=["db"]), 1) == 2
        with pytest.raises(ValueError, match=r"already.*manager\.gate\('db'\)\.slots"):
            tm.add_gate(Gate("db", slots=3))
        assert repr(added) == "<gate db: 0 of 1 taken, 0 waiting>"
        assert repr(tm.add_gate(Gate("x", breaker=Breaker(3, reset=1)))) == (
            "<gate x: 0 taken, 0 waiting, closed>"
        )


def test_gates_are_in_the_metrics(windlass_world):
    async def scenario(tm):
        door = Door()
        held = tm.submit(task(door, gates={"gpu": 2}))
        await door.came()
        tm.submit(task(double_async, gates=["gpu"]), 1)
        later = task(double_async, gates=["gpu"]).options(delay=100)
        tm.submit(later, 1)
        await asyncio.sleep(1)
        gpu = tm.get_metrics().gates["gpu"]
        assert (gpu.slots, gpu.held, gpu.waiting, gpu.pending) == (2, 2, 1, 2)
        assert (gpu.rate, gpu.state, gpu.refused, gpu.max_pending) == (None, None, 0, None)
        assert tm.get_metrics().gates["open"].slots is None
        door.open()
        await held

    windlass_world.run(scenario, gates=[Gate("gpu", slots=2), Gate("open")])


# -- refused at submit -----------------------------------------------------------------------------


@on_a_loop
async def test_an_unknown_gate_is_refused_by_every_way_in():
    async with TaskManager(gates=[Gate("api"), Gate("db")]) as tm:
        wrong = task(double_async, gates=["gpu"])
        said = r"double_async \[.*\] names the gate 'gpu', but the manager has 'api', 'db'"
        for submit in (
            lambda: tm.submit(wrong, 1),
            lambda: tm.map(wrong, [1]),
            lambda: tm.map(wrong, [1, 2], chunksize=2),
            lambda: tm.graph({"a": call(double_async, 1), "b": call(wrong, ref("a"))}),
            lambda: tm.enqueue(wrong, 1).result(),
            lambda: tm.external("by hand", gates=["gpu"]),
        ):
            with pytest.raises(ValueError, match=said.replace("double_async", ".*")):
                submit()
        with pytest.raises(ValueError, match=said):
            async with tm.group() as group:
                group.submit(wrong, 1)
        assert await tm.submit(lambda: _refused(current_task().submit, wrong)) == "refused"
        assert [info for info in tm.list_tasks() if info.name != "<lambda>"] == []
        with pytest.raises(ValueError, match="there is no gate 'gpu'; there are: 'api', 'db'"):
            tm.gate("gpu")


def _refused(submit, function):
    with pytest.raises(ValueError, match="names the gate"):
        submit(function, 1)
    return "refused"


@on_a_loop
async def test_what_could_never_pass_is_refused():
    gates = [
        Gate("gpu", slots=2),
        Gate("api", rate=Rate(10, per=1, burst=3)),
        Gate("own", slots=Adaptive(max=5, cpu=None, memory=None)),
    ]
    async with TaskManager(gates=gates) as tm:
        for gate, weight, most in (("gpu", 3, 2), ("api", 4, 3), ("own", 6, 5)):
            said = rf"takes {weight} of the gate '{gate}', which lets at most {most} through"
            with pytest.raises(ValueError, match=said):
                tm.submit(task(double_async, gates={gate: weight}), 1)


WRONG = [
    (lambda: Gate(""), TypeError, "a gate has a name, which is a text, not ''"),
    (lambda: Gate(3), TypeError, "a gate has a name, which is a text, not 3"),
    (lambda: Gate("g", slots=0), ValueError, "slots must be at least 1, not 0"),
    (lambda: Gate("g", slots=1.5), TypeError, "slots is a whole number, not 1.5"),
    (lambda: Gate("g", slots=True), TypeError, "slots is a whole number, not True"),
    (lambda: Gate("g", rate=5), TypeError, r"rate= takes Rate\(...\), not 5"),
    (lambda: Gate("g", breaker=5), TypeError, r"breaker= takes Breaker\(...\), not 5"),
    (lambda: Gate("g", max_pending=0), ValueError, "max_pending must be at least 1, not 0"),
    (lambda: Rate(0, per=1), ValueError, "limit must be at least 1, not 0"),
    (lambda: Rate(5, per=0), ValueError, "per must be more than zero seconds, not 0"),
    (lambda: Rate(5, per=1, burst=6), ValueError, "burst must be at most the limit"),
    (lambda: Breaker(0, reset=1), ValueError, "failures must be at least 1"),
    (lambda: Breaker(0.5, reset=1), TypeError, "failures is a whole number, not 0.5"),
    (lambda: Breaker(5, reset=1, window=9), ValueError, "failures is a share of the attempts"),
    (lambda: Breaker(True, reset=1, window=9), TypeError, "failures is a share of the attempts"),
    (lambda: Breaker(5, reset=-1), ValueError, "reset must be more than zero seconds"),
    (lambda: Breaker(5, reset=1, on=(3,)), TypeError, "on"),
    (lambda: Adaptive(min=0), ValueError, "min must be at least 1"),
    (lambda: Adaptive(min=9, max=3), ValueError, "max must be at least 9"),
    (lambda: Adaptive(cpu=90), ValueError, "cpu is a share between 0 and 1, not 90"),
    (lambda: Adaptive(memory="much"), TypeError, "memory is a share between 0 and 1"),
    (lambda: Adaptive(target_latency=0), ValueError, "target_latency must be more than zero"),
    (lambda: Adaptive(every=0), ValueError, "every must be more than zero seconds"),
    (lambda: TaskManager(gates=["gpu"]), TypeError, r"a gate is Gate\(name, ...\), not 'gpu'"),
    (lambda: TaskManager(gates=Gate("gpu")), TypeError, r"gates= takes several"),
    (lambda: TaskManager(gates=[Gate("a"), Gate("a")]), ValueError, "a gate 'a' already"),
    (lambda: task(double, gates=3), TypeError, "gates= takes names, or a dict"),
    (lambda: task(double, gates=[3]), TypeError, "a gate has a name, which is a text, not 3"),
    (lambda: task(double, gates=[Gate("a")]), TypeError, r"names its gates, gates=\['a'\]"),
    (lambda: task(double, gates={"gpu": 0}), ValueError, "weight at the gate 'gpu' must be"),
    (lambda: task(double, gates={"gpu": "2"}), TypeError, "weight at the gate 'gpu' is a whole"),
    (lambda: task(double, gates=["a", "a"]), ValueError, "names 'a' twice; for two.*'a': 2"),
    (lambda: task(double, when_open="raise"), ValueError, "when_open is 'wait' or 'fail'"),
    (lambda: task(double, owner=7), TypeError, "owner= takes a text, not 7"),
]


@pytest.mark.parametrize(("make", "kind", "said"), WRONG)
def test_wrong_input_is_refused_with_what_to_do(make, kind, said):
    with pytest.raises(kind, match=said):
        make()


@on_a_loop
async def test_a_gate_is_not_set_to_what_it_cannot_be():
    async with TaskManager(gates=[Gate("gpu", slots=2, rate=Rate(5, per=1))]) as tm:
        gpu = tm.gate("gpu")
        for name, value, kind in (
            ("slots", 0, ValueError),
            ("slots", None, TypeError),
            ("slots", "4", TypeError),
            ("rate", None, TypeError),
            ("rate", 7, TypeError),
            ("max_pending", 0, ValueError),
            ("name", "cpu", AttributeError),
            ("slot", 4, AttributeError),
        ):
            with pytest.raises(kind):
                setattr(gpu, name, value)
        assert (gpu.slots, gpu.rate, gpu.max_pending) == (2, Rate(5, per=1), None)

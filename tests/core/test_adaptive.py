"""Limits that find themselves: within their bounds, up when used, down when it is too much."""

from __future__ import annotations

from itertools import pairwise

import pytest
from engine_room import Room
from hypothesis import given
from hypothesis import strategies as st

from windlass._core.flow import Adaptive, Gate
from windlass._core.meters import Load, Tide
from windlass._core.outcome import Err
from windlass._core.states import PENDING, RUNNING

QUIET, BUSY = Load(0.1, 0.1), Load(0.99, 0.1)

shares = st.floats(0.0, 1.0)
looks = st.lists(
    st.tuples(shares, shares, st.integers(0, 40), st.lists(st.floats(0.0, 9.0), max_size=12)),
    max_size=30,
)


@st.composite
def adaptives(draw, *, patient=False):
    least = draw(st.integers(1, 8))
    limits = st.one_of(st.none(), st.floats(0.05, 1.0))
    return Adaptive(
        least,
        least + draw(st.integers(0, 40)),
        cpu=draw(limits),
        memory=draw(limits),
        target_latency=None if patient else draw(st.floats(0.1, 5.0)),
    )


def is_too_much(adaptive: Adaptive, load: Load) -> bool:
    pairs = ((adaptive.cpu, load.cpu), (adaptive.memory, load.memory))
    return any(most is not None and share >= most for most, share in pairs)


@given(st.one_of(adaptives(), adaptives(patient=True)), looks)
def test_it_stays_within_its_bounds_and_moves_only_for_a_reason(adaptive, looks):
    tide, now = Tide(adaptive), 100.0
    assert tide.limit == adaptive.min
    ever_used = 0
    for cpu, memory, used, latencies in looks:
        before, load = tide.limit, Load(cpu, memory)
        ever_used = max(used, ever_used)
        tide.used(used)
        for seconds in latencies:
            tide.took(seconds)
        after = tide.look(load, now)
        assert after == tide.limit
        assert adaptive.min <= after <= adaptive.max
        assert tide.due == now + adaptive.every
        if is_too_much(adaptive, load):
            assert after <= before
        elif adaptive.target_latency is None and used < before:
            assert after == before  # what is not made use of says nothing
        elif adaptive.target_latency is None:
            assert after >= before
        if ever_used < before:
            assert after <= before
        now += adaptive.every


@given(adaptives(patient=True))
def test_from_its_least_to_its_most_in_a_few_looks_and_back(adaptive):
    tide = Tide(adaptive)
    for _ in range(6):
        tide.used(tide.limit)
        tide.look(Load(), 0.0)
    assert tide.limit == adaptive.max
    if adaptive.cpu is not None:
        for _ in range(60):
            tide.look(Load(cpu=1.0), 0.0)
        assert tide.limit == adaptive.min


@given(adaptives(), st.integers(1, 10))
def test_it_does_not_climb_while_all_attempts_are_too_slow(adaptive, looks):
    tide = Tide(adaptive)
    for _ in range(looks):
        before = tide.limit
        tide.used(before)
        for _ in range(100):
            tide.took(adaptive.target_latency * 1.1)
        assert tide.look(Load(), 0.0) <= before


def climbed(tide: Tide, looks: int, load: Load = QUIET) -> list[int]:
    limits = []
    for _ in range(looks):
        tide.used(tide.limit)
        limits.append(tide.look(load, 0.0))
    return limits


def test_it_doubles_until_something_was_too_much_and_creeps_after_that():
    tide = Tide(Adaptive(1, 100))
    assert climbed(tide, 5) == [2, 4, 8, 16, 32]
    fallen = tide.look(BUSY, 0.0)
    assert 16 < fallen < 32
    creeping = [fallen, *climbed(tide, 10)]
    assert all(0 < after - before < 4 for before, after in pairwise(creeping))


def test_memory_weighs_more_than_the_cpu_and_it_does_not_climb_close_to_the_edge():
    tide = Tide(Adaptive(1, 100, memory=0.8))
    climbed(tide, 5)
    assert tide.look(Load(0.0, 0.8), 0.0) == 16
    assert climbed(tide, 3, Load(0.0, 0.75)) == [16, 16, 16]
    assert climbed(tide, 1, Load(0.0, 0.5)) > [16]


def test_the_machine_may_be_left_out_of_it():
    tide = Tide(Adaptive(1, 4, cpu=None, memory=None))
    assert climbed(tide, 2, Load(1.0, 1.0)) == [2, 4]


# -- in the engine --------------------------------------------------------------------------------


def test_the_limit_of_the_manager_finds_itself():
    room = Room(limit=Adaptive(1, 4, every=0.5))
    tasks = [room.add(f"t{n}", executor="async") for n in range(6)]
    assert room.engine.next_look is None  # nothing runs
    assert room.take() == ["t0"]
    assert room.engine.next_deadline(room.now, room.wall) == room.engine.next_look
    room.engine.look(QUIET, room.now)
    assert room.engine.next_look == room.now + 0.5
    assert room.take() == ["t1"]
    room.engine.look(QUIET, room.now)
    assert room.take() == []  # it was not time to look
    room.now += 0.5
    room.engine.look(QUIET, room.now)
    assert room.take() == ["t2", "t3"]
    room.now += 0.5
    room.engine.look(BUSY, room.now)
    for task in tasks[:2]:
        room.report(task)
    assert room.take() == ["t4"]  # one less


def test_slow_attempts_count_whether_they_fail_or_not():
    room = Room(limit=Adaptive(1, 8, cpu=None, memory=None, target_latency=1.0))
    room.engine.tide._limit = 8.0
    room.engine.slots.limit = 8
    for turn, outcome in enumerate((None, Err(ValueError()))):
        for number in range(60):
            task = room.running(f"t{turn}.{number}", executor="async")
            room.later(2.0)
            room.report(task, outcome)
        before = room.engine.slots.limit
        room.engine.look(QUIET, room.now)
        assert room.engine.slots.limit < before


def test_the_limit_can_be_changed_to_one_that_finds_itself_and_back():
    room = Room(limit=3)
    assert not room.engine.adapts
    room.engine.set_limit(Adaptive(2, 5))
    assert (room.engine.slots.limit, room.engine.adapts) == (2, True)
    room.engine.set_limit(7)
    assert (room.engine.slots.limit, room.engine.adapts) == (7, False)


def test_the_slots_of_a_gate_find_themselves():
    room = Room()
    room.engine.add_gate(Gate("api", slots=Adaptive(1, 4, every=0.5)), room.now)
    room.engine.add_gate(Gate("other", slots=1), room.now)
    for number in range(5):
        room.add(f"t{number}", executor="async", gates=(("api", 1),))
    assert room.take() == ["t0"]
    room.engine.look(QUIET, room.now)
    assert room.take() == ["t1"]
    room.now += 0.5
    room.engine.look(QUIET, room.now)
    assert room.take() == ["t2", "t3"]


def test_slots_that_are_full_all_the_time_are_made_use_of():
    room = Room()
    room.engine.add_gate(Gate("api", slots=Adaptive(1, 4, every=0.5)), room.now)
    for number in range(3):
        room.add(f"t{number}", executor="async", gates=(("api", 1),))
    room.take()
    room.engine.look(BUSY, room.now)
    assert room.take() == []
    room.now += 0.5
    room.engine.look(QUIET, room.now)  # nobody has passed since the last look
    assert room.take() == ["t1"]


def test_a_task_heavier_than_the_slots_found_so_far_passes_alone():
    room = Room()
    room.engine.add_gate(Gate("api", slots=Adaptive(1, 4, every=0.5)), room.now)
    heavy = room.add("h", executor="async", gates=(("api", 3),))
    light = room.add("l", executor="async", gates=(("api", 1),))
    assert room.take() == ["h"]
    assert (heavy.status, light.status) == (RUNNING, PENDING)
    room.report(heavy)
    assert room.take() == ["l"]
    with pytest.raises(ValueError, match="which lets at most 4 through"):
        room.add("x", executor="async", gates=(("api", 5),))


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"min": 0}, ValueError, "min must be at least 1"),
        ({"min": 5, "max": 4}, ValueError, "max must be at least 5"),
        ({"cpu": 0}, ValueError, "cpu is a share between 0 and 1"),
        ({"memory": 1.1}, ValueError, "memory is a share between 0 and 1"),
        ({"cpu": "all"}, TypeError, "cpu is a share between 0 and 1, not 'all'"),
        ({"memory": True}, TypeError, "memory is a share between 0 and 1, not True"),
        ({"target_latency": 0}, ValueError, "target_latency must be more than zero"),
        ({"every": 0}, ValueError, "every must be more than zero"),
    ],
)
def test_it_refuses_nonsense(options, error, says):
    with pytest.raises(error, match=says):
        Adaptive(**options)

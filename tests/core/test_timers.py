"""Timers: a heap that forgets lazily must be what a plain dict with a sort would be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from windlass._core.spec import Spec
from windlass._core.task import Task
from windlass._core.timers import Timers

TASKS = [Task(id, Spec(id, "thread"), 0.0) for id in "abcd"]
keys = st.tuples(st.sampled_from(TASKS), st.sampled_from(["due", "timeout", "grace"]))
times = st.integers(0, 20).map(float)


def test_equal_times_come_up_in_the_order_in_which_they_were_set():
    timers = Timers()
    for task in TASKS:
        timers.set((task, "due"), 5.0)
    timers.set((TASKS[0], "due"), 5.0)  # once more: now it is the last
    assert "".join(task.id for task, _ in timers.pop_due(5.0)) == "bcda"


def test_nothing_comes_up_before_its_time():
    timers = Timers()
    timers.set((TASKS[0], "due"), 5.0)
    assert list(timers.pop_due(4.999)) == []
    assert timers.next() == 5.0
    assert list(timers.pop_due(5.0)) == [(TASKS[0], "due")]
    assert timers.next() is None


def test_what_is_set_while_others_come_up_comes_up_as_well_if_it_is_due():
    timers, seen = Timers(), []
    timers.set((TASKS[0], "due"), 1.0)
    for task, _ in timers.pop_due(3.0):
        seen.append(task.id)
        if task is TASKS[0]:
            timers.set((TASKS[1], "due"), 2.0)
            timers.set((TASKS[2], "due"), 4.0)
    assert seen == ["a", "b"]
    assert timers.next() == 4.0


def test_it_tells_what_is_waited_for():
    timers = Timers()
    timers.set((TASKS[0], "timeout"), 1.0)
    assert list(timers) == [(TASKS[0], "timeout")]
    assert (TASKS[0], "timeout") in timers
    assert (TASKS[0], "due") not in timers


def test_what_is_discarded_does_not_pile_up():
    timers = Timers()
    for number in range(10_000):
        timers.set((TASKS[number % 4], "timeout"), float(number))
        assert len(timers._heap) <= 2 * len(timers) + 65
    far = [Task(str(number), TASKS[0].spec, 0.0) for number in range(1_000)]
    for task in far:
        timers.set((task, "timeout"), 1e9)
    for task in far:
        timers.discard((task, "timeout"))
        assert len(timers._heap) <= 2 * len(timers) + 64


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("set"), keys, times),
            st.tuples(st.just("discard"), keys, st.none()),
            st.tuples(st.just("pop"), st.none(), times),
        ),
        max_size=100,
    )
)
def test_it_is_a_dict_that_is_sorted_by_time(steps):
    timers, naive = Timers(), {}
    for verb, key, when in steps:
        if verb == "set":
            timers.set(key, when)
            naive.pop(key, None)
            naive[key] = when
        elif verb == "discard":
            timers.discard(key)
            naive.pop(key, None)
        else:
            due = sorted((key for key in naive if naive[key] <= when), key=naive.get)
            assert list(timers.pop_due(when)) == due
            for popped in due:
                del naive[popped]
        assert len(timers) == len(naive)
        assert timers.next() == min(naive.values(), default=None)
        assert all((task, purpose) in timers for task, purpose in naive)

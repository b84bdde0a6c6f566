"""The graph: circles and orders among names, and what runs downstream, however long the chain."""

from __future__ import annotations

import itertools

import pytest
from engine_room import Room
from hypothesis import given
from hypothesis import strategies as st

from windlass._core.graph import find_cycle, find_path, in_order
from windlass._core.outcome import Err
from windlass._core.pools import Traits
from windlass._core.states import CANCELLED, COMPLETED, FAILED, PENDING, WAITING
from windlass.errors import TaskDependencyError

names = st.sampled_from("abcdef")
graphs = st.dictionaries(names, st.lists(names, max_size=4))


def reaches(edges, start, goal, seen=()):
    """Whether a way leads from ``start`` to ``goal``: the slow, obvious answer."""
    return any(
        other == goal or (other not in seen and reaches(edges, other, goal, (*seen, other)))
        for other in edges.get(start, ())
    )


@pytest.mark.parametrize(
    ("edges", "cycle"),
    [
        ({}, None),
        ({"a": ["b"], "b": ["c"], "c": []}, None),
        ({"a": ["a"]}, ["a", "a"]),
        ({"a": ["b"], "b": ["c"], "c": ["a"]}, ["a", "b", "c", "a"]),
        ({"a": ["b"], "b": ["c"], "c": ["b"]}, ["b", "c", "b"]),
        ({"a": ["elsewhere"]}, None),
        ({"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []}, None),
    ],
)
def test_a_circle_is_shown_with_its_path(edges, cycle):
    assert find_cycle(edges) == cycle


@given(graphs)
def test_a_circle_is_found_if_there_is_one(edges):
    cycle = find_cycle(edges)
    assert (cycle is not None) == any(reaches(edges, name, name) for name in edges)
    if cycle is not None:
        assert cycle[0] == cycle[-1]
        assert all(after in edges[before] for before, after in itertools.pairwise(cycle))


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=30))
def test_an_order_puts_each_after_what_it_depends_on(pairs):
    edges = {name: [] for name in "jfcahbgdie"}
    for one, other in pairs:
        if one != other:
            edges["abcdefghij"[max(one, other)]].append("abcdefghij"[min(one, other)])
    order = in_order(edges)
    assert sorted(order) == sorted(edges)
    place = order.index
    assert all(place(before) < place(name) for name in edges for before in edges[name])


def test_a_chain_too_long_for_the_stack_has_an_order_and_no_circle():
    edges = {str(number): [str(number + 1)] for number in range(20_000)} | {"20000": []}
    assert in_order(edges)[:2] == ["20000", "19999"]
    assert find_cycle(edges) is None
    edges["20000"] = ["0"]
    assert len(find_cycle(edges)) == 20_002


def test_a_path_is_a_shortest_one():
    room = Room()
    a, b, c, d, e = tasks = [room.make(id) for id in "abcde"]
    following = dict(zip(tasks, ([b, c], [d], [e], [e], []), strict=True))
    assert find_path([a], e, following.__getitem__) == [a, c, e]
    assert find_path([b, c], c, following.__getitem__) == [c]
    assert find_path([d], a, following.__getitem__) is None


# -- in the engine --------------------------------------------------------------------------------


def chain(room: Room, length: int, **options) -> list:
    tasks = [room.add("0", **options)]
    for number in range(1, length):
        tasks.append(room.add(str(number), tasks[-1], **options))
    return tasks


def test_a_long_chain_fails_at_once_and_each_names_the_root():
    room = Room()
    tasks = chain(room, 20_000)
    room.take()
    room.report(tasks[0], Err(OSError("disk full")))
    assert all(task.status is FAILED for task in tasks)
    error = tasks[-1].outcome.error
    assert isinstance(error, TaskDependencyError)
    assert str(error) == "19999 [19999] cannot run: it depends on 0 [0], which failed with OSError"
    assert error.details["root"] == "0"
    assert error.__cause__ is tasks[0].outcome.error


def test_a_long_chain_is_cancelled_at_once():
    room = Room()
    tasks = chain(room, 20_000)
    room.engine.cancel(tasks[0], room.now)
    assert all(task.status is CANCELLED for task in tasks)
    assert tasks[2].outcome.cause == "its dependency 1 [1] was cancelled"


def test_a_long_chain_of_held_tasks_is_released_at_once():
    room = Room()
    tasks = chain(room, 20_000, held=True)
    room.engine.release(tasks[-1], room.now)
    assert not any(task.held for task in tasks)
    assert room.take() == ["0"]


def test_a_long_chain_is_retried_at_once():
    room = Room()
    tasks = chain(room, 20_000)
    room.engine.cancel(tasks[0], room.now)
    new = room.retry(tasks[0], downstream=True)
    assert [task.id for task in new] == [task.id for task in tasks]
    assert [task.status for task in new[:3]] == [PENDING, WAITING, WAITING]


def test_a_diamond_runs_once_and_last():
    room = Room({"thread": Traits(slots=4)})
    a = room.add("a", executor="thread")
    b, c = room.add("b", a, executor="thread"), room.add("c", a, executor="thread")
    d = room.add("d", b, c, executor="thread")
    for expected in (["a"], ["b", "c"], ["d"]):
        assert room.take() == expected
        for task in (a, b, c, d):
            room.report(task)
    assert d.status is COMPLETED


def test_the_same_dependency_twice_is_still_one():
    room = Room()
    a = room.running("a")
    b = room.add("b", a, a)
    room.report(a)
    assert b.status is PENDING
    assert b.missing == 0


def test_all_done_runs_after_failures_and_cancellations():
    room = Room()
    a, b = room.running("a"), room.add("b", executor="external")
    c = room.add("c", a, b, run_if="all_done")
    room.report(a, Err(ValueError()))
    assert c.status is WAITING
    room.engine.cancel(b, room.now)
    assert room.take() == ["c"]
    d = room.add("d", a, b, run_if="all_done")
    assert d.status is PENDING


def test_a_task_that_depends_on_a_failure_fails_where_it_is_submitted():
    room = Room()
    failed, done = room.failed("a"), room.completed("b")
    task = room.add("c", done, failed, room.add("d"))
    assert task.status is FAILED
    assert room.moves()[-2:] == [
        "c: new -> waiting (submitted)",
        "c: waiting -> failed (dependency failed)",
    ]


def test_a_task_that_shares_the_fate_of_one_is_entered_with_no_other():
    room = Room()
    still_open, failed = room.add("a"), room.failed("b")
    doomed = room.add("c", still_open, failed)
    assert doomed.status is FAILED
    assert not still_open.dependents
    assert failed.dependents == [doomed]


def test_what_was_cancelled_meanwhile_is_not_readied():
    room = Room()
    a = room.running("a")
    b, c = room.add("b", a), room.add("c", a)
    room.engine.cancel(b, room.now)
    room.report(a)
    assert (b.status, c.status) == (CANCELLED, PENDING)


def test_what_comes_from_an_earlier_life_and_still_waits_says_so():
    room = Room()
    a = room.add("a")
    room.engine.restore(room.make("b", a), room.now)
    assert "b: new -> waiting (recovered)" in room.moves()


@pytest.mark.parametrize("odd", [False, True])
def test_what_a_dependency_brings_about_is_told_in_order(odd):
    """With and without something out of the ordinary in the same turn."""
    room = Room()
    a = room.add("a")
    room.add("b", a)
    assert room.moves() == ["a: new -> pending (submitted)", "b: new -> waiting (submitted)"]
    room.take()
    if odd:
        room.cancelled("c")
    room.report(a)
    room.take()
    told = [move for move in room.moves() if move.startswith("b")]
    assert told == [
        "b: waiting -> pending (dependencies done)",
        "b: pending -> running (started)",
    ]


def test_failures_meet_in_the_middle_without_harm():
    room = Room()
    a, b = room.running("a"), room.running("b")
    both = room.add("c", a, b)
    after = room.add("d", both, b, run_if="all_done")
    room.report(a, Err(ValueError()))
    assert both.outcome.error.details["root"] == "a"
    room.report(b, Err(KeyError()))
    assert both.outcome.error.details["root"] == "a"
    assert after.status is PENDING


def test_the_root_is_named_through_a_task_that_ran_and_failed_by_its_own_error():
    room = Room()
    a = room.failed("a")
    b = room.running("b", a, run_if="all_done")
    room.report(b, Err(KeyError("k")))
    c = room.add("c", b)
    assert str(c.outcome.error).endswith("it depends on b [b], which failed with KeyError")

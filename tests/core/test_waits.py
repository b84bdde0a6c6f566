"""Nested waits: slots are lent and come back in turn, and circles are refused with their path."""

from __future__ import annotations

import pytest
from engine_room import Room

from windlass._core.outcome import Cancelled, Err, Ok
from windlass._core.states import CANCELLED, PENDING, RUNNING
from windlass.errors import DeadlockError


def begin(room: Room, waiter, *targets, run=None) -> tuple:
    room.engine.waits.begin(waiter, targets, run)
    return targets


def nested(id: str, *after, room: Room, **options):
    return room.running(id, *after, executor="async", **options)


def test_one_slot_is_enough_for_any_depth():
    room = Room(limit=1)
    tasks, waits = [nested("0", room=room)], []
    for depth in range(1, 50):
        child = room.add(str(depth), executor="async")
        waits.append(begin(room, tasks[-1], child))
        assert room.take() == [child.id]
        tasks.append(child)
    for task, wait in zip(reversed(tasks[:-1]), reversed(waits), strict=True):
        room.report(tasks[tasks.index(task) + 1])
        assert not room.engine.waits.end(task, wait)
        assert room.engine.take_resumed() == [task]
    assert room.engine.slots.running == 1
    assert len(room.engine.waits) == 0


def test_who_waited_goes_before_who_has_not_begun():
    room = Room(limit=1)
    a = nested("a", room=room)
    target = room.add("b", executor="async")
    room.add("c", executor="async")
    wait = begin(room, a, target)
    room.take()
    room.report(target)
    assert not room.engine.waits.end(a, wait)
    assert room.engine.take_resumed() == [a]
    assert room.take() == []


def test_those_who_come_back_do_so_in_the_order_in_which_their_waits_ended():
    room = Room(limit=3)
    a, b = nested("a", room=room), nested("b", room=room)
    target = room.add("t", executor="external")
    waits = {task: begin(room, task, target) for task in (a, b)}
    fillers = [nested(id, room=room) for id in "xyz"]
    assert not room.engine.waits.end(b, waits[b])
    assert not room.engine.waits.end(a, waits[a])
    assert room.engine.take_resumed() == []
    room.report(fillers[0])
    assert room.engine.take_resumed() == [b]
    room.report(fillers[1])
    assert room.engine.take_resumed() == [a]


def test_several_waits_at_once_lend_one_slot():
    room = Room(limit=5)
    a = nested("a", room=room)
    first, second = begin(room, a, room.add("b")), begin(room, a, room.add("c"), room.add("d"))
    assert [task.id for task in room.engine.waits.of(a)] == ["b", "c", "d"]
    assert room.engine.slots.running == 0
    assert room.engine.waits.end(a, first)
    assert not room.engine.waits.holds_slot(a)
    assert not room.engine.waits.end(a, second)
    assert room.engine.take_resumed() == [a]
    assert room.engine.slots.running == 1


def test_a_new_wait_while_in_line_lends_the_slot_again():
    room = Room(limit=5)
    a = nested("a", room=room)
    first = begin(room, a, room.add("b"))
    assert not room.engine.waits.end(a, first)
    second = begin(room, a, room.add("c"))
    assert room.engine.take_resumed() == []
    assert not room.engine.waits.end(a, second)
    assert room.engine.take_resumed() == [a]


@pytest.mark.parametrize("in_line", [False, True])
def test_a_waiter_that_is_cancelled_has_no_slot_to_give_back(in_line):
    room = Room(limit=5)
    a = nested("a", room=room)
    wait = begin(room, a, room.add("b", executor="external"))
    if in_line:
        room.engine.waits.end(a, wait)
    room.engine.cancel(a, room.now)
    room.later(5.0)
    assert a.status is CANCELLED
    assert room.engine.slots.running == 0
    assert len(room.engine.waits) == 0
    assert room.engine.waits.end(a, wait)  # what is left of it may unwind
    assert room.engine.take_resumed() == []


def test_an_attempt_that_was_given_up_lends_nothing():
    room = Room()
    a = room.running("a", executor="thread", timeout=1.0, retries=1, overlap=True)
    room.later(1.0)
    begin(room, a, room.add("b"), run=1)
    assert len(room.engine.waits) == 0
    room.take()
    begin(room, a, room.add("c"), run=1)
    assert room.engine.waits.holds_slot(a)
    begin(room, a, room.add("d"), run=2)
    assert not room.engine.waits.holds_slot(a)
    assert room.engine.slots.pools["thread"].taken == 0


def test_tasks_that_wait_for_each_other_are_told_so():
    room = Room()
    a, b, c = (nested(id, room=room) for id in "abc")
    begin(room, a, b)
    begin(room, b, c)
    with pytest.raises(
        DeadlockError, match=r"c \[c\] waits in a circle: c -> a -> b -> c"
    ) as caught:
        begin(room, c, a)
    assert caught.value.path == ("c", "a", "b", "c")
    assert caught.value.task_id == "c"
    assert room.engine.waits.holds_slot(c)


def test_a_circle_may_lead_through_a_dependency():
    room = Room()
    a = nested("a", room=room)
    done = room.completed("done")
    b = room.add("b", a, done)
    with pytest.raises(DeadlockError) as caught:
        begin(room, a, b)
    assert caught.value.path == ("a", "b", "a")


def test_a_task_cannot_wait_for_itself():
    room = Room()
    a = nested("a", room=room)
    with pytest.raises(DeadlockError, match="a -> a"):
        begin(room, a, a)


def test_an_executor_where_nobody_can_wait_says_what_to_do_instead():
    room = Room()
    a = room.running("a", executor="process")
    with pytest.raises(DeadlockError) as caught:
        begin(room, a, room.add("b"))
    assert str(caught.value) == (
        "a [a] runs on the 'process' executor, where a task cannot wait for another. "
        "Make it a dependency instead: submit(f, handle.output)"
    )
    assert caught.value.path == ("a", "b")


def test_an_executor_lets_only_so_many_wait():
    room = Room()
    target = room.add("t", executor="external")
    for id in "ab":
        begin(room, room.running(id, executor="thread"), target)
    c = room.running("c", executor="thread")
    with pytest.raises(
        DeadlockError, match="2 tasks of the 'thread' executor already do"
    ) as caught:
        begin(room, c, target)
    assert caught.value.path == ("c", "t")


def test_waiting_for_what_has_ended_is_no_circle():
    room = Room()
    a = nested("a", room=room)
    begin(room, a, room.failed("b"), room.completed("c"))
    assert not room.engine.waits.holds_slot(a)


def test_a_waiter_that_is_put_off_waits_no_more():
    room = Room()
    a = nested("a", room=room, retries=1)
    begin(room, a, room.add("b", executor="external"))
    room.report(a, Err(ValueError()))
    assert a.status is PENDING
    assert room.take() == ["a"]
    assert a.status is RUNNING
    assert room.engine.waits.holds_slot(a)
    assert room.engine.waits.of(a) == []


def test_nothing_is_kept_of_a_parent_that_returns_right_after_the_last_wait():
    room = Room()
    parent, waiter = room.running("a"), nested("b", room=room)
    room.running("c", parent=parent)
    begin(room, waiter, parent)
    reports = [(waiter, waiter.run, Cancelled("gave up")), (parent, parent.run, Ok("a"))]
    room.engine.settle(reports, room.now)
    assert not room.engine.children

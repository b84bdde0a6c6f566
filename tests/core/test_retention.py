"""How long what has ended is remembered, and what is let go of with it."""

from __future__ import annotations

import pytest
from engine_room import Room

from windlass._core.states import PENDING
from windlass.errors import InvalidTaskStateError


def forgotten(room: Room) -> list[str]:
    return [task.id for task in room.engine.forget_old(room.now)]


def test_by_age():
    room = Room(keep_seconds=10.0)
    room.completed("a")
    room.later(4.0)
    room.completed("b")
    room.later(6.0)
    assert forgotten(room) == ["a"]
    assert set(room.engine.tasks) == {"b"}


def test_by_number():
    room = Room(keep_seconds=None, keep_count=2)
    for id in "abcd":
        room.completed(id)
    assert forgotten(room) == ["a", "b"]
    assert len(room.engine.retention) == 2


def test_by_age_alone():
    room = Room(keep_seconds=1.0, keep_count=None)
    for id in "abcd":
        room.completed(id)
    room.later(1.0)
    assert forgotten(room) == ["a", "b", "c", "d"]


def test_for_ever():
    room = Room(keep_seconds=None, keep_count=None)
    room.completed("a")
    room.later(1e9)
    assert forgotten(room) == []
    assert room.engine.next_deadline(room.now, room.wall) is None


def test_one_that_must_stay_holds_up_what_ended_after_it():
    room = Room(keep_seconds=1.0, keep_count=None)
    for id in "abc":
        room.completed(id)
    room.later(1.0)
    stays = ["b"]
    old = room.engine.forget_old(room.now, lambda task: task.id not in stays)
    assert [task.id for task in old] == ["a"]
    assert room.engine.next_deadline(room.now, room.wall) is None  # no use in looking again
    assert forgotten(room) == ["b", "c"]


def test_what_has_not_ended_is_never_forgotten():
    room = Room(keep_seconds=1.0, keep_count=0)
    a = room.add("a", executor="external")
    room.add("b", a, executor="external")
    room.running("c", executor="async")
    room.later(100.0)
    assert forgotten(room) == []
    assert set(room.engine.tasks) == {"a", "b", "c"}


def test_a_quiet_manager_wakes_a_little_late_for_many_at_once():
    room = Room(keep_seconds=100.0)
    room.completed("a")
    assert room.engine.next_deadline(room.now, room.wall) == pytest.approx(room.now + 102.0)


def test_what_ended_before_a_moment_can_be_taken_out():
    room = Room()
    room.completed("a")
    room.later(1.0)
    room.completed("b")
    assert [task.id for task in room.engine.retention.pop_ended_before(room.now - 1.0)] == ["a"]
    assert room.engine.retention.pop_ended_before(room.now - 1.0) == []
    assert len(room.engine.retention) == 1


def test_the_counts_go_down_and_the_id_is_free_again():
    room = Room(keep_count=0)
    room.completed("a")
    room.engine.forget_old(room.now)
    assert sum(room.engine.counts.values()) == 0
    assert room.add("a").status is PENDING


def test_the_past_does_not_hold_on_to_its_own_past():
    room = Room(keep_count=1)
    a = room.completed("a")
    b = room.completed("b", a)
    assert b.dependencies == (a,)
    room.completed("c", b)
    room.engine.forget_old(room.now)
    assert b.dependencies == ()


def test_a_key_is_forgotten_with_its_task():
    room = Room(keep_count=0)
    task = room.completed("a", key="k")
    assert room.engine.keys["k"] is task
    room.engine.forget_old(room.now)
    assert room.engine.keys == {}


def test_a_key_that_has_gone_to_another_task_stays():
    room = Room(keep_count=1)
    room.completed("a", key="k")
    b = room.completed("b", key="k")
    assert forgotten(room) == ["a"]
    assert room.engine.keys["k"] is b


def test_a_task_that_was_retried_is_not_forgotten_with_its_old_life():
    room = Room(keep_count=0)
    old = room.failed("a", key="k")
    new = room.retry(old)[0]
    assert forgotten(room) == []
    assert room.engine.tasks["a"] is room.engine.keys["k"] is new
    assert not room.engine.forget(old)


def test_what_is_forgotten_cannot_be_retried():
    room = Room(keep_count=0)
    task = room.failed("a")
    room.engine.forget_old(room.now)
    with pytest.raises(InvalidTaskStateError):
        room.retry(task)


def test_a_retry_of_what_depends_on_the_forgotten_still_knows_how_that_ended():
    room = Room(keep_count=1)
    a = room.completed("a")
    b = room.failed("b", a)
    room.engine.forget_old(room.now)
    assert "a" not in room.engine.tasks
    new = room.retry(b)[0]
    assert new.status is PENDING


def test_some_of_what_ended_can_be_taken_out_and_the_last_of_it_left():
    room = Room()
    for id in "abcde":
        room.completed(id)
    retention = room.engine.retention

    def taken(wanted, keep):
        out = retention.pop_ended_before(room.now, lambda task: task.id in wanted, keep)
        return [task.id for task in out]

    assert taken("acd", 1) == ["a", "c"]
    assert taken("bde", 5) == []
    assert taken("be", 0) == ["b", "e"]
    assert [task.id for task in retention.pop_ended_before(room.now)] == ["d"]

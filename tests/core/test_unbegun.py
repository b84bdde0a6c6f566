"""What was started and had not begun when its executor took it back: as if it had never left."""

from __future__ import annotations

from engine_room import Room

from windlass._core.flow import Gate
from windlass._core.outcome import Again, Unbegun
from windlass._core.states import CANCELLED, COMPLETED, PENDING, RUNNING
from windlass._core.task import REMEMBERED_ATTEMPTS


def test_it_spends_no_attempt_and_is_told():
    room = Room()
    task = room.running("a")
    room.report(task, Unbegun())
    assert (task.status, task.attempt, task.run, task.started_at) == (PENDING, 0, 1, 0.0)
    assert room.engine.slots.pools["process"].taken == 0
    assert room.why(task).startswith("taken back 1 of 1, 1st in line")
    assert room.take() == ["a"]
    assert task.attempt == 1
    room.report(task)
    assert task.status is COMPLETED
    assert room.moves() == [
        "a: new -> pending (submitted)",
        "a: pending -> running (started)",
        "a: running -> pending (taken back)",
        "a: pending -> running (started)",
        "a: running -> completed (returned)",
    ]


def test_it_keeps_its_place_in_line():
    room = Room()
    first, second = room.running("a"), room.running("b")
    room.later(1)
    room.add("c")
    room.later(1)
    room.report(first, Unbegun())
    room.report(second, Unbegun())
    assert room.take() == ["a", "b"]
    room.report(first)
    room.report(second)
    assert room.take() == ["c"]


def test_it_stands_before_those_that_joined_when_it_did():
    room = Room(limit=1)
    first = room.running("a")
    room.add("b")
    room.report(first, Unbegun())
    assert room.why(first).split(", ")[1] == "1st in line"
    assert room.take() == ["a"]


def test_it_has_not_left_its_retries_behind():
    room = Room()
    task = room.running("a", retries=1)
    room.report(task, Unbegun())
    room.take()
    room.report(task, Again(0))
    room.take()
    assert (task.attempt, task.most_attempts) == (1, 2)


def test_it_expires_as_what_has_never_started():
    room = Room()
    task = room.running("a", expires=5)
    room.report(task, Unbegun())
    room.later(5)
    assert task.status is CANCELLED


def test_what_has_begun_before_does_not_expire():
    room = Room()
    task = room.running("a", expires=5)
    room.report(task, Again(0))
    room.take()
    room.report(task, Unbegun())
    room.later(5)
    assert task.status is PENDING


def test_what_was_retried_by_hand_expires_as_anew():
    room = Room()
    (task,) = room.retry(room.failed("a", expires=5))
    room.take()
    room.report(task, Unbegun())
    room.later(5)
    assert task.status is CANCELLED


def test_what_an_earlier_life_has_begun_does_not_count():
    room = Room()
    first = room.running("a", expires=5)
    room.engine.interrupt(first, room.now)
    room.engine.cancel(first, room.now)
    (task,) = room.retry(first)
    room.take()
    room.report(task, Unbegun())
    room.later(5)
    assert task.status is CANCELLED


def test_that_it_has_begun_is_not_forgotten_with_the_attempt():
    room = Room()
    task = room.running("a", expires=5)
    room.report(task, Again(0))
    for _ in range(REMEMBERED_ATTEMPTS):
        room.take()
        room.report(task, Unbegun())
    room.later(5)
    assert task.status is PENDING


def test_its_time_was_not_over_if_it_never_began():
    room = Room()
    task = room.running("a", executor="remote", timeout=5)
    room.later(5)
    assert room.engine.ending(task) == "timeout"
    room.report(task, Unbegun())
    assert (task.status, task.attempt, room.engine.ending(task)) == (PENDING, 0, None)
    room.later(1)  # the grace that it was given then means nothing any more
    assert room.take() == ["a"]
    room.later(4)
    assert (task.status, room.engine.ending(task)) == (RUNNING, None)
    room.later(1)
    assert room.engine.ending(task) == "timeout"


def test_what_is_being_cancelled_is_not_put_back():
    room = Room()
    task = room.running("a", executor="remote")
    room.engine.cancel(task, room.now)
    room.report(task, Unbegun())
    assert task.status is CANCELLED


def test_it_passes_its_gates_again():
    room = Room()
    room.engine.add_gate(Gate("g", slots=1), room.now)
    first = room.running("a", gates=(("g", 1),))
    room.add("b", gates=(("g", 1),))
    room.later(1)
    assert room.take() == []
    room.report(first, Unbegun())
    assert len(room.take()) == 1
    assert room.engine.turnstiles.all["g"].held == 1


def test_it_says_what_it_is():
    assert repr(Unbegun()) == "Unbegun()"


def test_at_a_gate_it_goes_before_those_who_came_with_it_and_cannot_pass():
    room = Room()
    room.engine.add_gate(Gate("api", slots=2), room.now)
    first = room.add("a", gates=(("api", 1),))
    room.add("b", gates=(("api", 1),), executor="thread")
    room.add("heavy", gates=(("api", 2),))
    assert room.take() == ["a", "b"]
    room.later(20)
    room.report(first, Unbegun())
    room.add("late", gates=(("api", 1),))
    assert room.take() == ["a"], "there is room for it, and it was the first"

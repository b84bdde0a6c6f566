"""What goes beyond one life of the program: tasks that are taken in again, and given back."""

from __future__ import annotations

import pytest
from engine_room import Room

from windlass._core.outcome import Err, Ok
from windlass._core.pools import Traits
from windlass._core.spec import Spec
from windlass._core.states import COMPLETED, FAILED, PENDING

LOST = Err(OSError("the disk is full"), raised=False)


def test_an_interrupted_attempt_is_not_spent():
    room = Room()
    task = room.running("t", executor="async")
    room.engine.interrupt(task, room.now)
    assert room.engine.ending(task) == "interrupted"
    room.report(task, Err(ValueError()))
    assert (task.status, task.attempt) == (PENDING, 0)
    assert room.take() == ["t"]
    assert (task.run, task.attempt) == (2, 1)


def test_what_returns_although_it_is_being_interrupted_has_returned():
    room = Room()
    task = room.running("t", executor="async")
    room.engine.interrupt(task, room.now)
    room.report(task, Ok(5))
    assert (task.status, task.outcome.value) == (COMPLETED, 5)
    assert room.engine.ending(task) is None
    assert len(room.engine.timers) == 0
    assert room.engine.slots.pools["async"].taken == 0


def test_only_what_runs_is_interrupted():
    room = Room()
    task = room.add("t")
    room.engine.interrupt(task, room.now)
    assert task.status is PENDING
    assert room.take() == ["t"]


def test_a_task_of_an_earlier_life_lives_on_unless_there_is_a_verdict():
    room = Room()
    alive, dead = room.make("a"), room.make("b")
    room.engine.restore(alive, room.now)
    room.engine.restore(dead, room.now, LOST)
    assert (alive.status, dead.status, dead.outcome) == (PENDING, FAILED, LOST)
    doomed = room.make("c", dead)
    room.engine.restore(doomed, room.now, LOST)
    assert doomed.status is FAILED
    assert doomed.outcome is not LOST  # it had its fate already


def test_what_ended_long_ago_can_be_asked_about():
    room = Room()
    for id, key in (("a", "k"), ("b", None)):
        task = room.make(id, key=key)
        task.status, task.outcome = COMPLETED, Ok(1)
        room.engine.remember(task)
    assert room.engine.counts[COMPLETED] == 2
    assert room.engine.keys == {"k": room.engine.tasks["a"]}
    assert room.engine.backlog == 0


@pytest.mark.parametrize("ended", [False, True])
def test_what_could_not_be_stored_is_taken_back(ended):
    room = Room()
    running, waiting = room.running("r"), room.add("w", executor="external")
    if ended:
        room.report(running)
    for task in (running, waiting):
        room.engine.take_back(task, LOST, room.now)
    assert running.status is (COMPLETED if ended else FAILED)
    assert (waiting.status, waiting.outcome) == (FAILED, LOST)
    assert room.engine.slots.pools["process"].taken == 0


def test_what_is_taken_back_gives_its_key_back():
    room = Room()
    never, held_by = room.add("a", key="k"), room.add("b", key="other")
    room.engine.keys["other"] = never
    for task in (never, held_by):
        room.engine.take_back(task, LOST, room.now)
    assert room.engine.keys == {"other": never}  # not what is somebody else's by now


def test_whether_there_are_timers_is_told_without_looking():
    room = Room()
    assert not room.engine.has_timers
    room.add("t", timeout=5.0)
    room.take()
    assert room.engine.has_timers


def test_a_task_whose_executor_is_not_here_says_so():
    room = Room({"nowhere": Traits(slots=0)})
    task = room.add("t", executor="nowhere")
    assert "this program has no such function" in room.why(task)


def test_a_crash_can_be_the_end_at_once():
    room = Room()
    task = room.running("t", on_crash="fail")
    room.report(task, Err(OSError(), crashed=True))
    assert task.status is FAILED


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"on_crash": "shrug"}, ValueError, "on_crash is 'retry' or 'fail', not 'shrug'"),
        ({"durable": 1}, TypeError, "durable is True or False, not 1"),
        ({"when_open": "cry"}, ValueError, "when_open is 'wait' or 'fail', not 'cry'"),
    ],
)
def test_nonsense_is_refused(options, error, says):
    with pytest.raises(error, match=says):
        Spec("t", "process", **options)

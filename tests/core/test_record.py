"""The record of a task, told from what it remembers."""

from engine_room import Room

from windlass._core.outcome import OK_NONE, Cancelled, Err
from windlass._core.policies import Retry
from windlass._core.record import record


def told(task):
    return [
        (change.before and change.before.value, change.after.value, change.attempt, change.cause)
        for change in record(task, 100.0)
    ]


def test_every_way_through_is_told_in_order():
    room = Room()
    task = room.add("a", retry=Retry(1, delay=0.0, jitter=0.0))
    assert told(task) == [(None, "pending", 0, "submitted")]
    room.take()
    assert told(task)[1:] == [("pending", "running", 1, "started")]
    room.report(task, Err(ValueError("no")))
    room.take()
    assert told(task)[2:] == [
        ("running", "pending", 1, "failed"),
        ("pending", "running", 2, "started"),
    ]
    room.report(task, Err(ValueError("never")))
    room.take()
    assert told(task)[3:] == [
        ("pending", "running", 2, "started"),
        ("running", "failed", 2, "failed"),
    ]
    assert str(record(task, 0.0)[-1].error) == "never"


def test_what_came_to_nothing_or_to_an_end():
    room = Room()
    first = room.add("a")
    behind = room.add("b", first)
    room.engine.cancel(behind, room.now, "asked")
    assert told(behind) == [(None, "waiting", 0, "submitted"), ("waiting", "cancelled", 0, "asked")]
    room.take()
    room.report(first, OK_NONE)
    room.take()
    assert told(first)[-1] == ("running", "completed", 1, "returned")
    gives_up = room.add("c")
    room.take()
    room.report(gives_up, Cancelled("enough"))
    room.take()
    assert told(gives_up)[-1] == ("running", "cancelled", 1, "enough")

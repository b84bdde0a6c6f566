"""What was handed over and has not begun: PENDING, with its slot and its run, until it is told."""

from __future__ import annotations

from engine_room import Room

from windlass._core.flow import Gate
from windlass._core.outcome import Again, Cancelled, Err, Ok
from windlass._core.pools import Traits
from windlass._core.states import CANCELLED, COMPLETED, FAILED, PENDING, RUNNING

FAR = {
    "far": Traits(slots=2, local=False, grace=1.0, reports_start=True),
    "near": Traits(slots=2),
}


def handed_over(room: Room, id: str = "a", **options):
    task = room.add(id, executor="far", **options)
    assert id in room.take()
    assert (task.status, task.run) == (PENDING, 1)
    return task


def test_it_is_pending_until_its_start_is_reported():
    room = Room(FAR)
    task, near = room.add("a", executor="far"), room.add("b", executor="near")
    assert set(room.take()) == {"a", "b"}
    assert (task.status, near.status) == (PENDING, RUNNING)
    assert room.why(task) == "handed over to 'far', for a worker to begin it"
    room.later(5)
    assert room.engine.begin(task, 1, room.now)
    assert (task.status, task.started_at) == (RUNNING, room.now)
    room.report(task)
    assert task.status is COMPLETED
    told = [move for move in room.moves() if move.startswith("a")]
    assert told == [
        "a: new -> pending (submitted)",
        "a: pending -> running (started)",
        "a: running -> completed (returned)",
    ]
    assert room.engine.slots.pools["far"].taken == 0


def test_a_start_counts_once_and_for_its_own_run_only():
    room = Room(FAR)
    task = handed_over(room, retries=1)
    assert not room.engine.begin(task, 2, room.now)
    assert room.engine.begin(task, 1, room.now)
    assert not room.engine.begin(task, 1, room.now)
    room.report(task, Err(ValueError()))
    room.take()
    assert not room.engine.begin(task, 1, room.now)
    assert (task.status, task.run) == (PENDING, 2)


def test_what_holds_it_up_is_told_until_it_begins():
    room = Room(FAR)
    task = handed_over(room, retries=1)
    assert not room.engine.held_up(task, 2, "Of another run")
    assert room.engine.held_up(task, 1, "Nobody listens")
    assert room.why(task) == "handed over to 'far', for a worker to begin it. Nobody listens"
    assert room.engine.begin(task, 1, room.now)
    assert not room.engine.held_up(task, 1, "Late")
    room.report(task, Err(ValueError()))
    room.take()
    assert room.why(task).endswith("handed over to 'far', for a worker to begin it")


def test_what_ends_without_a_start_has_begun():
    room = Room(FAR)
    lost, late = handed_over(room), handed_over(room, "b")
    room.report(lost, Ok(1))
    room.report(late, Ok(1), run=7)
    assert (lost.status, late.status) == (COMPLETED, PENDING)
    assert room.engine.stale_reports == 1


def test_its_slot_is_taken_and_it_is_not_quiet_meanwhile():
    room = Room(FAR)
    handed_over(room), handed_over(room, "b")
    waiting = room.add("c", executor="far")
    assert room.take() == []
    assert waiting.queued
    assert not room.engine.is_quiet()


def test_cancelling_it_ends_it_at_once_and_has_it_stopped():
    room = Room(FAR, max_pending=10)
    room.engine.add_gate(Gate("one", slots=1), room.now)
    task = handed_over(room, gates=(("one", 1),))
    behind = room.add("b", executor="far", gates=(("one", 1),))
    assert room.take() == []
    assert room.engine.cancel(task, room.now)
    assert task.status is CANCELLED
    assert room.engine.take_stops() == [(task, 1)]
    assert room.take() == ["b"]
    room.report(task, Cancelled("taken back"))
    assert task.status is CANCELLED
    assert behind.status is PENDING


def test_its_time_to_start_runs_out_and_its_timeout_has_not_begun():
    room = Room(FAR)
    task, other = handed_over(room, expires=5, timeout=1), handed_over(room, "b", total_timeout=5)
    room.later(4)
    assert (task.status, other.status) == (PENDING, PENDING)
    room.later(2)
    assert (task.status, other.status) == (CANCELLED, FAILED)
    assert room.engine.take_stops() == [(task, 1), (other, 1)]


def test_its_timeout_begins_with_it():
    room = Room(FAR)
    task = handed_over(room, expires=5, timeout=1)
    room.later(4)
    assert room.engine.begin(task, 1, room.now)
    room.later(1)
    assert room.engine.ending(task) is not None
    room.later(1)
    assert task.status is FAILED


def test_interrupting_it_takes_it_back_and_spends_no_attempt():
    room = Room(FAR)
    room.engine.add_gate(Gate("one", slots=1), room.now)
    plain, gated = handed_over(room), handed_over(room, "b", gates=(("one", 1),))
    for task in (plain, gated):
        room.engine.interrupt(task, room.now)
        room.engine.interrupt(task, room.now)
        assert (task.status, task.queued, task.attempt) == (PENDING, True, 0)
    assert room.engine.take_stops() == [(plain, 1), (gated, 1)]
    assert set(room.take()) == {"a", "b"}
    assert (plain.run, plain.attempt) == (2, 1)


def attempts(task):
    return task.attempt, task.most_attempts


def test_its_attempt_is_counted_once_and_its_retries_are_those_that_are_left():
    room = Room(FAR)
    task = room.add("a", executor="far", retries=2)
    assert attempts(task) == (0, 3)
    room.take()
    assert attempts(task) == (1, 3)
    assert room.engine.begin(task, 1, room.now)
    assert attempts(task) == (1, 3)
    room.report(task, Err(ValueError()))
    assert attempts(task) == (1, 3)
    room.take()
    assert attempts(task) == (2, 3)
    room.report(task, Again(0))  # which spends nothing
    assert attempts(task) == (1, 3)
    room.take()
    assert attempts(task) == (2, 3)
    assert room.why(task).startswith("snoozed 2 of 3, handed over")


def test_what_is_taken_back_has_spent_nothing():
    room = Room(FAR)
    cancelled, interrupted = handed_over(room, retries=1), handed_over(room, "b", retries=1)
    room.engine.cancel(cancelled, room.now)
    room.engine.interrupt(interrupted, room.now)
    assert attempts(cancelled) == attempts(interrupted) == (0, 2)
    (again,) = room.engine.retry(cancelled, room.now, lambda old: room.make(old.id, executor="far"))
    assert (again.attempt, again.run_is_open) == (0, False)


def test_whether_its_last_run_is_open_is_told_by_the_task_alone():
    room = Room(FAR)
    task = room.add("a", executor="far", retries=1)
    assert not task.run_is_open
    room.take()
    assert task.run_is_open
    room.engine.begin(task, 1, room.now)
    assert task.run_is_open
    room.report(task, Err(ValueError(), crashed=True))
    assert not task.run_is_open
    room.take()
    assert task.run_is_open
    room.report(task, Cancelled("gave up"))
    assert not task.run_is_open
    (again,) = room.engine.retry(task, room.now, lambda old: room.make(old.id, executor="far"))
    assert (again.run, again.run_is_open) == (2, False)
    room.take()
    assert (again.attempt, again.run_is_open) == (3, True)


def test_who_waits_for_it_does_not_wait_in_a_circle_because_of_a_gate_that_it_has_passed():
    room = Room(FAR | {"thread": Traits(slots=2, max_waiting=2)})
    room.engine.add_gate(Gate("api", slots=3), room.now)
    waiter = room.running("w", executor="thread", gates=(("api", 1),))
    claimed = handed_over(room, gates=(("api", 2),))
    room.engine.waits.begin(waiter, [claimed])
    assert room.engine.waits.of(waiter) == [claimed]


def recovered(room, expires, **standing):
    task = room.make("a", executor="far", expires=expires)
    for what, value in standing.items():
        setattr(task, what, value)
    task.noted.given_back = task.run
    room.later(expires + 1)  # while there was no manager
    room.engine.restore(task, room.now)
    return task


def test_what_an_earlier_life_handed_over_is_not_too_late_before_its_news_are_heard():
    room = Room(FAR)
    task = recovered(room, expires=5, run=1)
    assert room.take() == ["a"]
    assert room.engine.begin(task, 2, room.now)
    room.later(60)
    assert task.status is RUNNING


def test_what_an_earlier_life_handed_over_and_nobody_began_expires_all_the_same():
    room = Room(FAR)
    task = recovered(room, expires=5, run=1)
    room.take()
    room.later(9)
    assert task.status is PENDING
    room.later(2)
    assert task.status is CANCELLED


def test_what_had_begun_in_an_earlier_life_does_not_expire():
    room = Room(FAR)
    task = recovered(room, expires=5, run=1, started_at=100.0)
    room.later(60)
    assert task.status is PENDING


def test_what_is_recovered_stands_in_line_in_the_order_in_which_it_came():
    room = Room(FAR, age_every=1)
    with_a_past, plain = room.make("a", executor="far"), room.make("b", executor="far")
    with_a_past.noted.failures = 1
    room.later(60)
    for task in (with_a_past, plain):
        room.engine.restore(task, room.now)
    assert with_a_past.queued_at == plain.queued_at == room.now
    assert room.take() == ["a", "b"]


def test_it_is_not_lined_up_again_when_the_attempt_that_it_overlaps_has_left():
    room = Room(FAR)
    task = handed_over(room, retries=1, overlap=True, timeout=1)
    room.engine.begin(task, 1, room.now)
    room.later(1)
    room.later(1)  # its grace is over, and it goes on
    assert room.take() == ["a"]
    room.report(task, Ok(1), run=1)
    assert (task.queued, room.take()) == (False, [])
    assert task in room.engine.claimed

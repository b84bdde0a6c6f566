"""The engine's decisions that the table does not show: bounds, order, time, children, retries."""

from __future__ import annotations

import pytest
from engine_room import Room

from windlass._core.outcome import Again, Cancelled, Err, Ok
from windlass._core.pools import Traits
from windlass._core.states import (
    CANCELLED,
    COMPLETED,
    FAILED,
    PENDING,
    RUNNING,
    WAITING,
    TaskPriority,
)
from windlass.errors import (
    DuplicateTaskError,
    InvalidTaskStateError,
    QueueFullError,
    TaskTimeoutError,
)

# -- taking tasks in ------------------------------------------------------------------------------


def test_a_full_queue_refuses_and_says_what_to_do():
    room = Room(max_pending=2)
    room.add("a")
    room.add("b", held=True)
    with pytest.raises(QueueFullError, match="2 tasks are waiting, which is max_pending") as caught:
        room.add("c")
    assert "enqueue" in str(caught.value)
    assert caught.value.task_id == "c"
    room.take()
    assert room.add("c").status is PENDING


def test_many_are_taken_in_or_none():
    room = Room(max_pending=3)
    room.add("a")
    with pytest.raises(QueueFullError, match="1 tasks are waiting and 3 more do not fit"):
        room.engine.add_all([room.make(id) for id in "bcd"], room.now)
    with pytest.raises(DuplicateTaskError, match="already is a task with the id 'b'") as caught:
        room.engine.add_all([room.make(id) for id in "bb"], room.now)
    assert caught.value.task_id == "b"
    assert set(room.engine.tasks) == {"a"}
    b = room.make("b")
    room.engine.add_all([b, room.make("c", b)], room.now)
    assert room.moves()[-2:] == ["b: new -> pending (submitted)", "c: new -> waiting (submitted)"]
    assert (room.engine.backlog, room.engine.unfinished) == (3, 3)


def test_an_executor_can_be_added_later():
    room = Room()
    room.engine.add_executor("gpu", Traits(slots=1))
    assert room.running("a", executor="gpu").status is RUNNING


def test_what_is_not_held_never_depends_on_what_is():
    room = Room()
    a = room.add("a", held=True)
    b = room.add("b", a, held=True)
    assert room.take() == []
    room.add("c", b)
    assert not (a.held)
    assert not (b.held)
    assert room.take() == ["a"]


def test_releasing_what_has_ended_starts_nothing():
    room = Room()
    a = room.add("a", held=True)
    b = room.add("b", a, held=True)
    room.engine.cancel(b, room.now)
    room.engine.release(b, room.now)
    assert (a.held, b.held) == (True, True)
    assert room.take() == []


# -- starting -------------------------------------------------------------------------------------


def test_never_more_than_the_limit_nor_than_an_executor_has_slots():
    room = Room({"thread": Traits(slots=2), "async": Traits(slots=9)}, limit=3)
    for number in range(4):
        room.add(f"t{number}", executor="thread")
        room.later(1.0)
        room.add(f"a{number}", executor="async")
        room.later(1.0)
    assert room.take() == ["t0", "a0", "t1"]
    assert room.engine.slots.running == 3
    assert room.take() == []
    room.report(room.engine.tasks["a0"])
    assert room.take() == ["a1"]
    room.report(room.engine.tasks["t0"])
    assert room.take() == ["t2"]


def test_a_remote_executor_does_not_count_against_the_limit():
    room = Room({"remote": Traits(slots=5, local=False), "thread": Traits(slots=5)}, limit=1)
    for number in range(2):
        room.add(f"r{number}", executor="remote")
        room.add(f"t{number}", executor="thread")
    assert sorted(room.take()) == ["r0", "r1", "t0"]
    assert room.engine.slots.running == 1


def test_executors_compete_by_urgency():
    room = Room({"thread": Traits(slots=9), "async": Traits(slots=9)}, limit=2)
    room.add("n", executor="thread")
    room.add("h", executor="async", priority=TaskPriority.HIGH)
    room.add("l", executor="async", priority=TaskPriority.LOW)
    assert room.take() == ["h", "n"]


def test_slots_can_be_changed_while_tasks_run():
    room = Room()
    for id in "abcd":
        room.add(id)
    assert room.take() == ["a", "b"]
    room.engine.set_slots("process", 1)
    assert room.take() == []
    room.report(room.engine.tasks["a"])
    assert room.take() == []
    room.engine.set_slots("process", 3)
    assert room.take() == ["c", "d"]


def test_a_paused_manager_starts_nothing():
    room = Room()
    room.add("a")
    room.engine.paused = True
    assert room.take() == []
    room.engine.paused = False
    assert room.take() == ["a"]


# -- time -----------------------------------------------------------------------------------------


def test_the_next_deadline_is_whatever_comes_first():
    room = Room(keep_seconds=None)
    assert room.engine.next_deadline(room.now, room.wall) is None
    room.add("a", at=room.wall + 30.0)
    assert room.engine.next_deadline(room.now, room.wall) == room.now + 30.0
    room.add("b", due=40.0)
    assert room.engine.next_deadline(room.now, room.wall) == room.now + 30.0
    room.add("c", due=20.0)
    assert room.engine.next_deadline(room.now, room.wall) == room.now + 20.0


def test_a_jump_of_the_wall_clock_moves_what_is_due_at_a_time_of_day():
    room = Room()
    room.add("a", at=room.wall + 3600.0)
    room.add("b", due=3600.0)
    room.wall_offset += 3600.0
    room.later(0.0)
    assert room.take() == ["a"]


def test_a_delay_and_a_time_of_day_both_hold():
    room = Room()
    room.add("a", due=10.0, at=room.wall + 20.0)
    room.later(10.0)
    assert room.take() == []
    room.later(10.0)
    assert room.take() == ["a"]


def test_a_total_timeout_counts_retries_and_waits_in():
    room = Room()
    task = room.running("a", retries=9, delay=5.0, total_timeout=7.0)
    room.report(task, Err(ValueError()))
    room.later(5.0)
    room.take()
    room.later(2.0)
    assert task.status is FAILED
    assert isinstance(task.outcome.error, TaskTimeoutError)
    assert "within its total_timeout of 7.0 s" in str(task.outcome.error)


def test_a_timeout_is_a_failure_that_may_be_retried():
    room = Room()
    task = room.running("a", retries=1, timeout=3.0)
    room.later(3.0)
    assert task.status is PENDING
    room.take()
    room.later(3.0)
    assert task.status is FAILED
    assert "longer than its timeout of 3.0 s (attempt 2)" in str(task.outcome.error)


def test_the_timeout_of_what_is_stored_first_begins_when_it_starts():
    room = Room()
    room.engine.stores_first = True
    task = room.running("a", timeout=3.0)
    room.later(5.0)
    assert task.status is RUNNING
    room.engine.under_way(task, 1, room.now)
    room.later(2.0)
    room.engine.under_way(task, 2, room.now)  # of another run
    assert task.status is RUNNING
    room.later(1.0)
    assert task.status is FAILED


def test_expiry_is_for_the_start_alone():
    room = Room()
    started = room.running("a", expires=5.0)
    queued = room.add("b", held=True, expires=5.0)
    room.later(5.0)
    assert (started.status, queued.status) == (RUNNING, CANCELLED)
    assert queued.outcome.cause == "expired"


# -- being stopped --------------------------------------------------------------------------------


def test_the_executor_is_told_what_to_stop_once():
    room = Room()
    task = room.running("a", executor="async")
    room.engine.cancel(task, room.now)
    room.engine.cancel(task, room.now)
    assert room.engine.take_stops() == [(task, 1)]
    assert room.engine.take_stops() == []


def test_nobody_is_told_to_stop_what_runs_by_hand():
    room = Room()
    room.engine.cancel(room.running("a", executor="external"), room.now)
    assert room.engine.take_stops() == []


def test_a_swallowed_cancel_still_ends_cancelled():
    room = Room()
    task = room.running("a", executor="async")
    room.engine.cancel(task, room.now, "the group failed")
    room.report(task, Ok("I went on"))
    assert (task.status, task.outcome.cause) == (CANCELLED, "the group failed")


def test_who_cancels_what_is_timing_out_does_not_want_it_retried():
    room = Room()
    task = room.running("a", executor="async", retries=5, timeout=1.0)
    room.later(1.0)
    assert room.engine.ending(task) == "timeout"
    room.engine.cancel(task, room.now)
    room.report(task, Cancelled("stopped"))
    assert task.status is CANCELLED


def test_a_total_timeout_in_the_grace_of_a_timeout_ends_it_for_good():
    room = Room()
    task = room.running("a", executor="async", retries=5, timeout=1.0, total_timeout=2.0)
    room.later(1.0)
    room.later(1.0)
    room.report(task, Cancelled("stopped"))
    assert task.status is FAILED
    assert "total_timeout" in str(task.outcome.error)


def test_a_timeout_in_the_grace_of_a_cancel_changes_nothing():
    room = Room()
    task = room.running("a", executor="async", timeout=1.0)
    room.engine.cancel(task, room.now)
    room.later(1.0)
    assert room.engine.ending(task) == "asked"


def test_a_stopped_attempt_can_be_given_up_when_its_executor_is_gone():
    room = Room()
    task = room.running("a", executor="async")
    room.engine.abandon(task, room.now)
    assert task.status is RUNNING
    room.engine.cancel(task, room.now)
    room.engine.abandon(task, room.now)
    assert task.status is CANCELLED
    assert room.engine.lingering == {}


def test_a_retry_waits_until_the_thread_of_the_last_attempt_has_left():
    room = Room()
    task = room.running("a", executor="thread", retries=1, timeout=1.0)
    room.later(1.0)
    assert task.status is PENDING
    assert room.engine.slots.running == 0
    assert room.take() == []
    room.report(task, Ok("too late"), run=1)
    assert room.take() == ["a"]


def test_a_retry_may_overlap_if_told_so():
    room = Room()
    room.running("a", executor="thread", retries=1, overlap=True, timeout=1.0)
    room.later(1.0)
    assert room.take() == ["a"]


def test_a_thread_that_leaves_when_the_retry_is_just_due_lets_it_start_once():
    room = Room()
    task = room.running("a", executor="thread", retries=1, delay=5.0, timeout=1.0)
    room.later(1.0)
    room.now += 5.0
    room.report(task, run=1)  # before the engine is told that the time has come
    room.later(0.0)
    assert len(room.engine.slots.pools["thread"].queue) == 1
    assert room.take() == ["a"]
    assert room.take() == []


def test_a_thread_that_leaves_before_the_retry_is_due_does_not_hasten_it():
    room = Room()
    task = room.running("a", executor="thread", retries=1, delay=5.0, timeout=1.0)
    room.later(1.0)
    room.report(task, run=1)
    assert room.take() == []
    room.later(5.0)
    assert room.take() == ["a"]


def test_a_thread_that_leaves_after_the_end_or_after_all_was_forgotten_does_no_harm():
    room = Room(keep_count=0)
    tasks = [room.running(id, executor="thread") for id in "ab"]
    for task in tasks:
        room.engine.cancel(task, room.now)
    room.report(tasks[0])
    room.engine.forget_old(room.now)
    room.report(tasks[1])
    assert room.engine.lingering == {}
    assert room.engine.stale_reports == 2


def test_a_new_life_waits_for_the_thread_of_the_old_one():
    room = Room()
    old = room.running("a", executor="thread")
    room.engine.cancel(old, room.now)
    new = room.retry(old)[0]
    assert room.take() == []
    room.report(old)
    assert room.take() == ["a"]
    assert (new.run, old.run) == (2, 1)


# -- crashes, snoozes -----------------------------------------------------------------------------


def test_crashes_spend_max_crashes_and_not_retries():
    room = Room()
    task = room.running("a", retries=1, max_crashes=3)
    for expected in (PENDING, PENDING, FAILED):
        room.report(task, Err(OSError(), crashed=True))
        assert task.status is expected
        room.take()
    assert task.notes.failures == 0


def test_a_snooze_waits_and_spends_nothing():
    room = Room()
    task = room.running("a", timeout=60.0)
    room.engine.progress(task, 0.5, "half")
    room.report(task, Again(5.0))
    assert (task.notes.progress, task.notes.message) == (None, "")
    assert (task, "timeout") not in room.engine.timers
    room.later(5.0)
    room.take()
    room.report(task)
    assert (task.status, task.run, task.attempt) == (COMPLETED, 2, 1)


def test_progress_is_kept_between_nothing_and_all():
    room = Room()
    task = room.running("a")
    assert room.engine.progress(task, 7.0, "")
    assert task.notes.progress == 1.0
    assert room.engine.progress(task, -7.0, "", run=1)
    assert task.notes.progress == 0.0
    assert not room.engine.progress(task, 0.5, "", run=2)


# -- children -------------------------------------------------------------------------------------


def test_cancelling_a_parent_cancels_its_children_and_theirs():
    room = Room()
    parent = room.running("parent", executor="async")
    child = room.running("child", executor="async", parent=parent)
    grandchild = room.add("grandchild", parent=child, executor="external")
    room.engine.cancel(parent, room.now)
    assert grandchild.status is CANCELLED
    assert grandchild.outcome.cause == "its parent child [child] was cancelled"
    room.report(child)
    assert child.outcome.cause == "its parent parent [parent] was cancelled"


def test_a_child_that_depends_on_its_sibling_is_cancelled_once():
    room = Room()
    parent = room.running("parent")
    first = room.add("first", parent=parent, executor="external")
    second = room.add("second", first, parent=parent)
    third = room.add("third", second, parent=parent)
    room.engine.cancel(parent, room.now)
    assert [task.status for task in (first, second, third)] == [CANCELLED] * 3


def test_a_child_that_depends_on_its_parent_is_cancelled_once():
    room = Room()
    parent = room.running("parent", retries=1, delay=5.0)
    child = room.add("child", parent, parent=parent)
    room.report(parent, Err(ValueError()))
    room.engine.cancel(parent, room.now)
    assert child.outcome.cause == "its dependency parent [parent] was cancelled"


def test_children_outlive_a_parent_that_ended_by_itself():
    room = Room()
    parent = room.running("parent")
    child = room.add("child", parent=parent)
    room.report(parent)
    assert child.status is PENDING
    late = room.add("late", parent=parent)
    assert late.status is PENDING
    assert not room.engine.cancel(parent, room.now)
    assert room.engine.children == {}


# -- another life ---------------------------------------------------------------------------------


def test_a_retry_is_a_new_task_and_the_old_one_stays_as_it_ended():
    room = Room()
    old = room.failed("a", key="k")
    attempts = tuple(old.notes.attempts)
    (new,) = room.retry(old)
    assert new is not old
    assert room.engine.tasks["a"] is room.engine.keys["k"] is new
    room.take()
    room.report(new, Err(OSError()))
    assert old.status is FAILED
    assert tuple(old.notes.attempts) == attempts
    assert [past.number for past in new.notes.attempts] == [1, 2]


def test_only_the_last_life_can_be_retried():
    room = Room()
    old = room.failed("a")
    room.retry(old)
    with pytest.raises(InvalidTaskStateError, match="only a task that failed or was cancelled"):
        room.retry(old)


def test_a_retry_of_what_depends_on_a_failure_fails_again():
    room = Room()
    a = room.running("a")
    b = room.add("b", a)
    room.report(a, Err(ValueError()))
    assert room.retry(b)[0].status is FAILED


def test_a_retry_downstream_takes_along_what_fell():
    room = Room()
    a, ok = room.running("a"), room.add("ok", executor="external")
    b = room.add("b", a, ok)
    c = room.add("c", b)
    always = room.add("always", a, run_if="all_done")
    room.report(a, Err(ValueError()))
    late = room.add("late", a)  # it fell at once
    new = room.retry(a, downstream=True)
    assert [task.id for task in new] == ["a", "b", "late", "c"]
    assert new[0].dependencies == ()
    assert room.engine.tasks["c"].dependencies == (room.engine.tasks["b"],)
    assert room.engine.tasks["b"].dependencies == (new[0], ok)
    assert (always.status, c.status, late.status) == (PENDING, FAILED, FAILED)
    assert room.engine.counts[FAILED] == 0


def test_a_retry_downstream_leaves_what_has_a_new_life_already():
    room = Room()
    a = room.running("a", executor="external")
    b = room.add("b", a)
    room.engine.cancel(a, room.now)
    (again,) = room.retry(b)
    assert again.status is CANCELLED
    assert {task.id for task in room.retry(a, downstream=True)} == {"a", "b"}
    assert again.status is CANCELLED
    assert room.engine.tasks["b"] is not again


def test_a_retry_downstream_takes_along_what_fell_with_an_earlier_life():
    room = Room()
    a = room.running("a")
    b = room.add("b", a)
    room.report(a, Err(ValueError()))
    (again,) = room.retry(a)
    room.take()
    room.report(again, Err(ValueError()))
    assert [task.id for task in room.retry(again, downstream=True)] == ["a", "b"]
    assert b.status is FAILED


def test_what_has_been_told_of_one_end_is_not_told_of_the_next():
    room = Room()
    a, other = room.running("a"), room.add("other", executor="external")
    always = room.add("always", a, other, run_if="all_done")
    room.report(a, Err(ValueError()))
    (again,) = room.retry(a)
    room.engine.cancel(again, room.now)
    assert (always.status, always.missing) == (WAITING, 1)


def test_a_task_that_is_doomed_twice_ends_once():
    room = Room()
    a = room.running("a")
    b, c = room.add("b", a), room.add("c", a)
    d = room.add("d", b, c, b)
    room.report(a, Err(ValueError()))
    assert d.status is FAILED
    assert [move for move in room.moves() if move.startswith("d: waiting")] == [
        "d: waiting -> failed (dependency failed)"
    ]


# -- quiet ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prepare", "quiet"),
    [
        (lambda room: None, True),
        (lambda room: room.completed("a"), True),
        (lambda room: room.add("b", room.add("a", held=True), held=True), True),
        (lambda room: room.add("a"), False),
        (lambda room: room.running("a"), False),
        (lambda room: room.add("a", due=5.0), False),
        (lambda room: room.add("a", at=room.wall + 5.0), False),
        (lambda room: room.add("a", executor="external"), False),
    ],
)
def test_a_quiet_engine_does_nothing_more_by_itself(prepare, quiet):
    room = Room()
    prepare(room)
    assert room.engine.is_quiet() is quiet


def test_a_task_may_ask_whether_all_is_quiet_but_for_itself():
    room = Room()
    room.running("a")
    assert room.engine.is_quiet(running=1)


def test_who_waits_for_a_thread_to_leave_is_not_quiet():
    room = Room()
    task = room.running("a", executor="thread", retries=1, timeout=1.0)
    room.later(1.0)
    assert not room.engine.is_quiet()
    room.engine.cancel(task, room.now)
    assert room.engine.is_quiet()

"""What people are shown: frozen pictures of tasks, changes, and figures."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from engine_room import Room

from windlass._core.change import Change, Gap
from windlass._core.info import TaskInfo
from windlass._core.metrics import Durations, measure
from windlass._core.outcome import Again, Cancelled, Err
from windlass._core.states import (
    CANCELLED,
    COMPLETED,
    FAILED,
    PENDING,
    RUNNING,
    WAITING,
    TaskPriority,
)


def info(room: Room, task) -> TaskInfo:
    return TaskInfo.of(task, room.wall_offset)


def moment(room: Room) -> datetime:
    return datetime.fromtimestamp(room.wall, UTC)


# -- info -----------------------------------------------------------------------------------------


def test_a_picture_of_a_task_holds_what_was_asked():
    room = Room()
    parent, before = room.running("parent"), room.add("before", executor="external")
    task = room.add(
        "a", before, type="crawl", description="gets pages", tags=frozenset({"web"}),
        metadata={"site": 7}, owner="ann", priority=TaskPriority.HIGH, retries=2, key="k",
        parent=parent, held=True,
    )  # fmt: skip
    picture = info(room, task)
    assert (picture.id, picture.name, picture.type, picture.owner) == ("a", "a", "crawl", "ann")
    assert (picture.description, picture.tags) == ("gets pages", {"web"})
    assert picture.metadata == {"site": 7}
    assert (picture.priority, picture.executor) == (TaskPriority.HIGH, "process")
    assert (picture.key, picture.parent, picture.dependencies) == ("k", "parent", ("before",))
    assert picture.held
    assert (picture.status, picture.attempt, picture.max_attempts) == (WAITING, 0, 3)
    assert picture.created_at == moment(room)
    with pytest.raises(AttributeError):
        picture.status = COMPLETED


def test_a_picture_of_a_task_that_waits_has_no_times_yet():
    room = Room()
    picture = info(room, room.add("a"))
    assert (picture.started_at, picture.ended_at, picture.waited, picture.ran) == (None,) * 4
    assert (picture.progress, picture.message) == (0.0, "")
    assert (picture.result, picture.error, picture.cause) == (None, None, None)
    assert (picture.attempts, picture.cleanup_errors) == ((), ())


def test_a_picture_of_a_task_that_runs():
    room = Room()
    task = room.add("a")
    room.later(2.0)
    room.take()
    room.engine.progress(task, 0.25, "page 1")
    picture = info(room, task)
    assert (picture.waited, picture.ran) == (2.0, None)
    assert (picture.progress, picture.message) == (0.25, "page 1")


def test_a_picture_of_a_task_that_returned():
    room = Room()
    task = room.running("a")
    room.engine.progress(task, 0.25, "page 1")
    room.later(3.0)
    room.report(task)
    picture = info(room, task)
    assert picture.result == "a"
    assert (picture.progress, picture.ran, picture.ended_at) == (1.0, 3.0, moment(room))


def test_a_picture_of_a_task_that_failed():
    room = Room()
    task = room.running("a", retries=1)
    room.report(task, Err(KeyError()))
    room.take()
    error = ValueError()
    room.report(task, Err(error))
    picture = info(room, task)
    assert picture.error is error
    assert (picture.attempt, picture.max_attempts) == (2, 2)
    assert [(past.number, past.ended) for past in picture.attempts] == [
        (1, "failed"),
        (2, "failed"),
    ]


def test_a_picture_of_a_task_that_was_cancelled():
    room = Room()
    assert info(room, room.cancelled("a")).cause == "asked"


def test_a_clock_may_begin_at_zero():
    room = Room()
    room.now = 0.0
    assert info(room, room.add("a")).created_at == moment(room)


def test_crashes_and_earlier_lives_add_to_the_attempts_there_may_be():
    room = Room()
    task = room.running("a", retries=3)
    room.report(task, Err(ValueError()))
    assert info(room, task).max_attempts == 4
    room.take()
    room.report(task, Err(OSError(), crashed=True))
    assert info(room, task).max_attempts == 5
    room.take()
    assert (task.attempt, info(room, task).max_attempts) == (3, 5)
    room.engine.cancel(task, room.now)
    assert info(room, task).max_attempts == 4
    assert info(room, room.retry(task)[0]).max_attempts == 3 + 1 + 3


def test_snoozes_spend_no_attempt():
    room = Room()
    task = room.running("a")
    room.report(task, Again(0.0))
    room.take()
    assert (task.run, task.attempt, info(room, task).max_attempts) == (2, 1, 1)


def test_an_old_picture_does_not_change_with_a_new_life():
    room = Room()
    old = room.failed("a")
    before = info(room, old)
    room.retry(old)
    room.take()
    room.report(room.engine.tasks["a"], Err(OSError()))
    assert info(room, old) == before


# -- changes --------------------------------------------------------------------------------------


def changes(room: Room) -> list[Change]:
    return [Change.of(transition, room.wall_offset) for transition in room.transitions()]


def test_a_change_tells_what_when_and_why():
    room = Room()
    room.add("a", type="crawl")
    (change,) = changes(room)
    assert change == Change("a", "a", "crawl", None, PENDING, room.wall, 0, "submitted", None)


def test_a_failure_comes_with_its_error():
    room = Room()
    error = ValueError()
    task = room.running("a", retries=1, delay=2.0)
    room.report(task, Err(error))
    assert [(change.cause, change.error) for change in changes(room)][2:] == [
        ("failed, retry in 2.0 s", error)
    ]
    room.later(2.0)
    room.take()
    room.report(task, Err(error))
    assert [(change.after, change.attempt, change.error) for change in changes(room)] == [
        (RUNNING, 2, None),
        (FAILED, 2, error),
    ]


def test_a_snooze_comes_without_an_error():
    room = Room()
    room.report(room.running("a"), Again(1.5))
    assert [(change.cause, change.error) for change in changes(room)][2:] == [
        ("snoozed for 1.5 s", None)
    ]


def test_a_gap_counts_what_was_missed():
    assert Gap(3).missed == 3


# -- metrics --------------------------------------------------------------------------------------


def figures(room: Room):
    return measure(room.engine, abandoned_threads=1, dropped_changes=2)


def test_counts_and_slots():
    room = Room(limit=5)
    for id in "ab":
        room.running(id)
    waiter = room.running("w", executor="async")
    room.engine.waits.begin(waiter, (room.add("c"),))
    room.add("d", priority=TaskPriority.HIGH)
    room.add("e", waiter)
    metrics = figures(room)
    assert (metrics.by_status[RUNNING], metrics.by_status[PENDING], metrics.total) == (3, 2, 6)
    assert (metrics.queued, metrics.slots, metrics.taken, metrics.free) == (2, 5, 2, 3)
    process = metrics.executors["process"]
    assert (process.slots, process.taken, process.free, process.waiting) == (2, 2, 0, 0)
    assert process.queued[TaskPriority.HIGH] == process.queued[TaskPriority.NORMAL] == 1
    assert metrics.executors["async"].waiting == 1
    assert (metrics.abandoned_threads, metrics.dropped_changes, metrics.paused) == (1, 2, False)


def test_stale_reports_are_counted():
    room = Room()
    room.report(room.completed("a"), Cancelled("late"))
    assert figures(room).stale_reports == 1


def test_times_by_name():
    room = Room()
    for waited, ran in ((1.0, 4.0), (3.0, 2.0)):
        task = room.make(f"{waited}", name="fetch")
        room.engine.add(task, room.now)
        room.later(waited)
        room.take()
        room.later(ran)
        room.report(task)
    metrics = figures(room)
    assert metrics.waiting_time["fetch"] == Durations(2, 2.0, 1.0, 3.0, 3.0)
    assert metrics.running_time["fetch"].mean == 3.0


def test_percentiles():
    summary = Durations.of([float(number) for number in range(100, -1, -1)])
    assert (summary.p50, summary.p95, summary.max, summary.count) == (50.0, 95.0, 100.0, 101)


def test_waiting_is_counted_from_when_it_was_ready():
    room = Room()
    task = room.add("a", due=50.0)
    room.later(50.0)
    room.later(2.0)
    room.take()
    room.report(task)
    assert figures(room).waiting_time["a"].max == 2.0


def test_only_runs_count_and_not_what_ended_between_or_before_them():
    room = Room()
    room.cancelled("before")
    between = room.running("between", retries=1, delay=60.0)
    room.later(1.0)
    room.report(between, Err(ValueError()))
    room.later(20.0)
    room.engine.cancel(between, room.now)
    renewed = room.retry(room.failed("renewed"))[0]
    room.later(5.0)
    room.engine.cancel(renewed, room.now)
    waits_again = room.retry(room.failed("waits again"))[0]
    assert waits_again.status is PENDING
    failed = room.running("failed")
    room.later(3.0)
    room.report(failed, Err(ValueError()))
    metrics = figures(room)
    assert {name: times.max for name, times in metrics.running_time.items()} == {"failed": 3.0}
    assert metrics.by_status[CANCELLED] == 3

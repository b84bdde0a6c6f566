"""Every (situation, input) pair, and what comes of it: the engine's behaviour as one table.

A situation is a status with the sub-state that matters. Each cell says where the task stands after
the input: a status; ``RUNNING*`` for a run that is being stopped; ``-`` where the input changes
nothing; or the error it raises. Timers ring where they can be set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from engine_room import Room

from windlass._core.outcome import Again, Cancelled, Err, Ok
from windlass._core.states import TERMINAL, TRANSITIONS, TaskPriority, TaskStatus
from windlass.errors import DuplicateTaskError, InvalidTaskStateError

if TYPE_CHECKING:
    from windlass._core.task import Task

LONG = 3.0  # more than any grace period here


# -- situations: how a task comes to stand there --------------------------------------------------


def waiting(room: Room, **options) -> Task:
    return room.add("t", room.add("dependency", executor="external"), **options)


def held_waiting(room: Room, **options) -> Task:
    return room.add("t", room.add("dependency", executor="external"), held=True, **options)


def held(room: Room, **options) -> Task:
    return room.add("t", held=True, **options)


def due_later(room: Room, **options) -> Task:
    return room.add("t", due=50.0, **options)


def on_calendar(room: Room, **options) -> Task:
    return room.add("t", at=room.wall + 50.0, **options)


def queued(room: Room, **options) -> Task:
    return room.add("t", **options)


def by_hand(room: Room, **options) -> Task:
    return room.add("t", executor="external", **options)


def backing_off(room: Room, **options) -> Task:
    task = room.running("t", retries=1, delay=50.0, **options)
    room.report(task, Err(ValueError()))
    return task


def behind_its_thread(room: Room, **options) -> Task:
    """Its first run timed out and still goes on, so its second one has to wait."""
    task = room.running("t", executor="thread", retries=1, timeout=1.0, **options)
    room.later(1.0)
    return task


def running(room: Room, **options) -> Task:
    return room.running("t", **options)


def running_last_of_two(room: Room, **options) -> Task:
    task = room.running("t", retries=1, **options)
    room.report(task, Err(ValueError()))
    room.take()
    return task


def running_politely(room: Room, **options) -> Task:
    return room.running("t", executor="async", **options)


def running_in_a_thread(room: Room, **options) -> Task:
    return room.running("t", executor="thread", **options)


def running_external(room: Room, **options) -> Task:
    return room.running("t", executor="external", **options)


def in_grace(room: Room, **options) -> Task:
    task = room.running("t", executor="async", **options)
    room.engine.cancel(task, room.now)
    return task


def timing_out(room: Room, **options) -> Task:
    """Its timeout has struck, and it may still clean up; then there is another attempt."""
    task = room.running("t", executor="async", retries=1, delay=50.0, timeout=1.0, **options)
    room.later(1.0)
    return task


def lent(room: Room, **options) -> Task:
    task = room.running("t", executor="async", **options)
    room.engine.waits.begin(task, (room.add("target"),))
    return task


def completed(room: Room, **options) -> Task:
    return room.completed("t", **options)


def failed(room: Room, **options) -> Task:
    return room.failed("t", **options)


def cancelled(room: Room, **options) -> Task:
    return room.cancelled("t", **options)


# -- inputs ---------------------------------------------------------------------------------------


def add_again(room: Room, task: Task) -> None:
    room.engine.add(room.make("t"), room.now)


def add_all_again(room: Room, task: Task) -> None:
    room.engine.add_all([room.make("other"), room.make("t")], room.now)


def dependencies_done(room: Room, task: Task) -> None:
    dependency = room.engine.tasks["dependency"]
    room.engine.start_by_hand(dependency, room.now)
    room.report(dependency)


def dependency_fails(room: Room, task: Task) -> None:
    dependency = room.engine.tasks["dependency"]
    room.engine.start_by_hand(dependency, room.now)
    room.report(dependency, Err(ValueError()))


def dependency_cancelled(room: Room, task: Task) -> None:
    room.engine.cancel(room.engine.tasks["dependency"], room.now)


def take(room: Room, task: Task) -> None:
    room.take()


def release(room: Room, task: Task) -> None:
    room.engine.release(task, room.now)


def release_and_take(room: Room, task: Task) -> None:
    room.engine.release(task, room.now)
    room.take()


def wait_for_it(room: Room, task: Task) -> None:
    room.later(50.0)
    room.take()


def cancel(room: Room, task: Task) -> None:
    room.engine.cancel(task, room.now)


def cancel_and_wait(room: Room, task: Task) -> None:
    room.engine.cancel(task, room.now)
    room.later(LONG)


def retry(room: Room, task: Task) -> None:
    room.retry(task)


def start(room: Room, task: Task) -> None:
    room.engine.start_by_hand(task, room.now)


def progress(room: Room, task: Task) -> None:
    room.engine.progress(task, 0.5, "half", task.run)


def forget_old(room: Room, task: Task) -> None:
    room.engine.forget_old(room.now)


def reports(outcome: object, run: int = 0):
    """The executor reports on the current run, or on the one so many later."""

    def report(room: Room, task: Task) -> None:
        room.report(task, outcome, task.run + run)

    which = {-1: "old", 0: "this", 1: "future"}[run]
    report.__name__ = f"{which}_run_reports_{outcome}"
    return report


def out_of_time(room: Room, task: Task) -> None:
    room.later(60.0)


OK, ERR, CRASH = Ok(1), Err(ValueError()), Err(OSError(), crashed=True)
AGAIN, GONE = Again(5.0), Cancelled("gave up")

OLD = [reports(OK, -1), reports(ERR, -1), reports(CRASH, -1), reports(AGAIN, -1), reports(GONE, -1)]
NOW = [reports(OK), reports(ERR), reports(CRASH), reports(AGAIN), reports(GONE)]
FUTURE = [reports(OK, 1), reports(ERR, 1), reports(CRASH, 1), reports(AGAIN, 1), reports(GONE, 1)]
EARLY = [*OLD, *NOW, *FUTURE]  # for a task that has no run on, all reports are stale
NEVER = [*EARLY, take, progress]

SAME = "-"
P, W, R = "pending", "waiting", "running"
C, F, X = "completed", "failed", "cancelled"
STOPPED = "running*"

# situation, {input(s): what comes of it}
TABLE: list[tuple[object, dict[object, object]]] = [
    (
        waiting,
        {
            dependencies_done: P, dependency_fails: F, dependency_cancelled: X,
            cancel: X, retry: InvalidTaskStateError, release: SAME, start: SAME,
            **dict.fromkeys(NEVER, SAME),
        },
    ),
    (
        held_waiting,
        {
            dependencies_done: P, dependency_fails: F, dependency_cancelled: X,
            cancel: X, retry: InvalidTaskStateError, release_and_take: SAME, start: SAME,
            **dict.fromkeys(NEVER, SAME),
        },
    ),
    (
        held,
        {
            wait_for_it: SAME, release_and_take: R, cancel: X, retry: InvalidTaskStateError,
            start: SAME, **dict.fromkeys(NEVER, SAME),
        },
    ),
    (
        due_later,
        {
            wait_for_it: R, release_and_take: SAME, cancel: X, retry: InvalidTaskStateError,
            start: SAME, **dict.fromkeys(NEVER, SAME),
        },
    ),
    (
        on_calendar,
        {
            wait_for_it: R, release_and_take: SAME, cancel: X, retry: InvalidTaskStateError,
            start: SAME, **dict.fromkeys(NEVER, SAME),
        },
    ),
    (
        queued,
        {
            **dict.fromkeys(EARLY, SAME), take: R, progress: SAME, release: SAME, cancel: X,
            retry: InvalidTaskStateError, start: SAME,
        },
    ),
    (
        by_hand,
        {
            wait_for_it: SAME, start: R, release: SAME, cancel: X, retry: InvalidTaskStateError,
            **dict.fromkeys(NEVER, SAME),
        },
    ),
    (
        backing_off,
        {
            wait_for_it: R, cancel: X, retry: InvalidTaskStateError, start: SAME, release: SAME,
            **dict.fromkeys(NEVER, SAME),
        },
    ),
    (
        behind_its_thread,
        {
            wait_for_it: SAME, cancel: X, retry: InvalidTaskStateError, start: SAME,
            **dict.fromkeys(NEVER, SAME),
        },
    ),
    (
        running,
        {
            **dict.fromkeys([*OLD, *FUTURE], SAME),
            **dict(zip(NOW, [C, F, P, P, X], strict=True)),
            cancel: X, retry: InvalidTaskStateError, take: SAME, release: SAME, start: SAME,
            progress: SAME,
        },
    ),
    (
        running_last_of_two,
        {
            **dict.fromkeys([*OLD, *FUTURE], SAME),
            **dict(zip(NOW, [C, F, P, P, X], strict=True)),
            cancel: X, retry: InvalidTaskStateError, take: SAME,
        },
    ),
    (running_politely, {cancel: STOPPED, cancel_and_wait: X, take: SAME, start: SAME}),
    (running_in_a_thread, {cancel: X, take: SAME, start: SAME}),
    (
        running_external,
        {**dict(zip(NOW, [C, F, P, P, X], strict=True)), cancel: X, start: SAME, take: SAME},
    ),
    (
        in_grace,
        {
            # It was cancelled: whatever it still says, it ends cancelled.
            **dict.fromkeys(NOW, X), **dict.fromkeys([*OLD, *FUTURE], SAME),
            cancel: SAME, cancel_and_wait: X, wait_for_it: X, retry: InvalidTaskStateError,
            take: SAME, progress: SAME,
        },
    ),
    (
        timing_out,
        {
            **dict.fromkeys(NOW, P), **dict.fromkeys([*OLD, *FUTURE], SAME),
            cancel: SAME, cancel_and_wait: X, retry: InvalidTaskStateError,
        },
    ),
    (
        lent,
        {
            **dict(zip(NOW, [C, F, P, P, X], strict=True)),
            cancel: STOPPED, cancel_and_wait: X, retry: InvalidTaskStateError, take: SAME,
        },
    ),
    (
        completed,
        {
            **dict.fromkeys(NEVER, SAME), cancel: SAME, retry: InvalidTaskStateError,
            release: SAME, start: SAME, forget_old: SAME,
        },
    ),
    (
        failed,
        {
            **dict.fromkeys(NEVER, SAME), cancel: SAME, retry: P, release: SAME, start: SAME,
            forget_old: SAME,
        },
    ),
    (
        cancelled,
        {
            **dict.fromkeys(NEVER, SAME), cancel: SAME, retry: P, release: SAME, start: SAME,
            forget_old: SAME,
        },
    ),
]  # fmt: skip

# What happens when a limit of time is reached; a task that has ended has no timers any more.
TIMES: list[tuple[object, str, str]] = [
    (waiting, "total_timeout", F),
    (waiting, "expires", X),
    (held_waiting, "total_timeout", F),
    (held_waiting, "expires", X),
    (held, "total_timeout", F),
    (held, "expires", X),
    (held, "timeout", SAME),
    (due_later, "total_timeout", F),
    (due_later, "expires", X),
    (on_calendar, "total_timeout", F),
    (on_calendar, "expires", X),
    (queued, "total_timeout", F),
    (queued, "expires", X),
    (queued, "timeout", SAME),
    (by_hand, "total_timeout", F),
    (by_hand, "expires", X),
    (backing_off, "total_timeout", F),
    (backing_off, "expires", SAME),
    (backing_off, "timeout", SAME),
    (behind_its_thread, "total_timeout", F),
    (behind_its_thread, "expires", SAME),
    (running, "timeout", F),
    (running, "total_timeout", F),
    (running, "expires", SAME),
    (running_last_of_two, "timeout", F),
    (running_in_a_thread, "timeout", F),
    (running_external, "timeout", F),
    (running_politely, "timeout", STOPPED),
    (running_politely, "total_timeout", STOPPED),
    (in_grace, "timeout", X),
    (in_grace, "total_timeout", X),
    (lent, "timeout", STOPPED),
    (completed, "timeout", SAME),
    (completed, "total_timeout", SAME),
    (completed, "expires", SAME),
    (failed, "total_timeout", SAME),
    (cancelled, "total_timeout", SAME),
    (cancelled, "expires", SAME),
]


def stands(room: Room, task: Task) -> str:
    """Where the task of this name stands now."""
    current = room.engine.tasks["t"]
    return f"{current.status}*" if room.engine.ending(current) else str(current.status)


EVERYWHERE = {add_again: DuplicateTaskError, add_all_again: DuplicateTaskError}
CELLS = [
    pytest.param(situation, deed, expected, id=f"{situation.__name__}-{deed.__name__}")
    for situation, row in TABLE
    for deed, expected in {**row, **EVERYWHERE}.items()
]


@pytest.mark.parametrize(("situation", "deed", "expected"), CELLS)
def test_what_comes_of_an_input(situation, deed, expected):
    room = Room()
    task = situation(room)
    before, run = stands(room, task), task.run
    room.moves()
    if isinstance(expected, type):
        with pytest.raises(expected):
            deed(room, task)
        expected = SAME
    else:
        deed(room, task)
    assert stands(room, task) == (before if expected == SAME else expected)
    if expected == SAME:
        assert [move for move in room.moves() if move.startswith("t:")] == []
        assert task.run == run


@pytest.mark.parametrize(("situation", "limit", "expected"), TIMES)
def test_what_comes_of_a_limit_of_time(situation, limit, expected):
    room = Room()
    task = situation(room, **{limit: 20.0})
    before = stands(room, task)
    room.moves()
    room.later(20.0)
    assert stands(room, task) == (before if expected == SAME else expected)
    if expected != STOPPED:
        assert (task, limit) not in room.engine.timers


def test_the_table_is_about_every_status():
    statuses = set()
    for situation, _ in TABLE:
        room = Room()
        statuses.add(situation(room).status)
    assert statuses == set(TaskStatus)


def test_everything_that_can_be_reported_to_a_running_task_is_in_the_table():
    row = dict(TABLE)[running]
    assert set(EARLY) <= set(row)


def test_a_move_that_is_not_in_the_table_is_refused_with_the_story_of_the_task():
    room = Room()
    task = room.running("t", retries=2)
    room.report(task, Err(ValueError()))
    room.take()
    room.report(task)
    for status in set(TaskStatus) - set(TRANSITIONS[task.status]):
        with pytest.raises(AssertionError, match=r"completed -> .* is not in the table") as caught:
            room.engine._move(task, status, room.now, "by mistake")
        assert "attempt 1 failed; 2 runs started" in str(caught.value)


def test_nothing_leads_out_of_completed_and_only_a_retry_out_of_the_other_ends():
    assert TRANSITIONS[TaskStatus.COMPLETED] == {}
    for status in TERMINAL - {TaskStatus.COMPLETED}:
        assert set(TRANSITIONS[status].values()) == {"explicit retry"}


def test_statuses_and_priorities_read_well():
    assert str(TaskStatus.RUNNING) == "running"
    assert TaskStatus("running") is TaskStatus.RUNNING
    assert [status for status in TaskStatus if status.finished] == [
        TaskStatus.COMPLETED,
        TaskStatus.FAILED,
        TaskStatus.CANCELLED,
    ]
    assert TaskPriority.named("high") is TaskPriority.named(2) is TaskPriority.HIGH
    for nonsense in ("urgent", 7, None):
        with pytest.raises(ValueError, match="a priority is one of LOW, NORMAL, HIGH, CRITICAL"):
            TaskPriority.named(nonsense)

"""What ``explain`` says, word for word, in every situation."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from engine_room import Room

from windlass._core.explain import _ordinal
from windlass._core.outcome import Again, Cancelled, Err, Ok
from windlass._core.policies import Retry
from windlass._core.pools import Traits


def clock(room: Room, seconds: float) -> str:
    """The time of day so many seconds from now, as the reader's clock shows it."""
    moment, today = (
        datetime.fromtimestamp(room.wall + more, UTC).astimezone() for more in (seconds, 0)
    )
    return f"{moment:%H:%M:%S}" if moment.date() == today.date() else f"{moment:%Y-%m-%d %H:%M:%S}"


def test_completed():
    room = Room()
    task = room.running("a", retries=1)
    room.later(1.25)
    room.report(task)
    assert room.why(task) == "completed after 1.25 s"


def test_completed_with_the_second_attempt():
    room = Room()
    task = room.running("a", retries=1)
    room.report(task, Err(ValueError()))
    room.take()
    room.report(task)
    assert room.why(task) == "completed after 0.00 s, attempt 2"


def test_failed_by_an_exception():
    room = Room()
    task = room.running("a")
    room.later(0.5)
    room.report(task, Err(ValueError("whose text may be long")))
    assert room.why(task) == "failed after 0.50 s: ValueError"


def test_failed_by_a_verdict():
    room = Room()
    task = room.running("a", timeout=2.0)
    room.later(2.0)
    assert room.why(task) == (
        "failed after 2.00 s: a [a] took longer than its timeout of 2.0 s (attempt 1)"
    )


def test_failed_before_it_started():
    room = Room()
    task = room.add("a", held=True, total_timeout=2.0)
    room.later(2.0)
    assert room.why(task) == "failed: a [a] had not ended within its total_timeout of 2.0 s"


def test_crashed():
    room = Room()
    task = room.running("a", max_crashes=1)
    room.report(task, Err(OSError(), crashed=True))
    assert room.why(task) == "crashed after 0.00 s: OSError"


def test_cancelled():
    room = Room()
    assert room.why(room.cancelled("a")) == "cancelled: asked"
    running = room.running("b")
    room.later(3.0)
    room.engine.cancel(running, room.now, "the group failed")
    assert room.why(running) == "cancelled after 3.00 s: the group failed"


def test_cancelled_between_two_attempts():
    room = Room()
    task = room.running("a", retries=1, delay=60.0)
    room.later(1.0)
    room.report(task, Err(ValueError()))
    room.later(20.0)
    room.engine.cancel(task, room.now)
    assert room.why(task) == "cancelled: asked"


def test_running():
    room = Room()
    task = room.running("a")
    room.later(2.0)
    assert room.why(task) == "running for 2.00 s"


def test_running_with_progress():
    room = Room()
    task = room.running("a")
    room.engine.progress(task, 0.25, "")
    assert room.why(task) == "running for 0.00 s, 25% done"
    room.engine.progress(task, 0.5, "page 3 of 6")
    assert room.why(task) == "running for 0.00 s, 50% done (page 3 of 6)"


def test_running_again():
    room = Room()
    task = room.running("a", retries=2)
    room.report(task, Err(ValueError()))
    room.take()
    assert room.why(task) == "running for 0.00 s, attempt 2 of 3"


def test_running_again_after_a_crash_that_spent_no_retry():
    room = Room()
    task = room.running("a")
    room.report(task, Err(OSError(), crashed=True))
    assert room.why(task) == "crashed 1 of 2, 1st in line, 0 of 100 slots taken"
    room.take()
    assert room.why(task) == "running for 0.00 s, attempt 2 of 2"


def test_running_once_more_because_somebody_asked():
    room = Room()
    task = room.retry(room.failed("a"))[0]
    assert room.why(task) == "failed 1 of 2, 1st in line, 0 of 100 slots taken"
    room.take()
    assert room.why(task) == "running for 0.00 s, attempt 2 of 2"


def test_being_stopped():
    room = Room()
    task = room.running("a", executor="async")
    room.engine.cancel(task, room.now)
    assert room.why(task) == "running for 0.00 s; being stopped (asked)"


def test_waiting_for_another_task_while_it_runs():
    room = Room()
    task, target = room.running("a", executor="async"), room.running("b")
    wait = (target,)
    room.engine.waits.begin(task, wait)
    assert room.why(task) == "running for 0.00 s; it waits for `b` (running)"
    room.report(target)
    room.engine.waits.end(task, wait)
    assert room.why(task) == (
        "running for 0.00 s; what it waited for is there, it is in line for a slot"
    )


def test_waiting_for_something_else_than_a_task():
    room = Room()
    task = room.running("a", executor="async")
    room.engine.waits.begin(task, ())
    assert room.why(task) == (
        "running for 0.00 s; it waits for its manager, for room in a queue for instance"
    )


def test_waiting_for_dependencies():
    room = Room()
    tasks = [room.add(id, executor="external") for id in "abcde"]
    done = room.completed("f")
    one = room.add("one", done, tasks[0])
    assert room.why(one) == "waiting for `a` (pending)"
    many = room.add("many", *tasks)
    assert room.why(many) == "waiting for `a` (pending), `b` (pending), `c` (pending) and 2 more"


def test_waiting_for_dependencies_and_held():
    room = Room()
    task = room.add("b", room.add("a", held=True), held=True)
    assert room.why(task) == "waiting for `a` (pending); held until it is executed"


def test_waiting_for_a_task_that_is_tried_again():
    room = Room()
    a = room.running("a", retries=2, delay=45.0)
    b = room.add("b", a)
    room.report(a, Err(ValueError()))
    assert room.why(b) == f"waiting for `a` (failed 1 of 3, next try {clock(room, 45)})"


def test_held():
    room = Room()
    assert room.why(room.add("a", held=True)) == "held until it is executed"


def test_due_later():
    room = Room()
    assert room.why(room.add("a", due=90.0)) == f"next try {clock(room, 90)}"


def test_tried_again_later():
    room = Room()
    a = room.running("a", retries=2, delay=45.0)
    room.report(a, Err(ValueError()))
    assert room.why(a) == f"failed 1 of 3, next try {clock(room, 45)}"


def test_put_off():
    room = Room()
    a = room.running("a")
    room.report(a, Again(90.0))
    assert room.why(a) == f"snoozed 1 of 1, next try {clock(room, 90)}"


def test_due_at_a_time_of_today_and_of_another_day():
    room = Room()
    assert room.why(room.add("a", at=room.wall + 60)) == f"due {clock(room, 60)}"
    far = 40 * 86_400
    text = room.why(room.add("b", at=room.wall + far))
    assert text == f"due {clock(room, far)}"
    assert text.startswith("due 1970-02-")


def test_due_by_now_but_nobody_has_looked_yet():
    room = Room()
    task = room.add("a", due=1.0)
    room.now += 1.0
    assert room.why(task) == "due now"


def test_to_be_started_by_hand():
    room = Room()
    assert room.why(room.add("a", executor="external")) == "waiting to be started by hand"


def test_behind_the_thread_of_its_last_attempt():
    room = Room()
    task = room.running("a", executor="thread", retries=1, timeout=1.0)
    room.later(1.0)
    assert room.why(task) == (
        "timed out 1 of 2, waiting for the thread of its last attempt to leave"
    )


def test_ready_but_the_manager_is_paused():
    room = Room()
    task = room.add("a")
    room.engine.paused = True
    assert room.why(task) == "ready, but the manager is paused: call resume()"


def test_in_line_for_a_slot_of_its_executor():
    room = Room()
    for id in "ab":
        room.running(id)
    room.add("c")
    task = room.add("d")
    room.add("e")
    assert room.why(task) == "2nd in line, 2 of 2 slots of the 'process' executor taken"


def test_in_line_for_a_slot_of_the_manager():
    room = Room({"thread": Traits(slots=5)}, limit=1)
    room.running("a", executor="thread")
    task = room.add("b", executor="thread")
    assert room.why(task) == "1st in line, 1 of 1 slots taken"


@pytest.mark.parametrize(
    ("number", "text"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (12, "12th"), (13, "13th"),
     (20, "20th"), (21, "21st"), (102, "102nd"), (111, "111th"), (1_000_003, "1000003rd")],
)  # fmt: skip
def test_ordinals(number, text):
    assert _ordinal(number) == text


def test_outcomes_read_well_in_the_words_of_a_failing_test():
    assert repr(Ok(3)) == "Ok(3)"
    assert repr(Err(ValueError())) == "Err(ValueError)"
    assert repr(Err(OSError(), crashed=True)) == "Err(OSError, crashed)"
    assert repr(Again(1.5)) == "Again(1.5)"
    assert repr(Cancelled("asked")) == "Cancelled('asked')"
    room = Room()
    assert repr(room.add("a", retry=Retry(retries=2))) == "<Task a [a] pending, run 0>"

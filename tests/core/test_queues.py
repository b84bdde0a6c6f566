"""The ready queue: the most urgent first, then the longest waiting; ageing has its bounds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from windlass._core.queues import ReadyQueue
from windlass._core.spec import Spec
from windlass._core.states import CANCELLED, TaskPriority
from windlass._core.task import Task

LOW, NORMAL, HIGH, CRITICAL = TaskPriority
SPECS = {priority: Spec("t", "thread", priority=priority) for priority in TaskPriority}


def queued(queue: ReadyQueue, id: str, priority=NORMAL, at=0.0) -> Task:
    task = Task(id, SPECS[priority], at)
    queue.push(task)
    return task


def drop(queue: ReadyQueue, task: Task) -> None:
    task.status = CANCELLED
    queue.bury(task)


def ids(tasks) -> str:
    return "".join(task.id for task in tasks)


def everything(queue: ReadyQueue, now=0.0) -> str:
    return ids(iter(lambda: queue.pop(now), None))


def test_first_in_first_out_within_a_priority():
    queue = ReadyQueue(None)
    for id in "abc":
        queued(queue, id)
    assert len(queue) == 3
    assert everything(queue) == "abc"
    assert len(queue) == 0
    assert queue.pop(0.0) is None
    assert queue.urgency(0.0) is None


def test_the_higher_priority_goes_first():
    queue = ReadyQueue(None)
    for id, priority in zip("lnhc", TaskPriority, strict=True):
        queued(queue, id, priority)
    assert ids(queue) == "chnl"
    assert ids(queue.pop_many(2, 0.0)) == "ch"
    assert everything(queue) == "nl"


def test_waiting_raises_a_task_one_level_at_a_time():
    queue = ReadyQueue(60.0)
    queued(queue, "l", LOW, at=0.0)
    queued(queue, "n", NORMAL, at=100.0)
    queued(queue, "h", HIGH, at=100.0)
    assert queue.urgency(59.0) == (HIGH, -100.0)
    assert ids(queue.pop_many(1, 119.0)) == "h"  # the low one is normal by now
    assert ids(queue.pop_many(1, 119.0)) == "l"  # and has waited longer than the normal one


def test_nothing_starves_behind_high_and_nothing_delays_critical():
    queue = ReadyQueue(60.0)
    queued(queue, "l", LOW, at=0.0)
    queued(queue, "h", HIGH, at=1000.0)
    queued(queue, "c", CRITICAL, at=1000.0)
    assert everything(queue, now=1000.0) == "clh"


def test_without_ageing_the_low_wait_for_ever():
    queue = ReadyQueue(None)
    queued(queue, "l", LOW, at=0.0)
    queued(queue, "n", NORMAL, at=1e9)
    assert everything(queue, now=1e9) == "nl"


def test_among_equals_the_higher_priority_goes_first():
    queue = ReadyQueue(10.0)
    queued(queue, "n", NORMAL, at=0.0)
    queued(queue, "h", HIGH, at=0.0)
    assert everything(queue, now=10.0) == "hn"


def test_what_is_cancelled_while_it_queues_is_passed_over():
    queue = ReadyQueue(None)
    tasks = [
        queued(queue, id, priority)
        for id, priority in zip("abcd", [NORMAL, NORMAL, HIGH, HIGH], strict=True)
    ]
    drop(queue, tasks[0])
    drop(queue, tasks[2])
    assert len(queue) == 2
    assert queue.sizes() == {LOW: 0, NORMAL: 1, HIGH: 1, CRITICAL: 0}
    assert ids(queue) == "db"
    assert ids(queue.pop_many(9, 0.0)) == "db"


def test_the_one_line_there_is_passes_over_the_dead_as_well():
    queue = ReadyQueue(None)
    tasks = [queued(queue, id) for id in "abc"]
    drop(queue, tasks[0])
    assert ids(queue.pop_many(1, 0.0)) == "b"
    assert ids(queue.pop_many(5, 0.0)) == "c"
    assert len(queue) == 0


def test_a_queue_that_is_mostly_dead_is_swept():
    queue = ReadyQueue(None)
    tasks = [queued(queue, "x") for _ in range(1000)]
    last = queued(queue, "a", HIGH)
    for task in tasks:
        drop(queue, task)
        assert sum(len(line) for line in queue._levels) <= 2 * len(queue) + 65
    assert list(queue) == [last]


entries = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.sampled_from(TaskPriority)),
        st.tuples(st.just("bury"), st.integers(0, 100)),
        st.tuples(st.just("pop"), st.integers(1, 4)),
        st.tuples(st.just("wait"), st.sampled_from([0.0, 0.5, 1.0, 7.0])),
    ),
    max_size=60,
)


@given(entries, st.sampled_from([None, 1.0, 5.0]))
def test_it_is_a_slow_sorted_list(steps, age_every):
    queue, naive, now = ReadyQueue(age_every), [], 0.0

    def rank(task):
        level = int(task.spec.priority)
        if age_every is not None and level < HIGH:
            level = min(int(HIGH), level + int((now - task.queued_at) / age_every))
        return (-level, task.queued_at, -task.spec.priority)

    for number, (verb, value) in enumerate(steps):
        if verb == "push":
            naive.append(queued(queue, str(number), value, now))
        elif verb == "wait":
            now += value
        elif verb == "bury" and naive:
            drop(queue, naive.pop(value % len(naive)))
        elif verb == "pop":
            expected = sorted(naive, key=rank)[:value]
            assert queue.pop_many(value, now) == expected
            naive = [task for task in naive if task not in expected]
        assert len(queue) == len(naive)
        assert set(queue) == set(naive)
        assert all(task.queued for task in naive)
        front = min(naive, key=rank, default=None)
        urgency = queue.urgency(now)
        assert urgency == (front and (-rank(front)[0], -front.queued_at))

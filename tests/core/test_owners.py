"""Owners: whoever has least goes first; what comes back stands where it was."""

from __future__ import annotations

from collections import deque

from engine_room import Room
from hypothesis import given
from hypothesis import strategies as st

from windlass._core.flow import Gate
from windlass._core.levels import Level, Line
from windlass._core.queues import ReadyQueue
from windlass._core.spec import Spec
from windlass._core.states import CANCELLED, RUNNING, TaskPriority
from windlass._core.task import Task

OWNERS = [None, "x", "y", "z"]
SPECS = {owner: Spec("t", "thread", owner=owner) for owner in OWNERS}

steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(OWNERS)),
        st.tuples(st.just("put"), st.sampled_from(OWNERS)),
        st.tuples(st.just("pop"), st.just(None)),
        st.tuples(st.just("back"), st.integers(0, 100)),
        st.tuples(st.just("bury"), st.integers(0, 100)),
        st.tuples(st.just("leave"), st.integers(0, 100)),
    ),
    max_size=80,
)


class NaiveLevel:
    """The same in lists: who waits, who has what, and when each owner last had a turn."""

    def __init__(self):
        self.waiting: list[Task] = []
        self.behind: list[Task] = []
        self.turns = {}
        self.turn = 0

    def owners(self):
        return {task.spec.owner for task in self.waiting}

    def put(self, task):
        owner = task.spec.owner
        if owner not in self.owners():
            # New ones stand behind everybody who has had a turn; those without owner are never
            # new, and when it is that an owner without tasks is forgotten is not laid down.
            soonest, _ = self.turns.get(owner, (self.turn, 0) if owner is not None else (0, 0))
            self.turns[owner] = (soonest, self.turn if owner is not None else soonest)
        self.waiting.append(task)

    def has(self, owner):
        return sum(task.spec.owner == owner for task in self.behind)

    def expected(self):
        """The owners that may be next, and of each the first in line."""
        least = min((self.has(owner), self.turns[owner][1]) for owner in self.owners())
        return [
            min(
                (task for task in self.waiting if task.spec.owner == owner),
                key=lambda task: task.queued_at,
            )
            for owner in self.owners()
            if (self.has(owner), self.turns[owner][0]) <= least
        ]

    def pop(self, task):
        self.waiting.remove(task)
        self.behind.append(task)
        self.turn += 1
        self.turns[task.spec.owner] = (self.turn, self.turn)


@given(steps)
def test_it_is_fair_as_lists_would_be(steps):
    queue, naive = ReadyQueue(None), NaiveLevel()
    for number, (verb, value) in enumerate(steps):
        if verb == "put":
            task = Task(str(number), SPECS[value], 0.0)
            task.queued_at = float(number)
            queue.put(task)
            naive.put(task)
        elif verb == "pop" and naive.waiting:
            head = queue.head(0.0, len(naive.behind))
            allowed = naive.expected()
            assert head in allowed
            assert queue.pop(0.0, len(naive.behind)) is head
            naive.pop(head)
            if head.spec.owner is not None:
                queue.hold(head.spec.owner, 1)
        elif verb == "bury" and naive.waiting:
            task = naive.waiting.pop(value % len(naive.waiting))
            task.status = CANCELLED
            queue.bury(task)
        elif verb in {"leave", "back"} and naive.behind:
            task = naive.behind.pop(value % len(naive.behind))
            if task.spec.owner is not None:
                queue.hold(task.spec.owner, -1)
            if verb == "back":
                queue.put(task, back=True)
                naive.put(task)
        assert len(queue) == len(naive.waiting)
        assert set(queue) == set(naive.waiting)
        assert (queue.head(0.0, len(naive.behind)) is None) == (not naive.waiting)


def test_one_with_a_hundred_tasks_does_not_keep_the_others_waiting():
    room = Room()
    for number in range(100):
        room.add(f"big{number}", executor="async", owner="big")
    for owner in ("small", "tiny"):
        for number in range(3):
            room.add(f"{owner}{number}", executor="async", owner=owner)
    taken = room.take()
    assert sorted(id.rstrip("0123456789") for id in taken) == (
        ["big"] * 4 + ["small"] * 3 + ["tiny"] * 3
    )


def test_those_without_owner_share_one_turn():
    room = Room()
    for number in range(20):
        room.add(f"n{number}", executor="async")
        room.add(f"o{number}", executor="async", owner="o")
    assert sum(id.startswith("o") for id in room.take()) == 5


def test_a_higher_priority_goes_first_whoever_owns_it():
    room = Room()
    room.running("first", owner="x")
    room.add("low", owner="y")
    room.add("high", owner="x", priority=TaskPriority.HIGH)
    assert room.take() == ["high"]


def test_what_an_owner_has_given_back_counts_no_more():
    room = Room(limit=2)
    x = room.running("a", executor="async", owner="x")
    room.running("b", executor="async", owner="y")
    room.add("c", executor="async", owner="y")
    room.add("d", executor="async", owner="x")
    room.report(x)
    assert room.take() == ["d"]


def test_a_stream_of_new_owners_starves_nobody():
    room = Room(limit=1)
    room.add("old", executor="async", owner="old")
    started = []
    for number in range(5):
        room.add(f"new{number}", executor="async", owner=f"o{number}")
        started += room.take()
        room.report(room.engine.tasks[started[-1]])
    assert "old" in started[:2]


def test_at_a_gate_owners_are_fair_as_well():
    room = Room()
    room.engine.add_gate(Gate("api", slots=2), room.now)
    gates = (("api", 1),)
    for number in range(4):
        room.add(f"x{number}", executor="async", gates=gates, owner="x")
    assert room.take() == ["x0", "x1"]
    room.add("y", executor="async", gates=gates, owner="y")
    room.report(room.engine.tasks["x0"])
    assert room.take() == ["y"]


def test_an_owner_who_comes_first_at_a_gate_passes_although_others_wait():
    room = Room()
    room.engine.add_gate(Gate("api", slots=2), room.now)
    room.running("held", executor="async", gates=(("api", 1),), owner="x")
    # Both are in the line of their executor when the gate's line is still empty.
    room.add("heavy", executor="async", gates=(("api", 2),), owner="x")
    room.add("light", executor="async", gates=(("api", 1),), owner="y")
    assert room.take() == ["light"]


def test_a_line_takes_back_what_has_left_it_where_it_was():
    tasks = [Task(id, SPECS[None], float(at)) for at, id in enumerate("abcd")]
    line = Line(deque())
    for task in tasks:
        line.add(task, back=False)
    taken = []
    for _ in range(2):
        taken.append(line.head())
        line.pop(taken[-1])
    for task in reversed(taken):
        line.add(task, back=True)
    assert "".join(task.id for task in sorted(line, key=lambda task: task.queued_at)) == "abcd"
    order = ""
    while (head := line.head()) is not None:
        order += head.id
        line.pop(head)
    assert order == "abcd"


def test_the_heap_of_owners_is_swept():
    level = Level(deque(), {})
    level.add(Task("a", SPECS["x"], 0.0), back=False)
    for _ in range(1000):
        level.rank("x")
        assert len(level._heap) <= 2 * len(level._lines) + 65
    assert level.head(0).id == "a"


def test_a_queue_with_owners_that_is_mostly_dead_is_swept():
    queue = ReadyQueue(None)
    tasks = [Task(str(n), SPECS[OWNERS[n % 4]], 0.0) for n in range(400)]
    for task in tasks:
        queue.put(task, back=task.spec.owner == "z")
    for task in tasks[:-1]:
        task.status = CANCELLED
        queue.bury(task)
    entries = sum(1 for level in queue._levels for _ in level)
    assert entries <= 2 * len(queue) + 65
    assert list(queue) == tasks[-1:]


def test_a_turn_that_leads_to_a_full_gate_is_none():
    """Three owners share two slots of a gate, beside work that needs none: a third for each."""
    room = Room(limit=3)
    room.engine.add_gate(Gate("api", slots=2), room.now)
    for owner in "abc":
        for number in range(60):
            room.add(f"{owner}{number}", executor="async", gates=(("api", 1),), owner=owner)
    for number in range(60):
        room.add(f"free{number}", executor="async")
    passed = {"a": 0, "b": 0, "c": 0, "f": 0}
    for _ in range(30):
        for id in room.take():
            passed[id[0]] += 1
        room.later(1.0)
        for task in [*room.engine.tasks.values()]:
            if task.status is RUNNING:
                room.report(task)
    assert passed == {"a": 20, "b": 20, "c": 20, "f": 30}

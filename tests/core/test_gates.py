"""Gates: all of them and the slot together or none; parked, nobody is in anybody's way."""

from __future__ import annotations

import pytest
from engine_room import Room

from windlass._core.change import GateChange
from windlass._core.flow import Adaptive, Breaker, Gate, Rate
from windlass._core.metrics import measure
from windlass._core.outcome import Again, Cancelled, Err
from windlass._core.queues import ReadyQueue
from windlass._core.spec import Spec
from windlass._core.states import CANCELLED, RUNNING, TaskPriority
from windlass._core.task import Task
from windlass.errors import DeadlockError, QueueFullError


def room_with(*gates: Gate, **options) -> Room:
    room = Room(**options)
    for gate in gates:
        room.engine.add_gate(gate, room.now)
    return room


def add(room: Room, id: str, *gates: str, executor="async", **options):
    """Gates are named as "api", or with a weight as "api2"."""
    named = tuple(
        (name.rstrip("0123456789"), int(name[-1])) for name in gates if name[-1].isdigit()
    )
    named += tuple((name, 1) for name in gates if not name[-1].isdigit())
    return room.add(id, executor=executor, gates=named, **options)


def stands(room: Room, name: str) -> tuple[int, int, int, int]:
    """What is held, how many were called, are in line and pending at a gate."""
    gate = room.engine.turnstiles.all[name]
    return gate.held, len(gate.called), gate.waiting, gate.pending


def end(room: Room, *ids: str) -> None:
    for id in ids:
        room.report(room.engine.tasks[id])


# -- passing ---------------------------------------------------------------------------------------


def test_slots_of_one_are_a_lock():
    room = room_with(Gate("lock", slots=1))
    for id in "abc":
        add(room, id, "lock")
    assert room.take() == ["a"]
    assert stands(room, "lock") == (1, 0, 2, 2)
    end(room, "a")
    assert stands(room, "lock") == (0, 1, 1, 2)
    assert room.take() == ["b"]
    end(room, "b")
    assert room.take() == ["c"]
    end(room, "c")
    assert stands(room, "lock") == (0, 0, 0, 0)


def test_who_waits_at_a_gate_is_in_nobodys_way():
    room = room_with(Gate("lock", slots=1), limit=2)
    for id in "abcd":
        add(room, id, "lock")
    add(room, "free")
    assert room.take() == ["a", "free"]


def test_two_gates_are_taken_together_or_neither():
    room = room_with(Gate("api", slots=1), Gate("gpu", slots=1))
    add(room, "a", "gpu")
    add(room, "b", "api", "gpu")
    add(room, "c", "api")
    assert room.take() == ["a", "c"]  # b holds no api while it waits for the gpu
    end(room, "c")
    end(room, "a")
    assert room.take() == ["b"]
    assert (stands(room, "api"), stands(room, "gpu")) == ((1, 0, 0, 0), (1, 0, 0, 0))


def test_the_light_do_not_starve_the_heavy():
    room = room_with(Gate("gpu", slots=2))
    add(room, "a", "gpu")
    add(room, "heavy", "gpu2")
    add(room, "light", "gpu")
    assert room.take() == ["a"]
    late = add(room, "late", "gpu")
    assert (late.queued, late.notes.parked) == (True, "gpu")
    end(room, "a")
    assert room.take() == ["heavy"]
    end(room, "heavy")
    assert room.take() == ["light", "late"]


def test_priority_goes_first_at_a_gate():
    room = room_with(Gate("lock", slots=1))
    add(room, "a", "lock")
    room.take()
    add(room, "b", "lock")
    add(room, "high", "lock", priority=TaskPriority.HIGH)
    room.take()
    add(room, "critical", "lock", priority=TaskPriority.CRITICAL)
    order = []
    for id in ("a", "critical", "high"):
        end(room, id)
        order += room.take()
    assert order == ["critical", "high", "b"]


def test_who_is_first_and_light_enough_passes_at_once_before_the_heavy():
    room = room_with(Gate("gpu", slots=2))
    add(room, "a", "gpu")
    add(room, "heavy", "gpu2")
    room.take()
    add(room, "high", "gpu", priority=TaskPriority.HIGH)
    assert room.take() == ["high"]


def test_a_rate_lets_the_next_one_pass_by_itself():
    room = room_with(Gate("api", rate=Rate(2, per=10.0)))
    for id in "abc":
        add(room, id, "api")
    assert room.take() == ["a", "b"]
    assert room.engine.next_deadline(room.now, room.wall) == 110.0
    room.later(9.99)
    assert room.take() == []
    room.later(0.01)
    assert room.take() == ["c"]
    assert room.engine.alarms.next() is None


def test_a_called_task_goes_before_its_equals_and_after_those_who_outrank_it():
    room = room_with(Gate("lock", slots=1))
    add(room, "a", "lock")
    room.take()
    add(room, "b", "lock", executor="remote")
    room.take()
    end(room, "a")
    assert stands(room, "lock") == (0, 1, 0, 1)
    room.later(1.0)
    add(room, "c", "lock")
    add(room, "high", "lock", priority=TaskPriority.HIGH)
    assert room.take() == ["high"]
    end(room, "high")
    assert room.take() == ["b"]


def test_a_gate_does_not_wait_for_a_task_whose_executor_is_full():
    room = room_with(Gate("lock", slots=1))
    add(room, "a", "lock")
    room.take()
    add(room, "b", "lock", executor="remote")
    room.take()
    add(room, "c", "lock")
    for id in "xy":
        room.running(id, executor="remote")
    end(room, "a")
    assert room.take() == ["c"]


def test_who_has_no_slot_does_not_hold_up_others_though_it_is_heavy():
    room = room_with(Gate("gpu", slots=2))
    add(room, "a", "gpu")
    add(room, "heavy", "gpu2", executor="remote")
    room.later(1.0)
    add(room, "light", "gpu")
    assert room.take() == ["a"]  # the heavy one has a slot, so it is waited for
    for id in "xy":
        room.running(id, executor="remote")  # and now it has none
    assert room.engine.tasks["light"].status is RUNNING
    end(room, "a", "light", "x")
    assert room.take() == ["heavy"]


def test_who_comes_first_at_a_gate_does_so_whatever_its_executor():
    room = room_with(Gate("lock", slots=1))
    add(room, "a", "lock")
    room.take()
    for id, executor in (("b", "remote"), ("c", "async"), ("d", "remote")):
        room.later(1.0)
        add(room, id, "lock", executor=executor)
    order = room.take()
    for id in "abc":
        end(room, id)
        order += room.take()
    assert order == ["b", "c", "d"]


def test_first_of_a_line_is_who_comes_back_to_it_if_more_urgent_than_who_was_called():
    room = room_with(Gate("api", slots=1))
    add(room, "a", "api")
    room.take()
    called = add(room, "called", "api", executor="remote")
    room.take()
    end(room, "a")
    gate = room.engine.turnstiles.all["api"]
    assert gate.first("remote", room.now) is called
    back = room.make("back", gates=(("api", 1),), executor="remote", priority=TaskPriority.HIGH)
    gate.line("remote").put(back, back=True)
    assert gate.first("remote", room.now) is back


def test_the_most_urgent_of_those_who_miss_is_favoured():
    """Who is favoured waits for those who outrank it: could these miss for ever, so would it."""
    room = room_with(Gate("api", slots=1), Gate("gpu", slots=1))
    add(room, "holder", "gpu")
    room.take()
    urgent = add(room, "urgent", "api", "gpu", priority=TaskPriority.HIGH)
    other = add(room, "other", "api", "gpu", owner="tenant")
    stiles = room.engine.turnstiles
    for task, favoured in ((other, other), (urgent, urgent), (other, urgent)):
        task.noted.turned_away = 3
        task.noted.called = "gpu"  # in vain once more: somebody holds it
        if (line := stiles.all["gpu"].lines.get("async")) is not None and task.noted.parked:
            line.bury(task)
            stiles.parked -= 1
            task.noted.parked = None
        stiles.all["gpu"].called["async"] = task
        assert not stiles.enter(task, room.now)
        assert stiles.favoured is favoured


def test_room_is_kept_at_last_for_one_whose_executor_is_never_free_when_the_gate_is():
    room = room_with(Gate("lock", slots=1))
    add(room, "a0", "lock")
    for id in ("x0", "x1"):
        room.running(id, executor="remote")
    room.later(1.0)
    task = add(room, "task", "lock", executor="remote")
    room.later(1.0)
    for number in range(1, 6):
        add(room, f"x{number + 1}", executor="remote")
        end(room, f"x{number - 1}")
        assert room.take() == [f"x{number + 1}"]  # the gate was taken
        assert task.noted.turned_away == number - 1
        add(room, f"a{number}", "lock")
        end(room, f"a{number - 1}")
        assert room.take() == ([f"a{number}"] if number < 5 else [])
    end(room, "x5")
    assert room.take() == ["task"]
    end(room, "task")
    assert room.take() == ["a5"]


def test_owners_take_turns_at_a_gate_though_their_executors_differ():
    room = room_with(Gate("lock", slots=1))
    for number in range(4):
        add(room, f"g{number}", "lock", owner="giant", executor="remote")
    room.take()
    room.later(1.0)
    for number in range(2):
        add(room, f"s{number}", "lock", owner="small")
    order = room.take()
    for id in ("g0", "s0", "g1", "s1"):
        end(room, id)
        order += room.take()
    assert order == ["s0", "g1", "s1", "g2"]  # and not by who came first


def test_a_task_that_is_turned_away_too_often_is_favoured():
    room = room_with(Gate("api", slots=1), Gate("gpu", slots=1))
    add(room, "a0", "api")
    add(room, "g0", "gpu")
    room.take()
    both = add(room, "both", "api", "gpu")
    room.take()
    on, gone = ["a0", "g0"], 0
    for number in range(1, 30):
        # One gate is always taken again just when the other one is free.
        name = ("api", "gpu")[number % 2]
        add(room, f"{name[0]}{number}", name, priority=TaskPriority.HIGH)
        end(room, next(id for id in on if id[0] == name[0]))
        on = [id for id in on if id[0] != name[0]] + room.take()
        gone = number
        if both.status is RUNNING:
            break
        assert both.noted.turned_away <= 4 or room.engine.turnstiles.favoured is both
    for id in [id for id in on if id != "both"]:
        end(room, id)
    room.take()
    assert both.status is RUNNING
    assert gone <= 29
    assert room.engine.turnstiles.favoured is None


def favoured(room: Room) -> None:
    """Make "both", which needs api and gpu, the favoured one; it waits at gpu."""
    task = add(room, "both", "api", "gpu")
    room.take()
    for number in range(4):
        task.noted.turned_away = number
    room.engine.turnstiles.favoured = task


def test_room_is_kept_for_the_favoured_until_it_passes_or_ends():
    for ended in (False, True):
        room = room_with(Gate("api", slots=1), Gate("gpu", slots=1))
        add(room, "g", "gpu")
        room.take()
        favoured(room)
        add(room, "a", "api")
        assert room.take() == []
        if ended:
            room.engine.cancel(room.engine.tasks["both"], room.now)
            assert room.take() == ["a"]
        else:
            end(room, "g")
            assert room.take() == ["both"]
        assert room.engine.turnstiles.favoured is None


def test_the_favoured_waits_for_those_who_outrank_it():
    room = room_with(Gate("api", slots=2), Gate("gpu", slots=1))
    add(room, "a", "api")
    add(room, "g", "gpu")
    room.take()
    favoured(room)
    add(room, "heavy", "api2", priority=TaskPriority.HIGH)
    room.take()
    end(room, "g")
    assert room.take() == []
    assert room.engine.tasks["both"].noted.parked == "api"
    end(room, "a")
    assert room.take() == ["heavy"]
    end(room, "heavy")
    assert room.take() == ["both"]


def test_where_there_are_owners_the_favoured_waits_for_no_other_executor():
    room = room_with(Gate("api", slots=3), Gate("gpu", slots=1))
    for id in "ab":
        add(room, id, "api")
    room.take()
    add(room, "heavy", "api3", owner="x", executor="remote")
    room.take()
    room.later(1.0)
    favoured(room)
    end(room, "b")
    assert room.take() == ["both"]


def test_room_is_kept_for_the_favoured_where_it_waits_if_its_executor_has_no_slot():
    room = room_with(Gate("gpu", slots=2))
    add(room, "g", "gpu")
    room.take()
    heavy = add(room, "heavy", "gpu2", executor="remote")
    room.take()
    room.engine.turnstiles.favoured = heavy
    for id in "xy":
        room.running(id, executor="remote")
    room.later(1.0)
    add(room, "light", "gpu")
    assert room.take() == []
    room.engine.cancel(heavy, room.now)
    assert room.take() == ["light"]


def test_two_that_need_the_same_two_gates_do_not_hold_each_other_up():
    room = room_with(Gate("api", slots=1), Gate("gpu", slots=1))
    ids = [f"t{number}" for number in range(8)]
    for number, id in enumerate(ids):
        add(room, id, *(("api", "gpu") if number % 2 else ("gpu", "api")))
    done = []
    while len(done) < len(ids):
        taken = room.take()
        assert len(taken) == 1
        end(room, *taken)
        done += taken
    assert sorted(done) == ids


def test_tasks_that_need_two_gates_to_be_probed_find_a_way():
    room = room_with(*(Gate(name, breaker=Breaker(1, reset=1.0)) for name in ("api", "gpu")))
    add(room, "x", "api", "gpu")
    room.take()
    room.report(room.engine.tasks["x"], Err(ValueError()))
    for number in range(6):
        add(room, f"t{number}", *(("api", "gpu") if number % 2 else ("gpu", "api")))
    assert room.take() == []
    room.later(1.0)
    taken = room.take()
    assert len(taken) == 1
    end(room, *taken)
    assert len(room.take()) == 5


# -- giving back -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "outcome",
    [None, Err(ValueError()), Err(OSError(), crashed=True), Cancelled("gave up"), Again(5)],
)
def test_however_a_run_ends_everything_is_given_back_once(outcome):
    room = room_with(Gate("gpu", slots=3))
    task = add(room, "a", "gpu2")
    room.take()
    room.report(task, outcome)
    assert stands(room, "gpu")[0] == 0
    room.report(task, outcome, run=1)  # said twice
    assert stands(room, "gpu")[0] == 0


def test_a_thread_that_cannot_be_stopped_keeps_its_gates_until_it_leaves():
    room = room_with(Gate("lock", slots=1))
    task = add(room, "a", "lock", executor="thread")
    room.take()
    add(room, "b", "lock")
    room.engine.cancel(task, room.now)
    assert task.status is CANCELLED
    assert room.take() == []
    room.report(task)
    assert room.take() == ["b"]


@pytest.mark.parametrize("how", ["cancel", "expire"])
def test_whoever_ends_in_line_leaves_no_gap(how):
    room = room_with(Gate("gpu", slots=2))
    add(room, "a", "gpu")
    heavy = add(room, "heavy", "gpu2", expires=5.0)
    add(room, "light", "gpu")
    room.take()
    if how == "cancel":
        room.engine.cancel(heavy, room.now)
    else:
        room.later(5.0)
    assert room.take() == ["light"]
    assert stands(room, "gpu") == (2, 0, 0, 0)


def test_a_promise_is_given_back_as_well():
    room = room_with(Gate("lock", slots=1))
    add(room, "a", "lock")
    b = add(room, "b", "lock")
    add(room, "c", "lock")
    room.take()
    end(room, "a")
    room.engine.cancel(b, room.now)
    assert room.take() == ["c"]


def test_what_is_started_by_hand_passes_by_hand():
    room = room_with(Gate("lock", slots=1))
    task = add(room, "a", "lock", executor="external")
    assert stands(room, "lock") == (0, 0, 0, 1)
    assert room.engine.start_by_hand(task, room.now)
    assert stands(room, "lock") == (0, 0, 0, 0)


# -- asking ----------------------------------------------------------------------------------------


def test_what_can_never_pass_is_refused_at_once():
    room = room_with(Gate("gpu", slots=2), Gate("api", rate=Rate(5, 1.0, burst=3)))
    with pytest.raises(ValueError, match="takes 3 of the gate 'gpu', which lets at most 2 through"):
        add(room, "a", "gpu3")
    with pytest.raises(ValueError, match="takes 4 of the gate 'api', which lets at most 3 through"):
        add(room, "a", "api4")
    with pytest.raises(ValueError, match="names the gate 'db', but the manager has 'api', 'gpu'"):
        add(room, "a", "db")
    with pytest.raises(ValueError, match="but the manager has none"):
        add(Room(), "a", "db")
    assert room.engine.tasks == {}


def test_max_pending_bounds_who_has_not_passed():
    room = room_with(Gate("api", slots=1, max_pending=2), Gate("db"))
    add(room, "a", "api")
    room.take()
    for id in "bc":
        add(room, id, "api")
    with pytest.raises(QueueFullError, match="2 tasks are waiting for the gate 'api'") as caught:
        add(room, "d", "api")
    assert caught.value.details == {"gate": "api"}
    several = [room.make(id, executor="async", gates=(("api", 1),)) for id in "ef"]
    with pytest.raises(
        QueueFullError, match="gate 'api' and 2 more do not fit: its max_pending is"
    ):
        room.engine.add_all([*several, room.make("g", executor="async")], room.now)
    assert room.engine.turnstiles.all["api"].refused == 4
    end(room, "a")
    room.take()
    add(room, "d", "api")


def test_a_gate_is_given_once():
    room = room_with(Gate("api"))
    with pytest.raises(ValueError, match="there is a gate 'api' already; change it instead"):
        room.engine.add_gate(Gate("api"), room.now)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"name": ""}, TypeError, "a gate has a name, which is a text, not ''"),
        ({"name": 3}, TypeError, "a gate has a name, which is a text, not 3"),
        ({"slots": 0}, ValueError, "slots must be at least 1"),
        ({"slots": "many"}, TypeError, "slots is a whole number"),
        ({"rate": 5}, TypeError, r"rate= takes Rate(...), not 5"),
        ({"breaker": 5}, TypeError, r"breaker= takes Breaker(...), not 5"),
        ({"max_pending": 0}, ValueError, "max_pending must be at least 1"),
    ],
)
def test_a_gate_refuses_nonsense(options, error, says):
    with pytest.raises(error) as caught:
        Gate(**{"name": "api", **options})
    assert says in str(caught.value)


# -- changing --------------------------------------------------------------------------------------


def test_more_slots_let_more_pass_and_fewer_disturb_nobody():
    room = room_with(Gate("gpu", slots=1))
    for id in "abcd":
        add(room, id, "gpu")
    assert room.take() == ["a"]
    turnstiles = room.engine.turnstiles
    gate = turnstiles.all["gpu"]
    turnstiles.change(gate, room.now, slots=3)
    assert room.take() == ["b", "c"]
    turnstiles.change(gate, room.now, slots=1)
    end(room, "a", "b")
    assert room.take() == []
    turnstiles.change(gate, room.now, slots=Adaptive(2, 8))
    assert (gate.slots, turnstiles.adapts) == (2, True)
    assert room.take() == ["d"]


def test_who_was_let_in_when_the_gate_was_wider_passes_alone():
    room = room_with(Gate("gpu", slots=3))
    add(room, "a", "gpu")
    room.take()
    for id, gate in (("heavy", "gpu3"), ("light", "gpu")):
        add(room, id, gate)
    turnstiles = room.engine.turnstiles
    turnstiles.change(turnstiles.all["gpu"], room.now, slots=2)
    assert room.take() == []
    end(room, "a")
    assert room.take() == ["heavy"]
    end(room, "heavy")
    assert room.take() == ["light"]
    with pytest.raises(ValueError, match="takes 3 of the gate 'gpu', which lets at most 2 through"):
        add(room, "late", "gpu3")


def test_who_was_let_in_when_the_rate_was_faster_passes_when_nothing_else_does():
    room = room_with(Gate("api", rate=Rate(3, per=10.0)))
    add(room, "a", "api2")
    room.take()
    for id, gate in (("heavy", "api3"), ("light", "api")):
        add(room, id, gate)
    room.take()
    turnstiles = room.engine.turnstiles
    turnstiles.change(turnstiles.all["api"], room.now, rate=Rate(2, per=20.0))
    room.later(19.0)
    assert room.take() == []
    room.later(1.0)
    assert room.take() == ["heavy"]
    room.later(20.0)
    assert room.take() == ["light"]


def test_a_faster_rate_counts_at_once_and_one_may_be_set_later():
    room = room_with(Gate("api", rate=Rate(1, per=100.0)), Gate("db"))
    for id in "abc":
        add(room, id, "api", "db")
    assert room.take() == ["a"]
    turnstiles = room.engine.turnstiles
    turnstiles.change(turnstiles.all["api"], room.now, rate=Rate(2, per=100.0))
    assert room.take() == ["b"]
    turnstiles.change(turnstiles.all["db"], room.now, rate=Rate(1, per=5.0))
    assert turnstiles.all["db"].rate == Rate(1, per=5.0)
    assert turnstiles.all["db"].breaker is None


def test_nobody_waits_for_a_slower_rate_that_was():
    room = room_with(Gate("api", rate=Rate(1, per=3600.0, burst=1)))
    for id in "abc":
        add(room, id, "api")
    assert room.take() == ["a"]
    turnstiles = room.engine.turnstiles
    turnstiles.change(turnstiles.all["api"], room.now, rate=Rate(10, per=10.0, burst=1))
    assert room.take() == []
    room.later(1.0)
    assert room.take() == ["b"]


# -- being told about it ---------------------------------------------------------------------------


def test_why_a_task_waits_at_a_gate():
    room = room_with(
        Gate("gpu", slots=2),
        Gate("api", rate=Rate(1, per=30.0)),
        Gate("db", breaker=Breaker(1, reset=60.0)),
    )
    for id, gate in (("g", "gpu2"), ("a", "api"), ("d", "db")):
        add(room, id, gate)
    room.take()
    slots, rate = add(room, "g2", "gpu"), add(room, "a2", "api")
    room.report(room.engine.tasks["d"], Err(ValueError()))
    is_open = add(room, "d2", "db")
    room.take()
    assert room.why(slots) == "1st in line at gate `gpu`, 2 of 2 taken"
    assert room.why(rate).startswith("1st in line at gate `api`, 1 per 30 s, the next ")
    assert "which is open after failures; it tries again " in room.why(is_open)
    room.later(60.0)
    add(room, "d3", "db")
    late = add(room, "d4", "db")
    room.take()
    assert "which waits for one task to show whether it works again" in room.why(late)
    turnstiles = room.engine.turnstiles
    heavy = add(room, "heavy", "gpu2")
    turnstiles.change(turnstiles.all["gpu"], room.now, slots=1)
    room.take()
    alone = "2nd in line at gate `gpu`, 2 of 1 taken, and it takes 2: it passes alone"
    assert room.why(heavy) == alone


def test_why_a_task_waits_for_those_who_wait():
    """The gate was made narrower meanwhile: that nobody will leave is for people to see."""
    room = room_with(Gate("gpu", slots=2))
    parent = add(room, "parent", "gpu")
    room.take()
    child = add(room, "child", "gpu", due=5.0)
    room.engine.waits.begin(parent, (child,))
    gate = room.engine.turnstiles.all["gpu"]
    room.engine.turnstiles.change(gate, room.now, slots=1)
    room.later(5.0)
    assert room.take() == []
    assert room.why(child) == (
        "1st in line at gate `gpu`, 1 of 1 taken, 1 by tasks that wait for others"
    )


def test_a_task_that_is_first_and_kept_back_for_another_is_explained_as_well():
    room = room_with(Gate("api"), Gate("gpu", slots=1))
    add(room, "g", "gpu")
    room.take()
    task = add(room, "both", "gpu", "api")
    room.take()
    task.noted.parked = "api"  # as if what it waited for had just been given up
    room.engine.turnstiles.all["api"].line("async").put(task)
    assert room.why(task) == "1st in line at gate `api`, 0 taken"


def test_the_figures_of_a_gate():
    room = room_with(Gate("gpu", slots=2, max_pending=9), Gate("api", breaker=Breaker(1, 1.0)))
    add(room, "a", "gpu2")
    room.take()
    add(room, "b", "gpu")
    room.take()
    gates = measure(room.engine, abandoned_threads=0, dropped_changes=0).gates
    gpu, api = gates["gpu"], gates["api"]
    assert (gpu.slots, gpu.held, gpu.waiting, gpu.pending, gpu.max_pending) == (2, 2, 1, 1, 9)
    assert (gpu.state, api.state, gpu.rate, gpu.refused) == (None, "closed", None, 0)


def test_a_move_of_a_breaker_has_a_public_face():
    change = GateChange.of(("api", "closed", "open", 100.0, "OSError of a"), 1000.0)
    assert change == ("api", "closed", "open", 1100.0, "OSError of a")


# -- lines -----------------------------------------------------------------------------------------


def test_a_newcomer_waits_behind_its_own_owners_others():
    room = room_with(Gate("gpu", slots=3))
    add(room, "a", "gpu2", owner="x")
    room.take()
    add(room, "x1", "gpu2", owner="x")
    add(room, "x2", "gpu", owner="x")  # in the line of its executor, like the one before
    assert room.take() == []
    assert [task.id for task in room.engine.turnstiles.all["gpu"]] == ["x1", "x2"]


def test_a_line_of_the_dead_stops_nobody():
    queue = ReadyQueue(None)
    task, dead = (Task(id, Spec("t", "async"), 0.0) for id in "ab")
    queue.put(dead)
    dead.status = CANCELLED  # and is about to be buried
    assert not queue.precedes(task, 0.0, 0, back=False)


def test_one_of_its_own_owner_goes_before_it_though_another_owner_is_next():
    queue = ReadyQueue(None)
    specs = {owner: Spec("t", "async", owner=owner) for owner in "xy"}
    for id, owner, at in (("x1", "x", 1.0), ("y3", "y", 3.0)):
        task = Task(id, specs[owner], 0.0)
        task.queued_at = at
        queue.put(task)
    queue.hold("x", 1)
    assert queue.head(0.0, 1).id == "y3"
    for at, behind in ((2.0, True), (0.5, False)):
        task = Task("x2", specs["x"], 0.0)
        task.queued_at = at
        assert queue.precedes(task, 0.0, 1, back=False) is behind
    alone = Task("z", Spec("t", "async", owner="z"), 0.0)
    assert not queue.precedes(alone, 0.0, 1, back=False)


def test_an_open_breaker_lets_down_the_favoured():
    room = room_with(Gate("api", slots=1), Gate("gpu", slots=1, breaker=Breaker(1, reset=60.0)))
    add(room, "g", "gpu")
    room.take()
    favoured(room)
    add(room, "a", "api")
    room.take()
    turnstiles = room.engine.turnstiles
    both, gpu = room.engine.tasks["both"], turnstiles.all["gpu"]
    end(room, "g")  # it is called ...
    assert both.noted.called == "gpu"
    gpu.circuit.turn("open", room.now)  # ... and finds it closed
    assert room.take() == ["a"]
    assert turnstiles.favoured is None


def test_a_wait_is_refused_if_the_circle_leads_over_somebody_who_waits():
    room = room_with(Gate("lock", slots=1))
    parent, middle = add(room, "parent", "lock"), add(room, "middle")
    room.take()
    child = add(room, "child", "lock")
    room.engine.waits.begin(middle, (child,))
    with pytest.raises(DeadlockError, match="parent -> middle -> child -> gate lock -> parent"):
        room.engine.waits.begin(parent, (middle,))


def test_a_wait_for_a_task_that_runs_and_waits_for_nobody_is_fine():
    room = room_with(Gate("lock", slots=1))
    parent = add(room, "parent")
    add(room, "busy", "lock")
    room.take()
    child = add(room, "child", "lock")
    room.engine.waits.begin(parent, (child,))
    assert not room.engine.waits.holds_slot(parent)


# -- waiting for other tasks -----------------------------------------------------------------------


def test_a_wait_that_a_held_gate_would_make_endless_is_refused():
    room = room_with(Gate("lock", slots=1))
    parent = add(room, "parent", "lock")
    room.take()
    child = add(room, "child", "lock")
    with pytest.raises(DeadlockError, match="parent -> child -> gate lock -> parent"):
        room.engine.waits.begin(parent, (child,))


def test_a_wait_is_not_refused_if_somebody_else_will_make_room():
    room = room_with(Gate("gpu", slots=2))
    parent = add(room, "parent", "gpu")
    add(room, "other", "gpu")
    room.take()
    child = add(room, "child", "gpu")
    room.engine.waits.begin(parent, (child,))
    room.take()
    end(room, "other")
    assert room.take() == ["child"]
    assert child.status is RUNNING


def heavy_in_line(**options) -> tuple[Room, Task]:
    """A gate of two slots: a parent holds one, and a heavy one stands in line for both."""
    room = room_with(Gate("gpu", slots=2))
    parent = add(room, "parent", "gpu")
    room.take()
    add(room, "heavy", "gpu2", **options)
    assert room.take() == []
    return room, parent


def then_the_heavy_one(room: Room, parent: Task, targets: tuple[Task, ...]) -> None:
    """The child ends, the parent ends, and the heavy one passes before those who came later."""
    room.later(1.0)
    add(room, "late", "gpu")
    assert room.take() == []
    end(room, *(target.id for target in targets if target.status is RUNNING))
    assert not room.engine.waits.end(parent, targets)
    assert room.engine.take_resumed() == [parent]
    assert room.take() == []
    end(room, "parent")
    assert room.take() == ["heavy"]
    end(room, "heavy")
    assert room.take() == ["late"]


def test_who_is_waited_for_goes_past_one_who_can_only_pass_after_the_waiter():
    room, parent = heavy_in_line()
    targets = (add(room, "child", "gpu"),)
    room.engine.waits.begin(parent, targets)
    assert room.take() == ["child"]
    then_the_heavy_one(room, parent, targets)


def test_and_so_it_does_where_it_waits_already():
    room, parent = heavy_in_line()
    add(room, "other", "gpu")
    child = add(room, "child", "gpu", priority=TaskPriority.LOW)
    assert room.take() == []
    room.engine.waits.begin(parent, (child,))
    assert room.take() == ["child"]
    end(room, "child")
    assert stands(room, "gpu") == (1, 0, 2, 2)
    end(room, "parent")  # it did not see its wait out
    assert room.take() == ["heavy"]


@pytest.mark.parametrize("executor", ["async", "remote"])
def test_and_when_it_is_retried_and_whatever_executor_the_heavy_one_has(executor):
    room = room_with(Gate("gpu", slots=2))
    parent, child = add(room, "parent", "gpu"), add(room, "child", "gpu", retries=1)
    room.take()
    targets = (child,)
    room.engine.waits.begin(parent, targets)
    add(room, "heavy", "gpu2", executor=executor)
    assert room.take() == []
    room.report(child, Err(ValueError()))
    assert room.take() == ["child"]
    then_the_heavy_one(room, parent, targets)


def test_and_when_the_heavy_one_comes_later_and_is_more_urgent():
    room = room_with(Gate("gpu", slots=2), Gate("api", slots=1))
    parent = add(room, "parent", "gpu")
    add(room, "busy", "api")
    room.take()
    targets = (add(room, "child", "gpu", "api"),)
    room.engine.waits.begin(parent, targets)
    add(room, "heavy", "gpu2", priority=TaskPriority.HIGH)
    assert room.take() == []
    end(room, "busy")
    assert room.take() == ["child"]
    then_the_heavy_one(room, parent, targets)


def test_and_when_one_waits_for_it_whom_the_parent_waits_for():
    room, parent = heavy_in_line()
    middle = add(room, "middle")
    room.take()
    first = add(room, "first", "gpu")
    targets = (room.add("last", first),)
    room.engine.waits.begin(middle, targets)
    assert room.take() == []
    room.engine.waits.begin(parent, (middle,))
    assert room.take() == ["first"]


def test_but_not_past_one_who_waits_for_somebody_who_will_leave():
    room = room_with(Gate("gpu", slots=3))
    parent = add(room, "parent", "gpu")
    add(room, "busy", "gpu")
    room.take()
    add(room, "heavy", "gpu2")
    assert room.take() == []
    child = add(room, "child", "gpu")
    room.engine.waits.begin(parent, (child,))
    assert room.take() == []
    end(room, "busy")
    assert room.take() == ["heavy"]
    end(room, "heavy")
    assert room.take() == ["child"]


@pytest.mark.parametrize("owner", [None, "me"])
def test_who_is_waited_for_goes_past_from_wherever_it_stands(owner):
    room = room_with(Gate("gpu", slots=2), Gate("api", slots=1))
    parent = add(room, "parent", "gpu")
    add(room, "busy", "api")
    room.take()
    child = add(room, "child", "gpu", "api", owner=owner)
    assert room.take() == []
    add(room, "heavy", "gpu2", owner=owner, priority=TaskPriority.HIGH)
    add(room, "light", "gpu", owner=owner)
    assert room.take() == []
    end(room, "busy")
    assert room.take() == []  # back in its place in the line of the gpu
    room.engine.waits.begin(parent, (child,))
    assert room.take() == ["child"]
    assert stands(room, "gpu") == (2, 0, 2, 2)


def test_a_probe_that_waits_makes_room_for_the_next():
    room = room_with(Gate("mail", breaker=Breaker(1, reset=60.0)))
    bad = add(room, "bad", "mail")
    room.take()
    room.report(bad, Err(ConnectionError()))
    parent = add(room, "parent", "mail")
    assert room.take() == []
    room.later(60.0)
    assert room.take() == ["parent"]
    child = add(room, "child", "mail")
    assert room.take() == []
    room.engine.waits.begin(parent, (child,))
    assert room.take() == ["child"]
    end(room, "child")
    assert room.engine.turnstiles.all["mail"].circuit.state == "closed"


def test_nothing_is_kept_for_one_who_waits_for_those_who_wait_themselves():
    room = room_with(Gate("api", slots=1), Gate("gpu", slots=1))
    parent = add(room, "parent", "gpu")
    room.take()
    favoured(room)
    child = add(room, "child", "api")
    assert room.take() == []
    targets = (child,)
    room.engine.waits.begin(parent, targets)
    assert room.take() == ["child"]
    end(room, "child")
    assert not room.engine.waits.end(parent, targets)
    assert room.engine.take_resumed() == [parent]
    add(room, "late", "api")
    assert room.take() == []  # it is kept again
    end(room, "parent")
    assert room.take() == ["both"]

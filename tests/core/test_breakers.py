"""The breaker: a state machine beside a naive one, and the story of an outage at a gate."""

from __future__ import annotations

import pytest
from engine_room import Room
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from windlass._core.flow import Breaker, Gate
from windlass._core.meters import Circuit
from windlass._core.outcome import Again, Cancelled, Err
from windlass._core.states import CANCELLED, COMPLETED, FAILED, PENDING, RUNNING
from windlass.errors import CircuitOpenError

LEGAL = {("closed", "open"), ("open", "half-open"), ("half-open", "closed"), ("half-open", "open")}


@st.composite
def breakers(draw):
    reset = draw(st.sampled_from([0.5, 2.0]))
    if draw(st.booleans()):
        return Breaker(draw(st.integers(1, 3)), reset)
    window = draw(st.sampled_from([1.0, 5.0, 1e-18]))
    share = draw(st.sampled_from([0.1, 1 / 3, 0.5, 1.0]))
    return Breaker(share, reset, window=window, at_least=draw(st.integers(1, 4)))


class CircuitAndModel(RuleBasedStateMachine):
    """Runs pass, end well or badly, or without a verdict, while time passes."""

    @initialize(breaker=breakers())
    def begin(self, breaker):
        self.now, self.breaker = 100.0, breaker
        self.circuit = Circuit(breaker, self.now)
        self.state, self.until, self.probe = "closed", 0.0, None
        self.ended: list[tuple[float, bool]] = []  # since it was closed
        self.on: list[int] = []
        self.serial = 0
        self.moves = []

    def turn(self, state):
        assert (self.state, state) in LEGAL
        self.state, self.probe, self.ended = state, None, []
        self.until = self.now + self.breaker.reset

    def is_too_much(self) -> bool:
        breaker = self.breaker
        if breaker.window is None:
            return [failed for _, failed in self.ended[-breaker.failures :]] == [
                True
            ] * breaker.failures
        recent = [failed for when, failed in self.ended if when > self.now - breaker.window]
        enough = len(recent) >= breaker.at_least
        return enough and self.ended[-1][1] and sum(recent) >= breaker.failures * len(recent)

    @rule(called=st.integers(0, 2))
    def pass_through(self, called):
        alone = self.probe is None and not called
        assert self.circuit.admits(called) == {
            "closed": True,
            "half-open": alone,
            "open": False,
        }.get(self.state)
        if self.circuit.admits(called):
            self.serial += 1
            self.on.append(self.serial)
            if self.state == "half-open":
                self.probe = self.circuit.probe = self.serial

    @rule(pick=st.integers(0, 1000), failed=st.booleans())
    def end(self, pick, failed):
        if not self.on:
            return
        run = self.on.pop(pick % len(self.on))
        if self.state == "half-open" and run == self.probe:
            self.turn("open" if failed else "closed")
        elif self.state == "closed":
            self.ended.append((self.now, failed))
            if failed and self.is_too_much():
                self.turn("open")
        assert self.circuit.judge(run, ValueError() if failed else None, self.now) == self.state

    @rule()
    def time_for_a_probe(self):
        if self.state == "open" and self.now >= self.until:
            self.turn("half-open")
            self.circuit.turn("half-open", self.now)

    @rule(seconds=st.sampled_from([0.0, 0.25, 0.5, 1.0, 3.0]))
    def wait(self, seconds):
        self.now += seconds

    @invariant()
    def both_say_the_same(self):
        if hasattr(self, "circuit"):
            assert (self.circuit.state, self.circuit.probe) == (self.state, self.probe)
            if self.state == "open":
                assert self.circuit.until == self.until


TestCircuit = CircuitAndModel.TestCase
TestCircuit.settings = settings(max_examples=200, stateful_step_count=50)


def room_with(breaker: Breaker, **options) -> Room:
    room = Room()
    room.engine.add_gate(Gate("api", breaker=breaker, **options), room.now)
    return room


def call(room: Room, id: str, **options):
    return room.add(id, executor="async", gates=(("api", 1),), **options)


def fails(room: Room, task) -> None:
    room.take()
    room.report(task, Err(OSError("down")))


def circuit(room: Room) -> Circuit:
    found = room.engine.turnstiles.all["api"].circuit
    assert found is not None
    return found


def test_an_outage_from_its_first_failure_to_its_end():
    room = room_with(Breaker(failures=2, reset=10.0))
    for id in "ab":
        fails(room, call(room, id))
    assert circuit(room).state == "open"
    late = [call(room, id) for id in "cde"]
    assert room.take() == []
    room.later(9.9)
    assert room.take() == []
    room.later(0.1)
    assert room.take() == ["c"]  # a single one, to see
    room.report(late[0], Err(OSError("still down")))
    assert circuit(room).state == "open"
    room.later(10.0)
    assert room.take() == ["d"]
    room.report(late[1])
    assert circuit(room).state == "closed"
    assert room.take() == ["e"]


def test_what_ended_before_the_window_began_counts_no_more():
    room = room_with(Breaker(failures=0.5, window=5.0, at_least=2, reset=10.0))
    fails(room, call(room, "a"))
    room.later(5.0)
    fails(room, call(room, "b"))
    assert circuit(room).state == "closed"
    room.later(4.9)
    fails(room, call(room, "c"))
    assert circuit(room).state == "open"


def test_its_transitions_come_out_with_the_next_drain():
    room = room_with(Breaker(failures=1, reset=1.0))
    fails(room, call(room, "a"))
    room.later(1.0)
    call(room, "b")
    assert room.take() == ["b"]
    room.report(room.engine.tasks["b"])
    moves = room.engine.drain().circuits
    assert [(move[1], move[2]) for move in moves] == [("half-open", "closed")]
    assert room.engine.drain().circuits == ()


def test_who_would_rather_fail_fails_at_once_whether_new_or_in_line():
    room = room_with(Breaker(failures=1, reset=10.0), slots=1)
    first = call(room, "a")
    room.take()
    in_line = call(room, "b", when_open="fail")
    patient = call(room, "c")
    room.take()
    room.report(first, Err(OSError("down")))
    new = call(room, "d", when_open="fail")
    assert not room.engine.is_quiet()
    assert room.take() == []
    assert (in_line.status, new.status, patient.status) == (FAILED, FAILED, PENDING)
    error = new.outcome.error
    assert isinstance(error, CircuitOpenError)
    assert error.details == {"gate": "api"}
    assert "tries again in 10.0 s" in str(error)


def test_who_would_rather_fail_fails_as_well_when_its_turn_comes_too_late():
    room = room_with(Breaker(failures=1, reset=10.0))
    tasks = [call(room, "a")] + [call(room, f"b{n}", when_open="fail") for n in range(12)]
    assert len(room.take()) == 10  # the others wait for a slot, not at the gate
    room.report(tasks[0], Err(OSError("down")))
    assert room.take() == []
    assert [task.status for task in tasks[10:]] == [FAILED, FAILED, FAILED]


def test_a_doomed_task_that_is_cancelled_first_stays_cancelled():
    room = room_with(Breaker(failures=1, reset=10.0))
    fails(room, call(room, "a"))
    task = call(room, "b", when_open="fail")
    room.engine.cancel(task, room.now)
    room.take()
    assert task.status is CANCELLED
    assert room.engine.turnstiles.all["api"].pending == 0


@pytest.mark.parametrize("outcome", [Cancelled("gave up"), Again(5.0)])
def test_a_probe_without_a_verdict_makes_room_for_the_next(outcome):
    room = room_with(Breaker(failures=1, reset=1.0))
    fails(room, call(room, "a"))
    probe = call(room, "b")
    call(room, "c")
    room.later(1.0)
    assert room.take() == ["b"]
    room.report(probe, outcome)
    assert circuit(room).state == "half-open"
    assert room.take() == ["c"]


def test_a_probe_that_lingers_proves_nothing_but_holds_on():
    room = Room()
    room.engine.add_gate(Gate("api", slots=2, breaker=Breaker(1, reset=1.0)), room.now)
    gates = (("api", 1),)
    fails(room, call(room, "a"))
    probe = room.add("b", executor="thread", gates=gates)
    room.later(1.0)
    assert room.take() == ["b"]
    call(room, "c")
    assert room.take() == []
    room.engine.cancel(probe, room.now)
    assert room.take() == ["c"]
    assert room.engine.turnstiles.all["api"].held == 2
    room.report(probe)
    assert room.engine.turnstiles.all["api"].held == 1


def test_retries_of_one_task_count_and_other_errors_show_that_somebody_answers():
    breaker = Breaker(failures=2, reset=1.0, on=OSError, unless=FileNotFoundError)
    room = room_with(breaker)
    task = call(room, "a", retries=9)
    for error in (OSError(), ValueError(), OSError(), FileNotFoundError(), OSError()):
        room.take()
        room.report(task, Err(error))
        assert circuit(room).state == "closed"
    room.take()
    room.report(task, Err(OSError()))
    assert circuit(room).state == "open"


def test_who_was_under_way_when_it_opened_changes_nothing():
    room = room_with(Breaker(failures=1, reset=1.0))
    tasks = [call(room, id) for id in "abc"]
    room.take()
    room.report(tasks[0], Err(OSError()))
    room.report(tasks[1])
    assert circuit(room).state == "open"
    room.later(1.0)
    room.report(tasks[2], Err(OSError()))
    assert circuit(room).state == "half-open"
    assert {task.status for task in tasks} == {COMPLETED, FAILED}


def test_an_alarm_that_rings_too_early_is_set_again():
    room = room_with(Breaker(failures=1, reset=10.0))
    fails(room, call(room, "a"))
    gate = room.engine.turnstiles.all["api"]
    room.engine.alarms.set(gate, room.now)
    room.later(0.0)
    assert circuit(room).state == "open"
    assert room.engine.alarms.next() == room.now + 10.0
    task = call(room, "b")
    room.later(10.0)
    room.take()
    assert task.status is RUNNING


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"failures": 0}, ValueError, "failures must be at least 1"),
        ({"failures": 0.5}, TypeError, "a share of the attempts takes window="),
        ({"failures": "x"}, TypeError, "failures is a whole number, not 'x'"),
        ({"reset": 0}, ValueError, "reset must be more than zero seconds, not 0$"),
        ({"at_least": 0}, ValueError, "at_least must be at least 1"),
        ({"window": 0, "failures": 0.5}, ValueError, "leave it out to count those in a row"),
        ({"window": 1.0, "failures": 2}, ValueError, "a share of the attempts, above 0"),
        ({"window": 1.0, "failures": 0.0}, ValueError, "a share of the attempts, above 0"),
        ({"window": 1.0, "failures": "x"}, TypeError, "a share of the attempts, not 'x'"),
        ({"window": 1.0, "failures": True}, TypeError, "a share of the attempts, not True"),
        ({"on": "OSError"}, TypeError, "on= takes exception classes"),
        ({"unless": 3}, TypeError, "unless= takes exception classes"),
    ],
)
def test_a_breaker_refuses_nonsense(options, error, says):
    with pytest.raises(error, match=says):
        Breaker(**{"failures": 1, "reset": 1.0, **options})

"""Turnstiles: the way through several gates at once.

Theory of operation
-------------------
A task that names gates is taken like any other, when its executor has a slot for it and its turn
has come. Then it must pass all its gates in the same instant, or none::

    queue of its executor ──take──▶ all gates open to it? ──yes──▶ RUNNING ──leaves──▶ call the next
             ▲                              │ no                                           │
             │                              ▼                                              │
             └────────called───── line of the gate that refused ◀─────────────────────────┘

One that is refused *parks*: it waits in a line of that gate, holds nothing, and is in nobody's
way who does not need that gate. A gate has a line for each executor. When it has room it calls the
first of each back into the queue of its executor, where that stands in line for a slot by its own
urgency. Nothing is promised to it: who is there first, with a slot, passes. So a release costs one
call for each executor, however many wait, and a gate is never idle because some executor is full.

What a run holds is known by (task, run) and given back once: when it has really left. Whose turn
it is, where several wait, is in ``turns``.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, TypeAlias

from ..errors import QueueFullError
from .flow import Adaptive
from .meters import RateMeter, Tide
from .turns import Turns
from .turnstile import Turnstile, fixed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .flow import Gate, Rate
    from .meters import CircuitState, Load
    from .task import Task
    from .turnstile import Refusal

CircuitMove: TypeAlias = "tuple[str, CircuitState, CircuitState, float, str]"
"""(gate, before, after, when, cause)"""

_PATIENCE = 4
"""How often a task is turned away after it was called before it is favoured."""


class Turnstiles(Turns):
    """All gates of one engine; see the module."""

    __slots__ = ("adapts", "doomed", "moves")

    def __init__(
        self,
        put_back: Callable[[Task], None],
        ring_at: Callable[[Turnstile, float], None],
        has_slot: Callable[[str], bool],
    ) -> None:
        super().__init__(put_back, ring_at, has_slot)
        self.adapts = False
        """Whether the slots of any of them ever found themselves."""
        self.doomed: deque[tuple[Task, Turnstile]] = deque()
        """Tasks that would rather fail than wait for the open gate beside them."""
        self.moves: list[CircuitMove] = []

    def add(self, gate: Gate, age_every: float | None, now: float) -> None:
        """Let tasks name ``gate`` from now on."""
        if gate.name in self.all:
            raise ValueError(
                f"there is a gate {gate.name!r} already; change it instead: "
                f"manager.gate({gate.name!r}).slots = ..."
            )
        self.all[gate.name] = Turnstile(gate, age_every, now)
        self.adapts |= isinstance(gate.slots, Adaptive)

    def refuse(self, tasks: Sequence[Task]) -> None:
        """Raise if one of ``tasks`` could never pass its gates, or if too many wait for them."""
        asked: dict[str, int] = {}
        for task in tasks:
            for name, weight in task.spec.gates:
                gate = self.all.get(name)
                if gate is None:
                    known = ", ".join(map(repr, sorted(self.all))) or "none"
                    raise ValueError(
                        f"{task.label} names the gate {name!r}, but the manager has {known}. Give "
                        "it one: TaskManager(gates=[Gate(...)]), or manager.add_gate(Gate(...))"
                    )
                if gate.heaviest is not None and weight > gate.heaviest:
                    raise ValueError(
                        f"{task.label} takes {weight} of the gate {name!r}, which lets at most "
                        f"{gate.heaviest} through: it would wait for ever"
                    )
                asked[name] = asked.get(name, 0) + 1
                if gate.max_pending is not None and gate.pending + asked[name] > gate.max_pending:
                    gate.refused += len(tasks)
                    raise _too_many(gate, tasks, task)

    # -- the way in --------------------------------------------------------------------------

    def expect(self, task: Task) -> None:
        """``task`` is going to pass, some time."""
        for gate, _ in self.of(task):
            gate.pending += 1
            gate.fair |= task.spec.owner is not None

    def shelter(self, task: Task, now: float, *, back: bool = False) -> bool:
        """Park ``task``, which is ready, if others wait already where it must pass.

        True as well if it would rather fail than wait for a gate that is open.
        """
        if task.spec.when_open == "fail":
            for gate, _ in self.of(task):
                if gate.circuit is not None and gate.circuit.state == "open":
                    self.doomed.append((task, gate))
                    return True
        for gate, _ in self.of(task):
            line = gate.lines.get(task.spec.executor)
            if line is not None and line.precedes(task, now, gate.held, back=False):
                self._park(task, gate, back=back)
                if back or gate.fair or task in gate.awaited:
                    # It may be its owner's turn; or it is first here, or may go past the others.
                    self.call(gate, now)
                return True
        return False

    def enter(self, task: Task, now: float) -> bool:
        """Pass all gates of ``task``, or park it at the one that refuses."""
        caller = self._answer(task)
        for gate, weight in self.of(task):
            refusal = gate.refusal(weight, self._kept(gate, task, now), now)
            if refusal is None and self._must_queue(task, gate, caller, now):
                refusal = "line"
            if refusal is not None:
                self._turn_away(task, gate, refusal, now, again=caller is not None)
                if caller is not None:
                    self.call(caller, now)
                return False
        for gate, weight in self.of(task):
            gate.admit(task, weight, now)
            gate.pending -= 1
        if task.notes is not None:
            task.notes.turned_away = 0
        if self.favoured is task:
            self._let_down(now)
        for gate, _ in self.of(task):
            self.call(gate, now)
        return True

    def forget(self, task: Task, now: float) -> bool:
        """``task``, which has not started, ends; True if it waited in the line of a gate."""
        for gate, _ in self.of(task):
            gate.pending -= 1
        caller = self._answer(task)
        parked = self._unpark(task)
        if self.favoured is task:
            self._let_down(now)
        for left in (caller, parked):  # it may have stood in the way of others
            if left is not None:
                self.call(left, now)
        return parked is not None

    def _answer(self, task: Task) -> Turnstile | None:
        """Forget that a gate has called ``task``, if one has."""
        notes = task.notes
        if notes is None or notes.called is None:
            return None
        gate, notes.called = self.all[notes.called], None
        del gate.called[task.spec.executor]
        return gate

    def _turn_away(
        self, task: Task, gate: Turnstile, refusal: Refusal, now: float, *, again: bool
    ) -> None:
        if refusal == "breaker":
            if self.favoured is task:
                self._let_down(now)
            if task.spec.when_open == "fail":
                self.doomed.append((task, gate))
                return
        elif again:
            task.noted.turned_away += 1
            if task.noted.turned_away >= _PATIENCE:
                self._favour(task, gate, now)
        self._park(task, gate, back=again)
        goes_first = task is self.favoured or task in gate.awaited
        if refusal == "rate" or (refusal == "line" and not again) or goes_first:
            # To set the alarm; or because its owner's turn comes before those of all others here;
            # or because room was kept for it, where now it stands in line, or it may go past that.
            self.call(gate, now)

    def _unpark(self, task: Task) -> Turnstile | None:
        """Take ``task``, which has ended, out of the line of a gate, if it waits in one."""
        notes = task.notes
        if notes is None or notes.parked is None:
            return None
        gate, notes.parked = self.all[notes.parked], None
        gate.awaited.pop(task, None)
        gate.line(task.spec.executor).bury(task)
        self.parked -= 1
        return gate

    def _park(self, task: Task, gate: Turnstile, *, back: bool) -> None:
        task.noted.parked = gate.name
        if task.noted.awaited:
            gate.awaited[task] = None
        self.parked += 1
        gate.line(task.spec.executor).put(task, back=back)

    # -- the way out -------------------------------------------------------------------------

    def leave(self, task: Task, run: int, now: float) -> None:
        """``run`` of ``task`` has really left; fine if it had."""
        for gate, _ in self.of(task):
            if gate.release((task, run)):
                self.call(gate, now)

    def linger(self, task: Task, now: float) -> None:
        """The attempt of ``task`` is over but goes on: it holds what it has, but proves nothing."""
        for gate, _ in self.of(task):
            circuit = gate.circuit
            if circuit is not None and circuit.probe == (task, task.run):
                circuit.probe = None
                self.call(gate, now)

    def judge(self, task: Task, error: BaseException | None, now: float) -> None:
        """The run of ``task`` has ended, with ``error`` or well: what do the gates make of it?"""
        for gate, _ in self.of(task):
            if gate.tide is not None:
                gate.tide.took(now - task.started_at)
            if gate.circuit is not None:
                before = gate.circuit.state
                after = gate.circuit.judge((task, task.run), error, now)
                if after != before:
                    cause = f"{type(error).__name__} of {task.label}" if error else "a probe"
                    self._turned(gate, before, after, now, cause)

    # -- time, and what people change ----------------------------------------------------------

    def ring(self, gate: Turnstile, now: float) -> None:
        """The alarm of ``gate``: a rate lets the next one pass, or a breaker is to be probed."""
        circuit = gate.circuit
        if circuit is not None and circuit.state == "open":
            if now < circuit.until:
                self._ring_at(gate, circuit.until)
                return
            circuit.turn("half-open", now)
            self._turned(gate, "open", "half-open", now, "its reset time is over")
        self.call(gate, now)

    def look(self, load: Load, now: float) -> None:
        """Let the limits that find themselves do so."""
        for gate in self.all.values():
            if gate.tide is not None and now >= gate.tide.due:
                gate.tide.used(gate.held)  # it may be full without anybody passing
                gate.slots = gate.tide.look(load, now)
                self.call(gate, now)

    def change(
        self,
        gate: Turnstile,
        now: float,
        *,
        slots: int | Adaptive | None = None,
        rate: Rate | None = None,
    ) -> None:
        """Give ``gate`` other slots, or another rate; what is behind it is not disturbed."""
        if slots is not None:
            gate.tide = Tide(slots) if isinstance(slots, Adaptive) else None
            self.adapts |= isinstance(slots, Adaptive)
            gate.slots = gate.tide.limit if gate.tide is not None else fixed(slots)
        if rate is not None:
            if gate.meter is None:
                gate.meter = RateMeter(rate)
            gate.meter.follow(rate, now)
        self.call(gate, now)

    def _turned(
        self, gate: Turnstile, before: CircuitState, after: CircuitState, now: float, cause: str
    ) -> None:
        self.moves.append((gate.name, before, after, now, cause))
        if after == "open" and gate.circuit is not None:
            self._ring_at(gate, gate.circuit.until)
            self.doomed.extend((task, gate) for task in gate if task.spec.when_open == "fail")
        else:
            self.call(gate, now)


def _too_many(gate: Turnstile, tasks: Sequence[Task], task: Task) -> QueueFullError:
    """What to raise when with ``tasks``, or one of them, more than may would wait for ``gate``."""
    text = f"{gate.pending} tasks are waiting for the gate {gate.name!r}"
    if len(tasks) == 1:
        text += f", and its max_pending is {gate.max_pending}. "
        text += "Use `await manager.enqueue(...)`, which waits for room"
    else:
        more = sum(other.spec.weight(gate.name) > 0 for other in tasks)
        text += f" and {more} more do not fit: its max_pending is {gate.max_pending}. "
        text += "Submit fewer at once"
    text += ", or raise max_pending= of the gate"
    return QueueFullError(text, task.id, {"gate": gate.name})

"""Turnstiles: the way through several gates at once.

Theory of operation
-------------------
A task that names gates is taken like any other, when its executor has a slot for it and its turn
has come. Then it must pass all its gates in the same instant, or none::

    queue of its executor ──take──▶ all gates open to it? ──yes──▶ RUNNING ──leaves──▶ call the next
             ▲                              │ no                                           │
             │                              ▼                                              │
             └────────called───── line of the gate that refused ◀─────────────────────────┘

One that is refused *parks*: it waits in the line of that gate, holds nothing, and is in nobody's
way who does not need that gate. When there is room again the gate calls the heads of its line back,
as many as there is room for, and keeps that room for them until they have tried. So each release
costs one call, however many wait.

- Within a gate nobody overtakes: who is light waits behind who is heavy, and who comes new behind
  those who wait, unless the priority is higher.
- A task with two gates could be turned away for ever by those who need only one. After a few times
  it is *favoured*: room at its gates is kept for it until it has all of it. There is one favoured
  task at a time, so two of them cannot block each other.
- What a run holds is known by (task, run) and given back once: when it has really left.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import TYPE_CHECKING, TypeAlias

from ..errors import QueueFullError
from .flow import Adaptive
from .meters import RateMeter, Tide
from .turnstile import Turnstile, fixed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .flow import Gate, Rate
    from .meters import CircuitState, Load
    from .task import Task
    from .turnstile import Refusal

CircuitMove: TypeAlias = "tuple[str, CircuitState, CircuitState, float, str]"
"""(gate, before, after, when, cause)"""

_PATIENCE = 4
"""How often a task is turned away after it was called before it is favoured."""


class Turnstiles:
    """All gates of one engine; see the module.

    ``put_back`` puts a called task into its executor's queue again, and ``ring_at`` sets an alarm
    that will call ``ring``.
    """

    __slots__ = (
        "_put_back",
        "_ring_at",
        "adapts",
        "all",
        "doomed",
        "favoured",
        "moves",
        "parked",
    )

    def __init__(
        self,
        put_back: Callable[[Task], None],
        ring_at: Callable[[Turnstile, float], None],
    ) -> None:
        self._put_back = put_back
        self._ring_at = ring_at
        self.all: dict[str, Turnstile] = {}
        self.adapts = False
        """Whether the slots of any of them ever found themselves."""
        self.parked = 0
        """How many tasks wait at a gate."""
        self.doomed: deque[tuple[Task, Turnstile]] = deque()
        """Tasks that would rather fail than wait for the open gate beside them."""
        self.moves: list[CircuitMove] = []
        self.favoured: Task | None = None
        """The one task that room is kept for at all its gates."""

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
                    raise QueueFullError(
                        f"{gate.pending} tasks are waiting for the gate {name!r}, and its "
                        f"max_pending is {gate.max_pending}. Use `await manager.enqueue(...)`, "
                        "which waits for room, or raise max_pending= of the gate",
                        task.id,
                        {"gate": name},
                    )

    def of(self, task: Task) -> Iterator[tuple[Turnstile, int]]:
        """The gates of ``task``, each with its weight."""
        for name, weight in task.spec.gates:
            yield self.all[name], weight

    # -- the way in --------------------------------------------------------------------------

    def expect(self, task: Task) -> None:
        """``task`` is going to pass, some time."""
        for gate, _ in self.of(task):
            gate.pending += 1

    def shelter(self, task: Task, now: float) -> bool:
        """Park ``task``, which is ready, if others wait already where it must pass.

        True as well if it would rather fail than wait for a gate that is open.
        """
        if task.spec.when_open == "fail":
            for gate, _ in self.of(task):
                if gate.circuit is not None and gate.circuit.state == "open":
                    self.doomed.append((task, gate))
                    return True
        for gate, _ in self.of(task):
            if gate.queue.size:
                self._park(task, gate, back=False)
                if gate.queue.head(now, gate.held) is task:
                    self.call(gate, now)  # the others may wait for more than it needs
                return True
        return False

    def enter(self, task: Task, now: float) -> bool:
        """Pass all gates of ``task``, or park it at the one that refuses."""
        caller = self._answer(task)
        for gate, weight in self.of(task):
            kept = self._kept(gate, task, now)
            if task.noted.turned_away >= _PATIENCE:
                kept -= gate.called  # or those who are called here and there block one another
            refusal = gate.refusal(weight, kept, now)
            if refusal is None and gate is not caller:
                refusal = self._line(task, gate, now, back=caller is not None)
            if refusal is not None:
                self._turn_away(task, gate, refusal, now, again=caller is not None)
                if caller is not None:
                    self.call(caller, now)
                return False
        for gate, weight in self.of(task):
            gate.admit(task, weight, now)
            gate.pending -= 1
        task.noted.turned_away = 0
        if self.favoured is task:
            self._let_down(now)
        for gate, _ in self.of(task):
            # To set the alarm for the next; or because it is another owner's turn now.
            if (gate is caller and gate.meter is not None) or gate.queue.fair:
                self.call(gate, now)
        return True

    def forget(self, task: Task, now: float) -> bool:
        """``task``, which has not started, ends; True if it waited in the line of a gate."""
        for gate, _ in self.of(task):
            gate.pending -= 1
        if self.favoured is task:
            self._let_down(now)
        if (caller := self._answer(task)) is not None:
            self.call(caller, now)
        notes = task.notes
        if notes is None or notes.parked is None:
            return False
        gate, notes.parked = self.all[notes.parked], None
        gate.queue.bury(task)
        self.parked -= 1
        self.call(gate, now)  # it may have stood in the way of lighter ones
        return True

    def call(self, gate: Turnstile, now: float) -> None:
        """Call back as many of those who wait at ``gate`` as there is room for."""
        while (task := gate.queue.head(now, gate.held)) is not None:
            weight, kept = task.spec.weight(gate.name), self._kept(gate, task, now)
            refusal = gate.refusal(weight, kept, now)
            if refusal is not None:
                if refusal == "rate" and gate.meter is not None:
                    when = gate.meter.next(weight + gate.called + kept, now)
                    if when < inf:  # else those it is promised to are first, and will see to it
                        self._ring_at(gate, when)
                return
            gate.queue.pop(now, gate.held)
            self.parked -= 1
            task.noted.parked, task.noted.called = None, gate.name
            gate.called += weight
            self._put_back(task)

    def _answer(self, task: Task) -> Turnstile | None:
        """Take back the promise of the gate that has called ``task``, if one has."""
        notes = task.notes
        if notes is None or notes.called is None:
            return None
        gate, notes.called = self.all[notes.called], None
        gate.called -= task.spec.weight(gate.name)
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
            if self.favoured is None and task.noted.turned_away >= _PATIENCE:
                self.favoured = task
        self._park(task, gate, back=again)
        if refusal == "rate" or (refusal == "line" and not again) or task is self.favoured:
            # To set the alarm; or because its owner's turn comes before those of all others here;
            # or because room was kept for it, where now it stands in line.
            self.call(gate, now)

    def _park(self, task: Task, gate: Turnstile, *, back: bool) -> None:
        task.noted.parked = gate.name
        self.parked += 1
        gate.queue.put(task, back=back)

    def _line(self, task: Task, gate: Turnstile, now: float, *, back: bool) -> Refusal | None:
        """Refuse ``task`` if somebody waits at ``gate`` whose turn comes before its own."""
        if not gate.queue.size:
            return None
        if task is self.favoured:  # its equals wait for it; those who outrank it do not
            first = gate.queue.urgency(now, gate.held)
            return "line" if first is not None and first > gate.queue.rank(task, now) else None
        return "line" if gate.queue.precedes(task, now, gate.held, back=back) else None

    def _kept(self, gate: Turnstile, task: Task, now: float) -> int:
        """How much room at ``gate`` is kept for the favoured task, from one that comes after it."""
        favoured = self.favoured
        if favoured is None or favoured is task:
            return 0
        if gate.name in {favoured.noted.parked, favoured.noted.called}:
            return 0  # its place in the line keeps it, or the promise: it need not be kept twice
        rank = gate.queue.rank
        return favoured.spec.weight(gate.name) if rank(task, now) <= rank(favoured, now) else 0

    def _let_down(self, now: float) -> None:
        """Favour nobody: what was kept may go to others."""
        favoured, self.favoured = self.favoured, None
        assert favoured is not None  # it is asked before
        for gate, _ in self.of(favoured):
            self.call(gate, now)

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
            self.doomed.extend((task, gate) for task in gate.queue if task.spec.when_open == "fail")
        else:
            self.call(gate, now)

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

- Within a gate nobody overtakes: who is light waits behind who is heavy, and who comes new behind
  those who wait, unless the priority is higher.
- That holds between executors as well, as long as both have a slot. Who is held up by one that has
  is called again as soon as it has none (``heeded``).
- A task that was called and finds the gate taken, because its executor had no slot meanwhile, or
  another of its gates, goes back to where it stood. That could go on for ever; so after a few times
  it is *favoured*: room at its gates is kept for it until it has all of it. There is one favoured
  task at a time, the most urgent, so two of them cannot block each other; and nothing is kept for
  one whose gates are held by those who wait for other tasks, for these might wait for just that
  room.
- Who can pass only when those have left who wait for other tasks does not stand in the way of these
  others (``awaited``): they go past, or nobody would ever leave.
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

    ``put_back`` puts a called task into its executor's queue again, ``ring_at`` sets an alarm that
    will call ``ring``, and ``has_slot`` tells whether an executor could run one more task now.
    """

    __slots__ = (
        "_has_slot",
        "_put_back",
        "_ring_at",
        "adapts",
        "all",
        "doomed",
        "favoured",
        "heeded",
        "moves",
        "parked",
    )

    def __init__(
        self,
        put_back: Callable[[Task], None],
        ring_at: Callable[[Turnstile, float], None],
        has_slot: Callable[[str], bool],
    ) -> None:
        self._put_back = put_back
        self._ring_at = ring_at
        self._has_slot = has_slot
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
        self.heeded: dict[str | None, dict[Turnstile, None]] = {}
        """By executor: the gates to call at when it has no slot any more; None: at once."""

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

    def of(self, task: Task) -> Iterator[tuple[Turnstile, int]]:
        """The gates of ``task``, each with its weight."""
        for name, weight in task.spec.gates:
            yield self.all[name], weight

    # -- the way in --------------------------------------------------------------------------

    def expect(self, task: Task) -> None:
        """``task`` is going to pass, some time."""
        for gate, _ in self.of(task):
            gate.pending += 1
            gate.fair |= task.spec.owner is not None

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
            line = gate.lines.get(task.spec.executor)
            if line is not None and line.precedes(task, now, gate.held, back=False):
                self._park(task, gate, back=False)
                if gate.fair or task in gate.awaited:
                    self.call(gate, now)  # it may be its owner's turn, or go past the others
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

    def call(self, gate: Turnstile, now: float) -> None:
        """Call the first of each line at ``gate`` who could pass, or have it rung when one can."""
        if not gate.fits(1, gate.held):
            return  # nor does anything else; most calls come from those who have just passed
        wake = inf
        for executor, line in gate.lines.items():
            if not line.size or executor in gate.called:
                continue
            head = line.head(now, gate.held)
            assert head is not None
            task = gate.instead_of(head) if gate.awaited else head
            weight, kept = task.spec.weight(gate.name), self._kept(gate, task, now)
            refusal = gate.refusal(weight, kept, now)
            if refusal == "rate":
                wake = min(wake, gate.next(weight, kept, now))
            if refusal is not None or self._held_up(task, gate, now):
                continue
            if task is head:
                line.pop(now, gate.held)
            else:
                line.remove(task)
            gate.awaited.pop(task, None)
            self.parked -= 1
            task.noted.parked, task.noted.called = None, gate.name
            gate.called[executor] = task
            self._put_back(task)
        if wake < inf:  # else the one it is kept for is first, and will see to it
            self._ring_at(gate, wake)

    def call_again(self, now: float) -> None:
        """Call those who were held up by a task whose executor has no slot any more."""
        full = [name for name in self.heeded if name is None or not self._has_slot(name)]
        for name in full:
            for gate in self.heeded.pop(name):
                self.call(gate, now)

    def lend(self, task: Task, change: int) -> None:
        """``task``, which is behind its gates, begins or ends (-1) to wait for other tasks."""
        for gate, weight in self.of(task):
            gate.lent += change * weight
            if change > 0:
                gate.spare(task)
                self._heed(gate)
            if self.favoured is not None:
                for other, _ in self.of(self.favoured):
                    self._heed(other)

    def want(self, task: Task) -> None:
        """Another task waits for ``task`` from now on."""
        notes = task.noted
        notes.awaited = True
        if notes.parked is not None:
            gate = self.all[notes.parked]
            gate.awaited[task] = None
            self._heed(gate)

    def _heed(self, gate: Turnstile) -> None:
        """Have ``gate`` call as soon as tasks are taken."""
        self.heeded.setdefault(None, {})[gate] = None

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

    def _must_queue(
        self, task: Task, gate: Turnstile, caller: Turnstile | None, now: float
    ) -> bool:
        """Whether somebody waits at ``gate`` whose turn comes before that of ``task``."""
        line = gate.lines.get(task.spec.executor) if gate is not caller else None
        if line is not None and gate.lent and _goes_past(task, line.head(now, gate.held), gate):
            line = None
        if line is not None:
            if task is self.favoured:  # its equals wait for it; those who outrank it do not
                first = line.urgency(now, gate.held)
                if first is not None and first > line.rank(task, now):
                    return True
            elif line.precedes(task, now, gate.held, back=caller is not None):
                return True
        return self._held_up(task, gate, now)

    def _held_up(self, task: Task, gate: Turnstile, now: float) -> bool:
        """Whether one of another executor, which has a slot, comes before ``task`` at ``gate``."""
        if task is self.favoured and gate.fair:
            return False  # what is kept from others is not kept back by them
        for executor in gate.lines:
            if executor == task.spec.executor:
                continue
            first = gate.first(executor, now)
            if first is None or not self._has_slot(executor):
                continue
            if gate.lent and _goes_past(task, first, gate):
                continue
            if gate.puts_before(first, task, now):
                self.heeded.setdefault(executor, {})[gate] = None
                return True
        return False

    def _kept(self, gate: Turnstile, task: Task, now: float) -> int:
        """How much room at ``gate`` is kept for the favoured task, from one that comes after it."""
        favoured = self.favoured
        if favoured is None or favoured is task:
            return 0
        weight = favoured.spec.weight(gate.name)
        if not weight or gate.rank(task, now) > gate.rank(favoured, now):
            return 0
        if any(other.lent for other, _ in self.of(favoured)):
            return 0
        if favoured.noted.parked != gate.name:
            return weight
        # In its own line its place keeps it; and who is before it there may need that room.
        mine = favoured.spec.executor
        return weight if task.spec.executor != mine and gate.first(mine, now) is favoured else 0

    def _favour(self, task: Task, gate: Turnstile, now: float) -> None:
        """Favour ``task``, unless somebody is favoured who is as urgent.

        The favoured one waits for those who outrank it, and they may wait for others by whose turn
        it is: were they not favoured in its place, all of them could wait in a circle.
        """
        if self.favoured is None:
            self.favoured = task
        elif gate.rank(task, now) > gate.rank(self.favoured, now):
            former, self.favoured = self.favoured, task
            for other, _ in self.of(former):
                self.call(other, now)

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


def _goes_past(task: Task, other: Task | None, gate: Turnstile) -> bool:
    """Whether ``task`` need not stand behind ``other``, whom some keep out who may wait for it."""
    awaited = task.notes is not None and task.notes.awaited
    return awaited and other is not None and gate.awaits_waiters(other)

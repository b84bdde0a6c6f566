"""Whose turn it is, where several wait at the same gates.

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
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .task import Task
    from .turnstile import Turnstile


class Turns:
    """The lines at all gates of one engine; see the module.

    ``put_back`` puts a called task into its executor's queue again, ``ring_at`` sets an alarm that
    will ring at a gate, and ``has_slot`` tells whether an executor could run one more task now.
    """

    __slots__ = ("_has_slot", "_put_back", "_ring_at", "all", "favoured", "heeded", "parked")

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
        self.parked = 0
        """How many tasks wait at a gate."""
        self.favoured: Task | None = None
        """The one task that room is kept for at all its gates."""
        self.heeded: dict[str | None, dict[Turnstile, None]] = {}
        """By executor: the gates to call at when it has no slot any more; None: at once."""

    def of(self, task: Task) -> Iterator[tuple[Turnstile, int]]:
        """The gates of ``task``, each with its weight."""
        for name, weight in task.spec.gates:
            yield self.all[name], weight

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


def _goes_past(task: Task, other: Task | None, gate: Turnstile) -> bool:
    """Whether ``task`` need not stand behind ``other``, whom some keep out who may wait for it."""
    awaited = task.notes is not None and task.notes.awaited
    return awaited and other is not None and gate.awaits_waiters(other)

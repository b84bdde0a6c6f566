"""Why is this task not running, or how did it end: the engine's own state, put into words."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

from .outcome import Cancelled, Err
from .states import COMPLETED, PENDING, RUNNING, TERMINAL, WAITING

if TYPE_CHECKING:
    from .engine import Engine
    from .pools import Pool
    from .task import Task
    from .turnstile import Turnstile

_TEENS = range(10, 21)
_NAMED = 3  # so many tasks are named in a list, the others counted


def explain(engine: Engine, task: Task, now: float, wall: float) -> str:
    """Say in a sentence where ``task`` stands and why."""
    return Explanation(engine, now, wall).of(task)


class Explanation:
    """The view of one moment; see ``explain``."""

    def __init__(self, engine: Engine, now: float, wall: float) -> None:
        self._engine = engine
        self._now = now
        self._wall = wall

    def of(self, task: Task) -> str:
        """Where ``task`` stands and why."""
        if task.status in TERMINAL:
            return self._ended(task)
        if task.status is RUNNING:
            return self._running(task)
        if task.status is WAITING:
            return self._waiting(task)
        return self._pending(task)

    def _ended(self, task: Task) -> str:
        ran = f" after {task.ended_at - task.started_at:.2f} s" if task.ended_running else ""
        attempts = f", attempt {task.attempt}" if task.attempt > 1 else ""
        if task.status is COMPLETED:
            return f"completed{ran}{attempts}"
        if isinstance(task.outcome, Cancelled):
            return f"cancelled{ran}: {task.outcome.cause}"
        assert isinstance(task.outcome, Err)
        kind = type(task.outcome.error).__name__
        how = "crashed" if task.outcome.crashed else "failed"
        reason = kind if task.outcome.raised else str(task.outcome.error)
        return f"{how}{ran}{attempts}: {reason}"

    def _running(self, task: Task) -> str:
        text = f"running for {self._now - task.started_at:.2f} s"
        if task.attempt > 1:
            text += f", attempt {task.attempt} of {task.most_attempts}"
        notes = task.notes
        if notes is not None and notes.progress is not None:
            text += f", {notes.progress:.0%} done"
            text += f" ({notes.message})" if notes.message else ""
        if (why := self._engine.ending(task)) is not None:
            text += f"; being stopped ({why})"
        targets = self._engine.waits.of(task)
        open_ones = [target for target in targets if target.status not in TERMINAL]
        if open_ones:
            text += "; it waits for " + self._list(open_ones)
        elif targets or self._engine.waits.is_over(task):
            text += "; what it waited for is there, it is in line for a slot"
        elif not self._engine.waits.holds_slot(task):
            text += "; it waits for its manager, for room in a queue for instance"
        return text

    def _waiting(self, task: Task) -> str:
        open_ones = [other for other in task.dependencies if other.status not in TERMINAL]
        text = "waiting for " + self._list(open_ones)
        return text + "; held until it is executed" if task.held else text

    def _pending(self, task: Task) -> str:  # noqa: PLR0911  # a sentence each
        engine = self._engine
        before = ""
        if task.notes is not None and task.notes.attempts:
            last = task.notes.attempts[-1]
            before = f"{last.ended} {last.number} of {task.most_attempts}, "
        if task.held:
            return "held until it is executed"
        if task.due > self._now:
            return f"{before}next try {self._clock(self._wall + task.due - self._now)}"
        if task.notes is not None and task.notes.due_at is not None:
            return f"due {self._clock(task.notes.due_at)}"
        if task.notes is not None and task.notes.parked is not None:
            return before + self._at_gate(task, engine.turnstiles.all[task.notes.parked])
        if not task.queued:
            if task in engine.by_hand:
                return "waiting to be started by hand"
            if task in engine.claimed:
                text = f"{before}handed over to {task.spec.executor!r}, for a worker to begin it"
                return f"{text}. {why}" if (why := engine.claimed[task]) else text
            if task.id in engine.lingering:
                return f"{before}waiting for the thread of its last attempt to leave"
            return f"{before}due now"
        if engine.paused:
            return f"{before}ready, but the manager is paused: call resume()"
        return before + self._in_line(task, engine.slots.pools[task.spec.executor])

    def _at_gate(self, task: Task, gate: Turnstile) -> str:
        """Why ``task`` waits in the line of ``gate``: the policy that holds up its head."""
        ahead = sum(1 for _ in takewhile(lambda other: other is not task, gate))
        place = f"{_ordinal(ahead + 1)} in line at gate `{gate.name}`, "
        circuit, weight = gate.circuit, task.spec.weight(gate.name)
        if circuit is not None and circuit.state == "open":
            again = self._clock(self._wall + circuit.until - self._now)
            return f"{place}which is open after failures; it tries again {again}"
        if circuit is not None and circuit.state == "half-open":
            return f"{place}which waits for one task to show whether it works again"
        if not gate.fits(weight, gate.held):
            taken = f"{place}{gate.held} of {gate.slots} taken"
            if gate.lent:
                taken += f", {gate.lent} by tasks that wait for others"
            wide = gate.slots is None or weight <= gate.slots
            return taken if wide else f"{taken}, and it takes {weight}: it passes alone"
        if gate.meter is not None:
            when = gate.next(weight, 0, self._now)
            return (
                f"{place}{gate.meter.rate}, the next {self._clock(self._wall + when - self._now)}"
            )
        return f"{place}{gate.held} taken"

    def _in_line(self, task: Task, pool: Pool) -> str:
        if not pool.traits.slots:
            return "ready, but this program has no such function: it waits for one that has it"
        ahead = sum(1 for _ in takewhile(lambda other: other is not task, pool.queue))
        full = (
            f"{pool.taken} of {pool.slots} slots of the {pool.name!r} executor taken"
            if pool.taken >= pool.slots
            else f"{self._engine.slots.running} of {self._engine.slots.limit} slots taken"
        )
        return f"{_ordinal(ahead + 1)} in line, {full}"

    def _list(self, tasks: list[Task]) -> str:
        named = [self._brief(other) for other in tasks[:_NAMED]]
        more = len(tasks) - len(named)
        return ", ".join(named) + (f" and {more} more" if more else "")

    def _brief(self, task: Task) -> str:
        text = f"`{task.spec.name}` ({task.status}"
        notes = task.notes
        if task.status is PENDING and task.due > self._now and notes and notes.attempts:
            past = notes.attempts[-1]
            again = self._clock(self._wall + task.due - self._now)
            text = f"`{task.spec.name}` ({past.ended} {past.number} of "
            text += f"{task.most_attempts}, next try {again}"
        return text + ")"

    def _clock(self, wall: float) -> str:
        # People read the clock on their wall, so this is local time.
        from datetime import datetime  # noqa: PLC0415  # slow to import

        moment = datetime.fromtimestamp(wall)  # noqa: DTZ006
        today = moment.date() == datetime.fromtimestamp(self._wall).date()  # noqa: DTZ006
        return f"{moment:%H:%M:%S}" if today else f"{moment:%Y-%m-%d %H:%M:%S}"


def _ordinal(number: int) -> str:
    suffixes = {1: "st", 2: "nd", 3: "rd"} if number % 100 not in _TEENS else {}
    return f"{number}{suffixes.get(number % 10, 'th')}"

"""The laws of gates: a naive account of who is behind each of them, and who may pass."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import TYPE_CHECKING

from ..._core.flow import Adaptive
from ..._core.states import FAILED, PENDING, RUNNING, WAITING
from .door import Door
from .order import outranks
from .plans import Broken

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..._core.change import Transition
    from ..._core.flow import Rate
    from ..._core.task import Task
    from ..._core.turnstile import Turnstile
    from ..._core.turnstiles import CircuitMove
    from .world import World

_HAIR = Fraction(1, 10**9)  # what rounding may come to where a rate has a burst
_LEGAL = {("closed", "open"), ("open", "half-open"), ("half-open", "open"), ("half-open", "closed")}


class Doors:
    """All gates; looks on while the engine lets tasks pass."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._all = {gate.name: Door(gate, world.now) for gate in world.setting.gates}
        self._parked: dict[str, dict[Task, int]] = {name: {} for name in self._all}
        """Who waited at each gate after the last step, and how often they had been turned away."""
        self._lent_before = dict.fromkeys(self._all, 0)
        self._called: dict[Task, str] = {}
        self._runs: dict[Task, int] = {}

    def __bool__(self) -> bool:
        return bool(self._all)

    def altered(self, name: str, slots: int | Adaptive | None, rate: Rate | None) -> None:
        """Somebody is about to change a gate."""
        door = self._all[name]
        door.slots = slots if slots is not None else door.slots
        door.follow_rate(rate, self._world.now)

    def refuse(self, tasks: Sequence[Task]) -> tuple[bool, bool]:
        """Whether one of ``tasks`` is too heavy for a gate, and whether they are too many."""
        heavy = any(
            weight > self._all[name].heaviest for task in tasks for name, weight in task.spec.gates
        )
        asked = Counter(name for task in tasks for name, _ in task.spec.gates)
        waiting = self._waiting()
        crowded = any(
            door.max_pending is not None
            and asked[name]
            and waiting[name] + asked[name] > door.max_pending
            for name, door in self._all.items()
        )
        return heavy, crowded

    def stuck(self, task: Task, targets: Sequence[Task], *, held: bool) -> bool:
        """Whether ``task`` would never come back from waiting for ``targets``, as far as one sees.

        ``held``: with what it holds at gates; otherwise as if it could always go on.
        """
        free: set[Task] = set() if held else {task}
        while True:
            new = {
                other
                for other in self._world.engine.tasks.values()
                if other not in free and other is not task and self._ends(other, free)
            }
            if not new:
                return not all(target.status.finished or target in free for target in targets)
            free |= new

    def _ends(self, task: Task, free: set[Task]) -> bool:
        behind = self._world.awaited(task)
        if not all(other.status.finished or other in free for other in behind):
            return False
        if task.status not in {PENDING, WAITING} or self._world.is_claimed(task):
            return True
        for name, weight in task.spec.gates:
            holders = self._all[name].behind.items()
            held = sum(
                weighs
                for (other, _), weighs in holders
                if not (other.status.finished or other in free)
            )
            if not self._fits(name, weight, held):
                return False
        return True

    def _lent(self, name: str) -> int:
        """How much of the gate those hold who wait for others."""
        behind = self._all[name].behind
        return sum(behind.get((task, task.run), 0) for task in self._world.lent)

    def _goes_past(self, task: Task, other: Task, name: str, lent: int) -> bool:
        """Whether ``task`` is waited for, and ``other`` cannot pass before those who wait.

        These hold ``lent`` of the gate.
        """
        awaited = task.notes is not None and task.notes.awaited
        return awaited and not self._fits(name, other.spec.weight(name), lent)

    def _ahead(self, task: Task, line: Iterable[Task], *, owned: bool) -> list[Task]:
        """``task``, and who may stand before it in its line: anybody, where there are owners."""
        mine = (other for other in line if other.spec.executor == task.spec.executor)
        return [
            other
            for other in mine
            if other is task or owned or outranks(self._world, other, task, owned=False, first=True)
        ]

    def waits(self, task: Task, run: int) -> None:
        """A run waits for others from now on: it is no probe any more."""
        for name, _ in task.spec.gates:
            fuse = self._all[name].circuit
            if fuse is not None and fuse.probe == (task, run):
                fuse.probe = None

    def _has_slot(self, task: Task) -> bool:
        slots = self._world.engine.slots
        return slots.room(slots.pools[task.spec.executor]) > 0

    # -- what the engine says ----------------------------------------------------------------

    def check(self, transitions: Sequence[Transition], moves: Sequence[CircuitMove]) -> None:
        """Follow what is said to have happened, and compare with where things stand."""
        self._leave()
        started: list[Task] = []
        for task, before, after, _, _, cause in transitions:
            if after is RUNNING:
                if not self._world.traits(task).reports_start:  # else it passed when handed over
                    self._runs[task] = task.run
                    started.append(task)
            elif before is RUNNING:
                self._ended(task, cause)
            elif after is FAILED and cause.startswith("gate "):
                self._failed_at(task, cause.split()[1])
        for task in self._world.handed_over:
            self._runs[task] = task.run
            started.append(task)
        self._leave()
        for door in self._all.values():
            fuse = door.circuit
            if fuse is not None and fuse.state == "open" and self._world.advanced[0] >= fuse.until:
                fuse.turn("half-open", self._world.now)
        for task in started:
            if not self._world.traits(task).manual:
                self._passed(task)
        for name, before_state, after_state, _, cause in moves:
            if (before_state, after_state) not in _LEGAL or not cause:
                raise Broken(f"gate {name} went from {before_state} to {after_state} ({cause})")
        self._compare()
        self._remember()

    def _leave(self) -> None:
        """Whoever has really left holds nothing any more."""
        for door in self._all.values():
            for run in [run for run in door.behind if self._world.has_left(*run)]:
                del door.behind[run]
                fuse = door.circuit
                if fuse is not None and fuse.probe == run and self._world.never_began(*run):
                    fuse.probe = None

    def _ended(self, task: Task, cause: str) -> None:
        run = (task, self._runs[task])
        error = None if cause == "returned" else task.noted.attempts[-1].error
        by_total = cause == "timed out" and "total_timeout" in str(error)
        judged = cause.partition(",")[0] in {"returned", "failed", "crashed", "timed out"}
        for name, _ in task.spec.gates:
            fuse = self._all[name].circuit
            if fuse is None:
                continue
            if judged and not by_total:
                fuse.judge(run, error, self._world.now)
            if fuse.probe == run:
                fuse.probe = None

    def _failed_at(self, task: Task, name: str) -> None:
        fuse = self._all[name].circuit
        named = any(name == gate for gate, _ in task.spec.gates)
        if not (named and task.spec.when_open == "fail" and fuse and fuse.state != "closed"):
            raise Broken(f"{task} failed at gate {name}, which is {fuse and fuse.state}")

    def _passed(self, task: Task) -> None:
        now = self._world.now
        run = (task, task.run)
        for name, weight in task.spec.gates:
            door = self._all[name]
            if not self._fits(name, weight, door.held):
                raise Broken(f"{task} passed gate {name}, where {door.held} were held already")
            if not door.in_time(weight, now, _HAIR):
                raise Broken(f"{task} passed gate {name} before its time: {door.rate}")
            fuse = door.circuit
            if fuse is not None and (fuse.state == "open" or fuse.probe is not None):
                raise Broken(f"{task} passed gate {name}, which is {fuse.state}")
            door.passed(run, weight, now)
            if self._called.get(task) != name:
                self._in_turn(task, name)

    def _in_turn(self, task: Task, name: str) -> None:
        """Nobody who waited at the gate before this step, and still does, comes before ``task``."""
        gate = self._world.engine.turnstiles.all[name]
        line = self._parked[name]
        lent = max(self._lent(name), self._lent_before[name])  # a wait may just have ended
        owned = any(other.spec.owner is not None for other in (task, *line, *gate)) or gate.fair
        for other, turned_away in line.items():
            stayed = other.status is PENDING and other.noted.parked == name
            if other is task or not stayed or other.noted.turned_away != turned_away:
                continue
            if other.spec.executor != task.spec.executor and (owned or not self._has_slot(other)):
                continue  # it is the turn of another line; or it could not have made use of it
            ahead = self._ahead(other, (*line, *gate), owned=owned)  # or has just come back to it
            if any(self._goes_past(task, each, name, lent) for each in ahead):
                continue
            if outranks(self._world, other, task, owned=owned, first=False):
                raise Broken(f"{task} went through gate {name} before {other}, who waits there")

    # -- where things stand ------------------------------------------------------------------

    def _compare(self) -> None:
        engine = self._world.engine
        waiting = self._waiting()
        pending = [task for task in engine.tasks.values() if task.status is PENDING]
        parked = 0
        for name, gate in engine.turnstiles.all.items():
            door = self._all[name]
            if gate.holders != door.behind or gate.held != door.held:
                raise Broken(f"behind gate {name} are {gate.holders}, not {door.behind}")
            if gate.pending != waiting[name]:
                raise Broken(f"gate {name} expects {gate.pending} tasks, not {waiting[name]}")
            here = [task for task in pending if task.notes and task.notes.parked == name]
            if gate.waiting != len(here) or set(gate) != set(here):
                raise Broken(f"at gate {name} wait {list(gate)}, not {here}")
            called = [task for task in pending if task.notes and task.notes.called == name]
            by_executor = {task.spec.executor: task for task in called}
            if gate.called != by_executor or len(called) != len(by_executor):
                raise Broken(f"gate {name} has called {gate.called}, not {called}")
            lent = self._lent(name)
            if gate.lent != lent:
                raise Broken(f"of gate {name} those who wait hold {gate.lent}, not {lent}")
            if not all(task.queued and not task.noted.parked for task in called):
                raise Broken(f"gate {name} has called {called}, who are not in line")
            parked += len(here)
            self._compare_state(name, gate)
        if parked != engine.turnstiles.parked:
            raise Broken(f"{engine.turnstiles.parked} are parked, not {parked}")

    def _compare_state(self, name: str, gate: Turnstile) -> None:
        door = self._all[name]
        fuse, circuit = door.circuit, gate.circuit
        if fuse is not None and circuit is not None:
            ours, theirs = (fuse.state, fuse.probe), (circuit.state, circuit.probe)
            if ours != theirs:
                raise Broken(f"the breaker of gate {name} is {theirs}, not {ours}")
        if isinstance(door.slots, Adaptive):
            if gate.slots is None or not door.slots.min <= gate.slots <= door.slots.max:
                raise Broken(f"gate {name} has {gate.slots} slots, of {door.slots}")
        elif gate.slots != door.slots:
            raise Broken(f"gate {name} has {gate.slots} slots, not {door.slots}")

    def _remember(self) -> None:
        self._called = {}
        for name, gate in self._world.engine.turnstiles.all.items():
            self._parked[name] = {task: task.noted.turned_away for task in gate}
            self._lent_before[name] = self._lent(name)
        for task in self._world.engine.tasks.values():
            if task.status is PENDING and task.notes is not None and task.notes.called:
                self._called[task] = task.notes.called

    def settled(self) -> None:
        """Right after a turn of the pump nobody waits at a gate who could pass it."""
        now, engine = self._world.now, self._world.engine
        for name, gate in engine.turnstiles.all.items():
            fuse = self._all[name].circuit
            if fuse is not None and fuse.state == "open":
                spared = [task for task in gate if task.spec.when_open == "fail"]
                if spared:
                    raise Broken(f"{spared} wait at gate {name}, which is open")
            heads = [gate.first(executor, now) for executor in gate.lines]
            able = [head for head in heads if head is not None and self._has_slot(head)]
            first = max(able, key=lambda head: gate.rank(head, now), default=None)
            owned = gate.fair and len(able) > 1  # then it may be the turn of another line
            for awaited in gate.awaited:
                self._goes_on(awaited, gate, able)
            if engine.paused or owned or first is None or not first.noted.parked:
                continue
            if self._could_pass(first, gate):
                raise Broken(f"{first} waits at gate {name} and could pass")
        due = engine.alarms.next()
        if due is not None and due <= now:
            raise Broken(f"a gate was to ring at {due}, and it is {now}")

    def _goes_on(self, task: Task, gate: Turnstile, heads: Sequence[Task]) -> None:
        """Somebody waits for ``task``: does it stand behind those who can only pass after him?"""
        lent = self._lent(gate.name)
        past = all(self._goes_past(task, head, gate.name, lent) for head in heads)
        fits = self._fits(gate.name, task.spec.weight(gate.name), self._all[gate.name].held)
        able = self._has_slot(task) and not self._world.engine.paused and gate.slots is not None
        if past and fits and able and self._could_pass(task, gate):
            raise Broken(f"{task} waits at gate {gate.name}, is waited for, and could pass")

    def _could_pass(self, task: Task, gate: Turnstile) -> bool:
        door, weight = self._all[gate.name], task.spec.weight(gate.name)
        if self._world.engine.turnstiles.favoured is not None:
            return False  # room may be kept for it
        line = list(gate)
        if task.noted.turned_away and any(other.spec.owner for other in line):
            return False  # come back from another gate, it may be first at once; it is called later
        every = self._world.setting.age_every
        if every is not None and len({other.spec.priority for other in line}) > 1:
            return False  # age alone may have made it the first; it is called later
        fuse = door.circuit
        if fuse is not None and (fuse.state == "open" or fuse.probe is not None):
            return False
        if self._world.now <= door.vague_until:
            return False
        fits = self._fits(gate.name, weight, door.held)
        return fits and door.in_time(weight, self._world.now, -_HAIR)

    def kept_by(self, task: Task, lost: Sequence[Task]) -> bool:
        """Whether ``task`` waits at a gate because of those who are ``lost``."""
        if task.notes is None or task.notes.parked is None:
            return False
        turnstiles = self._world.engine.turnstiles
        behind = self._all[task.notes.parked].behind
        return turnstiles.favoured is not None or any(holder in lost for holder, _ in behind)

    def nothing_left(self) -> dict[str, int]:
        """What must be nothing at the very end."""
        engine = self._world.engine
        gates = engine.turnstiles.all.values()
        return {
            "alarms": len(engine.alarms),
            "parked": engine.turnstiles.parked,
            "doomed": len(engine.turnstiles.doomed),
            "favoured": engine.turnstiles.favoured is not None,
            "heeded": len(engine.turnstiles.heeded.get(None, ())),
            "at gates": sum(gate.waiting + len(gate.holders) + len(gate.called) for gate in gates),
            "held": sum(gate.held + gate.lent + gate.pending for gate in gates),
        }

    def _fits(self, name: str, weight: int, held: int) -> bool:
        """Whether there are slots for so much; one alone passes, however heavy."""
        slots = self._world.engine.turnstiles.all[name].slots
        return slots is None or not held or held + weight <= slots

    def _waiting(self) -> Counter[str]:
        """How many tasks that have not started name each gate."""
        return Counter(
            name
            for task in self._world.engine.tasks.values()
            if task.status in {PENDING, WAITING} and not self._world.is_claimed(task)
            for name, _ in task.spec.gates
        )

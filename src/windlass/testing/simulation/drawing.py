"""Drawing histories: what could matter now, chosen by a seeded die."""

from __future__ import annotations

import random
from itertools import accumulate
from typing import TYPE_CHECKING, Literal

from ..._core.states import COMPLETED, PENDING, TERMINAL, TaskPriority
from .claims import HoldUp, Interrupt, Start, TakeBack
from .gating import altered, draw_gates, draw_limit
from .history import draw
from .plans import EXECUTORS, Plan, Setting
from .restarting import Restart
from .steps import (
    Cancel,
    EndWait,
    Forge,
    ForgetOld,
    How,
    Jump,
    Lose,
    Pass,
    Pause,
    Progress,
    Release,
    Report,
    Resize,
    Retry,
    StartByHand,
    Submit,
    Turn,
    Wait,
)
from .tending import Look

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..._core.task import Task
    from .history import Played, Step
    from .world import Attempt, World

_PRIORITIES = tuple(TaskPriority)
_HOWS: tuple[tuple[How, ...], ...] = (
    ("ok",),
    ("ok", "ok", "error"),
    ("ok", "error", "error", "error"),
    ("ok", "crash", "snooze"),
    ("ok", "ok", "ok", "error", "error", "fatal", "crash", "snooze", "cancelled"),
)
_HOWS_STOPPED: tuple[How, ...] = ("cancelled", "cancelled", "ok", "error")
_ODDS = (0.0, 0.0, 0.1, 0.4, 0.9)
_SPECIALITIES = (
    "priority", "run_if", "retries", "overlap", "max_crashes", "timeout", "total_timeout",
    "expires", "held", "delay", "at", "parent", "key", "gates", "heavy", "owner", "when_open",
)  # fmt: skip
_THRONGING = ("heavy", "priority", "owner", "when_open", "retries")
_FASHION = (0, 1, 1, 4)


def simulate(seed: int) -> Played:
    """Draw the history of ``seed`` and let it happen, both at once."""
    rng = random.Random(seed)
    return draw(draw_setting(rng), lambda world: Hand(rng, world))


def draw_setting(rng: random.Random) -> Setting:
    """How the manager is set up."""
    count = rng.choice((1, 2, 2, 3, 5))
    return Setting(
        limit=draw_limit(rng),
        executors=tuple(sorted(rng.sample(sorted(EXECUTORS), count))),
        narrow=rng.random() < 0.4,
        max_pending=rng.choice((3, 8, 1_000, 1_000)),
        age_every=rng.choice((None, 2.0, 16.0)),
        keep_seconds=rng.choice((None, None, 4.0, 32.0)),
        keep_count=rng.choice((None, None, 0, 4)),
        gates=draw_gates(rng),
    )


class Hand:
    """Draws one step after another, with an eye on the world."""

    def __init__(self, rng: random.Random, world: World) -> None:
        self._rng = rng
        self._world = world
        self._most = rng.choice((3, 6, 10, 16))
        self._made = 0
        # Each history has its own specialities: one that had a little of everything would seldom
        # have enough of anything for two rare things to meet.
        self._odds = {name: rng.choice(_ODDS) for name in _SPECIALITIES}
        self.crowd = bool(world.setting.gates) and rng.random() < 0.35
        """Whether many plain tasks throng at the gates: some things happen only then."""
        if self.crowd:
            self._most = 30
            self._odds = dict.fromkeys(_SPECIALITIES, 0.0) | {
                name: rng.choice((0.0, 0.0, 0.2, 0.5)) for name in _THRONGING
            }
        self._hows = rng.choice(_HOWS)
        usual: dict[Callable[[], Step | None], int] = {
            Turn: 26,
            self._report: 22,
            self._submit: 18,
            self._pass: 12,
        }
        if "cluster" in world.setting.executors:
            usual[self._start] = 10
        rare: dict[Callable[[], Step | None], int] = {
            self._wait: 6,
            self._end_wait: 5,
            self._cancel: 3,
            self._retry: 3,
            self._start_by_hand: 3,
            self._again: 3,
            self._hold_up: 1,
            self._interrupt: 2,
            self._take_back: 6,
            Restart: 1,
            self._release: 2,
            self._lose: 2,
            self._jump: 2,
            self._pause: 2,
            self._resize: 1,
            self._progress: 1,
            self._forge: 1,
            self._duplicate: 1,
            ForgetOld: 2,
            self._look: 3,
            self._alter: 3,
        }
        self._kinds = [*usual, *rare]
        weights = [*usual.values(), *(rng.choice(_FASHION) * weight for weight in rare.values())]
        self._weights = list(accumulate(weights))
        self.length = rng.choice((12, 20, 30, 45, 70)) * (2 if self.crowd else 1)

    def draw(self) -> Step:
        """The next step."""
        kinds = self._rng.choices(self._kinds, cum_weights=self._weights, k=3)
        drawn = (kind() for kind in kinds)
        return next((step for step in drawn if step is not None), Turn())

    def _maybe(self, speciality: str) -> bool:
        return self._rng.random() < self._odds[speciality]

    def _task(self, fits: Callable[[Task], bool]) -> Task | None:
        fitting = [task for task in self._world.tasks.values() if fits(task)]
        return self._rng.choice(fitting) if fitting else None

    def _attempt(self, among: Sequence[Attempt]) -> Attempt | None:
        return self._rng.choice(among) if among else None

    # -- tasks -------------------------------------------------------------------------------

    def _submit(self) -> Step | None:
        rng = self._rng
        counts = (2, 4, 6) if self.crowd else (1, 1, 1, 2, 4)
        count = min(rng.choice(counts), self._most - self._made)
        if count <= 0:
            return None
        known = list(self._world.tasks)
        plans: list[Plan] = []
        for _ in range(count):
            plan = self._plan(known)
            known.append(plan.name)
            plans.append(plan)
        return Submit(tuple(plans))

    def _plan(self, known: list[str]) -> Plan:
        rng, maybe = self._rng, self._maybe
        name = _name(self._made)
        self._made += 1
        retries = rng.choice((1, 1, 2, 4)) if maybe("retries") else 0
        running = [attempt.task.id for attempt in self._world.on if attempt.running]
        return Plan(
            name,
            rng.choice(self._world.setting.executors),
            rng.choice(_PRIORITIES) if maybe("priority") else TaskPriority.NORMAL,
            after=self._after(known),
            run_if="all_done" if maybe("run_if") else "all_success",
            retries=retries,
            wait=rng.choice((0.0, 0.5, 2.0)) if retries else 0.0,
            overlap=retries > 0 and maybe("overlap"),
            max_crashes=1 if maybe("max_crashes") else 3,
            timeout=rng.choice((1.0, 4.0)) if maybe("timeout") else None,
            total_timeout=rng.choice((2.0, 10.0)) if maybe("total_timeout") else None,
            expires=rng.choice((1.0, 6.0)) if maybe("expires") else None,
            held=maybe("held"),
            delay=rng.choice((0.5, 3.0)) if maybe("delay") else 0.0,
            at=rng.choice((-5.0, 2.0, 10.0)) if maybe("at") else None,
            parent=rng.choice(running) if running and maybe("parent") else None,
            key=f"key {rng.randrange(3)}" if maybe("key") else None,
            gates=self._gates(),
            owner=rng.choice("xyz") if maybe("owner") else None,
            when_open="fail" if maybe("when_open") else "wait",
        )

    def _gates(self) -> tuple[tuple[str, int], ...]:
        rng, gates = self._rng, self._world.setting.gates
        if not gates or not (self.crowd or self._maybe("gates") or rng.random() < 0.5):
            return ()
        named = rng.sample(gates, rng.choice((1, 1, min(2, len(gates)), len(gates))))
        return tuple(
            (gate.name, rng.choice((1, 2, 2, 3)) if self._maybe("heavy") else 1) for gate in named
        )

    def _after(self, known: list[str]) -> tuple[str, ...]:
        rng = self._rng
        if not known or rng.random() < (0.98 if self.crowd else 0.5):
            return ()
        recent = known[-6:]
        return tuple(rng.choice(recent) for _ in range(rng.choice((1, 1, 2, 3))))

    def _duplicate(self) -> Step | None:
        task = self._task(lambda _: True)
        return Submit((Plan(task.id),)) if task is not None else None

    def _cancel(self) -> Step | None:
        task = self._task(lambda task: task.status not in TERMINAL or self._rng.random() < 0.1)
        return Cancel(task.id) if task is not None else None

    def _retry(self) -> Step | None:
        task = self._task(
            lambda task: (
                task.status in TERMINAL
                and (task.status is not COMPLETED or self._rng.random() < 0.1)
            )
        )
        return Retry(task.id, self._rng.random() < 0.5) if task is not None else None

    def _release(self) -> Step | None:
        task = self._task(lambda task: task.held)
        return Release(task.id) if task is not None else None

    def _start_by_hand(self) -> Step | None:
        task = self._task(lambda task: task.status is PENDING and task.spec.executor == "external")
        return StartByHand(task.id) if task is not None else None

    def _forge(self) -> Step | None:
        task = self._task(lambda _: True)
        return Forge(task.id) if task is not None else None

    # -- attempts ----------------------------------------------------------------------------

    def _report(self) -> Step | None:
        attempt = self._attempt(list(self._world.on))
        if attempt is None or (attempt.lost and not attempt.stopped):
            return None
        how = self._rng.choice(_HOWS_STOPPED if attempt.stopped else self._hows)
        return self._told(attempt, how)

    def _again(self) -> Step | None:
        reported = [attempt for attempt in self._world.attempts.values() if attempt.reported]
        attempt = self._attempt(reported)
        return self._told(attempt, self._rng.choice(self._hows)) if attempt is not None else None

    def _told(self, attempt: Attempt, how: How) -> Step:
        return Report(attempt.task.id, attempt.number, how, self._rng.choice((0.0, 0.5)))

    def _start(self) -> Step | None:
        claimed = [attempt for attempt in self._world.on if attempt.claimed]
        late = self._rng.random() < 0.1  # or once more, or by an executor that says no such thing
        attempt = self._attempt([*self._world.attempts.values()] if late else claimed)
        return Start(attempt.task.id, attempt.number) if attempt is not None else None

    def _hold_up(self) -> Step | None:
        attempt = self._attempt(list(self._world.on))
        return HoldUp(attempt.task.id, attempt.number) if attempt is not None else None

    def _interrupt(self) -> Step | None:
        attempt = self._attempt([attempt for attempt in self._world.on if attempt.current])
        return Interrupt(attempt.task.id) if attempt is not None else None

    def _take_back(self) -> Step | None:
        able = [attempt for attempt in self._world.on if attempt.can_be_taken_back]
        # Those that are being stopped first: it is soon too late for them.
        attempt = self._attempt([attempt for attempt in able if attempt.stopped] or able)
        return TakeBack(attempt.task.id, attempt.number) if attempt is not None else None

    def _lose(self) -> Step | None:
        attempt = self._attempt(list(self._world.on))
        return Lose(attempt.task.id, attempt.number) if attempt is not None else None

    def _progress(self) -> Step | None:
        attempt = self._attempt(list(self._world.attempts.values()))
        return Progress(attempt.task.id, attempt.number) if attempt is not None else None

    def _wait(self) -> Step | None:
        attempt = self._attempt(list(self._world.on))
        if attempt is None:
            return None
        open_ones = [task.id for task in self._world.tasks.values() if task.status not in TERMINAL]
        if not open_ones:
            return None
        count = self._rng.choice((1, 1, 2))
        targets = tuple(self._rng.choice(open_ones) for _ in range(count))
        return Wait(attempt.task.id, attempt.number, targets)

    def _end_wait(self) -> Step | None:
        waiting = [attempt for attempt in self._world.attempts.values() if attempt.waits]
        attempt = self._attempt(waiting)
        return EndWait(attempt.task.id, attempt.number) if attempt is not None else None

    # -- the world ---------------------------------------------------------------------------

    def _pass(self) -> Step:
        world = self._world
        if self._rng.random() < 0.4:  # to the very moment when something is to happen
            deadline = world.engine.next_deadline(world.now, world.wall)
            if deadline is not None and deadline > world.now:
                return Pass(deadline - world.now)
        return Pass(self._rng.choice((0.125, 0.5, 1.0, 3.0, 20.0)))

    def _jump(self) -> Step:
        return Jump(self._rng.choice((-30.0, -1.0, 1.0, 30.0)))

    def _resize(self) -> Step:
        return Resize(self._rng.choice(self._world.setting.executors), self._rng.randrange(4))

    def _alter(self) -> Step | None:
        gates = self._world.setting.gates
        return altered(self._rng, self._rng.choice(gates)) if gates else None

    def _look(self) -> Step | None:
        if not self._world.engine.adapts:
            return None
        return Look(self._rng.choice((0.1, 0.1, 0.95)), self._rng.choice((0.1, 0.1, 0.8, 0.95)))

    def _pause(self) -> Step:
        return Pause(not self._world.engine.paused)


def _name(number: int) -> str:
    letters: Literal["abcdefghijklmnopqrstuvwxyz"] = "abcdefghijklmnopqrstuvwxyz"
    return letters[number % 26] + (str(number // 26) if number >= 26 else "")

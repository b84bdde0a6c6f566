"""Drawing histories of crashes: what could matter now, chosen by a seeded die."""

from __future__ import annotations

import random
from itertools import accumulate
from typing import TYPE_CHECKING

from ...._core.states import TERMINAL
from ..history import draw
from .forgetting import Cleaning
from .plans import FUNCTIONS, Order, Setting
from .steps import (
    Ask,
    Child,
    Clean,
    Die,
    Do,
    Echo,
    Forget,
    Keep,
    Open,
    Pass,
    PostAgain,
    Report,
    SetClock,
    Submit,
    TakeOver,
    Weather,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...._runtime.durable import Role
    from ..history import Played, Step
    from .life import Life
    from .plans import Version
    from .steps import Asked, How
    from .world import World

_AT_ONCE = 3
_HALF = 0.5
_FORGETFUL = 0.3
_HOWS: tuple[tuple[How, ...], ...] = (
    ("ok",),
    ("ok", "ok", "error"),
    ("ok", "error", "crash", "fatal"),
)
_ODDS = (0.0, 0.0, 0.1, 0.4, 0.8)
_FASHION = (0, 1, 1, 4)
_SPECIALITIES = (
    "executor", "run_if", "retries", "max_crashes", "on_crash", "held", "delay", "at", "key",
    "gated", "version", "client", "errand", "timeout", "total_timeout", "expires",
)  # fmt: skip


def simulate(seed: int) -> Played:
    """Draw the history of ``seed`` and let it happen, both at once."""
    rng = random.Random(seed)
    setting = Setting(
        limit=rng.choice((1, 2, 4, 4)),
        in_file=rng.random() < 0.04,
        keep_count=rng.choice((None, None, 0, 2)),
    )
    if rng.random() < _FORGETFUL:
        setting = setting._replace(
            completed=rng.choice((None, 0.0, 4.0)),
            failed=rng.choice((None, 0.0, 12.0)),
            keys=rng.choice((None, 0.0, 20.0)),
            newest=rng.choice((None, 0, 3)),
        )
    return draw(setting, lambda world: Hand(rng, world))


class Hand:
    """Draws one step after another, with an eye on the world."""

    def __init__(self, rng: random.Random, world: World) -> None:
        self._rng = rng
        self._world = world
        self._made = self._opened = 0
        self._most = rng.choice((2, 4, 8, 12))
        # Each history has its own specialities, or two rare things would seldom meet.
        self._odds = {name: rng.choice(_ODDS) for name in _SPECIALITIES}
        self._hows = rng.choice(_HOWS)
        usual: dict[Callable[[], Step | None], int] = {
            self._work: 40,
            self._report: 18,
            self._submit: 14,
            self._pass: 4,
        }
        rare: dict[Callable[[], Step | None], int] = {
            self._die: 4,
            self._open: 4,
            self._close: 1,
            self._take_over: 3,
            self._cancel: 2,
            self._retry: 3,
            self._release: 3,
            self._child: 2,
            self._keep: 4,
            self._echo: 2,
            self._post_again: 1,
            self._weather: 2,
            self._set_clock: 2,
            self._forget: 1,
            self._clean: 1,
        }
        self._kinds = [*usual, *rare]
        weights = [*usual.values(), *(rng.choice(_FASHION) * weight for weight in rare.values())]
        self._weights = list(accumulate(weights))
        self.length = rng.choice((20, 40, 60, 90))

    def draw(self) -> Step:
        """The next step."""
        if not self._living():
            return self._opening()
        kinds = self._rng.choices(self._kinds, cum_weights=self._weights, k=3)
        drawn = (kind() for kind in kinds)
        return next((step for step in drawn if step is not None), Pass(1.0))

    def _maybe(self, speciality: str) -> bool:
        return self._rng.random() < self._odds[speciality]

    # -- processes -----------------------------------------------------------------------------

    def _living(self) -> list[Life]:
        return [life for life in self._world.lives.values() if life.alive]

    def _life(self, *, leads: bool | None = None) -> Life | None:
        fitting = [life for life in self._living() if leads is None or life.leads is leads]
        return self._rng.choice(fitting) if fitting else None

    def _opening(self) -> Step:
        name = chr(ord("A") + self._opened % 26) + str(self._opened // 26 or "")
        self._opened += 1
        odd: dict[str, Version] = {}
        for function in FUNCTIONS:
            if self._maybe("version"):
                odd[function] = self._rng.choice(("lenient", "narrow", "unknown"))
        role: Role = "client" if self._maybe("client") else "any"
        if self._opened % 4 == 0 and self._maybe("errand"):
            role = "errand"  # which runs nothing: most have to be others, or little happens
        return Open(name, tuple(odd.items()), role)

    def _open(self) -> Step | None:
        return self._opening() if len(self._living()) < _AT_ONCE else None

    def _die(self) -> Step | None:
        life = self._life()
        if life is None:
            return None
        writes = self._rng.choice((0, 0, 1, 1, 2, 3))
        return Die(life.name, writes, bool(writes) and self._rng.random() < 0.5)

    def _close(self) -> Step | None:
        life = self._life()
        return Do(life.name, "close") if life is not None else None

    def _take_over(self) -> Step | None:
        life = self._life(leads=False)
        return TakeOver(life.name) if life is not None else None

    def _work(self) -> Step | None:
        life = self._life()
        if life is None:
            return None
        if not life.leads:
            return Do(life.name, "attend")
        return Do(life.name, self._rng.choice(("turn", "turn", "commit", "commit", "look")))

    # -- tasks ---------------------------------------------------------------------------------

    def _submit(self) -> Step | None:
        life = self._life()
        count = min(self._rng.choice((1, 1, 2, 4)), self._most - self._made)
        if count <= 0 or life is None:
            return None
        known = list(self._world.account.orders)
        orders: list[Order] = []
        for _ in range(count):
            orders.append(self._order(known))
            known.append(orders[-1].name)
        return Submit(life.name, tuple(orders))

    def _order(self, known: list[str]) -> Order:
        rng, maybe = self._rng, self._maybe
        retries = rng.choice((2, 3)) if maybe("retries") else None
        after: tuple[str, ...] = ()
        if known and rng.random() < 0.4:
            after = tuple(rng.sample(known[-6:], min(len(known[-6:]), rng.choice((1, 1, 2)))))
        return Order(
            self._name(),
            rng.choice(FUNCTIONS),
            executor="async" if maybe("executor") else None,
            after=after,
            with_results=bool(after) and rng.random() < 0.5,
            run_if="all_done" if maybe("run_if") else "all_success",
            retries=retries,
            wait=rng.choice((0.0, 0.5, 4.0)) if retries else 0.0,
            max_crashes=rng.choice((1, 2)) if maybe("max_crashes") else None,
            fails_on_crash=maybe("on_crash"),
            held=maybe("held"),
            delay=rng.choice((0.5, 5.0)) if maybe("delay") else 0.0,
            at=rng.choice((-5.0, 3.0, 20.0)) if maybe("at") else None,
            timeout=rng.choice((1.5, 8.0)) if maybe("timeout") else None,
            total_timeout=rng.choice((3.0, 25.0)) if maybe("total_timeout") else None,
            expires=rng.choice((2.0, 15.0)) if maybe("expires") else None,
            key=f"key {rng.randrange(3)}" if maybe("key") else None,
            gated=maybe("gated"),
        )

    def _name(self) -> str:
        self._made += 1
        return f"{chr(ord('a') + (self._made - 1) % 26)}{(self._made - 1) // 26 or ''}"

    def _child(self) -> Step | None:
        life = self._life(leads=True)
        if life is None or not life.runs or self._made >= self._most:
            return None
        parent, _ = self._rng.choice(list(life.runs))
        return Child(life.name, parent, Order(self._name(), self._rng.choice(FUNCTIONS)))

    def _report(self) -> Step | None:
        life = self._life(leads=True)
        if life is None or not life.runs:
            return None
        name, _ = self._rng.choice(list(life.runs))
        return Report(life.name, name, self._rng.choice(self._hows))

    def _echo(self) -> Step | None:
        life = self._life(leads=True)
        return Echo(life.name, self._rng.choice(list(life.past))) if life and life.past else None

    def _keep(self) -> Step | None:
        life = self._life(leads=True)
        if life is None or not life.runs:
            return None
        name, _ = self._rng.choice(list(life.runs))
        return Keep(life.name, name, self._rng.choice(("", "first", "second")))

    def _ask(self, what: Asked, *, ended: bool) -> Step | None:
        life, account = self._life(), self._world.account
        names = [name for name in account.orders if (account.status(name) in TERMINAL) is ended]
        if life is None or not names:
            return None
        return Ask(life.name, self._rng.choice(names), what)

    def _cancel(self) -> Step | None:
        return self._ask("cancel", ended=False)

    def _release(self) -> Step | None:
        return self._ask("release", ended=False)

    def _retry(self) -> Step | None:
        return self._ask("retry" if self._rng.random() < _HALF else "retry downstream", ended=True)

    def _post_again(self) -> Step | None:
        requests = list(self._world.account.requests)
        return PostAgain(self._rng.choice(requests)) if requests else None

    # -- the rest ------------------------------------------------------------------------------

    def _pass(self) -> Step:
        return Pass(self._rng.choice((0.25, 1.0, 1.0, 6.0)))

    def _set_clock(self) -> Step:
        return SetClock(self._rng.choice((-1000.0, -7.0, 3.0, 500.0)))

    def _forget(self) -> Step | None:
        life, names = self._life(), list(self._world.account.orders)
        return Forget(life.name, self._rng.choice(names)) if life and names else None

    def _clean(self) -> Step | None:
        life, rng = self._life(), self._rng
        if life is None:
            return None
        wish = Cleaning(rng.choice((0.0, 0.0, 5.0)), rng.choice((0, 0, 1)), rng.random() < _HALF)
        return Clean(life.name, wish)

    def _weather(self) -> Step:
        if self._world.disk.mood != "well":
            return Weather("well")
        return Weather(self._rng.choice(("full", "locked")))

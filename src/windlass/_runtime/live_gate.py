"""A gate of a manager as it stands now, to look at and to change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._core.flow import Adaptive, Breaker, Rate
from .._core.metrics import GateMetrics
from .._numbers import require_count
from ..errors import StoreError
from .load import require_psutil

if TYPE_CHECKING:
    from .._core.meters import CircuitState
    from .._core.turnstile import Turnstile
    from .runtime import Runtime


class LiveGate:
    """What ``manager.gate(name)`` gives: ``slots``, ``rate`` and ``max_pending`` can be set.

    What is set holds from the next task on; those that are behind the gate already are not
    disturbed.

    Where another process leads the file, the figures are its, and come with StoreError if it does
    not answer. What is set holds when this process leads, and so does ``breaker``.
    """

    __slots__ = ("_name", "_runtime")

    def __init__(self, runtime: Runtime, name: str) -> None:
        self._runtime = runtime
        self._name = name

    def __repr__(self) -> str:
        now = self.metrics()
        taken = f"{now.held} of {now.slots}" if now.slots is not None else f"{now.held}"
        state = f", {now.state}" if now.state is not None else ""
        return f"<gate {self._name}: {taken} taken, {now.waiting} waiting{state}>"

    @property
    def name(self) -> str:
        """By which tasks name it."""
        return self._name

    def metrics(self) -> GateMetrics:
        """Its figures."""
        if self._runtime.follower is not None:
            told = self._runtime.metrics().gates.get(self._name)
            if told is None:
                raise StoreError(f"the process that leads the file has no gate {self._name!r}")
            return told
        with self._runtime.lock:
            return GateMetrics.of(self._here)

    @property
    def _here(self) -> Turnstile:
        """The gate as this process has it."""
        found = self._runtime.engine.turnstiles.all.get(self._name)
        if found is None:
            raise StoreError(
                f"the gate {self._name!r} is one of the process that leads the file, and this one "
                "has none of that name: change it there, or give this manager one with gates=[...]"
            )
        return found

    @property
    def slots(self) -> int | None:
        """How many tasks may be behind it at once, now; None: any number."""
        return self.metrics().slots

    @slots.setter
    def slots(self, slots: int | Adaptive) -> None:
        if isinstance(slots, Adaptive):
            require_psutil(slots)
        else:
            require_count("slots", slots, least=1)
        self._change(slots=slots)

    @property
    def rate(self) -> Rate | None:
        """How often a task may pass."""
        return self.metrics().rate

    @rate.setter
    def rate(self, rate: Rate) -> None:
        if not isinstance(rate, Rate):
            raise TypeError(f"rate takes Rate(...), not {rate!r}; what has a rate keeps one")
        self._change(rate=rate)

    @property
    def breaker(self) -> Breaker | None:
        """Its circuit breaker."""
        with self._runtime.lock:
            return self._here.breaker

    @property
    def max_pending(self) -> int | None:
        """How many unstarted tasks may name it."""
        return self.metrics().max_pending

    @max_pending.setter
    def max_pending(self, most: int | None) -> None:
        if most is not None:
            require_count("max_pending", most, least=1)
        with self._runtime.lock:
            self._here.max_pending = most
        self._runtime.pump.wake()

    @property
    def state(self) -> CircuitState | None:
        """``closed``, ``open`` or ``half-open``; None without a breaker."""
        return self.metrics().state

    @property
    def held(self) -> int:
        """How much of it is taken."""
        return self.metrics().held

    @property
    def waiting(self) -> int:
        """How many tasks wait in its line."""
        return self.metrics().waiting

    def _change(self, **changes: Any) -> None:
        runtime = self._runtime
        with runtime.lock:
            runtime.engine.turnstiles.change(self._here, runtime.clock.now(), **changes)
        runtime.pump.wake()

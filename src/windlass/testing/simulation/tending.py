"""What can happen to gates: people change them, and somebody looks how busy the machine is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..._core.meters import Load

if TYPE_CHECKING:
    from ..._core.flow import Adaptive, Rate
    from .world import World


class Alter(NamedTuple):
    """Somebody gives a gate other slots, or another rate."""

    gate: str
    slots: int | Adaptive | None = None
    rate: Rate | None = None

    def do(self, world: World) -> None:
        """Change it; what is behind it is not disturbed."""
        gate = world.engine.turnstiles.all.get(self.gate)
        if gate is not None:
            world.doors.altered(self.gate, self.slots, self.rate)
            world.engine.turnstiles.change(gate, world.now, slots=self.slots, rate=self.rate)

    def __str__(self) -> str:
        told = [
            f"{value} slots" if name == "slots" else f"a rate of {value}"
            for name, value in (("slots", self.slots), ("rate", self.rate))
            if value is not None
        ]
        return f"gate {self.gate} has {' and '.join(told)}"


class Look(NamedTuple):
    """Somebody looks how busy the machine is."""

    cpu: float
    memory: float

    def do(self, world: World) -> None:
        """Let the limits that find themselves do so."""
        world.engine.look(Load(self.cpu, self.memory), world.now)

    def __str__(self) -> str:
        return f"look: {self.cpu:.0%} of the CPU is used, and {self.memory:.0%} of the memory"

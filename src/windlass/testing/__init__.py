"""What helps to test tasks, and the engine that runs them.

- ``World``: the real engine in memory, in virtual time, with seeded faults. In pytest it is
  the fixture ``windlass_world``, see ``plugin``.
- ``Faults``: what is to go wrong in it, and how often.
- ``ExecutorContract``: the suite that every executor must pass, of ours or of yours.
- ``StoreContract``: the same for stores.
- ``VirtualClock``, ``VirtualLoop``: virtual time by itself.
- ``python -m windlass.testing.simulate``: whole histories of the engine, drawn from a seed.

pytest imports this package in every run of everybody who has Windlass installed, through the
plugin, so a name is imported when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .contracts import ExecutorContract as ExecutorContract
    from .contracts.stores import StoreContract as StoreContract
    from .faults import Faults as Faults
    from .faults import InjectedFault as InjectedFault
    from .virtual_time import VirtualClock as VirtualClock
    from .virtual_time import VirtualLoop as VirtualLoop
    from .world import World as World

_HOMES = {
    "ExecutorContract": "contracts",
    "Faults": "faults",
    "InjectedFault": "faults",
    "StoreContract": "contracts.stores",
    "VirtualClock": "virtual_time",
    "VirtualLoop": "virtual_time",
    "World": "world",
}
__all__ = [
    "ExecutorContract",
    "Faults",
    "InjectedFault",
    "StoreContract",
    "VirtualClock",
    "VirtualLoop",
    "World",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415  # not on every start of pytest

    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})

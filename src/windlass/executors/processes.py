"""``process``: runs each call in a worker process of its own, which can really be killed.

Nothing here runs a user's function in this process, and nothing in a worker knows what a task is:
what travels is the call's *parcel*, which runs itself over there. The workers and the pipes to them
are minded by ``_workers.crew``. That is imported for the first call: it is a fifth of what Windlass
costs to import, and many programs never need it.
"""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Any, TypeAlias

from .._core.pools import Traits

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping, Sequence

    from ..ports import Call, Idle, Report
    from ._workers.crew import Crew

    _Desk: TypeAlias = tuple[asyncio.AbstractEventLoop, Report, Idle]

__all__ = ["ProcessExecutor"]

_LATENESS = 1.0
"""How much longer the engine waits for a stopped call than we do: the kill has to be reported."""


class ProcessExecutor:
    """Runs calls in spawned worker processes, started as they are needed and kept for reuse.

    - ``slots``: how many at once; by default as many as there are processors.
    - ``grace``: how long a stopped call may go on. It is told at once, so ``check_cancelled()``
      raises; when the grace is over, its process is killed together with its children.
    - A process that dies by itself costs only the call it ran, which is reported as crashed.
    - When this process dies, however it dies, its workers and their children die with it.
    """

    def __init__(self, slots: int | None = None, *, grace: float = 0.5) -> None:
        if slots is None:
            slots = os.cpu_count() or 1
        self.traits = Traits(slots=slots, grace=grace + _LATENESS, crosses=True)
        self._grace = grace
        self._desk: _Desk | None = None
        self._crew: Crew | None = None

    @property
    def capacity(self) -> int:
        """All of its slots, since what is stopped is killed, and more while calls are quick."""
        crew = self._crew
        return self.traits.slots + crew.ahead.room if crew is not None else self.traits.slots

    def open(self, loop: asyncio.AbstractEventLoop, report: Report, idle: Idle) -> None:
        """See ``Executor``."""
        self._desk = loop, report, idle

    def why_not(self, function: Any) -> str | None:
        """See ``Executor``."""
        from .crossing import why_not  # noqa: PLC0415

        return why_not(function)

    def start(self, calls: Sequence[Call]) -> None:
        """See ``Executor``."""
        crew = self._crew or self._gather_crew()
        crew.start(calls)

    def _gather_crew(self) -> Crew:
        from ._workers.crew import Crew  # noqa: PLC0415  # see the module

        assert self._desk is not None
        crew = self._crew = Crew(self.traits.slots, self._grace, *self._desk)
        _close_in_forked_children(crew)
        return crew

    def stop(self, call: Call) -> None:
        """See ``Executor``."""
        if self._crew is not None:
            self._crew.stop(call)

    def close(self) -> None:
        """See ``Executor``."""
        crew, self._crew, self._desk = self._crew, None, None
        if crew is not None:
            crew.close()

    def figures(self) -> Mapping[str, int]:
        """Worker processes: how many there are, idle, killed by us, and dead by themselves."""
        crew = self._crew
        if crew is None:
            return {"workers": 0, "idle": 0, "killed": 0, "crashed": 0}
        return {
            "workers": len(crew.workers),
            "idle": len(crew.idle),
            "killed": crew.killed,
            "crashed": crew.crashed,
        }


_open_crews: weakref.WeakSet[Crew] = weakref.WeakSet()
_watching_forks = False


def _close_in_forked_children(crew: Crew) -> None:
    global _watching_forks  # noqa: PLW0603  # registered once, and not on import
    _open_crews.add(crew)
    if not _watching_forks and hasattr(os, "register_at_fork"):
        _watching_forks = True
        os.register_at_fork(after_in_child=_after_fork_in_child)


def _after_fork_in_child() -> None:
    for crew in list(_open_crews):
        crew.close_in_child()

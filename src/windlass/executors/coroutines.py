"""Coroutines, on the event loops they belong to: any number at once, free to wait for others."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from .._core.pools import Traits
from .lanes import LaneExecutor

if TYPE_CHECKING:
    import asyncio


class CoroutineExecutor(LaneExecutor):
    """Runs each call on the loop it was submitted on, else on the manager's own.

    A stopped call gets a CancelledError, and ``grace`` seconds to clean up.
    """

    def __init__(self, *, grace: float = 10.0) -> None:
        super().__init__(Traits(slots=sys.maxsize, grace=grace, max_waiting=sys.maxsize))

    def fill_in(self, loop: asyncio.AbstractEventLoop) -> bool:
        lanes = self._lanes.get(loop)
        return lanes is not None and lanes.fill_in()

"""One measurement: how much each task cost, and how much of that the garbage collector took."""

from __future__ import annotations

import asyncio
import functools
import gc
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

now = time.perf_counter  # noqa: TID251  # a stopwatch, not a clock


class Sample(NamedTuple):
    """What one task cost, in seconds or bytes, and the collector's part of it."""

    cost: float
    collecting: float = 0.0


class Stopwatch:
    """Measures its block, and how long the collector ran in it."""

    def __enter__(self) -> Self:
        self.collecting = 0.0
        self._collection_began = 0.0
        gc.callbacks.append(self._on_collection)
        self._began = now()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = now() - self._began
        gc.callbacks.remove(self._on_collection)

    def per(self, count: int) -> Sample:
        """What each of ``count`` tasks cost."""
        return Sample(self.seconds / count, self.collecting / count)

    def _on_collection(self, phase: str, info: dict[str, Any]) -> None:
        if phase == "start":
            self._collection_began = now()
        else:
            self.collecting += now() - self._collection_began


def in_loop(measure: Callable[[int], Awaitable[Sample]]) -> Callable[[int], Sample]:
    """Run a measurement in an event loop of its own."""

    @functools.wraps(measure)
    def run(count: int) -> Sample:
        async def main() -> Sample:
            return await measure(count)

        return asyncio.run(main())

    return run

"""A task that waits for tasks: its slot is lent while it waits, and wanted back afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .nap import Nap

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from .job import Job
    from .portal import Portal
    from .runtime import Runtime


class NestedWait:
    """One wait of one running task."""

    __slots__ = ("_job", "_runtime", "_targets")

    def __init__(self, runtime: Runtime, job: Job, targets: Sequence[Job]) -> None:
        self._runtime = runtime
        self._job = job
        self._targets = targets

    def abandon(self) -> None:
        """The wait is given up; a slot is welcome but not waited for."""
        self._end(lambda: None)

    async def resume_async(self, loop: asyncio.AbstractEventLoop, portal: Portal) -> None:
        """The wait is over; go on when there is a slot again."""
        future = loop.create_future()
        if not self._end(lambda: portal.resolve(future)):
            await future

    def resume_blocking(self) -> None:
        """The wait is over; go on when there is a slot again."""
        nap = Nap(self._runtime)
        if not self._end(nap.wake):
            nap.sleep()

    def _end(self, resumed: Callable[[], None]) -> bool:
        runtime = self._runtime
        with runtime.lock:
            if runtime.engine.waits.end(self._job, self._targets):
                return True
            runtime.resumptions[self._job] = resumed
        runtime.pump.wake()
        return False

"""Any ``concurrent.futures.Executor`` as an executor: a pool you have already, or a cluster's.

A pool of threads runs calls as they are. Any other pool is taken to run them elsewhere, and is
given a packed call (see ``crossing``); it needs Windlass and the task's module over there.

What such a pool cannot do, it cannot do here: nothing kills what it has begun, so a stopped call
*lingers* if it can no longer be taken back; and a packed call has no way to the manager while it
runs, so progress and cancel checks do not cross over. Only the standard library's pools are asked
to take a call back. Others cancel the future of what has begun as well (Dask's does), and then
nothing would tell when it has left: a second attempt would run beside the first.
"""

from __future__ import annotations

import functools
from concurrent.futures import BrokenExecutor, CancelledError, Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from .._core.outcome import Cancelled, Err
from .._core.pools import Traits
from ..errors import TaskCrashedError
from .crossing import label, pack_call, run_packed, text_of, type_name, unpack, why_not

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Executor as Pool

    from .._core.outcome import Outcome
    from ..ports import Call, Report


_STANDARD = {"concurrent.futures.thread", "concurrent.futures.process"}


class FuturesExecutor:
    """Runs calls in ``pool``, which stays yours: it is not shut down.

    - ``slots``: how many calls to hand over at once. By default the pool's number of workers, which
      a pool of the standard library tells; for any other it must be given. More keep a distant pool
      busy between two calls, but what is handed over counts as running.
    - ``crosses``: whether calls leave this process. By default all pools but threads do.
    """

    def __init__(
        self, pool: Pool, slots: int | None = None, *, crosses: bool | None = None
    ) -> None:
        if slots is None:
            slots = getattr(pool, "_max_workers", None)
        if not isinstance(slots, int):
            raise TypeError(
                f"how many tasks {type(pool).__name__} runs at once cannot be told: say slots="
            )
        if crosses is None:
            crosses = not isinstance(pool, ThreadPoolExecutor)
        self.pool = pool
        self.traits = Traits(
            slots=slots,
            local=not crosses,
            lingers=True,
            reports_progress=not crosses,
            crosses=crosses,
        )
        # By name: to import the pool of processes costs as much as all of Windlass.
        self._takes_back = any(kind.__module__ in _STANDARD for kind in type(pool).__mro__)
        self._futures: dict[Call, Future[Any]] = {}
        self._report: Report | None = None

    @property
    def capacity(self) -> int:
        """All of its slots: which of them a lingering call holds, only the pool knows."""
        return self.traits.slots

    def open(
        self, loop: asyncio.AbstractEventLoop, report: Report, idle: Callable[[], None]
    ) -> None:
        """See ``Executor``."""
        self._report = report

    def why_not(self, function: Any) -> str | None:
        """See ``Executor``."""
        return why_not(function) if self.traits.crosses else None

    def start(self, calls: Sequence[Call]) -> None:
        """See ``Executor``."""
        for call in calls:
            try:
                future = self._hand_over(call)
            except Exception as error:  # noqa: BLE001  # a pool refuses in its own words
                self._end(call, _lost(call, error, crashed=isinstance(error, BrokenExecutor)))
                continue
            if future is not None:
                self._futures[call] = future
                future.add_done_callback(functools.partial(self._done, call))

    def _hand_over(self, call: Call) -> Future[Any] | None:
        if not self.traits.crosses:
            return self.pool.submit(call.run)
        data = pack_call(call)
        if isinstance(data, Err):
            self._end(call, data)
            return None
        # Dask takes the same function with the same arguments for one task, which it runs once.
        return self.pool.submit(run_elsewhere, data, f"{call.task_id}.{call.number}")

    def _done(self, call: Call, future: Future[Any]) -> None:
        """Called by the pool, on a thread of its choice."""
        self._futures.pop(call, None)
        self._end(call, self._outcome(call, future))

    def _outcome(self, call: Call, future: Future[Any]) -> Outcome:
        try:
            result = future.result()
        except CancelledError:
            return Cancelled("taken back before it began")
        except BaseException as error:  # noqa: BLE001  # whatever the pool broke with
            return _lost(call, error, crashed=True)
        if not self.traits.crosses:
            outcome: Outcome = result
            return outcome
        return unpack(result, call)

    def _end(self, call: Call, outcome: Outcome) -> None:
        if self._report is not None:
            self._report(call, outcome)

    def stop(self, call: Call) -> None:
        """See ``Executor``."""
        future = self._futures.get(call)
        if future is None or (self._takes_back and future.cancel()):
            return
        if not self.traits.crosses:
            call.interrupt()

    def close(self) -> None:
        """See ``Executor``."""
        self._report = None
        for future in list(self._futures.values()):
            future.cancel()
        self._futures.clear()

    def figures(self) -> Mapping[str, int]:
        """How many calls the pool has: begun, or in its own queue."""
        return {"handed_over": len(self._futures)}


def run_elsewhere(data: bytes, _run: str) -> bytes:
    """What the pool is asked to do: run a packed call over there, and pack its outcome."""
    return run_packed(data, _Mute())


class _Mute:
    """The way to a manager that cannot be reached."""

    cancelled = False

    def send(self, kind: str, payload: Any) -> None:
        """Nobody listens."""

    def ask(self, kind: str, payload: Any) -> Any:
        raise RuntimeError(
            f"cannot ask the manager ({kind}): a task in a pool of futures has no way to reach it. "
            "Use the process executor, or do this in the task that depends on it"
        )

    def when_cancelled(self, callback: Callable[[], object]) -> None:
        """It will never be told."""


def _lost(call: Call, error: BaseException, *, crashed: bool) -> Err:
    """The pool, not the function, failed."""
    text = f"the pool could not run {label(call)}: {type_name(type(error))}: {text_of(error)}"
    lost = TaskCrashedError(text, call.task_id)
    lost.__cause__ = error
    return Err(lost, raised=False, crashed=crashed)

"""Plain functions, on daemon threads of our own.

The threads are ours, not ``concurrent.futures``', because of what happens to a function that will
not stop: its thread is *abandoned*. It no longer counts, another takes its place, its late result
is ignored, and, being a daemon, it never keeps the interpreter alive.

Guarantees:

- A call is handed to an idle thread, the most recently idle one, or to a new thread at once.
- There are never more threads than calls were running at the same time, plus abandoned ones.
- At most ``max_abandoned`` threads are abandoned at a time. Beyond that a stopped call goes on
  taking its place, so that a program that hangs again and again comes to a halt, with a warning,
  instead of filling memory with threads.
- An idle thread leaves after ``IDLE_SECONDS``.

There is no lock, on purpose. If one thread loses the GIL while it holds a lock that all of them
take for each call, the others queue up for it, and they never get out of step again: each call then
costs a switch of threads, and three times as much. So sets settle who returned and who was stopped,
for their single operations are atomic: whoever takes a call out of ``_running`` decides its end.
"""

from __future__ import annotations

import logging
import os
import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from .._core.pools import Traits

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping, Sequence

    from .._core.outcome import Outcome
    from ..ports import Call, Report

logger = logging.getLogger("windlass")

IDLE_SECONDS = 10.0


def default_slots() -> int:
    """As many threads as the standard library's pool would have."""
    return min(32, (os.cpu_count() or 1) + 4)


class ThreadExecutor:
    """Runs each call on a daemon thread of its own, which is idle and kept for reuse afterwards.

    A stopped call's thread is abandoned: it counts no more, and its late result is ignored.
    """

    def __init__(
        self, slots: int | None = None, *, max_abandoned: int = 64, max_waiting: int = 256
    ) -> None:
        self.traits = Traits(
            slots=slots or default_slots(),
            lingers=True,
            max_waiting=max_waiting,
            any_thread=True,
        )
        self.max_abandoned = max_abandoned
        self._idle: list[_Worker] = []  # append and pop are atomic
        self._running: set[Call] = set()
        self._abandoned: set[Call] = set()
        """Those that were stopped and have not returned."""
        self._report: Report
        self._on_idle: Callable[[], None]
        self._open = False
        self._count = 0

    @property
    def capacity(self) -> int:
        return self.traits.slots - max(0, len(self._abandoned) - self.max_abandoned)

    def open(
        self, loop: asyncio.AbstractEventLoop, report: Report, idle: Callable[[], None]
    ) -> None:
        self._report = report
        self._on_idle = idle
        self._open = True

    def why_not(self, function: Any) -> str | None:
        return None

    def start(self, calls: Sequence[Call]) -> None:
        for call in calls:
            try:
                worker = self._idle.pop()
            except IndexError:
                self._count += 1
                worker = _Worker(self, f"windlass-thread-{self._count}")
            self._running.add(call)
            worker.calls.put(call)

    def stop(self, call: Call) -> None:
        if call not in self._running:
            return  # it has just returned
        self._abandoned.add(call)
        try:
            self._running.remove(call)
        except KeyError:  # it returned after all
            self._abandoned.discard(call)
            return
        call.interrupt()
        if len(self._abandoned) == self.max_abandoned + 1:
            logger.warning(
                "%d threads run functions that were stopped but do not return; from now on they "
                "take the place of others. Have them call current_task().check_cancelled(): %s",
                self.max_abandoned + 1,
                ", ".join(self.left_behind()[:10]),
            )

    def close(self) -> None:
        self._open = False
        while self._idle:
            self._idle.pop().calls.put(None)

    def figures(self) -> Mapping[str, int]:
        return {"abandoned": len(self._abandoned)}

    def left_behind(self) -> list[str]:
        """The names of the tasks whose functions still run though they were stopped."""
        return sorted(f"{call.name} [{call.task_id}]" for call in list(self._abandoned))

    # -- called by the threads -----------------------------------------------------------------

    def returned(self, worker: _Worker, call: Call, outcome: Outcome) -> bool:
        """Report a call; whether ``worker``, which ran it, is to wait for another."""
        try:
            self._running.remove(call)
        except KeyError:  # it was stopped, and another thread has taken this one's place
            self._abandoned.discard(call)
            stay = False
        else:
            stay = self._open
        if stay:
            self._idle.append(worker)
        self._report(call, outcome, wake=False)
        self._on_idle()
        return stay

    def leave(self, worker: _Worker) -> bool:
        """Whether an idle ``worker`` may go: not if it was just given a call."""
        try:
            self._idle.remove(worker)
        except ValueError:
            return False
        return True


class _Worker:
    """One thread, and the queue of the one call it is to run next."""

    def __init__(self, executor: ThreadExecutor, name: str) -> None:
        self.calls: SimpleQueue[Call | None] = SimpleQueue()
        self._executor = executor
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def _work(self) -> None:
        executor = self._executor
        while True:
            try:
                call = self.calls.get(timeout=IDLE_SECONDS)
            except Empty:
                if executor.leave(self):
                    return
                continue
            if call is None:
                return
            outcome = call.run()
            # Idle before the report: the turn that it leads to may well give this thread more.
            stay = executor.returned(self, call, outcome)
            del call, outcome  # an idle thread holds on to nothing
            if not stay:
                return

"""Lanes: how many coroutines share few asyncio tasks.

A lane is an asyncio task that runs one coroutine after another. A coroutine that never suspends
costs no asyncio task of its own, and one that does holds on to its lane while others go on with
the queue.

How many lanes there must be shows itself. One lane is woken for a batch. If a check, scheduled
behind it, finds work still queued, the lane was suspended by its call, and twice as many lanes are
woken as before. So a thousand quick coroutines share one lane, and a thousand slow ones have a
thousand after ten rounds.

A lane whose call was stopped, or ended in any way but a result, is not used again: what is left of
a cancellation belongs to the asyncio task that got it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from .._core.outcome import Again, Cancelled, Err, Ok
from .closing import WhenClosed, bury, post

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from .._core.pools import Traits
    from ..ports import Call, Report

# A lane lets the loop breathe after so many calls in a row.
_IN_A_ROW = 256
_SPARE_LANES = 128
_OUTCOMES = (Ok, Err, Again, Cancelled)


class LaneExecutor:
    """Runs each call on the loop it was submitted on, else on the manager's own."""

    def __init__(self, traits: Traits) -> None:
        self.traits = traits
        self._lanes: dict[asyncio.AbstractEventLoop, Lanes] = {}
        self._report: Report
        self._idle: Callable[[], None]
        self._home: asyncio.AbstractEventLoop

    @property
    def capacity(self) -> int:
        return self.traits.slots

    def open(
        self, loop: asyncio.AbstractEventLoop, report: Report, idle: Callable[[], None]
    ) -> None:
        self._home, self._report, self._idle = loop, report, idle

    def why_not(self, function: Any) -> str | None:
        return None

    def start(self, calls: Sequence[Call]) -> None:
        home = self._home
        for call in calls:
            if call.loop is not None and call.loop is not home:
                break
        else:
            self._lanes_of(home).feed(calls)
            return
        by_loop: dict[asyncio.AbstractEventLoop, list[Call]] = {}
        for call in calls:
            by_loop.setdefault(call.loop or home, []).append(call)
        for loop, batch in by_loop.items():
            if loop is home:
                self._lanes_of(loop).feed(batch)
                continue
            arrive = partial(self._lanes_of(loop).arrive, batch)
            post(loop, arrive, partial(_report_closed, self._report, batch))

    def stop(self, call: Call) -> None:
        loop = call.loop or self._home
        lanes = self._lanes.get(loop)
        if lanes is None:
            return
        if loop is self._home:
            lanes.stop(call)
        else:
            try:
                loop.call_soon_threadsafe(lanes.stop, call)
            except RuntimeError:
                pass  # it is closed, and the call was reported

    def close(self) -> None:
        for loop, lanes in self._lanes.items():
            if loop is self._home:
                lanes.dismiss()
            else:
                try:
                    loop.call_soon_threadsafe(lanes.dismiss)
                except RuntimeError:
                    pass  # it is closed, and its lanes are gone
        self._lanes = {}

    def figures(self) -> Mapping[str, int]:
        return {}

    def _lanes_of(self, loop: asyncio.AbstractEventLoop) -> Lanes:
        lanes = self._lanes.get(loop)
        if lanes is None:
            for other in [other for other in self._lanes if other.is_closed()]:
                del self._lanes[other]
            lanes = self._lanes[loop] = Lanes(loop, self._report, self._idle)
        return lanes


def _report_closed(report: Report, calls: Iterable[Call]) -> None:
    for call in calls:
        message = f"{call.name} [{call.task_id}] was submitted on an event loop that is closed now"
        report(call, Err(RuntimeError(message), raised=False))


class _Stopped:
    """Marks a call that was cancelled once: there is nothing more to do to it."""

    def cancel(self) -> None: ...


_STOPPED = _Stopped()


class Lanes:
    """The lanes of one loop; everything but ``__init__`` is called on its thread."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, report: Report, idle: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._report = report
        self._on_idle = idle
        self._queue: deque[Call] = deque()
        self._spare: list[asyncio.Future[bool]] = []
        self._tasks: set[asyncio.Task[None]] = set()  # the loop itself holds them only weakly
        self._checking = False
        self._inline = False
        self._burst = 1
        self._dismissed = False
        self._when_closed: WhenClosed | None = None

    def arrive(self, calls: Sequence[Call]) -> None:
        """Run ``calls`` soon on this loop, which may be closed at any time: it is not ours."""
        if self._when_closed is None:
            self._when_closed = WhenClosed(self._loop, self._loop_is_closed)
        self.feed(calls)

    def feed(self, calls: Sequence[Call]) -> None:
        """Run ``calls`` soon."""
        self._queue.extend(calls)
        if self._checking:
            return
        if self._inline:
            # The lane that asked for more sees to them itself; is it enough?
            if len(self._queue) > 1:
                self._check_soon()
        else:
            self._burst = 1
            self._more_lanes()

    def stop(self, call: Call) -> None:
        """Cancel ``call``, wherever it is."""
        lane = call.place
        if lane is not None:
            call.place = _STOPPED
            lane.cancel()
        elif call in self._queue:
            self._queue.remove(call)
            self._report(call, Err(asyncio.CancelledError()))

    def dismiss(self) -> None:
        """Send the idle lanes away, and the busy ones when they are done."""
        self._dismissed = True
        if self._when_closed is not None:
            self._when_closed.forget()
        for spare in self._spare:
            if not spare.done():
                spare.set_result(False)
        self._spare = []

    def _check_soon(self) -> None:
        self._checking = True
        self._loop.call_soon(self._check)

    def _check(self) -> None:
        self._checking = False
        if self._queue:
            self._more_lanes()

    def _more_lanes(self) -> None:
        """Wake as many lanes as experience says, and look again if that may be too few."""
        for _ in range(min(self._burst, len(self._queue))):
            while self._spare and self._spare[-1].done():
                self._spare.pop()
            if self._spare:
                self._spare.pop().set_result(True)
            else:
                task = self._loop.create_task(self._lane(), name="windlass-lane")
                self._tasks.add(task)
                task.add_done_callback(self._lane_is_over)
        if self._burst < len(self._queue):
            self._burst *= 2
            self._check_soon()

    def _lane_is_over(self, lane: asyncio.Task[None]) -> None:
        self._tasks.discard(lane)
        if lane.cancelled() and not self._tasks:
            # Somebody cancels all there is on this loop, as asyncio.run() does before it closes it.
            while self._queue:
                call = self._queue.popleft()
                self._report(call, call.shut_down())

    def _loop_is_closed(self) -> None:
        """What is queued never begins, and what is suspended never goes on: end them all."""
        queue, lanes = list(self._queue), list(self._tasks)
        self._queue.clear()
        self._tasks.clear()
        _report_closed(self._report, queue)
        for lane in lanes:
            bury(lane)

    async def _lane(self) -> None:
        me = asyncio.current_task()
        queue, report = self._queue, self._report
        in_a_row = 0
        while True:
            while queue:
                call = queue.popleft()
                call.place = me
                try:
                    ended = call.begin()
                    outcome = ended if isinstance(ended, _OUTCOMES) else await ended
                except GeneratorExit:  # the loop is gone, and this lane is collected
                    _report_closed(report, [call])
                    raise
                stopped = call.place is not me
                call.place = None
                report(call, outcome, wake=bool(queue))
                if stopped or type(outcome) is not Ok:
                    self._on_idle()
                    return
                in_a_row += 1
                if in_a_row >= _IN_A_ROW:
                    in_a_row = 0
                    await asyncio.sleep(0)
            # This may well bring more, without a round through the loop.
            self._inline = True
            self._on_idle()
            self._inline = False
            if queue:
                continue
            if self._dismissed or len(self._spare) >= _SPARE_LANES:
                return
            in_a_row = 0
            woken = self._loop.create_future()
            self._spare.append(woken)
            if not await woken:
                return

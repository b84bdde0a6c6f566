"""Lanes: how many coroutines share few asyncio tasks.

A lane is an asyncio task that runs one coroutine after another. A coroutine that never suspends
costs no asyncio task of its own, and one that does holds on to its lane while others go on with
the queue.

How many lanes there must be shows itself. One lane is woken for a batch. If a check, scheduled
behind it, finds work still queued, the lane was suspended by its call, and twice as many lanes are
woken as before. So a thousand quick coroutines share one lane, and a thousand slow ones have a
thousand after ten rounds.

A lane whose call was stopped, or cancelled the asyncio task it was in, or ended in any way but a
result, is not used again: what is left of a cancellation belongs to the asyncio task that got it.

Whoever begins to wait on this loop has time, and a short coroutine can be over before a lane would
have had its turn. So the waiter's time is used (``fill_in``) to run calls in the name of a lane
that has nothing to do. To asyncio, that lane is the current task meanwhile, and it goes on with
what has suspended.
"""

from __future__ import annotations

import asyncio
from asyncio.tasks import _enter_task, _leave_task
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from .._core.outcome import Again, Cancelled, Err, Ok
from .closing import WhenClosed, bury, post

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence

    from .._core.outcome import Outcome
    from .._core.pools import Traits
    from ..ports import Call, Report

    Begun: TypeAlias = tuple[Call, Coroutine[Any, Any, Outcome]]

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


class _Seat:
    """Where a lane waits for work: to be ``woken``, perhaps to go on with what was ``begun``."""

    __slots__ = ("begun", "lane", "woken")

    def __init__(self, lane: asyncio.Task[None], woken: asyncio.Future[bool]) -> None:
        self.lane = lane
        self.woken = woken
        self.begun: Begun | None = None


class Lanes:
    """The lanes of one loop; everything but ``__init__`` is called on its thread."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, report: Report, idle: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._report = report
        self._on_idle = idle
        self._queue: deque[Call] = deque()
        self._spare: list[_Seat] = []
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
            # Who asked for more sees to them itself; is it enough?
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
        for seat in self._spare:
            if not seat.woken.done():
                seat.woken.set_result(False)
        self._spare = []

    def fill_in(self) -> bool:
        """Have the pump's turn, and run what that brings in the time of whoever begins to wait.

        False: nothing was done, for want of a lane to do it in the name of, or of time.
        """
        loop, queue = self._loop, self._queue
        waiter, seat = asyncio.current_task(loop), self._free_seat()
        if seat is None or waiter is None or self._inline or queue:
            return False
        self._spare.pop()
        self._inline = True
        self._on_idle()
        if queue:
            _leave_task(loop, waiter)
            _enter_task(loop, seat.lane)
            try:
                self._run_for(seat)
            finally:
                _leave_task(loop, seat.lane)
                _enter_task(loop, waiter)
        self._inline = False
        if not seat.woken.done():
            self._spare.append(seat)
        if queue:
            self._burst = 1
            self._more_lanes()
        return True

    def _run_for(self, seat: _Seat) -> None:
        """Run calls in the name of the lane that waits in ``seat``, until one leaves it work."""
        queue = self._queue
        for _ in range(_IN_A_ROW):
            call = queue.popleft()
            call.place = seat.lane
            ended = call.begin()
            if not isinstance(ended, _OUTCOMES):
                seat.begun = call, ended
                if not seat.woken.done():
                    seat.woken.set_result(True)
                break
            stopped = call.place is not seat.lane
            call.place = None
            self._report(call, ended, wake=False)
            if stopped or type(ended) is not Ok or seat.woken.done():
                if not seat.woken.done():
                    seat.woken.set_result(False)
                break
            if not queue:
                self._on_idle()
                if not queue:
                    return
        self._on_idle()

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
            seat = self._free_seat()
            if seat is not None:
                self._spare.pop().woken.set_result(True)
            else:
                task = self._loop.create_task(self._lane(), name="windlass-lane")
                self._tasks.add(task)
                task.add_done_callback(self._lane_is_over)
        if self._burst < len(self._queue):
            self._burst *= 2
            self._check_soon()

    def _free_seat(self) -> _Seat | None:
        """The last of the seats where a lane waits, and still waits."""
        while self._spare and self._spare[-1].woken.done():
            self._spare.pop()
        return self._spare[-1] if self._spare else None

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
        assert me is not None
        queue, report, cancelling = self._queue, self._report, me.cancelling
        begun: Begun | None = None
        in_a_row = 0
        while True:
            while queue or begun is not None:
                if begun is None:
                    call, rest = queue.popleft(), None
                    call.place = me
                else:
                    (call, rest), begun = begun, None
                try:
                    ended = call.begin() if rest is None else rest
                    outcome = ended if isinstance(ended, _OUTCOMES) else await ended
                except GeneratorExit:  # the loop is gone, and this lane is collected
                    _report_closed(report, [call])
                    raise
                stopped = call.place is not me
                call.place = None
                report(call, outcome, wake=bool(queue))
                if stopped or type(outcome) is not Ok or cancelling():
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
            seat = _Seat(me, self._loop.create_future())
            if not await self._wanted(seat):
                return
            begun = seat.begun

    async def _wanted(self, seat: _Seat) -> bool:
        """Wait in ``seat`` until there is work, or False: until there will not be any."""
        self._spare.append(seat)
        try:
            return await seat.woken
        except asyncio.CancelledError:
            if seat.begun is None:
                raise
            # What is cancelled is the call that was begun in this lane's name a moment ago.
            seat.lane.uncancel()
            seat.lane.cancel()
            return True

"""An executor under observation: the calls it is at work on are known, and some of them are hit."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, cast

from .._core.outcome import Cancelled, Err
from ..errors import TaskCrashedError
from ..executors.lanes import LaneExecutor

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from .._core.outcome import Outcome
    from .._runtime.run import Run
    from ..ports import Call, Executor, Idle, Report
    from .faults import Fate


class TamperedExecutor:
    """Passes everything on to ``executor``, and reports back; in between, fate strikes.

    The engine is told nothing that an executor could not have told it by itself.
    """

    def __init__(
        self,
        executor: Executor,
        fate_of: Callable[[Run], Fate],
        poke: Callable[[], None],
    ) -> None:
        self.executor = executor
        # What is started late is started by a timer, so everything is started on the loop.
        self.traits = executor.traits._replace(any_thread=False)
        self._fate_of = fate_of
        self._poke = poke
        self._loop: asyncio.AbstractEventLoop
        self._report: Report
        self._fates: dict[Call, Fate] = {}
        self._handed_over: set[Call] = set()
        self._timers: dict[Call, asyncio.TimerHandle] = {}
        self._lost: set[Call] = set()
        self._repeats: set[asyncio.TimerHandle] = set()
        self.turns: set[int] = set()
        """The threads, other than the loop's, in which the pump has a turn."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.executor, name)

    @property
    def capacity(self) -> int:
        """See ``Executor``."""
        return min(self.executor.capacity, self.traits.slots)  # nothing is quick in virtual time

    def at_work(self, asleep: Collection[object]) -> Iterator[Call]:
        """The calls that go on outside of the loop, but for those that are asleep."""
        for call in tuple(self._handed_over):
            if not cast("Run", call).is_on:
                self._handed_over.discard(call)
            elif call not in asleep:
                yield call

    # -- as an executor ------------------------------------------------------------------------

    def open(self, loop: asyncio.AbstractEventLoop, report: Report, idle: Idle) -> None:
        """See ``Executor``."""
        here = threading.get_ident()

        def have_turn(*, resized: bool = False) -> None:
            me = threading.get_ident()
            if me == here:
                idle(resized=resized)
                return
            self.turns.add(me)
            try:
                idle(resized=resized)
            finally:
                # Once before, so that nobody takes the turn for over who has not seen what it has
                # ended and woken; once after, so that somebody looks again.
                self._poke()
                self.turns.discard(me)
                self._poke()

        self._loop, self._report = loop, report
        self.executor.open(loop, self._reported, have_turn)

    def why_not(self, function: Any) -> str | None:
        """See ``Executor``."""
        return self.executor.why_not(function)

    def start(self, calls: Sequence[Call]) -> None:
        """See ``Executor``."""
        unhurt: list[Call] = []
        for call in calls:
            fate = self._fates[call] = self._fate_of(cast("Run", call))
            if fate.wait > 0 or not fate.runs:
                self._timers[call] = self._loop.call_later(fate.wait, self._begin, call, fate)
            else:
                unhurt.append(call)
        self._hand_over(unhurt)

    def stop(self, call: Call) -> None:
        """See ``Executor``."""
        timer = self._timers.pop(call, None)
        if timer is not None:
            timer.cancel()
        if timer is not None or call in self._lost:
            self._lost.discard(call)
            self._report(call, Cancelled("stopped"))
        else:
            self.executor.stop(call)

    def close(self) -> None:
        """See ``Executor``."""
        for timer in (*self._timers.values(), *self._repeats):
            timer.cancel()
        self._timers.clear()
        self._repeats.clear()
        self._lost.clear()
        self._fates.clear()
        self._handed_over.clear()
        self.executor.close()

    def figures(self) -> Mapping[str, int]:
        """See ``Executor``."""
        return self.executor.figures()

    # -- what befalls a call -------------------------------------------------------------------

    def _begin(self, call: Call, fate: Fate) -> None:
        """Begin late, or not at all."""
        del self._timers[call]
        if fate.runs:
            self._hand_over([call])
        else:
            assert fate.error is not None
            self._fates.pop(call, None)
            self._deliver(call, _err(fate.error, fate), fate)

    def _hand_over(self, calls: Sequence[Call]) -> None:
        if not calls:
            return
        lanes = isinstance(self.executor, LaneExecutor)
        self._handed_over.update(
            call for call in calls if not (lanes and call.loop in {None, self._loop})
        )
        self.executor.start(calls)

    def _reported(self, call: Call, outcome: Outcome, *, wake: bool = True) -> None:
        """The inner executor's report, from whatever thread."""
        fate = self._fates.pop(call, None)
        if fate is None:  # it was closed meanwhile, or reports twice by itself
            self._report(call, outcome, wake=wake)
            return
        if fate.error is not None:
            outcome = _err(fate.error, fate)
        elif type(outcome) is Err:
            outcome.luck = fate.luck
        if fate.lost or fate.late > 0 or fate.again is not None:
            self._loop.call_soon_threadsafe(self._deliver, call, outcome, fate)
        else:
            self._report(call, outcome, wake=wake)

    def _deliver(self, call: Call, outcome: Outcome, fate: Fate) -> None:
        """Report now, later, twice or never; on the loop."""
        # It is no work any more, so it must not hold the clock that it waits for.
        self._handed_over.discard(call)
        if fate.lost and cast("Run", call).stopping() is None:
            self._lost.add(call)
            return
        if fate.late > 0:
            self._later(fate.late, call, outcome)
        else:
            self._report(call, outcome)
        if fate.again is not None:
            self._later(fate.late + fate.again, call, outcome)

    def _later(self, seconds: float, call: Call, outcome: Outcome) -> None:
        def report() -> None:
            self._repeats.discard(timer)
            self._report(call, outcome)

        timer = self._loop.call_later(seconds, report)
        self._repeats.add(timer)


def _err(error: BaseException, fate: Fate) -> Err:
    crashed = isinstance(error, TaskCrashedError)
    return Err(error, raised=not crashed, crashed=crashed, luck=fate.luck)

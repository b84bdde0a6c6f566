"""Meters: what a policy that stands at a gate remembers from one task to the next.

``RateMeter`` keeps the starts of the last window. ``Circuit`` is the breaker's state machine::

    closed ──too many failures──▶ open ──reset is over──▶ half-open ──probe succeeds──▶ closed
                                    ▲                        │
                                    └──────probe fails───────┘

``Tide`` is a limit on its way up or down. Why additive increase and multiplicative decrease, and
not a gradient of latencies: a gradient needs to know what an idle service takes, and measures it
wrong whenever it starts under load; this needs one number, which people can say.
"""

from __future__ import annotations

from collections import deque
from math import inf, nextafter
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from .flow import Adaptive, Breaker, Rate

CircuitState: TypeAlias = Literal["closed", "open", "half-open"]


class RateMeter:
    """The starts that a rate remembers; see ``Rate``.

    - Never more than ``limit`` in a window of ``per`` seconds that is open at one end, whatever
      the sums of floating-point numbers come to.
    - ``next`` says when to come again, to the instant: nobody polls.
    """

    __slots__ = ("_arrival", "_spent", "_starts", "rate")

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self._starts: deque[tuple[float, int]] = deque()  # (when, weight)
        self._spent = 0
        self._arrival = -inf
        """With a burst: when the next start would be due, were they spread evenly."""

    def follow(self, rate: Rate, now: float) -> None:
        """Go by ``rate`` from now on; nobody waits for a slower one that was."""
        self.rate = rate
        if rate.burst is not None:
            self._arrival = min(self._arrival, now + rate.burst * (rate.per / rate.limit))

    def next(self, weight: int, now: float) -> float:
        """When so much may pass, if nothing else does before; ``now``: at once; inf: never."""
        starts, rate = self._starts, self.rate
        if weight > rate.heaviest:
            return inf
        while starts and _end_of_window(starts[0][0], rate.per) <= now:
            self._spent -= starts.popleft()[1]
        when, over = now, self._spent + weight - rate.limit
        for start, weighs in starts:
            if over <= 0:
                break
            when, over = _end_of_window(start, rate.per), over - weighs
        if rate.burst is not None:
            when = max(when, self._arrival - (rate.burst - weight) * (rate.per / rate.limit))
        return when

    def spend(self, weight: int, now: float) -> None:
        """So much passes now."""
        self._starts.append((now, weight))
        self._spent += weight
        if self.rate.burst is not None:
            self._arrival = max(self._arrival, now) + weight * (self.rate.per / self.rate.limit)


def _end_of_window(start: float, per: float) -> float:
    end = start + per
    added = end - start
    lost = (start - (end - added)) + (per - added)  # what rounding took off, to the last bit
    return nextafter(end, inf) if lost > 0 else end


class Circuit:
    """The state of a breaker; see the module."""

    __slots__ = ("_ended", "_in_a_row", "breaker", "probe", "since", "state")

    def __init__(self, breaker: Breaker, now: float) -> None:
        self.breaker = breaker
        self.state: CircuitState = "closed"
        self.since = now
        self.probe: object = None
        """The run that was let through to see, while it is on."""
        self._in_a_row = 0
        self._ended: deque[tuple[float, bool]] = deque()

    @property
    def until(self) -> float:
        """When an open circuit lets a probe through."""
        return self.since + self.breaker.reset

    def admits(self, called: int) -> bool:
        """Whether a task may pass, while so many others were called."""
        if self.state == "half-open":
            return self.probe is None and not called
        return self.state == "closed"

    def judge(self, run: object, error: BaseException | None, now: float) -> CircuitState:
        """Take in how ``run`` ended, with ``error`` or well; the state that follows from it."""
        failed = error is not None and self.breaker.counts(error)
        if self.state == "half-open" and run == self.probe:
            return self.turn("open" if failed else "closed", now)
        if self.state == "closed" and self._is_too_much(failed=failed, now=now):
            return self.turn("open", now)
        return self.state

    def turn(self, state: CircuitState, now: float) -> CircuitState:
        """Be in ``state`` from now on, with nothing to remember."""
        self.state, self.since, self.probe = state, now, None
        self._in_a_row = 0
        self._ended.clear()
        return state

    def _is_too_much(self, *, failed: bool, now: float) -> bool:
        breaker = self.breaker
        if breaker.window is None:
            self._in_a_row = self._in_a_row + 1 if failed else 0
            return self._in_a_row >= breaker.failures
        ended = self._ended
        ended.append((now, failed))
        self._in_a_row += failed  # here: all failures in the window
        while ended and ended[0][0] <= now - breaker.window:
            self._in_a_row -= ended.popleft()[1]
        return (
            failed
            and len(ended) >= breaker.at_least
            and self._in_a_row >= breaker.failures * len(ended)
        )


_FEW = 5
"""So many attempts at least are asked how long they took: one alone may be an accident."""


class Load(NamedTuple):
    """How busy the machine is: shares from 0 to 1."""

    cpu: float = 0.0
    memory: float = 0.0


class Tide:
    """A limit that finds itself; see ``Adaptive``."""

    __slots__ = ("_climbing", "_latencies", "_limit", "_most", "adaptive", "due")

    def __init__(self, adaptive: Adaptive) -> None:
        self.adaptive = adaptive
        self.due = -inf
        """When to look next."""
        self._limit = float(adaptive.min)
        self._climbing = True
        """Whether nothing has ever been too much: until then it doubles."""
        self._most = 0
        self._latencies: list[float] = []

    @property
    def limit(self) -> int:
        """The limit now."""
        return int(self._limit)

    def used(self, count: int) -> None:
        """So many are on now."""
        self._most = max(self._most, count)

    def took(self, seconds: float) -> None:
        """An attempt has ended that took so long."""
        if self.adaptive.target_latency is not None:
            self._latencies.append(seconds)

    def look(self, load: Load, now: float) -> int:
        """The limit from now on, after what was seen since it was last judged."""
        policy = self.adaptive
        self.due = now + policy.every
        latency = self._latency()
        if policy.memory is not None and load.memory >= policy.memory:
            self._fall(0.5)  # what is out of memory does not come back
        elif policy.cpu is not None and load.cpu >= policy.cpu:
            self._fall(0.9)
        elif policy.target_latency is None:
            self._climb(load)
        elif latency is None:
            return self.limit
        elif latency > policy.target_latency:
            # Past its knee a service does less in all, so well back, and further if it is far past.
            self._fall(min(0.75, max(0.5, policy.target_latency / latency)))
        else:
            self._climb(load)
        self._most = 0
        self._latencies.clear()
        return self.limit

    def _latency(self) -> float | None:
        """What attempts take with this limit (half of them less); None: it is too early to tell.

        After a change of the limit first those end that began before. Whoever goes by them climbs
        blindly, and falls further than need be.
        """
        count = max(_FEW, self.limit)
        if len(self._latencies) < 2 * count:
            return None
        return sorted(self._latencies[-count:])[count // 2]

    def _climb(self, load: Load) -> None:
        """Let in more, if that would be made use of."""
        memory = self.adaptive.memory
        if self._most < self.limit or (memory is not None and load.memory >= 0.9 * memory):
            return
        grown = self._limit * 2 if self._climbing else self._limit + max(1.0, self._limit / 20)
        self._limit = min(grown, float(self.adaptive.max))

    def _fall(self, share: float) -> None:
        self._climbing = False
        self._limit = max(self._limit * share, float(self.adaptive.min))

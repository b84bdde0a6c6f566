"""Timers: what is to happen when, in a heap with lazy deletion.

Guarantees:

- A key has at most one time; setting it again replaces the time, in O(log n).
- Discarding is O(1): the heap's entry stays behind and is skipped when it comes up.
- Entries left behind are swept when, at a set or discard, they outnumber the live ones by a few.
- Equal times come up in the order in which they were set.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Generic, Literal, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

Purpose: TypeAlias = Literal["due", "timeout", "total_timeout", "expires", "grace"]
"""What is to happen to a task: the second half of such a key."""

K = TypeVar("K", bound="Hashable")

_FEW = 64  # below this, dead entries are not worth a sweep


class Timers(Generic[K]):
    """Times by key; see the module."""

    __slots__ = ("_heap", "_live", "_serial", "any")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, K]] = []
        self._live: dict[K, int] = {}
        self._serial = 0
        self.any = False
        """Whether there is anything in here, dead or alive: to be asked before more is asked."""

    def __len__(self) -> int:
        return len(self._live)

    def __iter__(self) -> Iterator[K]:
        return iter(self._live)

    def __contains__(self, key: K) -> bool:
        return key in self._live

    def set(self, key: K, when: float) -> None:
        """Let ``key`` come up at ``when``, and at no other time."""
        self._serial += 1
        self._live[key] = self._serial
        self.any = True
        heappush(self._heap, (when, self._serial, key))
        self._sweep()

    def discard(self, key: K) -> None:
        """Let ``key`` not come up; fine if it would not have."""
        if self._live.pop(key, None) is not None:
            self._sweep()

    def next(self) -> float | None:
        """When the next key comes up, or None."""
        heap = self._heap
        while heap:
            when, serial, key = heap[0]
            if self._live.get(key) == serial:
                return when
            heappop(heap)
        self.any = False
        return None

    def pop_due(self, now: float) -> Iterator[K]:
        """Take out, one after another, what was to happen by ``now``."""
        while (when := self.next()) is not None and when <= now:
            _, _, key = heappop(self._heap)
            del self._live[key]
            yield key

    def _sweep(self) -> None:
        live = self._live
        if len(self._heap) <= 2 * len(live) + _FEW:
            return
        self._heap = [entry for entry in self._heap if live.get(entry[2]) == entry[1]]
        heapify(self._heap)

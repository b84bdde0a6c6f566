"""The calls that are with Celery: where each is, and what becomes of it as news come in.

A flight is in the air from ``start`` until its end is reported. Whoever takes it out of the table
reports it, so it is reported once, whatever is heard of it later or twice. The loop's thread puts
flights in, the ear and the post take them out: the table has a lock, and reports are made outside.
"""

from __future__ import annotations

import json
import logging
import threading
from time import monotonic as now  # noqa: TID251  # workers are real, also in virtual time
from typing import TYPE_CHECKING, Any, NamedTuple

from ..._core.outcome import Cancelled, Err
from ...errors import TaskCrashedError
from ...ports import Later
from .wire import ASKED, BEGUN, CRASHED, ENDED, REFUSAL, REPLY, SAID, STOP

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..._core.outcome import Outcome
    from ...ports import Call, Report
    from .words import Words

    Tell = Callable[[str, bytes], object]

logger = logging.getLogger("windlass")


class Place(NamedTuple):
    """Where a call runs; stands in the claim of its letter, as JSON."""

    worker: str
    """One life of one worker; its beats tell that it goes on."""
    node: str
    """The name by which Celery knows it."""
    inbox: str
    """Where the process that runs the call is told things."""


class Flight:
    """One call that was handed over; ``place`` tells whether it has begun."""

    __slots__ = (
        "call", "id", "inquiries", "key", "letter", "options", "place", "sent_at", "signed",
        "stopping",
    )  # fmt: skip

    def __init__(self, call: Call, key: str) -> None:
        self.call = call
        self.key = key
        self.id = ""
        """By which Celery knows it."""
        self.signed = False
        """Whether it is a signature of Celery's own, and there is no letter."""
        self.letter: dict[str, Any] | None = None
        """Kept until it has begun: it may have to be sent again."""
        self.options: dict[str, Any] = {}
        self.place: Place | None = None
        self.sent_at: float | None = None
        self.stopping = False
        self.inquiries = 0
        """How often it was looked into why nobody begins it."""

    @property
    def label(self) -> str:
        """The call's task as messages name it."""
        return f"{self.call.name} [{self.call.task_id}]"


class Flights:
    """See the module."""

    def __init__(self, words: Words, report: Report, tell: Tell) -> None:
        self._words = words
        self._report: Report | None = report
        self._tell = tell
        self._lock = threading.Lock()
        self._by_key: dict[str, Flight] = {}
        self._heard_of: dict[str, float] = {}
        """When a worker last gave a sign of life."""

    def __len__(self) -> int:
        return len(self._by_key)

    def __contains__(self, flight: Flight) -> bool:
        return self._by_key.get(flight.key) is flight

    def close(self) -> list[Flight]:
        """Report nothing more; the flights that are left."""
        self._report = None
        with self._lock:
            left = list(self._by_key.values())
            self._by_key.clear()
        return left

    def put(self, flight: Flight) -> None:
        """Take in a new one."""
        with self._lock:
            self._by_key[flight.key] = flight

    def rename(self, flight: Flight, key: str) -> None:
        """It turns out to be one that an earlier life of this program has handed over."""
        with self._lock:
            if self._by_key.pop(flight.key, None) is flight:
                flight.key = key
                self._by_key[key] = flight

    def end(self, key: str, outcome: Outcome) -> None:
        """Report how one has ended; does nothing if it has."""
        with self._lock:
            flight = self._by_key.pop(key, None)
        if flight is not None and self._report is not None:
            self._report(flight.call, outcome)

    def begun(self) -> list[Flight]:
        """Those that run."""
        with self._lock:
            return [one for one in self._by_key.values() if one.place is not None]

    def letters(self) -> list[Flight]:
        """Those that are not signatures of Celery's own."""
        with self._lock:
            return [one for one in self._by_key.values() if not one.signed]

    def unopened(self) -> list[Flight]:
        """Those whose letters nobody has opened."""
        return [one for one in self.letters() if one.place is None]

    # -- news ----------------------------------------------------------------------------------

    def hear(self, kind: bytes, key: str, body: bytes) -> None:
        """Take in a piece of news. Raises nothing."""
        flight = self._by_key.get(key)
        if flight is None:
            return
        try:
            if kind == BEGUN:
                self.has_begun(flight, body)
            elif kind == SAID:
                flight.call.heard(*self._words.hear(body))
            elif kind == ASKED:
                self._asked(flight, body)
            elif kind == ENDED:
                self.end(key, self._words.ended(body, flight.call))
            elif kind == CRASHED:
                self._crashed(flight, body.decode(errors="replace"))
            else:
                logger.warning("a worker says %r of %s, which means nothing", kind, flight.label)
        except Exception:
            logger.exception("what a worker says of %s cannot be taken in", flight.label)

    def has_begun(self, flight: Flight, place: bytes) -> None:
        """A worker has opened its letter."""
        flight.place = Place(*json.loads(place))
        flight.letter = None
        self._heard_of[flight.place.worker] = now()
        flight.call.heard("started", None)
        if flight.stopping:  # it was not there yet when it was to be told
            stop = self._words.say(STOP, (flight.key, 0, None))
            self._tell(flight.place.inbox, stop)

    def _asked(self, flight: Flight, body: bytes) -> None:
        """Pass on what a call asked, and send the reply, or what it raised instead."""
        kind, (number, payload) = self._words.hear(body)
        assert flight.place is not None  # it has begun, and so did its news
        inbox = flight.place.inbox

        def answer(kind: str, what: Any) -> None:
            self._tell(inbox, self._words.say(kind, (flight.key, number, what)))

        try:
            reply = flight.call.heard(kind, payload)
            if isinstance(reply, Later):
                reply.when_there(lambda: answer(REPLY, None))
            else:
                answer(REPLY, reply)
        except Exception as error:  # noqa: BLE001  # it is raised where it was asked
            answer(REFUSAL, self._words.error(error))

    def _crashed(self, flight: Flight, story: str) -> None:
        if flight.stopping:
            self.end(flight.key, Cancelled("killed"))
            return
        log = list(flight.call.last_lines)
        tail = "\n".join((". The last lines of its log:", *log)) if log else ""
        details: dict[str, Any] = {"log": log}
        if flight.place is not None:
            details |= {"worker": flight.place.node}
        text = f"{story} while it ran {flight.label}{tail}"
        error = TaskCrashedError(text, flight.call.task_id, details)
        self.end(flight.key, Err(error, raised=False, crashed=True))

    # -- workers -------------------------------------------------------------------------------

    def alive(self, worker: str) -> None:
        """A worker has beaten."""
        self._heard_of[worker] = now()

    def forgive_silence(self) -> None:
        """We could not hear anybody: whoever is alive has another lease from now on."""
        for worker in list(self._heard_of):
            self._heard_of[worker] = now()

    def gone(self, worker: str, story: str) -> None:
        """A worker will not be heard of again; neither will the calls that it ran."""
        self._heard_of.pop(worker, None)
        for flight in self.begun():
            if flight.place is not None and flight.place.worker == worker:
                self._crashed(flight, f"the worker {flight.place.node} {story}")

    def silent_for(self, seconds: float) -> list[str]:
        """The workers that have not been heard of for so long."""
        before = now() - seconds
        return [worker for worker, when in list(self._heard_of.items()) if when < before]

    def waiting_since(self, seconds: float) -> list[Flight]:
        """The flights that no worker has begun for so long, each time for twice as long."""
        moment = now()
        found = [
            one
            for one in self.unopened()
            if one.sent_at is not None and one.sent_at + seconds * 2**one.inquiries < moment
        ]
        for flight in found:
            flight.inquiries += 1
        return found

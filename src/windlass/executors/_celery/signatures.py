"""Celery's own signatures as calls: an existing task, with the arguments it is to have.

They are sent as Celery sends them, to workers that need know nothing of Windlass, so all that there
is to hear of them is what the result backend tells. Redis publishes each result when it is stored:
one subscription hears those of all signatures that are under way, and nothing is polled. Once after
subscribing it is looked whether the result was quicker; and again after the connection was lost.
"""

from __future__ import annotations

import logging
import threading
from time import monotonic as now  # noqa: TID251  # as in flights
from typing import TYPE_CHECKING, Any

from ..._core.outcome import Cancelled, Err, Ok
from .flights import Place

if TYPE_CHECKING:
    from collections import deque

    from ..._core.outcome import Outcome
    from .flights import Flight, Flights
    from .post import Post

logger = logging.getLogger("windlass")

_SECOND = 1.0
_QUIET = 5.0
"""After so long without a word Redis is asked for one, and given up after as long again."""
_SOMEWHERE = Place("", "", "")


def why_not_signature(app: Any, signature: Any) -> str | None:
    """Why the end of ``signature`` cannot be heard of, or None if it can."""
    if type(signature).__name__ in {"group", "_group"}:
        return "a group has many results: submit its members, and gather them"
    if not hasattr(app.backend, "client") or not str(app.conf.result_backend).startswith("redis"):
        return (
            "the results of Celery's own tasks are heard of through a result backend in Redis, and "
            f"that of {app!r} is {app.conf.result_backend or 'none'}"
        )
    return None


class Signatures:
    """See the module; its thread lives from the first signature until ``close``."""

    def __init__(self, app: Any, flights: Flights, post: Post) -> None:
        self._app = app
        self._flights = flights
        self._post = post
        self._keys: dict[bytes, Flight] = {}
        self._closing = threading.Event()
        self._pubsub: Any = None

    def start(self, flights: deque[Flight]) -> None:
        """Apply the signatures of ``flights``, and hear of their ends."""
        self._post.do(self._apply, flights)

    def close(self) -> None:
        """Hear of nothing more."""
        self._closing.set()

    def _apply(self, flights: deque[Flight]) -> None:
        producer = self._post.producer()
        if self._pubsub is None:
            self._pubsub = self._app.backend.client.pubsub(ignore_subscribe_messages=True)
            threading.Thread(target=self._run, name="windlass-celery-results", daemon=True).start()
        while flights:
            flight = flights[0]
            if flight.stopping:
                self._flights.end(flight.key, Cancelled("stopped before it was sent"))
            elif (given := flight.letter) is not None:
                sent = given["signature"].apply_async(
                    given["args"], given["kwargs"], producer=producer, retry=False, **flight.options
                )
                flight.id, flight.letter, flight.place = sent.id, None, _SOMEWHERE
                channel = self._app.backend.get_key_for_task(sent.id)
                self._keys[channel] = flight
                self._pubsub.subscribe(channel)
                self._look(flight)
                flight.call.heard("started", None)
            flights.popleft()

    def _look(self, flight: Flight) -> None:
        self._take_in(flight, self._app.backend.get_task_meta(flight.id, cache=False))

    def _run(self) -> None:
        heard_at, asked = now(), False
        while not self._closing.is_set():
            try:
                message = self._pubsub.get_message(timeout=_SECOND)
                if message is not None:
                    heard_at, asked = now(), False
                elif asked and now() - heard_at > 2 * _QUIET:
                    heard_at, asked = now(), False
                    self._pubsub.connection.disconnect()  # it makes itself another
                    raise TimeoutError("not a word from it")  # noqa: TRY301  # all are looked after
                elif not asked and now() - heard_at > _QUIET:
                    self._pubsub.ping()
                    asked = True
                if message is not None and (flight := self._keys.get(message["channel"])):
                    meta = self._app.backend.decode_result(message["data"])
                    self._take_in(flight, meta)
            except Exception as error:  # noqa: BLE001  # of a library; it is told, and tried again
                if self._closing.wait(_SECOND):
                    break
                logger.warning("Redis does not answer: no results of Celery's tasks (%s)", error)
                for flight in list(self._keys.values()):
                    self._post.do(self._look, flight)
        self._pubsub.close()

    def _take_in(self, flight: Flight, meta: dict[str, Any]) -> None:
        outcome = _outcome(meta)
        if outcome is None:
            return
        channel = self._app.backend.get_key_for_task(flight.id)
        if self._keys.pop(channel, None) is not None:
            self._pubsub.unsubscribe(channel)
        self._flights.end(flight.key, outcome)


def _outcome(meta: dict[str, Any]) -> Outcome | None:
    """How a task of Celery's has ended, or None if it has not."""
    status, result = meta["status"], meta["result"]
    if status == "SUCCESS":
        return Ok(result)
    if status == "REVOKED":
        return Cancelled("revoked")
    if status != "FAILURE":
        return None
    error = result if isinstance(result, BaseException) else RuntimeError(str(result))
    return Err(error, traceback=meta.get("traceback"))

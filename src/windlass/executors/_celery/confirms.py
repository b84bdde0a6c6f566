"""What a broker that speaks AMQP has not confirmed yet: a network may swallow letters in silence.

Redis answers everything it is sent. RabbitMQ confirms what is published, when it is on its disk; to
wait for that after each letter would cost more than all the rest, so the confirmations are heard
while other things are done, and who waits for one for too long takes the connection for dead.
"""

from __future__ import annotations

from contextlib import contextmanager
from itertools import takewhile
from time import monotonic as now  # noqa: TID251  # as in flights
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator

    from .flights import Flight

_AT_ONCE = 0.001


class Confirms:
    """The letters that were published on one channel; for one thread only."""

    def __init__(self) -> None:
        self._connection: Any = None
        self._channel: Any = None
        self._current: Flight | None = None
        self._published = 0
        self._waiting: dict[int, tuple[float, Flight]] = {}
        """By the numbers of the messages, in their order: since when, and whose they are."""

    def attend(self, connection: Any, channel: Any) -> None:
        """Count what is published on ``channel`` from now on, if its broker confirms anything."""
        if connection.transport.driver_type != "amqp" or not hasattr(channel, "confirm_select"):
            return
        if connection.transport_options.get("confirm_publish"):
            return  # the user has each waited for
        self._connection, self._channel, self._published = connection, channel, 0
        channel.confirm_select()
        channel.events["basic_ack"].add(self._confirmed)
        channel.events["basic_nack"].add(self._refused)
        publish = channel.basic_publish

        def publish_and_count(*args: Any, **kwargs: Any) -> Any:
            self._published += 1  # also of what is none of ours, such as Celery's events
            if self._current is not None:
                self._waiting[self._published] = now(), self._current
            return publish(*args, **kwargs)

        channel.basic_publish = publish_and_count

    @contextmanager
    def of(self, flight: Flight) -> Generator[None]:
        """What is published meanwhile is the letter of ``flight``."""
        self._current = flight
        try:
            yield
        finally:
            self._current = None

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def hear(self, patience: float) -> None:
        """Take in what has come; TimeoutError if one has not come for ``patience`` seconds."""
        try:
            while self._waiting:
                self._connection.drain_events(timeout=_AT_ONCE)
        except TimeoutError:
            pass
        oldest, _ = next(iter(self._waiting.values()), (now(), None))
        if now() - oldest > patience:
            self._channel.connection.collect()  # to close it, an answer would be waited for
            raise TimeoutError(f"what was sent was not confirmed for {patience:g} s")

    def drop(self) -> list[Flight]:
        """The connection is given up: those that were not confirmed may never have arrived."""
        lost = dict.fromkeys(flight for _, flight in self._waiting.values())
        self._connection = self._channel = None
        self._waiting.clear()
        return list(lost)

    def _confirmed(self, number: int, multiple: bool) -> None:  # noqa: FBT001  # as it is called
        if not multiple:
            self._waiting.pop(number, None)
            return
        for earlier in list(takewhile(lambda one: one <= number, self._waiting)):
            del self._waiting[earlier]

    def _refused(self, _number: int, _multiple: bool) -> None:  # noqa: FBT001  # as it is called
        raise ConnectionError("the broker has refused what was sent")

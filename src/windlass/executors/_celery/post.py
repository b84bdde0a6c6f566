"""What goes out: letters to the broker, words to workers; on a thread of its own, since it blocks.

There is one connection to the broker and one to Redis. Orders are carried out one after another;
one that fails because nobody answers is tried again until ``patience`` is over, so that a broker
may be restarted under us. A wrong password will not become right, and is told at once. Whatever a
connection has not delivered for certain when it is given up is sent again on the next one.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from queue import Empty, SimpleQueue
from time import monotonic as now  # noqa: TID251  # as in flights
from typing import TYPE_CHECKING, Any

from ..._core.outcome import Cancelled, Err
from ...errors import TaskError
from .confirms import Confirms
from .ear import NoNewsError
from .wire import STOP, TAKE_BACK, TASK, flight_of, id_of, opened_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .ear import Ear
    from .flights import Flight, Flights
    from .words import Words

    Order = Callable[[Any], None]

logger = logging.getLogger("windlass")

_BACK_OFF = (0.05, 0.2, 0.5, 1.0)
_HOPELESS = (
    "WRONGPASS",
    "NOAUTH",
    "invalid username",
    "Authentication",
    "ACCESS_REFUSED",
    "NOPERM",
)
_INBOX_SECONDS = 3600
_SOCKET_TIMEOUT = 5.0
_LISTEN_EVERY = 0.05
_MOMENT = 1.0
_TIME_LIMITS = {
    "redis": ("socket_timeout", "socket_connect_timeout"),
    "amqp": ("read_timeout", "write_timeout"),
}
"""The options of a connection that bound how long it waits, by what its broker speaks."""


class Post:
    """See the module. ``ear`` knows which flights are in the air already."""

    def __init__(
        self,
        app: Any,
        redis: Any,
        manager: str,
        flights: Flights,
        words: Words,
        ear: Ear,
        patience: float,
    ) -> None:
        self._app = app
        self._redis = redis
        self._manager = manager
        self._flights = flights
        self._words = words
        self._ear = ear
        self._patience = patience
        self._orders: SimpleQueue[tuple[Order, Any] | None] = SimpleQueue()
        self._closing = threading.Event()
        self._connection: Any = None
        self._producer: Any = None
        self._confirms = Confirms()
        self._listened = 0.0
        self._thread = threading.Thread(target=self._run, name="windlass-celery-out", daemon=True)
        self._thread.start()

    # -- orders, from any thread ---------------------------------------------------------------

    def send(self, flights: Sequence[Flight]) -> None:
        """Send letters."""
        self._orders.put((self._send, deque(flights)))

    def send_again(self, flights: Sequence[Flight]) -> None:
        """Send copies, on a new connection: the queues may have to be declared anew."""
        self._orders.put((lambda _: self._part(), None))
        self.send(flights)

    def take_back(self, flight: Flight) -> None:
        """Take a letter back, or have the call told to stop if it has begun."""
        self._orders.put((self._take_back, flight))

    def kill(self, flights: Sequence[Flight]) -> None:
        """Have the processes killed that run these."""
        self._orders.put((self._kill, flights))

    def tell(self, inbox: str, message: bytes) -> None:
        """Leave a message for a worker's process."""
        self._orders.put((self._tell, (inbox, message)))

    def do(self, order: Order, what: Any) -> None:
        """Have something else done that blocks."""
        self._orders.put((order, what))

    def close(self, last: Callable[[], None]) -> None:
        """Carry out what was ordered, and ``last``, as far as that works at once; then leave."""
        self._closing.set()
        self._orders.put((lambda _: last(), None))
        self._orders.put(None)

    # -- carrying them out ---------------------------------------------------------------------

    def _run(self) -> None:
        while (order := self._next()) is not None:
            self._carry_out(*order)
        self._part()
        self._redis.close()

    def _next(self) -> tuple[Order, Any] | None:
        """The next order, or None to leave; in between it is heard what has arrived."""
        if not self._confirms:
            return self._orders.get()
        try:
            wait = self._listened + _LISTEN_EVERY - now()
            return self._orders.get(timeout=wait) if wait > 0 else (self._hear_confirms, None)
        except Empty:
            return self._hear_confirms, None

    def _hear_confirms(self, _: None) -> None:
        self._listened = now()
        if self._confirms:  # else the connection was given up meanwhile, and they are sent again
            self._confirms.hear(_SOCKET_TIMEOUT)

    def _carry_out(self, do: Order, what: Any) -> None:
        failing_since: float | None = None
        pauses = iter(_BACK_OFF)
        while True:
            try:
                do(what)
            except Exception as error:  # noqa: BLE001  # of libraries of all kinds; it is told
                if not _is_outage(error):
                    if not self._refuse(what, error):
                        return
                    continue
                self._hang_up()
                if failing_since is None:
                    failing_since = now()
                    if not self._closing.is_set():
                        logger.warning("%s; it is tried again", self._story(error))
                over = now() - failing_since > self._patience or _is_hopeless(error)
                if over or self._closing.is_set():
                    self._give_up(what, error)
                    return
                self._closing.wait(next(pauses, _BACK_OFF[-1]))
            else:
                return

    def _story(self, error: BaseException) -> str:
        if isinstance(error, NoNewsError) and error.name_taken:
            return str(error)
        if isinstance(error, NoNewsError) or type(error).__module__.startswith("redis"):
            who = "Redis, through which tasks are heard of,"
        else:
            who = f"Celery's broker at {self._app.connection_for_write().as_uri()}"
        why = str(error).rstrip(".")
        return f"{who} cannot be reached: {why}"

    def _refuse(self, what: Any, error: BaseException) -> bool:
        """Nobody is away: it is this flight's own fault. Whether there are others in the batch."""
        if not isinstance(what, deque):
            logger.error("Celery is not told what it was to be told", exc_info=error)
            return False
        flight = what.popleft()
        text = f"{flight.label} cannot be sent to a worker: {error}"
        if flight.options:
            text += f". Celery's options for it are {flight.options!r}"
        refusal = TaskError(text, flight.call.task_id)
        refusal.__cause__ = error
        self._flights.end(flight.key, Err(refusal, raised=False))
        return bool(what)

    def _give_up(self, what: Any, error: BaseException) -> None:
        """Tell those who were waiting for it that it cannot be done."""
        if not isinstance(what, deque):
            if not self._closing.is_set():
                logger.error("%s: %s is left undone", self._story(error), type(what).__name__)
            return
        for flight in what:
            text = f"{flight.label} could not be handed over: {self._story(error)}"
            if not _is_hopeless(error):
                text += f". It was tried for {self._patience:g} s"
                named = isinstance(error, NoNewsError) and error.name_taken
                text += "" if named else "; is it running?"
            failure = TaskError(text, flight.call.task_id)
            failure.__cause__ = error
            self._flights.end(flight.key, Err(failure, raised=False))

    def producer(self) -> Any:
        """What messages are sent with; for this thread only."""
        if self._producer is None:
            connection = self._app.connection_for_write()
            # A network that swallows everything would be waited for without end.
            for limit in _TIME_LIMITS.get(connection.transport.driver_type, ()):
                connection.transport_options.setdefault(limit, _SOCKET_TIMEOUT)
            # Once: how often it is tried again is decided here, and not by a library.
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=5)
            self._connection = connection
            self._producer = self._app.amqp.Producer(connection)
            self._confirms.attend(connection, self._producer.channel)
        return self._producer

    def connection(self) -> Any:
        """The connection to the broker; for this thread only."""
        self.producer()
        return self._connection

    def _part(self) -> None:
        """Hang up without need: whatever is being said is heard first."""
        deadline = now() + _MOMENT
        try:
            while self._confirms and now() < deadline:
                self._confirms.hear(_SOCKET_TIMEOUT)
        except Exception:  # noqa: BLE001, S110  # it is broken, and given up in any case
            pass
        self._hang_up()

    def _hang_up(self) -> None:
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            try:
                connection.release()
            except Exception:  # noqa: BLE001, S110  # it is broken, which is why it is released
                pass
        if lost := self._confirms.drop():
            self.send(lost)

    # -- the orders themselves -----------------------------------------------------------------

    def _send(self, flights: deque[Flight]) -> None:
        self._ear.wait_until_ready()  # or workers would find nobody to report to
        producer = self.producer()
        here = [flight for flight in flights if flight in self._flights]  # it has not ended since
        fresh = [flight for flight in here if not self._ear.adopt(flight)]
        flights.clear()
        flights.extend(fresh)
        if flights:
            on_record = {flight.key: flight.call.task_id for flight in flights}
            self._redis.hset(flight_of(self._manager), mapping=on_record)
            self._redis.expire(flight_of(self._manager), self._ear.keep)
        while flights:
            flight = flights[0]
            if flight.stopping:
                self._flights.end(flight.key, Cancelled("stopped before it was sent"))
            elif (letter := flight.letter) is not None:
                flight.id = id_of(self._manager, flight.key)
                # Of an earlier life's letter this is the new key, not the one it was written with.
                letter["key"] = flight.key
                with self._confirms.of(flight):
                    self._app.send_task(
                        TASK,
                        (letter,),
                        task_id=flight.id,
                        producer=producer,
                        retry=False,
                        ignore_result=True,
                        add_to_parent=False,
                        serializer="json",
                        shadow=flight.call.name,
                        **flight.options,
                    )
                flight.sent_at = now()
            flights.popleft()

    def _take_back(self, flight: Flight) -> None:
        if flight.signed:
            self._app.control.revoke(flight.id, connection=self.connection())
            return
        hashes = flight_of(self._manager), opened_of(self._manager)
        if self._redis.eval(TAKE_BACK, 2, *hashes, flight.key):
            self._flights.end(flight.key, Cancelled("taken back before it began"))
        elif flight.place is not None:
            self._tell((flight.place.inbox, self._words.say(STOP, (flight.key, 0, None))))
        # Else it has just begun, as we are about to hear; the grace is over soon in any case.

    def _kill(self, flights: Sequence[Flight]) -> None:
        begun = [flight for flight in flights if flight.place is not None]
        if not begun:
            return
        nodes = {flight.place.node for flight in begun if flight.place}
        self._app.control.revoke(
            [flight.id for flight in begun],
            terminate=True,
            signal="SIGKILL",
            destination=sorted(nodes) if all(nodes) else None,
            connection=self.connection(),
        )

    def _tell(self, what: tuple[str, bytes]) -> None:
        inbox, message = what
        self._redis.rpush(inbox, message)
        self._redis.expire(inbox, _INBOX_SECONDS)


def _is_outage(error: BaseException) -> bool:
    """Whether the broker or Redis is away, or not in order."""
    kind = type(error)
    return (
        isinstance(error, OSError | NoNewsError)
        or kind.__name__ == "OperationalError"
        or kind.__module__.partition(".")[0] in {"amqp", "redis"}
    )


def _is_hopeless(error: BaseException) -> bool:
    """Whether trying again would be of no use: it is a matter of names and passwords."""
    text = f"{type(error).__name__}: {error}"
    return any(word in text for word in _HOPELESS)

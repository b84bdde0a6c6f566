"""Publish and subscribe in plain code: the thread of ``run`` receives and calls the handlers.

``subscriptions`` says what is wanted; whoever reads makes it so on every connection there is, the
first and those after the server was away. Only one thread reads at a time, the one that holds
``_reading``: the one in ``run``, or without one whoever subscribes and waits for the confirmation.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict, deque
from collections.abc import Callable
from time import monotonic
from typing import Any, TypeAlias

from ._clients import RedisClient
from ._server import decoded, lost, reaching
from ._subscriptions import FIRST_PAUSE, LONGEST_PAUSE, LOST

logger = logging.getLogger("ailf")

Handler: TypeAlias = Callable[[Any], Any]

# A reader looks up so often, to see whether it is to stop.
_GLANCE = 0.2
_FAREWELL = 5.0


class Listener:
    """The plain half of ``RedisPubSub``. A handler gets the message, read as JSON."""

    def __init__(self, client: RedisClient | None) -> None:
        self.client = client or RedisClient()
        self.subscriptions: dict[str, Handler] = {}
        self._live: defaultdict[str, threading.Event] = defaultdict(threading.Event)
        self._early: deque[Any] = deque()
        """What came while the confirmation of a subscription was waited for."""
        self._reading = threading.RLock()
        self._redis = self.client.listener()
        self._connection: Any = None
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def connect(self) -> None:
        self.client.connect()

    def publish(self, channel: str, message: Any) -> int:
        received: int = self.client.publish(channel, message)
        return received

    def subscribe(self, channel: str, handler: Handler) -> None:
        if not callable(handler):
            raise TypeError(f"subscribe() takes a function of the message, not {handler!r}")
        self.client.connect()
        self.subscriptions[channel] = handler
        self._tell_server("subscribe", channel)
        deadline = monotonic() + self.client.config.socket_connect_timeout
        try:
            with reaching(self.client.address):
                while not self._live[channel].is_set():
                    if monotonic() > deadline:
                        raise TimeoutError("it does not confirm the subscription")
                    if not self._reading.acquire(blocking=False):
                        self._live[channel].wait(_GLANCE)
                        continue
                    try:
                        self._early.extend(self._receive(_GLANCE))
                    except Exception:
                        self._drop_connection()
                        raise
                    finally:
                        self._reading.release()
        except ConnectionError:
            self.unsubscribe(channel)
            raise

    def unsubscribe(self, channel: str) -> None:
        if self.subscriptions.pop(channel, None) is not None:
            self._live.pop(channel, None)
            self._tell_server("unsubscribe", channel)

    def unsubscribe_all(self) -> None:
        for channel in list(self.subscriptions):
            self.unsubscribe(channel)

    def run(self) -> None:
        self._stopped.clear()
        self._run()

    def run_in_thread(self, *, daemon: bool = True) -> threading.Thread:
        self._stopped.clear()
        self._thread = threading.Thread(target=self._run, name="ailf-pubsub", daemon=daemon)
        self._thread.start()
        return self._thread

    def stop(self) -> None:
        self._stopped.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_FAREWELL)  # at most, since a handler may wait for who is waiting here

    def close(self) -> None:
        self.stop()
        self.subscriptions.clear()
        with self._reading:
            self._drop_connection()

    # -- reading -------------------------------------------------------------------------------

    def _run(self) -> None:
        pause = 0.0
        with self._reading:
            try:
                while not self._stopped.is_set():
                    try:
                        messages = self._receive(_GLANCE)
                    except Exception as error:
                        if not lost(error):
                            raise
                        if not pause:
                            logger.warning(LOST, self.client.address, error)
                        self._drop_connection()
                        pause = min(max(2 * pause, FIRST_PAUSE), LONGEST_PAUSE)
                        self._stopped.wait(pause)
                    else:
                        pause = 0.0
                        self._early.extend(messages)
                        self._hand_out()
            finally:
                self._drop_connection()

    def _receive(self, patience: float) -> list[Any]:
        """The next message, if one comes in time; the caller holds ``_reading``."""
        if self._connection is None and self.subscriptions:
            self._connection = self._redis.pubsub()
            self._connection.subscribe(*self.subscriptions)
        if self._connection is None or not self._connection.subscribed:
            self._stopped.wait(patience)
            return []
        message = self._connection.get_message(timeout=patience)
        if message and message["type"] == "subscribe" and message["channel"] in self.subscriptions:
            self._live[message["channel"]].set()
        return [message] if message and message["type"] == "message" else []

    def _hand_out(self) -> None:
        while self._early and not self._stopped.is_set():
            message = self._early.popleft()
            channel = message["channel"]
            handler = self.subscriptions.get(channel)
            if handler is None:
                continue
            try:
                handler(decoded(message["data"]))
            except Exception:
                logger.exception("the handler of the channel %s raised", channel)

    def _tell_server(self, command: str, channel: str) -> None:
        connection = self._connection
        try:
            if connection is not None:
                getattr(connection, command)(channel)
        except Exception as error:
            if not lost(error):
                raise
            # Whoever reads finds out as well, and starts anew with what is wanted then.

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        for confirmed in self._live.values():
            confirmed.clear()
        if connection is not None:
            connection.close()
        self._redis.connection_pool.disconnect()

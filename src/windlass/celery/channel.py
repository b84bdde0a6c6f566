"""The way from a running task in a worker to its manager."""

from __future__ import annotations

import threading
from itertools import count
from typing import TYPE_CHECKING, Any

from .._runtime.clock import SystemClock
from ..executors._celery.wire import ASKED, MOST_UNREAD, REPLY, SAID, SAY_IF_ROOM, STOP, news_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from .far import Here

_CLOCK = SystemClock()
_PROGRESS_EVERY = 0.1
_LOOK_EVERY = 5.0


class FarChannel:
    """See ``crossing.Channel`` for what is asked of it. Progress is told ten times a second."""

    def __init__(self, here: Here, manager: str, key: str) -> None:
        self._here = here
        self._manager = manager
        self._key = key
        self.cancelled = False
        self._closed = False
        self._lock = threading.RLock()
        self._callbacks: list[Callable[[], object]] = []
        self._numbers = count(1)
        self._replies: dict[int, tuple[threading.Event, list[Any]]] = {}
        self._progress: Any = None
        self._told_at = -_PROGRESS_EVERY
        self._timer: threading.Timer | None = None
        self._mentioning = threading.local()

    # -- what the task says --------------------------------------------------------------------

    def send(self, kind: str, payload: Any) -> None:
        """Say something, one way."""
        if kind == "log":
            self._mention(kind, payload)
            return
        with self._lock:
            if self._closed:
                return
            if kind == "progress":
                self._progress = payload
                wait = self._told_at + _PROGRESS_EVERY - _CLOCK.now()
                if wait <= 0:
                    self._flush()
                elif self._timer is None:
                    self._timer = threading.Timer(wait, self._flush)
                    self._timer.daemon = True
                    self._timer.start()
                return
            self._flush()
            body = self._here.words.say(kind, payload)
        self._here.tell(self._manager, SAID, self._key, body)

    def _flush(self) -> None:
        """Tell the progress that was held back; what comes after it must not overtake it."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            progress, self._progress = self._progress, None
            if progress is None:
                return
            self._told_at = _CLOCK.now()
            self._mention("progress", progress)

    def _mention(self, kind: str, payload: Any) -> None:
        """Say what may be missed: when Redis is away, or a manager has been for long."""
        if self._closed or getattr(self._mentioning, "on", False):
            return  # what is logged on the way there is not sent: there would be no end to it
        self._mentioning.on = True
        try:
            body = self._here.words.say(kind, payload)
            news = news_of(self._manager)
            self._here.redis.eval(SAY_IF_ROOM, 1, news, SAID, self._key, body, MOST_UNREAD)
        except Exception:  # noqa: BLE001, S110  # there is nobody to tell, by whatever log
            pass
        finally:
            self._mentioning.on = False

    def ask(self, kind: str, payload: Any) -> Any:
        """Say something and wait for the reply, which may be an exception: it is raised."""
        with self._lock:
            if self._closed:
                raise RuntimeError(f"cannot ask the manager ({kind}): the task has ended")
            self._flush()
            number = next(self._numbers)
            there, reply = self._replies[number] = threading.Event(), []
            body = self._here.words.say(kind, (number, payload))
        self._here.tell(self._manager, ASKED, self._key, body)
        while not there.wait(_LOOK_EVERY):
            if not self._here.redis.exists(news_of(self._manager)):
                raise RuntimeError(f"cannot ask the manager ({kind}): it is gone")
        kind_of_reply, what = reply
        if kind_of_reply == REPLY:
            return what
        raise self._here.words.read_error(what)

    def close(self) -> None:
        """The task has ended: say what is left to be said."""
        self._flush()
        with self._lock:
            self._closed = True

    # -- what the manager says -----------------------------------------------------------------

    def when_cancelled(self, callback: Callable[[], object]) -> None:
        """Have ``callback`` called, from another thread, when the call is to stop (or now)."""
        with self._lock:
            if not self.cancelled:
                self._callbacks.append(callback)
                return
        callback()

    def told(self, kind: str, number: int, what: Any) -> None:
        """Take in a message from the inbox."""
        if kind == STOP:
            with self._lock:
                self.cancelled = True
                callbacks, self._callbacks = self._callbacks, []
            for callback in callbacks:
                callback()
            return
        there, reply = self._replies.pop(number)
        reply += (kind, what)
        there.set()

"""What comes in: the manager's news and the beats of workers, in one blocking read; on a thread.

The read returns when there is something, and once a second in any case: then it is looked after
who has been silent for too long, what nobody has begun, and what can be deleted. While Redis cannot
be reached nobody is held to be silent, and when it can be again all get another lease.

News are deleted a while after they were taken in: a manager with a file has its results on disk by
then, and one that dies before finds them again.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from time import monotonic as now  # noqa: TID251  # as in flights
from typing import TYPE_CHECKING, Any

from ..._core.outcome import Err
from ...errors import TaskError
from .holding import Name, NameTakenError
from .wire import BEATS, BEGUN, CRASHED, ENDED, flight_of, id_of, news_of, opened_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .flights import Flight, Flights

logger = logging.getLogger("windlass")

_AT_ONCE = 500
_BLOCK_MS = 1_000
_RENEW_EVERY = 3.0
_LAG = 2.0
_MOMENT = 1.0
_SETTLING_SECONDS = 60.0
_ADOPTION_SECONDS = 3600.0
_MOST_EARLY = 1_000
_BACK_OFF = (0.05, 0.1, 0.2, 0.5, 1.0)


class NoNewsError(Exception):
    """News cannot come in yet."""

    def __init__(self, trouble: Exception | None) -> None:
        super().__init__(str(trouble or "no answer yet"))
        self.name_taken = isinstance(trouble, NameTakenError)


class Ear:
    """See the module.

    - ``remembers``: whether an earlier life may have left something behind.
    - ``keep``: for how many seconds the news of a manager that is gone are kept.
    - ``lease``: for how long a worker may be silent.
    - ``lost``: called when a worker is gone, or Redis has lost its data: letters may be lost.
    - ``stale``: called with the flights that nobody has begun for ``start_timeout`` seconds.
    """

    def __init__(
        self,
        redis: Any,
        manager: str,
        flights: Flights,
        *,
        remembers: bool,
        keep: float,
        lease: float,
        start_timeout: float,
        lost: Callable[[], None],
        stale: Callable[[list[Flight]], None],
    ) -> None:
        self._redis = redis
        self._manager = manager
        self._flights = flights
        self._name = Name(redis, manager) if remembers else None
        self.keep = max(1, round(keep))
        self._lease = lease
        self._start_timeout = start_timeout
        self._lost = lost
        self._stale = stale
        self._ready = threading.Event()
        self._trouble: Exception | None = None
        self._closing = threading.Event()
        self._opened = now()
        self._left_behind: dict[str, str] = {}
        self._left_keys: set[str] = set()
        self._early: dict[str, deque[tuple[bytes, bytes]]] = {}
        """News of what was left behind, until somebody asks for it: the last of each."""
        self._lock = threading.Lock()
        self._news, self._beats = news_of(manager), BEATS
        self._since: dict[str, Any] = {self._news: "0", self._beats: "$"}
        self._taken_in: deque[tuple[float, Any, str | None]] = deque()
        self._renewed = 0.0
        self._thread: threading.Thread | None = None

    def wait_until_ready(self) -> None:
        """Return when news can come in; NoNewsError if that takes longer than a moment.

        Until the first call there is nothing to listen for; and whoever only follows the leader of
        a file must leave the name to that.
        """
        if self._thread is None:
            run = threading.Thread(target=self._run, name="windlass-celery-in", daemon=True)
            self._thread = run
            run.start()
        if not self._ready.wait(_MOMENT):
            raise NoNewsError(self._trouble)

    def close(self) -> None:
        """Hear nothing more; it leaves when its read returns."""
        self._closing.set()
        if self._thread is None:
            self._redis.close()

    # -- what an earlier life has handed over --------------------------------------------------

    def adopt(self, flight: Flight) -> bool:
        """Whether the task of ``flight`` is in the air already; then this is that flight."""
        key = self._left_behind.get(flight.call.task_id)
        if key is None:
            return False
        place = self._redis.hget(opened_of(self._manager), key)
        with self._lock:
            del self._left_behind[flight.call.task_id]
            self._left_keys.discard(key)
            early = self._early.pop(key, ())
            self._flights.rename(flight, key)
        has_ended = any(kind in {ENDED, CRASHED} for kind, _ in early)
        if place is None and not has_ended:
            return False  # nobody has begun it: the letter may be lost, and a copy does no harm
        flight.id = id_of(self._manager, key)
        if place is not None and not any(kind == BEGUN for kind, _ in early):
            self._flights.hear(BEGUN, key, place)
        for kind, body in early:
            self._flights.hear(kind, key, body)
        return True

    # -- reading -------------------------------------------------------------------------------

    def _run(self) -> None:
        pauses = iter(_BACK_OFF)
        connected = first = False
        while not self._closing.is_set():
            try:
                if not connected:
                    self._connect(first=not first)
                    connected = first = True
                    pauses = iter(_BACK_OFF)
                self._hear(self._redis.xread(self._since, count=_AT_ONCE, block=_BLOCK_MS))
                self._look_after()
            except Exception as error:  # noqa: BLE001  # of a library; it is told, and tried again
                self._trouble = error
                if connected and not self._closing.is_set():
                    self._lament(error)
                connected = False
                self._closing.wait(next(pauses, _BACK_OFF[-1]))
        try:
            if self._name is not None:
                self._name.give_up()
            self._redis.close()
        except Exception:  # noqa: BLE001, S110  # it was of no use any more
            pass

    def _lament(self, error: Exception) -> None:
        """Tell what has gone wrong with what went well."""
        if not isinstance(error, NameTakenError):
            logger.warning("Redis does not answer: no news of tasks on Celery (%s)", error)
            return
        self._ready.clear()
        logger.error("%s. It took it while nothing was heard of this one", error)
        for flight in self._flights.letters():
            lost = TaskError(f"{flight.label} is not heard of any more: {error}")
            self._flights.end(flight.key, Err(lost, raised=False))

    def _connect(self, *, first: bool) -> None:
        if self._name is not None:
            self._name.take()
        newest = self._redis.xrevrange(self._beats, count=1)
        if first:
            self._since[self._beats] = newest[0][0] if newest else "0"
            if self._name is not None:
                kept = self._redis.hgetall(flight_of(self._manager))
                with self._lock:
                    # Of several attempts the last one counts; the number stands in the key.
                    known = sorted((key.decode() for key in kept), key=_attempt_of)
                    self._left_behind = {kept[key.encode()].decode(): key for key in known}
                    self._left_keys = set(self._left_behind.values())
                self._opened = now()
            self._renew()
        else:
            if not newest:  # what is gone is counted anew
                self._since[self._beats] = "0"
            self._flights.forgive_silence()
            if not self._renew():
                logger.warning("Redis has lost its data: tasks that were under way are looked for")
            # In any case with what workers had taken from the broker, if that is this Redis.
            self._lost()
        self._ready.set()

    def _renew(self) -> bool:
        """Have the news live on; False if they were not there any more."""
        self._renewed = now()
        if self._name is not None:
            self._name.take()
        for hash_ in (flight_of(self._manager), opened_of(self._manager)):
            self._redis.expire(hash_, self.keep)
        if self._redis.expire(self._news, self.keep):
            return True
        self._redis.xadd(self._news, {"kind": "opened", "key": "", "body": ""})
        self._redis.expire(self._news, self.keep)
        return False

    def _hear(self, streams: Any) -> None:
        # A dict of a list in the newer protocol, a list of pairs in the older one.
        pairs = streams.items() if isinstance(streams, dict) else streams
        for name, entries in pairs:
            stream = name.decode()
            flat = entries[0] if isinstance(streams, dict) else entries
            for id, fields in flat:
                if stream == self._news:
                    self._hear_news(id, fields)
                else:
                    self._hear_beat(fields)
            if flat:
                self._since[stream] = flat[-1][0]

    def _hear_news(self, id: Any, fields: dict[bytes, bytes]) -> None:
        kind, key, body = fields[b"kind"], fields[b"key"].decode(), fields[b"body"]
        with self._lock:
            early = key in self._left_keys
            if early:
                self._early.setdefault(key, deque(maxlen=_MOST_EARLY)).append((kind, body))
        if not early:
            self._flights.hear(kind, key, body)
        self._taken_in.append((now(), id, key if kind in {ENDED, CRASHED} else None))

    def _hear_beat(self, fields: dict[bytes, bytes]) -> None:
        worker = fields[b"worker"].decode()
        if fields[b"state"] == b"alive":
            self._flights.alive(worker)
        else:
            self._flights.gone(worker, "was shut down")

    # -- once a second -------------------------------------------------------------------------

    def _look_after(self) -> None:
        for worker in self._flights.silent_for(self._lease):
            self._flights.gone(worker, f"has not been heard of for {self._lease:g} s")
            self._lost()  # with the letters that it had taken from the broker and not opened
        stale = self._flights.waiting_since(self._start_timeout)
        if stale:
            self._stale(stale)
        self._forget()
        if now() - self._renewed > _RENEW_EVERY and not self._renew():
            self._lost()

    def _forget(self) -> None:
        """Delete the news that were taken in a while ago.

        Those of what was left behind stay for the first minute, in which most of it is asked for,
        should this life be as short; and then here, for what waits for its turn at a gate.
        """
        if self._left_keys:
            if now() - self._opened < _SETTLING_SECONDS:
                return
            if now() - self._opened > _ADOPTION_SECONDS:
                self._disown()
        before, newest, ended = now() - _LAG, None, []
        while self._taken_in and self._taken_in[0][0] < before:
            _, newest, key = self._taken_in.popleft()
            if key is not None:
                ended.append(key)
        if newest is None:
            return
        oldest_left = self._taken_in[0][1] if self._taken_in else None
        if oldest_left is not None:
            self._redis.xtrim(self._news, minid=oldest_left, approximate=False)
        else:
            self._redis.xdel(self._news, newest)
            self._redis.xtrim(self._news, minid=newest, approximate=False)
        self._strike_out(ended)

    def _strike_out(self, keys: Sequence[str]) -> None:
        if keys:
            self._redis.hdel(flight_of(self._manager), *keys)
            self._redis.hdel(opened_of(self._manager), *keys)

    def _disown(self) -> None:
        """Nobody has asked for what is left: those tasks have ended otherwise."""
        with self._lock:
            keys = [*self._left_keys]
            self._left_behind.clear()
            self._left_keys.clear()
            self._early.clear()
        self._strike_out(keys)


def _attempt_of(key: str) -> int:
    return int(key.split(".")[-2])

"""The workers' side: one Celery task that opens letters, and the beats of the worker.

What goes on where::

    main process    Far, its Heart (a thread): beats, and tells of child processes that died
    child process   Here: runs a letter at a time; its inbox (a thread): stop, and replies

With other pools than the usual one (``threads``, ``solo``) both are in the same process, and a task
cannot be killed.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import secrets
import signal
import threading
from contextvars import copy_context
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from .._core.outcome import Cancelled, Err
from .._runtime.clock import SystemClock
from .._runtime.log_context import install_log_context
from ..errors import SerializationError, TaskError
from ..executors._celery.wire import (
    BEAT_EVERY,
    BEATS,
    CRASHED,
    ENDED,
    MANY_BEATS,
    OPEN_LETTER,
    TASK,
    flight_of,
    inbox_of,
    manager_and_key,
    news_of,
    opened_of,
)
from ..executors.celery import redis_of
from .channel import FarChannel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .._core.outcome import Outcome
    from .words import CodecWords

logger = logging.getLogger("windlass")

_CLOCK = SystemClock()
_PATIENCE = 60.0
_PATIENCE_WITHOUT_MANAGER = 5.0
_PAUSE = 0.2


class Far:
    """Windlass in a worker of ``app``; see the module."""

    def __init__(
        self,
        app: Any,
        redis: Any,
        words: CodecWords,
        around: Sequence[Callable[..., Any]],
    ) -> None:
        self.app = app
        self.connect = redis_of(app, redis)
        self.words = words
        self.around = around
        self.token = secrets.token_hex(6)
        """Of this life of the worker; its child processes inherit it."""
        self._main = os.getpid()
        self._heart: Heart | None = None
        self._here: Here | None = None
        self._lock = threading.Lock()

    def install(self) -> None:
        """Add the task, and have the worker's life told."""
        far = self
        install_log_context()

        def run(task: Any, letter: dict[str, Any]) -> None:
            """Open a letter of a Windlass manager."""
            far.here().open(letter, task.request.hostname or "worker")

        options: dict[str, Any] = {"ignore_result": True, "acks_late": False, "typing": False}
        self.app.task(name=TASK, bind=True, **options)(run)
        signals = importlib.import_module("celery.signals")
        signals.worker_ready.connect(self._ready, weak=False)
        signals.worker_shutdown.connect(self._leaving, weak=False)
        signals.task_failure.connect(self._failed, weak=False)
        signals.task_revoked.connect(self._revoked, weak=False)

    def here(self) -> Here:
        """What runs letters in this process; a forked child makes its own."""
        with self._lock:
            if self._here is None or self._here.pid != os.getpid():
                self._here = Here(self, is_child=os.getpid() != self._main)
            return self._here

    # -- the main process: what Celery says ----------------------------------------------------

    def _ready(self, sender: Any = None, **_: Any) -> None:
        self._main = os.getpid()  # not where it was installed, if it has detached itself since
        self._heart = Heart(self.connect(), f"{sender.hostname}/{self.token}")

    def _leaving(self, **_: Any) -> None:
        heart, self._heart = self._heart, None
        if heart is not None:
            heart.stop()

    def _failed(
        self, sender: Any = None, task_id: str = "", exception: Any = None, **_: Any
    ) -> None:
        """A letter was not answered: its process has died, most likely."""
        if sender is not None and sender.name == TASK:
            self._tell(task_id, CRASHED, f"a worker process died ({exception})".encode())

    def _revoked(self, sender: Any = None, request: Any = None, **_: Any) -> None:
        if sender is not None and sender.name == TASK and request is not None:
            ended = self.words.outcome(Cancelled("revoked"), {"name": "", "task": ""}, 1 << 20)
            self._tell(request.id, ENDED, ended)

    def _tell(self, id: str, kind: bytes, body: bytes) -> None:
        manager, key = manager_and_key(id)
        if self._heart is not None and os.getpid() == self._main:
            self._heart.tell(manager, kind, key, body)
        else:
            self.here().tell(manager, kind, key, body)


class Heart:
    """Tells all managers that this worker is alive, and what of its child processes is not.

    Celery says as well that a child has died, seconds later: it looks every five.
    """

    def __init__(self, redis: Any, worker: str) -> None:
        self._redis = redis
        self._worker = worker
        self._active: Any = importlib.import_module("celery.worker.state").active_requests
        self._dead: set[int] = set()
        self._orders: SimpleQueue[tuple[str, bytes, str, bytes] | None] = SimpleQueue()
        self._unsent: list[tuple[str, bytes, str, bytes]] = []
        self._thread = threading.Thread(target=self._run, name="windlass-heart", daemon=True)
        self._thread.start()

    def tell(self, manager: str, kind: bytes, key: str, body: bytes) -> None:
        """Leave news for a manager."""
        self._orders.put((manager, kind, key, body))

    def stop(self) -> None:
        """Say good-bye."""
        self._orders.put(None)
        self._thread.join(BEAT_EVERY)

    def _run(self) -> None:
        beat_at = 0.0
        while True:
            try:
                if _CLOCK.now() >= beat_at:
                    self._beat("alive")
                    self._look_for_dead()
                    beat_at = _CLOCK.now() + BEAT_EVERY
                while self._unsent:
                    add_news(self._redis, *self._unsent[0])
                    self._unsent.pop(0)
            except Exception as error:  # noqa: BLE001  # Redis is away: it is tried again
                logger.debug("this worker's life cannot be told: %s", error)
                beat_at = _CLOCK.now() + BEAT_EVERY
            try:
                order = self._orders.get(timeout=max(0.0, beat_at - _CLOCK.now()))
            except Empty:
                continue
            if order is None:
                break
            self._unsent.append(order)
        try:
            self._beat("gone")
            self._redis.close()
        except Exception as error:  # noqa: BLE001  # managers find out by themselves
            logger.debug("this worker's end cannot be told: %s", error)

    def _look_for_dead(self) -> None:
        for request in list(self._active):
            pid = request.worker_pid
            if request.task.name != TASK or pid is None or pid in self._dead:
                continue
            how = _how_it_died(pid)
            if how is not None:
                self._dead.add(pid)
                manager, key = manager_and_key(request.id)
                self._unsent.append(
                    (manager, CRASHED, key, f"the worker process {pid} {how}".encode())
                )

    def _beat(self, state: str) -> None:
        fields = {"worker": self._worker, "state": state}
        self._redis.xadd(BEATS, fields, maxlen=MANY_BEATS, approximate=True)


class Here:
    """This process, as far as it runs letters."""

    def __init__(self, far: Far, *, is_child: bool) -> None:
        self.pid = os.getpid()
        self.words = far.words
        self.redis = far.connect()
        self._far = far
        self._parent = os.getppid() if is_child else None
        self._inbox = inbox_of(f"{self.pid}-{secrets.token_hex(6)}")
        self._channels: dict[str, FarChannel] = {}
        threading.Thread(target=self._listen, name="windlass-inbox", daemon=True).start()

    # -- a letter ------------------------------------------------------------------------------

    def open(self, letter: dict[str, Any], node: str) -> None:
        """Run the call in ``letter``, unless somebody has, and tell its manager how it ended."""
        manager, key = letter["manager"], letter["key"]
        place = json.dumps((f"{node}/{self._far.token}", node, self._inbox))
        if not self._claim(manager, key, place):
            return
        channel = self._channels[key] = FarChannel(self, manager, key)
        try:
            outcome = self._run(letter, channel, node)
        finally:
            del self._channels[key]
            channel.close()
        packed = self.words.outcome(outcome, letter, letter["max_bytes"])
        self.tell(manager, ENDED, key, packed)

    def _claim(self, manager: str, key: str, place: str) -> bool:
        keys = flight_of(manager), opened_of(manager), news_of(manager)

        def claim_it() -> int:
            said: int = self.redis.eval(OPEN_LETTER, 3, *keys, key, place)
            return said

        said, trouble = self._insist(claim_it)
        if said == 0 and trouble and self.redis.hget(keys[1], key) == place.encode():
            return True  # it was claimed by us, and the answer was lost
        if said == 1:
            return True
        why = "its manager is gone" if said else "it was opened before, or taken back, or is over"
        logger.info("letter %s is dropped: %s", key, why)
        return False

    def _run(self, letter: dict[str, Any], channel: FarChannel, node: str) -> Outcome:
        try:
            parcel = self.words.parcel(letter, self._far.around, node)
        except TaskError as error:
            return Err(error, raised=False)
        except Exception as error:  # noqa: BLE001  # a class may refuse what was stored of it
            text = f"{letter['name']} [{letter['task']}] cannot be unpacked on {node}: {error}"
            return Err(SerializationError(text, letter["task"]), raised=False)
        try:
            # Its own context: whatever runs in this process afterwards is not in this task.
            return copy_context().run(parcel.run, channel)
        except BaseException as error:  # noqa: BLE001  # the worker outlives whatever a task does
            return Err(error)

    # -- news ----------------------------------------------------------------------------------

    def tell(self, manager: str, kind: bytes, key: str, body: bytes) -> None:
        """Leave news for a manager; one that is away finds them when it is back."""

        def tell_it() -> object:
            return add_news(self.redis, manager, kind, key, body)

        told, _ = self._insist(tell_it)
        waited_since = _CLOCK.now()
        while told is None and _CLOCK.now() - waited_since < _PATIENCE_WITHOUT_MANAGER:
            # Redis may have lost the stream; then its manager is about to make another.
            threading.Event().wait(_PAUSE)
            told, _ = self._insist(tell_it)
        if told is None:
            logger.warning("nobody is there to hear how %s ended", key)

    def _insist(self, do: Callable[[], Any]) -> tuple[Any, bool]:
        """What ``do`` returns, in the end; and whether that took more than one try."""
        began, trouble = _CLOCK.now(), False
        while True:
            try:
                return do(), trouble
            except Exception:
                if _CLOCK.now() - began > _PATIENCE:
                    raise
                trouble = True
                threading.Event().wait(_PAUSE)

    # -- the inbox -----------------------------------------------------------------------------

    def _listen(self) -> None:
        redis = self._far.connect()
        while True:
            try:
                got = redis.blpop([self._inbox], timeout=BEAT_EVERY)
            except Exception:  # noqa: BLE001  # Redis is away; it will be back
                got = None
                threading.Event().wait(_PAUSE)
            if self._parent is not None and os.getppid() != self._parent:
                # The worker is dead, and its managers are about to run its tasks elsewhere.
                os._exit(1)
            if got is None:
                continue
            try:
                kind, (key, number, what) = self.words.hear(got[1])
                channel = self._channels.get(key)
                if channel is not None:
                    channel.told(kind, number, what)
            except Exception:
                logger.exception("a manager's message cannot be taken in")


def _how_it_died(pid: int) -> str | None:
    """How a child process has ended, which is left for its parent to be buried; None: it lives."""
    if pid == os.getpid() or not hasattr(os, "waitid"):
        return None
    try:
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None  # it was buried a moment ago, and Celery tells of it
    if ended is None:
        return None
    if ended.si_code == os.CLD_EXITED:
        return f"exited with {ended.si_status}"
    return f"died with {signal.Signals(ended.si_status).name}"


def add_news(redis: Any, manager: str, kind: bytes, key: str, body: bytes) -> Any:
    """The id of the entry, or None if there is no such manager any more."""
    return redis.xadd(news_of(manager), {"kind": kind, "key": key, "body": body}, nomkstream=True)

"""The follower: a manager on a file in which another process leads.

It has no tasks of its own. What it is asked for it leaves in the store as a request; what becomes
of its tasks it hears as news, each time the leader has committed some, and reads in the store
where news is missing. Its handles are those of any manager: their jobs just change somewhere else.

When the leader dies, or has been silent for too long, a follower takes the lead (unless it was told
never to), and its jobs go on in its own engine.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from .._core.outcome import Err
from .._core.states import FAILED
from ..errors import StoreError, StoreLockedError
from .desk import LEADER, LOOK_EVERY
from .hearing import Hearing
from .questions import Questions, read_metrics, read_progress
from .stored_job import NEVER_STORED
from .wait import Promise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from .._core.metrics import Metrics
    from ..ports import Codec, Store
    from .bell import Bell
    from .durable import Durable
    from .job import Job
    from .runtime import Runtime
    from .stored_job import StoredJob

logger = logging.getLogger("windlass")

_TRY_EVERY = 0.2
_ANSWER_EVERY = 0.05
_HANDLED = "?"
_FLUSHES = ("", _HANDLED)
_AT_ONCE = 500
_RESYNC_EVERY = 5.0
_UNSURE = 2.5
SILENT = 10.0
"""After so many seconds without a sign of life the leader is replaced."""


_Outgoing: TypeAlias = "tuple[str, bytes, StoredJob | None, Promise[Any] | None]"


class Follower(Hearing):
    """Of one manager, while another process leads; see the module."""

    def __init__(
        self,
        runtime: Runtime,
        durable: Durable,
        store: Store,
        codec: Codec,
        take_lead: Callable[[bool], bool] | None,
        bell: Bell,
    ) -> None:
        super().__init__(runtime, durable, store, codec)
        self._take_lead = take_lead
        self._bell = bell
        self._outbox: deque[_Outgoing] = deque()
        self._mailing = threading.Lock()
        # While nobody leads, one that may lead is about to, and answers then.
        self._questions = Questions(store, lambda: take_lead is not None or durable.is_led())
        self._asked: list[tuple[int, Promise[Any]]] = []
        """What is to be told when the request of that number has been handled."""
        self._last = 0
        self._leader = 0
        self._leader_note: str | None = None
        self._unsure_until = 0.0
        self._looked = self._greeted = self._synced = 0.0
        self._beat: object = None
        self._beat_at = 0.0
        self._closing = False
        self._thread: threading.Thread | None = None

    def open(self, *, thread: bool = True) -> None:
        """Begin to listen; without a ``thread``, somebody calls ``attend``."""
        self._heard = max((number for number, _ in self._store.news(0)), default=0)
        self._looked = self._greeted = self._synced = self._beat_at = self._runtime.clock.now()
        if thread:
            self._thread = threading.Thread(target=self._run, name="windlass-follower", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Leave what is still to be left, and listen no more."""
        self._closing = True
        self._bell.ring(self._bell.port)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        self._bell.close()

    @property
    def is_quiet(self) -> bool:
        """Whether every request has been left, and every task of ours has ended."""
        mine = self._take_lead is not None and self._open
        return not (self._outbox or mine)

    # -- asking --------------------------------------------------------------------------------

    def submit(self, jobs: Iterable[StoredJob]) -> None:
        """Have the leader take in ``jobs``."""
        offset = self._runtime.wall_offset()
        for job in jobs:
            self._durable.mine[job.id] = self._open[job.id] = job
            row = self._durable.records.row(job, offset)
            self._post("submit", [*row], job)
        self._bell.ring(self._bell.port)

    def ask(self, kind: str, *body: Any) -> None:
        """Leave any other request."""
        self._post(kind, [*body], None)
        self._bell.ring(self._bell.port)

    def explain(self, job: StoredJob) -> str:
        """What the leader says of ``job``; it is given a moment."""
        try:
            told = self._questions.ask(self._runtime, self.ask, "explain", job.id)
        except StoreError as error:
            return f"{job.status}; {error}"
        return told or f"{job.status}, and the leader does not know it yet"

    def progress(self, ids: Iterable[str]) -> dict[str, tuple[float, str]]:
        """How far running tasks are, as the leader knows; it is given a moment."""
        try:
            return read_progress(self._questions.ask(self._runtime, self.ask, "progress", *ids))
        except StoreError:
            return {}  # which is all that is known here

    def metrics(self) -> Metrics:
        """The leader's figures; it is given a moment."""
        return read_metrics(self._questions.ask(self._runtime, self.ask, "metrics"))

    def retry(self, job: StoredJob, *, downstream: bool) -> StoredJob:
        """Have an ended job given another run; what stands for that."""
        new = job.renewed(self._runtime.clock.now())
        self._durable.mine[new.id] = self._open[new.id] = new
        self._renewing.add(new.id)
        handled: Promise[None] = Promise(self._runtime, f"retry of {job.label}")
        handled.when_there(partial(self._renewed, new.id))
        self.ask("retry", job.id, downstream)
        self.flush(handled, handled=True)
        return new

    def _renewed(self, id: str) -> None:
        """The task was retried, or that was refused: what the store has of it now counts."""
        self._renewing.discard(id)
        self._synced = 0.0

    def flush(self, promise: Promise[Any], *, handled: bool) -> None:
        """Keep ``promise`` when everything so far has been left, or even ``handled``."""
        self._put((_HANDLED if handled else "", b"", None, promise))
        self._bell.ring(self._bell.port)

    def _post(self, kind: str, body: list[Any], job: StoredJob | None) -> None:
        self._put((kind, self._codec.encode(body, kind), job, None))

    def _put(self, request: _Outgoing) -> None:
        """Have the thread leave ``request``; once there is none any more, leave it here and now.

        Whoever asked to follow a moment ago may come with it when we lead already.
        """
        with self._mailing:
            self._outbox.append(request)
            if self._over:
                self._leave_requests()
                self._durable.wake()

    # -- the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        callers = [self._bell.port]
        while (pause := self.attend(callers)) is not None:
            callers = self._bell.wait(pause)
        if self._over:
            self._bell.close()

    def attend(self, callers: Sequence[int] = ()) -> float | None:
        """One round, after ``callers`` have rung; for how long to sleep, or None: it is over."""
        if self._closing and (self._over or not self._outbox):
            return None
        try:
            if not self._over:
                self._follow(callers)
            if self._over:
                self._finish()
        except StoreError as error:
            logger.warning("the file cannot be used at present: %s", error)
            if self._closing:
                return None
        if self._asked:
            return _ANSWER_EVERY
        if self._over and not self._outbox:
            return None
        return _TRY_EVERY if self._take_lead else LOOK_EVERY

    def _follow(self, callers: Sequence[int]) -> None:
        now = self._runtime.clock.now()
        self._leave_requests()
        self._see_what_is_handled()
        if now - self._greeted >= LOOK_EVERY or not self._leader:
            self._greeted = now
            self._greet(now)
        if self._leader in callers:
            self._questions.ring()
        if self._leader in callers or now - self._looked >= LOOK_EVERY:
            self._looked = now
            self._hear()
        if now - self._synced >= _RESYNC_EVERY or now < self._unsure_until:
            self._synced = now
            self._look_for_all()
        if (sign := self._durable.sign_of_life()) != self._beat:
            self._beat, self._beat_at = sign, now
        silent = now - self._beat_at > SILENT
        if self._take_lead is not None and not self._closing and self._take_lead(silent):
            with self._mailing:
                self._over = True

    def _finish(self) -> None:
        """We lead now: what we have asked for we do ourselves."""
        with self._mailing:
            self._leave_requests()
        self._durable.wake()
        self._see_what_is_handled()
        self._catch_up()

    def _leave_requests(self) -> None:
        if self._outbox:
            try:
                self._leave_all()
            finally:
                self._runtime.pump.wake()  # whoever closes the manager waits for this

    def _leave_all(self) -> None:
        while self._outbox:
            some = [self._outbox[n] for n in range(min(_AT_ONCE, len(self._outbox)))]
            asked = [request for request in some if request[0] not in _FLUSHES]
            try:
                if asked:
                    self._last = self._store.post([(kind, body) for kind, body, _, _ in asked])[-1]
                    self._bell.ring(self._leader)
            except StoreLockedError:
                raise
            except StoreError as error:
                part, place = error.details.get("refused", ("", 0))
                if part == "requests":  # this one is refused for itself, and the others go on
                    self._outbox.remove(asked[place])
                    self._refuse(asked[place], error)
                    continue
                for request in some:
                    self._outbox.popleft()
                    if request[2] is not None:
                        self._refuse(request, error)
                self._outbox.extendleft(request for request in reversed(some) if not request[2])
                raise
            first = self._last - len(asked) + 1
            for number, (_, _, job, _) in enumerate(asked, first):
                if job is not None:
                    self._left[job.id] = number
            for kind, _, _, promise in some:
                self._outbox.popleft()
                if promise is not None and kind == _HANDLED:
                    self._asked.append((self._last, promise))
                elif promise is not None:
                    promise.keep(None)

    def _refuse(self, request: _Outgoing, error: StoreError) -> None:
        """A new task that cannot be left never was, and its handle says so."""
        kind, _, job, _ = request
        if job is None:
            logger.error("%r could not be left for the process that leads: %s", kind, error)
            return
        job.seq = NEVER_STORED
        self._end(job, FAILED, Err(error, raised=False))

    def _catch_up(self) -> None:
        """We lead now: what ended before that, and was not heard of, is in the store alone."""
        missed: list[StoredJob] = []
        for job in self.open_tasks:
            id = job.id
            known = self._runtime.engine.tasks.get(id)
            if job.outcome is None and known is None:
                missed.append(job)
            elif job.outcome is None and known is not job and id not in self._renewing:
                self._open.pop(id)
                self._durable.end_with(job, cast("Job", known))  # it was retried by ourselves
        self._look_for(missed)

    def _see_what_is_handled(self) -> None:
        if self._asked:
            first = next((request.number for request in self._store.requests(1)), None)
            for number, promise in self._asked.copy():
                if first is None or first > number:
                    self._asked.remove((number, promise))
                    promise.keep(None)

    def _greet(self, now: float) -> None:
        """Tell the leader that there is somebody to be told news.

        A new one tells none until it knows that; so what happens until then is looked for.
        """
        note = self._store.read_note(LEADER)
        if note != self._leader_note:
            self._leader_note, self._unsure_until = note, now + _UNSURE
        self._leader = int(note.split()[0]) if note else 0
        self._bell.ring(self._leader)

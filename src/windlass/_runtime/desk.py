"""The desk: where the leader takes in what other processes, or other transactions, ask of it.

A request is a row in the store. It is handled once: what follows from it is written in the same
commit that takes it away. Whoever leaves one rings the leader's bell; a look every second finds the
rest. While there are clients, every commit carries the news of what it changed, and rings them.

The desk also shows that the leader is alive, from a thread of its own: whatever keeps the user's
event loop busy does not make this process look dead.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from typing import TYPE_CHECKING, Any

from .._core.states import RUNNING, TaskStatus
from ..errors import StoreCorruptError, StoreError, StoreFencedError, TaskError
from ..ports import Row
from .questions import answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..ports import Codec, Request, Store
    from .bell import Bell
    from .durable import Durable
    from .job import Job
    from .runtime import Runtime

logger = logging.getLogger("windlass")

LOOK_EVERY = 1.0
BEAT_EVERY = 2.0
_LISTEN_EVERY = 0.1
_LISTEN_FOR = 1.0
_CLIENT_IS_GONE = 10.0
LEADER = "leader"


class Desk:
    """Of one leader, from ``open`` to ``close``; see the module."""

    def __init__(
        self, runtime: Runtime, durable: Durable, store: Store, codec: Codec, bell: Bell
    ) -> None:
        self._runtime = runtime
        self._durable = durable
        self._store = store
        self._codec = codec
        self._bell = bell
        self._clients: dict[int, float] = {}
        self._taken: set[int] = set()
        self._listens_until = 0.0
        self.listens = False
        """Whether what tasks say in the log is written soon without anybody ringing for it."""
        self._closing = False
        self._thread: threading.Thread | None = None

    @property
    def has_clients(self) -> bool:
        """Whether anybody wants to hear news."""
        return bool(self._clients)

    def open(self, *, thread: bool = True) -> None:
        """Tell where the bell is, and begin to look; without a ``thread``, somebody does it."""
        self._store.write_note(LEADER, f"{self._bell.port} {os.getpid()} {socket.gethostname()}")
        if thread:
            self._thread = threading.Thread(target=self._run, name="windlass-desk", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._closing = True
        self._bell.ring(self._bell.port)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        self._bell.close()

    def wake(self) -> None:
        """Have a look at once."""
        self._bell.ring(self._bell.port)

    def tell_clients(self) -> None:
        """There is news."""
        for port in tuple(self._clients):
            self._bell.ring(port)

    def greet(self, port: int) -> None:
        """Whoever has rung wants to hear news for a while."""
        self._clients[port] = self._runtime.clock.now()

    def beat(self) -> None:
        """Show that the leader is alive; and find out whether it still is the leader.

        One that was frozen, and has nothing to write, would not be told by any commit.
        """
        if not self._durable.beat():
            self._durable.journal.fence(
                StoreFencedError(
                    "another process has taken the lead, because this one was silent for too long. "
                    "Start again to work with the file"
                )
            )

    # -- the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        clock, beaten = self._runtime.clock.now, 0.0
        while not self._closing:
            now = clock()
            if now - beaten >= BEAT_EVERY:
                beaten = now
                self.beat()
                for port, seen in tuple(self._clients.items()):
                    if now - seen > _CLIENT_IS_GONE:
                        del self._clients[port]
            try:
                self.look()
                self._durable.sweeper.look(now)
            except StoreError as error:
                logger.warning("requests of other processes wait: %s", error)
            except Exception:
                logger.exception("a request of another process cannot be understood")
            for port in self._bell.wait(self._listen(now)):
                if port != self._bell.port:
                    self.greet(port)

    def _listen(self, now: float) -> float:
        """Have written what tasks have said; for how long to sleep now.

        Soon, because of a process that dies the last words are wanted most; but not one by one.
        """
        book = self._runtime.log_book
        if book:
            self._listens_until = now + _LISTEN_FOR
            self._runtime.pump.wake()
        self.listens = now < self._listens_until
        self.listens |= bool(book)  # said a moment ago, by somebody who thought we would listen
        return _LISTEN_EVERY if self.listens else LOOK_EVERY

    # -- requests ------------------------------------------------------------------------------

    def look(self) -> None:
        """Take in what has been asked since the last look."""
        if not self._runtime.accepting:
            return  # it is for who leads next, or comes with the first look after opening
        requests = self._store.requests()
        self._taken.intersection_update(request.number for request in requests)
        for request in requests:
            if request.number not in self._taken:
                self._taken.add(request.number)
                self._handle(request)

    def _handle(self, request: Request) -> None:
        body = self._codec.decode(request.body, "a request")
        handle = _KINDS.get(request.kind)
        awaited: Job | None = None
        try:
            if handle is None:
                raise TaskError(f"a request of the unknown kind {request.kind!r}")  # noqa: TRY301
            awaited = handle(self, *body)
        except TaskError as error:
            if isinstance(error, StoreError) and not isinstance(error, StoreCorruptError):
                self._taken.discard(request.number)  # not its fault: it comes with the next look
                raise
            logger.warning("a request of another process is refused: %s", error)
        except Exception:
            logger.exception("a request of another process cannot be understood")

        def done(_: object) -> None:
            with self._runtime.lock:
                self._durable.journal.upcoming.handled.append(request.number)
            self._runtime.pump.wake()

        if awaited is None or not self._runtime.watch(awaited, done):
            done(None)

    def _submit(self, *fields: Any) -> None:
        row = Row(*fields)
        durable = self._durable
        job, problem = durable.mine.get(row.id), None
        if job is None or job.seq:
            job, problem = durable.read_new(row)
        elif job.dependencies:  # of which some may have given way to others, or been retried
            read, problem = durable.read_new(row)
            job.dependencies, job.args, job.kwargs = read.dependencies, read.args, read.kwargs
        job.packed = row.call
        known = durable.take_in(job, problem)
        if known is None or not self.has_clients:
            return

        def tell(_: object) -> None:
            """Whoever waits for this one hears no news of the other, which has its key."""
            with self._runtime.lock:
                durable.journal.upcoming.news.append([row.id])
            self._runtime.pump.wake()

        if not self._runtime.watch(known, tell):
            tell(known)

    def _cancel(self, id: str, cause: str) -> Job | None:
        """Cancel a task; one that is given time to clean up has to end before that is done.

        Were it done before, and the process died, nobody would remember that it was cancelled.
        """
        job = self._runtime.find(id)
        if job is not None:
            self._runtime.cancel(job, cause)
        return job if job is not None and job.status is RUNNING else None

    def _execute(self, id: str) -> None:
        if (job := self._runtime.find(id)) is not None and job.outcome is None:
            self._runtime.release(job)

    def _cleanup(self, older_than: float, statuses: list[str], keep: int) -> None:
        self._runtime.cleanup(older_than, {TaskStatus(status) for status in statuses}, keep)

    def _forget(self, id: str) -> None:
        if (job := self._runtime.find(id)) is not None:
            self._runtime.forget(job)

    def _progress(self, id: str, fraction: float, message: str) -> None:
        if (job := self._runtime.find(id)) is not None:
            self._runtime.progress(job, fraction, message)

    def _question(self, number: str, asked_at: float, what: str, *about: Any) -> None:
        told = answer(self._runtime, asked_at, what, *about)
        if told is not None:
            self._store.write_note(f"answer:{number}", told)
            self.tell_clients()

    def _retry(self, id: str, downstream: bool) -> None:  # noqa: FBT001  # as it was packed
        if (job := self._runtime.find(id)) is not None:
            self._runtime.retry(job, downstream=downstream)


_KINDS: Mapping[str, Callable[..., Job | None]] = {
    "submit": Desk._submit,
    "cancel": Desk._cancel,
    "execute": Desk._execute,
    "cleanup": Desk._cleanup,
    "forget": Desk._forget,
    "progress": Desk._progress,
    "question": Desk._question,
    "retry": Desk._retry,
}

"""Waits: one thing to wait for, in both worlds.

``await`` it on an event loop, ask for ``.result(timeout)`` anywhere else, or ignore it: what it
stands for has begun either way. There is no sync twin of any method because of this class.

A waiter that gives up, by a timeout or by being cancelled, only stops waiting.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from contextvars import Context
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from .._numbers import require_seconds
from .current import current_run
from .nap import Nap

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from .job import Job
    from .runtime import Runtime

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


class Wait(ABC, Generic[T_co]):
    """Something that will be there.

    ``await`` it on an event loop, ask for its ``result()`` anywhere else, or ignore it: what it
    stands for has begun either way. Giving up a wait, by a timeout or by being cancelled, only
    stops the waiting.
    """

    __slots__ = ("_runtime",)

    _runtime: Runtime

    # What kinds of waits differ in.

    @abstractmethod
    def done(self) -> bool:
        """Whether there is nothing left to wait for."""

    @abstractmethod
    def _value(self) -> T_co:
        """What was waited for; raises what went wrong."""

    @abstractmethod
    def _watch(self, callback: Callable[[Any], None]) -> bool:
        """Call ``callback``, on any thread, when done. False: it is done, nothing was entered."""

    @abstractmethod
    def _unwatch(self, callback: Callable[[Any], None]) -> None:
        """Forget ``callback``."""

    def _targets(self) -> Sequence[Job]:
        """The tasks that are waited for, as far as this is about tasks."""
        return ()

    # What all share.

    def __await__(self) -> Generator[Any, Any, T_co]:
        if not self.done():
            yield from self._pause()
        return self._value()

    def result(self, timeout: float | None = None) -> T_co:
        """Block until it is there and return it; raise TimeoutError if that takes too long.

        Refused on the thread of a running event loop, which it would stop: ``await`` there.
        """
        if timeout is not None:
            require_seconds("timeout", timeout, zero=True)
        if not self.done():
            if asyncio._get_running_loop() is not None:
                raise RuntimeError(
                    f"{self!r}.result() would block the running event loop; use `await` instead "
                    "(or, in a plain function that runs there, make it a dependency)"
                )
            self._block(timeout)
        return self._value()

    def _pause(self) -> Generator[Any, Any, None]:
        runtime = self._runtime
        runtime.require_loop()
        loop = asyncio.get_running_loop()
        portal = runtime.portal(loop)
        run = current_run()
        nested = runtime.begin_wait(run, self._targets()) if run is not None else None
        if run is None:
            # This coroutine has nothing to do: the pump may have its time, and so may short tasks.
            breathe = runtime.pump.lend_time(loop)
            if self.done():
                if breathe:
                    yield
                return
        future: asyncio.Future[None] = loop.create_future()

        def wake(_: Any) -> None:
            portal.resolve(future)

        try:
            if self._watch(wake):
                if run is not None:
                    Context().run(runtime.pump.turn_now)  # which is no part of this task
                yield from future
        except BaseException:
            self._unwatch(wake)
            if nested is not None:
                # Whoever gives up unwinds at once; it does not queue for a slot to do so.
                nested.abandon()
            raise
        if nested is not None:
            yield from nested.resume_async(loop, portal).__await__()

    def _block(self, timeout: float | None) -> None:
        self._runtime.require_loop()
        run = current_run()
        nested = self._runtime.begin_wait(run, self._targets()) if run is not None else None
        nap = Nap(self._runtime)
        wake = nap.wake  # one object, since it is to be found again
        try:
            if self._watch(wake) and not nap.sleep(timeout):
                self._unwatch(wake)
                if not self.done():
                    raise TimeoutError(  # noqa: TRY301  # a wait that is given up, like others
                        f"{self!r} was not done within {timeout} s; it goes on"
                    )
        except BaseException:
            self._unwatch(wake)
            if nested is not None:
                nested.abandon()
            raise
        if nested is not None:
            nested.resume_blocking()


class Promise(Wait[T]):
    """A wait that somebody settles, once; later settlements are ignored."""

    __slots__ = ("_done", "_error", "_result", "_watchers", "_what")

    def __init__(self, runtime: Runtime, what: str) -> None:
        self._runtime = runtime
        self._what = what
        self._done = False
        self._result: T | None = None
        self._error: BaseException | None = None
        self._watchers: list[Callable[[Any], None]] = []

    def __repr__(self) -> str:
        return f"<{self._what}{', done' if self._done else ''}>"

    def done(self) -> bool:
        return self._done

    def keep(self, result: T) -> None:
        """Settle with a result."""
        self._settle(result, None)

    def break_(self, error: BaseException) -> None:
        """Settle with an error."""
        self._settle(None, error)

    def _settle(self, result: T | None, error: BaseException | None) -> None:
        with self._runtime.watch_lock:
            if self._done:
                return
            self._done = True
            self._result, self._error = result, error
            watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            watcher(self)

    def when_there(self, callback: Callable[[], object]) -> None:
        """Call ``callback``, on any thread, when this is settled."""

        def told(_: Any) -> None:
            callback()

        if not self._watch(told):
            callback()

    def _value(self) -> T:
        if self._error is not None:
            raise self._error
        return cast("T", self._result)

    def _watch(self, callback: Callable[[Any], None]) -> bool:
        with self._runtime.watch_lock:
            if not self._done:
                self._watchers.append(callback)
            return not self._done

    def _unwatch(self, callback: Callable[[Any], None]) -> None:
        with self._runtime.watch_lock:
            if callback in self._watchers:
                self._watchers.remove(callback)

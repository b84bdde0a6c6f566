"""The task manager: the one class people need.

It is long by its signatures and docstrings: whoever looks for what there is finds it in one place.
Behind most methods there is a call or two; the work is done elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import suppress
from itertools import islice
from types import FunctionType
from typing import TYPE_CHECKING, Any, Literal, Never, ParamSpec, Self, TypeVar, overload

from ._core.flow import Adaptive, Gate
from ._numbers import require_count, require_seconds
from ._runtime.bus import BUFFER, Heard, Subscription
from ._runtime.chunks import Handles, submit_chunks
from ._runtime.combined import AsCompleted, Gathering, require_handles
from ._runtime.doors import Doors
from ._runtime.draw import Format, draw
from ._runtime.external import ExternalTask
from ._runtime.futures import ManagerExecutor
from ._runtime.graph import Call, submit_graph
from ._runtime.group import TaskGroup
from ._runtime.handle import TaskHandle
from ._runtime.live_gate import LiveGate
from ._runtime.log_context import install_log_context
from ._runtime.logs import log_changes
from ._runtime.openings import tell_of
from ._runtime.signature import is_asynchronous
from ._runtime.stored_job import EXTERNAL
from .byid import ById
from .composition import (
    executors_of,
    keep_in_file,
    refuse_unnamed,
    require_limit,
    runtime_of,
)
from .decorators import known_recipe, recipe_of, several, task

if TYPE_CHECKING:
    import os
    import sqlite3

    from ._runtime.current import CurrentTask
    from ._runtime.durable import Role
    from ._runtime.wait import Wait
    from .composition import Durability
    from .ports import Clock, Codec, Executor

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class TaskManager(ById):
    """Runs tasks: when their dependencies are done, by priority, within limits.

    Open it with ``async with`` in a coroutine or ``with`` in plain code; leaving the block waits
    for all tasks. All of its methods can be called from any thread.

    Args:
        file: keep tasks in this file, so that nothing acknowledged is lost, whatever ends the
            program; None: they live in memory.
        durability: ``full`` survives a power cut; ``normal`` may lose the last moments to one, but
            nothing to a crash, and is faster.
        role: ``client`` never runs tasks of the file, it only asks those who do: for a web process
            that submits, say. ``errand`` is for commands that cancel, retry or clean up: with
            nobody there it leads, runs nothing, and leaves what was running as it is; close it by
            ``stop()``. By default the first process that opens a file leads.
        max_concurrent_tasks: how many tasks run at once, of all local executors together.
            ``Adaptive(...)`` lets the number find itself.
        gates: what tasks may have to pass to start, by name; see ``Gate``.
        max_pending: how many may wait; beyond that ``submit`` raises and ``enqueue`` waits.
        threads: slots of the ``thread`` executor (default: cpus + 4, at most 32).
        processes: slots of the ``process`` executor (default: cpus).
        executors: further executors by name, or others in place of the usual ones.
        age_every: seconds of waiting that raise a task by one priority; None for never.
        retention_seconds: how long ended tasks are remembered; None for ever.
        retention_count: how many ended tasks are remembered; None for all.
        keep_completed, keep_failed: for how many seconds a file keeps tasks that completed, and
            those that failed or were cancelled; None for ever.
        keep_keys: for how long a task with a key is kept, if that is longer.
        keep_count: how many ended tasks a file keeps; None for all.
        keep_lines: how many log lines are kept of each task, the newest ones.
        cancel_grace: seconds that a cancelled coroutine gets to clean up.
        max_abandoned_threads: how many threads may go on behind the backs of tasks that were
            stopped; beyond that a stopped call keeps its slot until it returns.
        max_waiting_threads: how many tasks in threads may wait for other tasks at once.
        watchdog: report what blocks the event loop for so many seconds; None for never.
        own_loop: live on a thread with an event loop of its own even where one is running, and
            so outlive that; coroutines still run on the loop they were submitted on.
        codec: what turns values into bytes for the file: ``MsgpackCodec(pickle=True)``, say.
        clock: where the time comes from, for tests.
    """

    def __init__(
        self,
        file: str | os.PathLike[str] | None = None,
        /,
        *wrong: Never,
        durability: Durability = "full",
        role: Role = "any",
        max_concurrent_tasks: int | Adaptive = 100,
        gates: Iterable[Gate] = (),
        max_pending: int = 1_000_000,
        threads: int | None = None,
        processes: int | None = None,
        executors: Mapping[str, Executor] | None = None,
        age_every: float | None = 60.0,
        retention_seconds: float | None = 3600.0,
        retention_count: int | None = 100_000,
        keep_lines: int = 100,
        cancel_grace: float = 10.0,
        max_abandoned_threads: int = 64,
        max_waiting_threads: int = 256,
        watchdog: float | None = 1.0,
        own_loop: bool = False,
        keep_completed: float | None = 86_400.0,
        keep_failed: float | None = 30 * 86_400.0,
        keep_keys: float | None = 7 * 86_400.0,
        keep_count: int | None = None,
        codec: Codec | None = None,
        clock: Clock | None = None,
    ) -> None:
        refuse_unnamed(file, wrong)
        runtime = runtime_of(
            executors_of(
                executors,
                grace=cancel_grace,
                threads=threads,
                max_abandoned=max_abandoned_threads,
                max_waiting=max_waiting_threads,
                processes=processes,
            ),
            clock,
            limit=max_concurrent_tasks,
            max_pending=max_pending,
            age_every=age_every,
            retention_seconds=retention_seconds,
            retention_count=retention_count,
        )
        if watchdog is not None:
            require_seconds("watchdog", watchdog)
        runtime.log_book.most = require_count("keep_lines", keep_lines)
        if file is not None:
            keep_in_file(
                runtime,
                file,
                durability=durability,
                codec=codec,
                role=role,
                keep_completed=keep_completed,
                keep_failed=keep_failed,
                keep_keys=keep_keys,
                keep_count=keep_count,
            )
        super().__init__(runtime)
        if not isinstance(gates, Iterable):
            raise TypeError(f"gates= takes several gates, in a list, not {gates!r}")
        for gate in gates:
            self.add_gate(gate)
        self._doors = Doors(runtime, watchdog, own_loop=own_loop)
        log_changes(runtime.bus)

    def __repr__(self) -> str:
        counts = self._runtime.engine.counts
        shown = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
        return f"<TaskManager {'open' if self.is_open else 'closed'}: {shown or 'no tasks'}>"

    # -- submitting ----------------------------------------------------------------------------

    @overload
    def submit(
        self, func: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> TaskHandle[R]: ...
    @overload
    def submit(
        self, func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> TaskHandle[R]: ...
    def submit(self, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> TaskHandle[Any]:
        """Run ``func(*args, **kwargs)`` as a task, as soon as it can; returns its handle at once.

        A handle (or its ``.output``) among the arguments is a dependency: the task waits for it
        and gets its result. Options ride on the function: ``submit(fetch.options(delay=5), url)``,
        or ``submit(task(func, timeout=5), x)`` for a function that is not decorated.
        """
        known = known_recipe(func) if type(func) is FunctionType else None
        return self._runtime.submit(known or recipe_of(func), args, kwargs)

    @overload
    def enqueue(
        self, func: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Wait[TaskHandle[R]]: ...
    @overload
    def enqueue(
        self, func: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> Wait[TaskHandle[R]]: ...
    def enqueue(
        self, func: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Wait[TaskHandle[Any]]:
        """Like ``submit``, but waits for room when ``max_pending`` tasks are waiting."""
        recipe = recipe_of(func)
        recipe.shape.check(args, kwargs)
        return self._runtime.enqueue(self._runtime.job(recipe, args, kwargs))

    @overload
    def map(
        self,
        func: Callable[[T], Awaitable[R]],
        iterable: Iterable[T],
        /,
        *,
        chunksize: int | None = None,
    ) -> Handles[R]: ...
    @overload
    def map(
        self, func: Callable[[T], R], iterable: Iterable[T], /, *, chunksize: int | None = None
    ) -> Handles[R]: ...
    @overload
    def map(
        self,
        func: Callable[..., Awaitable[R]],
        first: Iterable[Any],
        second: Iterable[Any],
        /,
        *more: Iterable[Any],
        chunksize: int | None = None,
    ) -> Handles[R]: ...
    @overload
    def map(
        self,
        func: Callable[..., R],
        first: Iterable[Any],
        second: Iterable[Any],
        /,
        *more: Iterable[Any],
        chunksize: int | None = None,
    ) -> Handles[R]: ...
    def map(
        self, func: Callable[..., Any], /, *iterables: Iterable[Any], chunksize: int | None = None
    ) -> Handles[Any]:
        """Submit a task per item, all of them or none; the iterables must be equally long.

        With ``chunksize`` tiny tasks share: so many calls make one task, which runs them in a row
        and succeeds or fails as a whole. There still is a handle per call.

        What comes back is the handles, in a sequence that can also be waited for as a whole:
        ``await tm.map(f, items)`` is the list of results.
        """
        if not iterables:
            raise TypeError("map() takes a function and at least one iterable")
        recipe = recipe_of(func)
        if recipe.call is not None and recipe.call.key is not None:
            raise ValueError("key= names one task, and map() makes several")
        for items in iterables:
            if not isinstance(items, Iterable):
                raise TypeError(f"map() takes a function and iterables, not {items!r}")
        if chunksize is not None:
            require_count("chunksize", chunksize, least=1)
        calls = _in_parallel(iterables, chunksize)
        if calls:
            first = calls[0] if chunksize is None else next(zip(*calls[0], strict=True))
            recipe.shape.check(first, {})
        if chunksize is not None:
            return submit_chunks(self._runtime, recipe, calls)
        jobs = [self._runtime.job(recipe, args, {}) for args in calls]
        return Handles(self._runtime, self._runtime.submit_jobs(jobs))

    def graph(self, calls: Mapping[str, Call]) -> dict[str, TaskHandle[Any]]:
        """Submit many tasks that depend on each other, in any order, all of them or none.

        ``tm.graph({"a": call(fetch, url), "b": call(parse, ref("a"))})``; a cycle is refused with
        its path.
        """
        return submit_graph(self._runtime, calls)

    def group(self, name: str = "group") -> TaskGroup:
        """Tasks that belong together: leaving the block waits, a failure cancels the rest."""
        return TaskGroup(self._runtime, name, self.submit, self.map)

    def external(
        self,
        name: str,
        *,
        after: Sequence[TaskHandle[Any] | str] = (),
        task_id: str | None = None,
        **options: Any,
    ) -> ExternalTask:
        """A task that is driven by hand: ``start()``, ``complete(result)``, ``fail(error)``."""
        if task_id == "" or not isinstance(task_id, str | None):
            raise TypeError(f"task_id= takes a text, not {task_id!r}")
        asked: dict[str, Any] = {**options, "name": name, "executor": EXTERNAL}
        made = _by_hand.options(**asked)
        job = self._runtime.job(recipe_of(made), (), {}, id=task_id, after=several(after))
        return ExternalTask(self._runtime.submit_job(job)._job, self._runtime)

    # -- waiting -------------------------------------------------------------------------------

    @overload
    def gather(
        self, *handles: TaskHandle[R], return_errors: Literal[False] = False
    ) -> Wait[list[R]]: ...
    @overload
    def gather(
        self, *handles: TaskHandle[R], return_errors: bool
    ) -> Wait[list[R | BaseException]]: ...
    def gather(self, *handles: TaskHandle[Any], return_errors: bool = False) -> Wait[list[Any]]:
        """Wait for all and have their results in order; the first failure is raised after all."""
        require_handles(self._runtime, handles, "gather(*handles) takes handles, each by itself")
        return Gathering(self._runtime, handles, return_errors=return_errors)

    def as_completed(self, handles: Iterable[TaskHandle[R]]) -> AsCompleted[R]:
        """The handles as their tasks end, for ``async for`` or, in plain code, ``for``."""
        usage = "as_completed(handles) takes several handles, in a list"
        if isinstance(handles, TaskHandle):
            raise TypeError(f"{usage}, not {handles!r}")
        listed = list(handles)
        require_handles(self._runtime, listed, usage)
        return AsCompleted(self._runtime, listed)

    def join(self) -> Wait[None]:
        """Wait until everything that was released has ended; held tasks are not waited for."""
        return self._doors.join()

    # -- watching ------------------------------------------------------------------------------

    def changes(self, *, buffer: int = BUFFER) -> AsyncIterator[Heard]:
        """Every change from now on, as an async iterator; a ``Gap(missed)`` if it is too slow."""
        require_count("buffer", buffer, least=1)
        return self._runtime.bus.reader(self._runtime, buffer).read()

    def subscribe(
        self, callback: Callable[[Sequence[Heard]], Any], *, buffer: int = BUFFER
    ) -> Subscription:
        """Have ``callback`` called with every change from now on, in order and in batches.

        It runs on one observer thread and can neither delay nor break a task.
        """
        given: Any = callback
        if not callable(given) or is_asynchronous(given):
            raise TypeError(
                "subscribe() takes a plain function, which is called with batches of changes, "
                f"not {given!r}; a coroutine reads `async for change in manager.changes()`"
            )
        require_count("buffer", buffer, least=1)
        return self._runtime.bus.subscribe(callback, limit=buffer)

    def draw(
        self, tasks: Iterable[TaskHandle[Any] | str] | None = None, *, format: Format = "mermaid"
    ) -> str:
        """A picture of the task graph with its states; of all tasks if none are given."""
        if tasks is None:
            return draw(self.list_tasks(), format)
        if isinstance(tasks, TaskHandle | str):
            raise TypeError(f"draw() takes several handles or ids, in a list, not {tasks!r}")
        return draw([self._runtime.info(self._job(one)) for one in tasks], format)

    # -- steering ------------------------------------------------------------------------------

    def pause(self) -> None:
        """Start no more tasks until ``resume``; running ones go on."""
        self._runtime.set_paused(paused=True)

    def resume(self) -> None:
        """Start tasks again."""
        self._runtime.set_paused(paused=False)

    @property
    def max_concurrent_tasks(self) -> int:
        """How many tasks run at once; can be changed at any time."""
        return self._runtime.engine.slots.limit

    @max_concurrent_tasks.setter
    def max_concurrent_tasks(self, limit: int | Adaptive) -> None:
        self._runtime.set_limit(require_limit(limit))

    def add_gate(self, gate: Gate) -> LiveGate:
        """Let tasks name ``gate`` from now on."""
        if not isinstance(gate, Gate):
            raise TypeError(f"a gate is Gate(name, ...), not {gate!r}")
        self._runtime.add_gate(gate)
        return self.gate(gate.name)

    def gate(self, name: str) -> LiveGate:
        """The gate called ``name``, to look at and to change: ``manager.gate("api").slots = 4``."""
        there: Mapping[str, object] = self._runtime.engine.turnstiles.all
        if name not in there and self._runtime.follower is not None:
            there = self._runtime.metrics().gates
        if name not in there:
            known = ", ".join(map(repr, sorted(there))) or "none"
            raise ValueError(f"there is no gate {name!r}; there are: {known}")
        return LiveGate(self._runtime, name)

    def around(self, factory: Callable[[CurrentTask], Any]) -> None:
        """Have a context manager entered around every task, made by ``factory(current_task)``.

        For tasks in threads and processes it must be a plain one; for processes, ``factory`` must
        be a function of a module.
        """
        if not callable(factory):
            raise TypeError(
                f"around() takes a function that makes context managers, not {factory!r}"
            )
        self._runtime.around.append(factory)

    def flush(self, *, handled: bool = False) -> Wait[None]:
        """Wait until everything that was submitted or has ended so far is on disk.

        Where another process leads, what was asked for is on disk before it is done; ``handled``
        waits until it is.
        """
        return self._runtime.flush(handled=handled)

    def shrink_file(self) -> Wait[None]:
        """Give back to the file system what the file does not need, if Windlass made it."""
        return self._runtime.shrink_file()

    def enqueue_in(
        self,
        connection: sqlite3.Connection,
        func: Callable[P, Any],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> TaskHandle[Any]:
        """Write a task within a transaction of yours on the same file: with it, or not at all.

        It starts within a second of your commit, or at once after ``wake()``.
        """
        return self._runtime.enqueue_in(connection, recipe_of(func), args, kwargs)

    def wake(self) -> None:
        """Look at once for what transactions have left in the file."""
        self._runtime.look_at_file()

    def as_executor(self) -> ManagerExecutor:
        """This manager as a ``concurrent.futures.Executor``, for code that takes one."""
        return ManagerExecutor(self._runtime)

    # -- opening and closing -------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether tasks can be submitted."""
        return self._runtime.accepting

    def start(self) -> Wait[None]:
        """Open on the running event loop or, in plain code, on a thread with a loop of its own."""
        install_log_context()
        home = self._runtime.home
        if home is None or home.loop.is_closed():
            tell_of(self)
        return self._doors.open()

    def stop(self) -> Wait[None]:
        """Cancel everything and close."""
        return self._doors.close(wait=False, timeout=None)

    def shutdown(self, *, wait: bool = True, timeout: float | None = None) -> Wait[None]:
        """Close: wait for all tasks, at most ``timeout`` seconds, and cancel what is left.

        A task may close its own manager; it is not waited for.
        """
        if timeout is not None:
            require_seconds("timeout", timeout, zero=True)
        return self._doors.close(wait=wait, timeout=timeout)

    async def __aenter__(self) -> Self:
        opening = self.start()
        try:
            await opening
        except asyncio.CancelledError:
            # What has begun is finished, or the file would stay open with nobody to close it.
            with suppress(Exception):
                await opening
            await self.stop()
            raise
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        closing = self.shutdown(wait=error is None)
        try:
            await closing
        except asyncio.CancelledError:
            await self.stop()
            raise

    def __enter__(self) -> Self:
        if asyncio._get_running_loop() is not None:
            raise RuntimeError("in a running event loop, use `async with TaskManager()`")
        self.start().result()
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        try:
            self.shutdown(wait=error is None).result()
        except KeyboardInterrupt:
            self.stop().result()
            raise


@task(executor=EXTERNAL)
def _by_hand() -> None:
    """The function of external tasks; nothing calls it."""


def _in_parallel(iterables: Sequence[Iterable[Any]], size: int | None) -> list[tuple[Any, ...]]:
    """The items side by side, as calls take them; with a ``size`` so many at once, in columns."""
    try:
        if size is None:
            return list(zip(*iterables, strict=True))
        iterators = [iter(items) for items in iterables]
        chunks: list[tuple[Any, ...]] = []
        while any(columns := tuple([tuple(islice(items, size)) for items in iterators])):
            if len(set(map(len, columns))) > 1:
                list(zip(*columns, strict=True))  # raises what it does above
            chunks.append(columns)
    except ValueError as error:
        if not str(error).startswith("zip()"):
            raise  # an iterable's own
        raise ValueError(f"map() takes equally long iterables: {str(error)[6:]}") from None
    return chunks

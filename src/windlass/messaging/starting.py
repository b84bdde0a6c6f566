"""How messages become tasks of somebody's manager."""

from __future__ import annotations

import asyncio
import functools
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from typing import TYPE_CHECKING, Any, TypeVar

from .. import NotDurableError, TaskFunction, TaskHandle, TaskManager, Wait, task

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")


class Starter:
    """Starts tasks of one function from the loop of a listener, and follows them there.

    Tasks are submitted in a thread, where no event loop is running: coroutines are to run on the
    manager's loop, and not on the listener's. And nothing here is a part of the listener's task.
    """

    def __init__(self, manager: TaskManager, function: Any, *, tries: int = 1) -> None:
        if not isinstance(manager, TaskManager):
            raise TypeError(f"the first argument is a TaskManager, not {manager!r}")
        self.manager = manager
        runtime = manager._runtime
        recipe = runtime.recipe_of(function)
        self.durable = runtime.durable is not None and recipe.spec.durable
        """Whether its tasks are kept in a file."""
        self.plain: Callable[..., Any] = recipe.function
        if not isinstance(function, TaskFunction):
            if self.durable:
                raise NotDurableError(
                    f"{function!r} cannot be kept in a file, because only functions decorated with "
                    "@task have a name by which the next process finds them. Decorate it, or let "
                    "its tasks live in memory: task(func, durable=False)"
                )
            function = task(function, durable=False)
        if tries > 1 and recipe.spec.retry.retries == 0:
            function = function.options(max_retries=tries - 1)
        self.function: TaskFunction[..., Any] = function
        self.following: set[asyncio.Task[None]] = set()
        self._thread: ThreadPoolExecutor | None = None

    def submit(self, arguments: dict[str, Any], **options: Any) -> Wait[TaskHandle[Any]]:
        """Let a task run; the wait is for room and, with a file, until it is on disk."""
        return self.manager.enqueue(self.function.options(**options), **arguments)

    async def outside(self, call: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        """Have something called where no event loop is running."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "windlass-messages")
        there = functools.partial(Context().run, call, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._thread, there)

    def follow(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Go on with a message beside all others."""
        follower = asyncio.get_running_loop().create_task(coroutine, context=Context())
        self.following.add(follower)
        follower.add_done_callback(self.following.discard)

    async def finish(self, timeout: float | None = None) -> bool:
        """Wait for all that is followed; whether nothing is left."""
        if self.following:
            await asyncio.wait(self.following, timeout=timeout)
        return not self.following

    async def close(self) -> None:
        """Follow nothing more."""
        for follower in self.following:
            follower.cancel()
        await self.finish()
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None

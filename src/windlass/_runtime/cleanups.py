"""What a task asked to be closed or called when it ends: last in, first out, each on its own.

A failing clean-up never replaces the task's outcome and never keeps the next one from running; its
error is collected. (``contextlib.ExitStack`` chains errors into the outcome, so it is not used.)
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Cleanups:
    """One attempt's clean-ups; see the module."""

    __slots__ = ("_stack", "errors")

    def __init__(self) -> None:
        self._stack: list[Callable[[BaseException | None], Any]] = []
        self.errors: list[BaseException] = []

    def enter(self, manager: Any) -> Any:
        """Enter ``manager`` now and leave it at the end; awaitable if it is asynchronous."""
        kind = type(manager)
        if hasattr(kind, "__enter__") and hasattr(kind, "__exit__"):
            value = kind.__enter__(manager)
            self._stack.append(lambda error: kind.__exit__(manager, *_details(error)))
            return value
        if hasattr(kind, "__aenter__") and hasattr(kind, "__aexit__"):
            return self._enter_async(manager, kind)
        raise TypeError(f"enter() takes a context manager, not {manager!r}")

    async def _enter_async(self, manager: Any, kind: Any) -> Any:
        value = await kind.__aenter__(manager)
        self._stack.append(lambda error: kind.__aexit__(manager, *_details(error)))
        return value

    def defer(
        self, callback: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Call ``callback`` at the end."""
        if not callable(callback):
            raise TypeError(f"defer() takes a function and its arguments, not {callback!r}")
        self._stack.append(lambda _: callback(*args, **kwargs))

    def close(self, error: BaseException | None) -> list[BaseException]:
        """Run all of them, in a thread; returns what failed."""
        while self._stack:
            try:
                left = self._stack.pop()(error)
                if inspect.iscoroutine(left):
                    left.close()
                    raise TypeError("asynchronous clean-ups work in coroutine tasks only")  # noqa: TRY301
            except BaseException as failure:  # noqa: BLE001  # a clean-up may raise anything
                self.errors.append(failure)
        return self.errors

    async def close_async(self, error: BaseException | None) -> list[BaseException]:
        """Run all of them, on an event loop; returns what failed."""
        while self._stack:
            try:
                left = self._stack.pop()(error)
                if inspect.isawaitable(left):
                    await left
            except BaseException as failure:
                if is_closing(failure):
                    raise
                self.errors.append(failure)  # a clean-up may raise anything
        return self.errors


def is_closing(error: BaseException) -> bool:
    """Whether the coroutine that catches ``error`` is being closed, and must let it pass.

    A GeneratorExit that something raised comes with the frame where it was; Python's own has none.
    """
    traceback = error.__traceback__
    return isinstance(error, GeneratorExit) and traceback is not None and traceback.tb_next is None


def _details(error: BaseException | None) -> tuple[Any, Any, Any]:
    return (type(error), error, error.__traceback__) if error is not None else (None, None, None)

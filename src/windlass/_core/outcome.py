"""How one attempt ended: a closed union, made by whoever ran the task, judged by the engine."""

from __future__ import annotations

from typing import Any, TypeAlias


class Ok:
    """The function returned ``value``."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"Ok({self.value!r})"


class Lost(Ok):
    """The function returned, in an earlier life of the program, what could not be stored.

    ``value`` says what that was and why, in words; nobody is ever given it as the result.
    """

    __slots__ = ()


class Err:
    """The attempt failed with ``error``: ``raised`` by the function, or the engine's verdict on it.

    ``crashed`` means that its process died under it.
    ``luck`` in [0, 1) is the randomness a retry's jitter needs: drawn by the reporter, because
    the engine draws none.
    """

    __slots__ = ("crashed", "error", "luck", "raised", "traceback")

    def __init__(
        self,
        error: BaseException,
        *,
        raised: bool = True,
        crashed: bool = False,
        luck: float = 0.0,
        traceback: str | None = None,
    ) -> None:
        self.error = error
        self.raised = raised
        self.crashed = crashed
        self.luck = luck
        self.traceback = traceback

    def __repr__(self) -> str:
        return f"Err({type(self.error).__name__}{', crashed' if self.crashed else ''})"


class Again:
    """The function asked to be put off by ``delay`` seconds, which costs no attempt."""

    __slots__ = ("delay",)

    def __init__(self, delay: float) -> None:
        self.delay = delay

    def __repr__(self) -> str:
        return f"Again({self.delay})"


class Unbegun(Again):
    """The call was handed over, and taken back for certain before it began."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(0.0)

    def __repr__(self) -> str:
        return "Unbegun()"


class Cancelled:
    """The attempt gave up because it was cancelled, for ``cause``."""

    __slots__ = ("cause",)

    def __init__(self, cause: str) -> None:
        self.cause = cause

    def __repr__(self) -> str:
        return f"Cancelled({self.cause!r})"


OK_NONE = Ok(None)
"""What most functions return; shared, so that it is not made a hundred thousand times."""

Outcome: TypeAlias = Ok | Err | Again | Cancelled

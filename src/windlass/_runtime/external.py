"""Tasks that are driven by hand: something else does the work and says how it goes."""

from __future__ import annotations

from typing import Any

from .._core.outcome import Err, Ok
from .._numbers import require_share
from .handle import TaskHandle


class ExternalTask(TaskHandle[Any]):
    """A handle that can also drive its task. Every verb tells whether it had an effect.

    The first end wins: after ``complete``, ``fail`` or ``cancel`` the others return False. While
    dependencies are open, nothing but ``cancel`` has an effect.
    """

    __slots__ = ()

    def start(self) -> bool:
        """Say that the work has begun; a timeout counts from here."""
        return self._runtime.by_hand(self._job)

    def set_progress(self, fraction: float, message: str = "") -> bool:
        """Say how far the work is, from 0 to 1."""
        share = require_share("progress", fraction)
        return self._runtime.progress(self._job, share, str(message))

    def complete(self, result: Any = None) -> bool:
        """Say that the work is done. Starts the task first if nobody has."""
        return self._runtime.by_hand(self._job, Ok(result))

    def fail(self, error: BaseException | str) -> bool:
        """Say that the work failed, with an exception or in words."""
        if not isinstance(error, BaseException | str):
            raise TypeError(f"fail() takes an exception or a text, not {error!r}")
        failure = RuntimeError(error) if isinstance(error, str) else error
        return self._runtime.by_hand(self._job, Err(failure))

"""Tasks that are driven by hand: something else does the work and says how it goes."""

from __future__ import annotations

import math
from typing import Any

from .._core.outcome import Err, Ok
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
        if math.isnan(fraction):
            raise ValueError("progress takes a number from 0 to 1, not nan")
        return self._runtime.progress(self._job, fraction, message)

    def complete(self, result: Any = None) -> bool:
        """Say that the work is done. Starts the task first if nobody has."""
        return self._runtime.by_hand(self._job, Ok(result))

    def fail(self, error: BaseException | str) -> bool:
        """Say that the work failed, with an exception or in words."""
        failure = error if isinstance(error, BaseException) else RuntimeError(error)
        return self._runtime.by_hand(self._job, Err(failure))

"""The task of this package: its status is written in small letters, its error is a text."""

from __future__ import annotations

from core import _task


class Task(_task.Task):
    """One unit of work; see ``core._task``."""

    _shouts = False

    @property
    def error(self) -> str | None:
        """What went wrong, in words."""
        return self._record.error_text() if self._record is not None else None

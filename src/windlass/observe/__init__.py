"""Watching: what is built on changes and the read API alone, and knows nothing of the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .managers import on_open as on_open

if TYPE_CHECKING:
    from .file import Figures as Figures
    from .file import FileState as FileState
    from .file import Leader as Leader
    from .file import Statistics as Statistics
    from .file import TaskFile as TaskFile


def __getattr__(name: str) -> Any:
    """What reads files is imported by those who read any: it needs SQLite and the codec."""
    if name not in {"Figures", "FileState", "Leader", "Statistics", "TaskFile"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import file  # noqa: PLC0415  # see above

    return getattr(file, name)

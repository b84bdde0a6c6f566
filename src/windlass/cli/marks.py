"""The signs and words that stand for what can become of a task."""

from __future__ import annotations

from windlass import TaskStatus

MARKS = {
    TaskStatus.COMPLETED: ("✔", "green"),
    TaskStatus.RUNNING: ("▶", "cyan"),
    TaskStatus.PENDING: ("●", "blue"),
    TaskStatus.WAITING: ("◌", "magenta"),
    TaskStatus.FAILED: ("✘", "red"),
    TaskStatus.CANCELLED: ("⊘", "yellow"),
}
RETRIED = ("↻", "yellow")
IN_ASCII = str.maketrans({"✔": "+", "✘": "x", "⊘": "-", "↻": "~", "…": "..."})
COUNTED = tuple(MARKS)


def first_line(error: BaseException | None) -> str:
    """An exception in a line, even if its ``__str__`` raises."""
    if error is None:
        return ""
    try:
        text = str(error).strip()
    except Exception:  # noqa: BLE001  # it is somebody else's code
        text = "(its __str__ raised)"
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__


def count_of(number: int, noun: str) -> str:
    """``1 task``, ``2,000 tasks``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"

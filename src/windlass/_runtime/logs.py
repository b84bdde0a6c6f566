"""The life of tasks in the standard log, under the logger ``windlass``.

========== ======= =====================================================
level      after   what
========== ======= =====================================================
DEBUG      PENDING submitted, dependencies done
DEBUG      RUNNING started
INFO       ended   completed, cancelled
INFO       PENDING a task put itself off, or was interrupted
WARNING    PENDING an attempt failed and is retried
WARNING    FAILED  failed for good
WARNING            the circuit breaker of a gate opened (INFO: it closed)
ERROR              a failure nobody looked at, a clean-up that raised
========== ======= =====================================================
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from .._core.change import Change, Gap, GateChange
from .._core.states import FAILED, PENDING, RUNNING
from .handle import describe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .bus import Bus, Heard

logger = logging.getLogger("windlass")


def log_changes(bus: Bus) -> None:
    """Log every change that the logger's level lets through."""
    bus.subscribe(_log, wants_all=lambda: logger.isEnabledFor(logging.INFO))


def _level(change: Change) -> int:
    if change.after is FAILED:
        return logging.WARNING
    if change.before is RUNNING and change.after is PENDING:
        return logging.WARNING if change.error is not None else logging.INFO
    return logging.INFO if change.after.finished else logging.DEBUG


def _log(batch: Sequence[Heard]) -> None:
    for change in batch:
        if isinstance(change, Gap):
            logger.warning("%d changes were not logged: there were too many at once", change.missed)
            continue
        if isinstance(change, GateChange):
            level = logging.WARNING if change.after == "open" else logging.INFO
            logger.log(level, "gate %s is %s: %s", change.gate, change.after, change.cause)
            continue
        level = _level(change)
        if logger.isEnabledFor(level):
            text, *values = _line(change)
            record = logger.makeRecord(
                logger.name, level, __file__, 0, text, tuple(values), None, "changed"
            )
            # Not by ``extra=``, which refuses the names that records carry inside tasks.
            record.__dict__.update(_details(change))
            logger.handle(record)


def _line(change: Change) -> tuple[Any, ...]:
    kind = f"{change.type} task" if change.type != "default" else "task"
    text = f"{kind} %s [%s] %s"
    what = f"{change.after}" if change.after is not PENDING else change.cause
    if change.after is RUNNING:
        what = f"started, attempt {change.attempt}"
    elif change.after.finished and change.cause not in {"returned", "failed"}:
        what = f"{change.after} ({change.cause})"
    if change.error is not None:
        what += f": {describe(change.error)}"
    return text, change.name, change.task_id, what


def _details(change: Change) -> dict[str, Any]:
    return {
        "task_id": change.task_id,
        "task_name": change.name,
        "task_type": change.type,
        "task_attempt": change.attempt,
        "task_status": change.after.value,
    }

"""Every log record that is made inside a task, by whatever logger, says inside which.

It carries ``task_id``, ``task_name`` and ``task_attempt``; None outside tasks, so that a format may
name them. And the task keeps it: see ``log_lines``. A handler could not do that: one that is there
keeps ``logging.basicConfig()`` from doing anything, and loggers need not pass on what they get.
"""

from __future__ import annotations

import logging
from typing import Any

from .current import current_run


def install_log_context() -> None:
    """Have log records carry the task they are made in; done once, when a manager first opens."""
    inner = logging.getLogRecordFactory()
    if getattr(inner, "knows_windlass", False):
        return

    def record(*args: Any, **kwargs: Any) -> logging.LogRecord:
        made = inner(*args, **kwargs)
        link = current_run()
        if link is not None:
            made.task_id, made.task_name = link.task_id, link.name
            made.task_attempt = link.attempt
            link.log(made)
        elif not hasattr(made, "task_id"):
            made.task_id = made.task_name = made.task_attempt = None
        return made

    vars(record)["knows_windlass"] = True
    logging.setLogRecordFactory(record)

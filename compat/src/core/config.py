"""The program's configuration, as far as the task systems read it."""

from __future__ import annotations

import logging
import os
from typing import Any

logger = logging.getLogger("windlass.compat")

SWITCH = "USE_NEW_TASK_SYSTEM"
_NO = {"0", "false", "no", "off"}

config: dict[str, Any] = {SWITCH: True}

_announced = False


def _is_off(value: object) -> bool:
    return value is not None and (not value or str(value).strip().lower() in _NO)


def use_new_task_system() -> bool:
    """What ``USE_NEW_TASK_SYSTEM`` says, here or in the environment.

    Both systems are the same one by now, so nothing depends on it; whoever still asks for the old
    one is told so, once for every time it is switched.
    """
    global _announced  # noqa: PLW0603  # one switch, one announcement
    old = _is_off(config.get(SWITCH)) or _is_off(os.environ.get(SWITCH) or None)
    if old and not _announced:
        logger.warning(
            "%s=False is deprecated and has no effect: there is only the new task system, which "
            "serves the old import paths. Remove the setting",
            SWITCH,
        )
    _announced = old
    return not old

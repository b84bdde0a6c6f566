"""``USE_NEW_TASK_SYSTEM``: which of two systems a program wants, which are one by now.

It stands in ``core.config.config`` or in the environment. A program may have a ``core.config`` of
its own, which then hides ours, with whatever is in it.
"""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Mapping

logger = logging.getLogger("windlass.compat")

SWITCH = "USE_NEW_TASK_SYSTEM"
_NO = {"0", "false", "no", "off"}

_announced = False


def _is_off(value: object) -> bool:
    return value is not None and (not value or str(value).strip().lower() in _NO)


def _configured() -> object:
    config = getattr(importlib.import_module("core.config"), "config", None)
    return config.get(SWITCH) if isinstance(config, Mapping) else getattr(config, SWITCH, None)


def use_new_task_system() -> bool:
    """What the switch says.

    Both systems are the same one by now, so nothing depends on it; whoever still asks for the old
    one is told so, once for every time it is switched.
    """
    global _announced  # noqa: PLW0603  # one switch, one announcement
    old = _is_off(_configured()) or _is_off(os.environ.get(SWITCH) or None)
    if old and not _announced:
        logger.warning(
            "%s=False is deprecated and has no effect: there is only the new task system, which "
            "serves the old import paths. Remove the setting",
            SWITCH,
        )
    _announced = old
    return not old

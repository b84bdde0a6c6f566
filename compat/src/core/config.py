"""The program's configuration, as far as the task systems read it."""

from __future__ import annotations

from typing import Any

from ._switch import SWITCH, use_new_task_system

__all__ = ["config", "use_new_task_system"]

config: dict[str, Any] = {SWITCH: True}
"""Changed by programs in place."""

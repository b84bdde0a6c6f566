"""The program's configuration, as far as the task systems read it."""
# ruff: noqa: PLC0414  # on purpose: this is where people know it from

from __future__ import annotations

from typing import Any

from ._switch import SWITCH
from ._switch import use_new_task_system as use_new_task_system

config: dict[str, Any] = {SWITCH: True}
"""Changed by programs in place."""

"""Settings of the task system, in one place."""

from __future__ import annotations

from dataclasses import dataclass, field

from core._switch import use_new_task_system


@dataclass
class TaskConfig:
    """What the managers and the monitor of a program are made with."""

    max_workers: int | None = None
    log_dir: str = "logs"
    auto_shutdown_on_complete: bool = False
    auto_shutdown_idle_time: float = 1800.0
    use_new_task_system: bool = field(default_factory=use_new_task_system)

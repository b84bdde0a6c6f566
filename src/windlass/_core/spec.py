"""What can be asked of a task, apart from its arguments: one frozen value, shared by its calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from .._numbers import require_count, require_seconds
from .policies import NO_RETRY, Retry
from .states import TaskPriority

RunIf: TypeAlias = Literal["all_success", "all_done"]


@dataclass(frozen=True, slots=True)
class Spec:
    """The options of a task. Every call of one function shares one Spec unless it overrides some.

    ``executor`` always holds a name here: which one suits a function is decided before.
    """

    name: str
    executor: str
    type: str = "default"
    description: str = ""
    tags: frozenset[str] = frozenset()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    owner: str | None = None
    priority: TaskPriority = TaskPriority.NORMAL
    retry: Retry = NO_RETRY
    timeout: float | None = None
    """Seconds for one attempt."""
    total_timeout: float | None = None
    """Seconds from submit to the end, waiting and retries included."""
    expires: float | None = None
    """Seconds from submit within which the task must have started."""
    run_if: RunIf = "all_success"
    max_crashes: int = 3
    """How many dead workers the task may cost before it fails for good."""
    timed: bool = field(init=False)
    """Whether any limit on time is set: the common task without one skips the timers."""

    def __post_init__(self) -> None:
        for name in ("timeout", "total_timeout", "expires"):
            if getattr(self, name) is not None:
                require_seconds(name, getattr(self, name))
        require_count("max_crashes", self.max_crashes, least=1)
        if self.run_if not in {"all_success", "all_done"}:
            raise ValueError(f"run_if is 'all_success' or 'all_done', not {self.run_if!r}")
        if not isinstance(self.retry, Retry):
            raise TypeError(f"retry= takes Retry(...), not {self.retry!r}")
        limits = (self.timeout, self.total_timeout, self.expires)
        object.__setattr__(self, "timed", any(limit is not None for limit in limits))

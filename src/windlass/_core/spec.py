"""What can be asked of a task, apart from its arguments: one frozen value, shared by its calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from .._numbers import require_count, require_seconds
from .policies import NO_RETRY, Retry
from .states import TaskPriority

RunIf: TypeAlias = Literal["all_success", "all_done"]
WhenOpen: TypeAlias = Literal["wait", "fail"]
OnCrash: TypeAlias = Literal["retry", "fail"]


@dataclass(frozen=True, slots=True, repr=False)
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
    on_crash: OnCrash = "retry"
    """What to do when the process that ran it dies, or the worker."""
    durable: bool = True
    """Whether it is kept in the manager's file, if that has one."""
    gates: tuple[tuple[str, int], ...] = ()
    """The gates it must pass to start, each with how much of it the task takes."""
    when_open: WhenOpen = "wait"
    """What to do at a gate whose breaker is open."""
    timed: bool = field(init=False)
    """Whether any limit on time is set: the common task without one skips the timers."""
    plain: bool = field(init=False)
    """Whether it has neither limits on time nor gates nor an owner: hot paths ask only this."""

    def __post_init__(self) -> None:
        for name in ("timeout", "total_timeout", "expires"):
            if getattr(self, name) is not None:
                require_seconds(name, getattr(self, name))
        require_count("max_crashes", self.max_crashes, least=1)
        if self.run_if not in {"all_success", "all_done"}:
            raise ValueError(f"run_if is 'all_success' or 'all_done', not {self.run_if!r}")
        if not isinstance(self.retry, Retry):
            raise TypeError(f"retry= takes Retry(...), not {self.retry!r}")
        if self.on_crash not in {"retry", "fail"}:
            raise ValueError(f"on_crash is 'retry' or 'fail', not {self.on_crash!r}")
        if not isinstance(self.durable, bool):
            raise TypeError(f"durable is True or False, not {self.durable!r}")
        if self.when_open not in {"wait", "fail"}:
            raise ValueError(f"when_open is 'wait' or 'fail', not {self.when_open!r}")
        limits = (self.timeout, self.total_timeout, self.expires)
        object.__setattr__(self, "timed", any(limit is not None for limit in limits))
        special = self.timed or self.gates or self.owner is not None
        object.__setattr__(self, "plain", not special)

    def weight(self, gate: str) -> int:
        """How much of ``gate`` the task takes."""
        return next((weight for name, weight in self.gates if name == gate), 0)

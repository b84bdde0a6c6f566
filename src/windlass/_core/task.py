"""One unit of work: what was asked, and where it stands. Only the engine changes it.

A task is a bare slotted object because a program may hold a million of them: every slot is paid
for by each. What most tasks never have (a parent, a key, progress, failed attempts) lives in
``notes``, which is made when it is first needed.

A task that is retried by hand after its end becomes a *new* Task with the old id: the old one, and
every handle to it, stays as it ended.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from .states import COMPLETED, PENDING, RUNNING, TERMINAL, TaskStatus

if TYPE_CHECKING:
    from .outcome import Outcome
    from .spec import Spec

REMEMBERED_ATTEMPTS = 20

INTERRUPTED = "interrupted"
SNOOZED = "snoozed"
UNBEGUN = "taken back"
_GIVEN_BACK = frozenset({SNOOZED, INTERRUPTED, UNBEGUN})
"""What ends a run that spends no attempt."""


class Attempt(NamedTuple):
    """How an earlier attempt ended."""

    number: int
    started_at: float
    ended_at: float
    ended: str
    """``failed``, ``timed out``, ``crashed``, ``snoozed``, ``taken back`` or ``completed``."""
    error: BaseException | None = None


class Notes:
    """What only some tasks have."""

    __slots__ = (
        "attempts",
        "awaited",
        "began",
        "called",
        "checkpoint",
        "cleanup_errors",
        "crashes",
        "due_at",
        "failures",
        "given_back",
        "key",
        "log",
        "message",
        "parent",
        "parked",
        "progress",
        "steps",
        "turned_away",
    )

    def __init__(self) -> None:
        self.parent: Task | None = None
        self.key: str | None = None
        self.progress: float | None = None
        self.message: str = ""
        self.due_at: float | None = None
        """The wall-clock time before which the task may not start (``at=``)."""
        self.checkpoint: Any = None
        self.steps: dict[str, Any] = {}
        """What its steps returned, by name."""
        self.log: Any = None
        """What it has said in the log; the shell's affair."""
        self.began = False
        """Whether any of its runs has ended, but for those that never began."""
        self.failures: int = 0
        self.crashes: int = 0
        self.given_back: int = 0
        """Runs that spent no attempt: put off, interrupted, or never begun."""
        self.attempts: deque[Attempt] = deque(maxlen=REMEMBERED_ATTEMPTS)
        self.cleanup_errors: list[BaseException] = []
        self.parked: str | None = None
        """The gate in whose line it waits."""
        self.called: str | None = None
        """The gate that keeps room for it until it has tried."""
        self.turned_away = 0
        """How often another gate refused it then."""
        self.awaited = False
        """Whether it has gates, and another task waits for it, or has."""


class Task:
    """See the module. ``run`` counts starts and never goes back: a report names its run."""

    __slots__ = (
        "created_at",
        "dependencies",
        "dependents",
        "due",
        "ended_at",
        "held",
        "id",
        "missing",
        "notes",
        "outcome",
        "queued",
        "queued_at",
        "run",
        "spec",
        "started_at",
        "status",
    )

    def __init__(self, id: str, spec: Spec, now: float) -> None:
        self.id = id
        self.spec = spec
        self.status: TaskStatus = PENDING
        self.run = 0
        self.created_at = now
        self.queued_at = now
        self.started_at = 0.0
        self.ended_at = 0.0
        self.due = 0.0
        self.missing = 0
        self.dependencies: tuple[Task, ...] = ()
        self.dependents: list[Task] | None = None
        self.held = False
        self.queued = False
        self.outcome: Outcome | None = None
        self.notes: Notes | None = None

    @property
    def attempt(self) -> int:
        """The number of the current or last attempt: runs, less those that were given back."""
        return self.run - self.notes.given_back if self.notes is not None else self.run

    @property
    def most_attempts(self) -> int:
        """The number of the last attempt it may come to; crashes and earlier lives add to it."""
        retries = self.spec.retry.retries
        if self.status in TERMINAL:
            return max(self.attempt, retries + 1)
        left = retries - self.notes.failures if self.notes is not None else retries
        return self.attempt + (not self.run_is_open) + max(0, left)

    @property
    def run_is_open(self) -> bool:
        """Whether its last run is on, or handed over: no end that is known accounts for it."""
        if self.status is RUNNING or self.notes is None or not self.notes.attempts:
            return self.status not in TERMINAL and self.attempt > 0
        last = self.notes.attempts[-1]
        spent = last.number - (last.ended in _GIVEN_BACK)
        return self.status not in TERMINAL and self.attempt > spent

    @property
    def ended_running(self) -> bool:
        """Whether its end was that of a run: it may also end before any, or between two."""
        if self.status is COMPLETED:
            return True
        if self.notes is None or not self.notes.attempts:
            return False
        last = self.notes.attempts[-1]
        return (last.started_at, last.ended_at) == (self.started_at, self.ended_at)

    @property
    def noted(self) -> Notes:
        """The task's notes, made if there were none."""
        if self.notes is None:
            self.notes = Notes()
        return self.notes

    @property
    def label(self) -> str:
        """The task as error messages and log lines name it."""
        return f"{self.spec.name} [{self.id}]"

    def __repr__(self) -> str:
        return f"<Task {self.label} {self.status}, run {self.run}>"

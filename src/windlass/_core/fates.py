"""What becomes of a task when it does not simply return, put into errors and words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import CircuitOpenError, TaskDependencyError, TaskTimeoutError
from .outcome import Cancelled, Err
from .states import CANCELLED, FAILED, TaskStatus

if TYPE_CHECKING:
    from .outcome import Outcome
    from .task import Task

TIMEOUT = "timeout"
TOTAL_TIMEOUT = "total_timeout"


def timed_out(task: Task, why: str) -> Err:
    """The verdict on a task that ran out of time."""
    spec = task.spec
    if why == TIMEOUT:
        took = f"took longer than its timeout of {spec.timeout} s"
        text = f"{task.label} {took} (attempt {task.attempt})"
    else:
        text = f"{task.label} had not ended within its total_timeout of {spec.total_timeout} s"
    return Err(TaskTimeoutError(text, task.id), raised=False)


def turned_away(task: Task, gate: str, seconds: float) -> Err:
    """The verdict on a task that would rather fail than wait for an open gate."""
    text = (
        f"{task.label} was not run: the circuit breaker of the gate {gate!r} is open and tries "
        f"again in {max(0.0, seconds):.1f} s. Submit it again then, or leave out when_open='fail' "
        "and it waits"
    )
    return Err(CircuitOpenError(text, task.id, {"gate": gate}), raised=False)


def doom(task: Task, dependency: Task) -> tuple[TaskStatus, Outcome, str]:
    """How ``task`` ends because ``dependency`` failed or was cancelled."""
    if dependency.status is CANCELLED:
        cause = f"its dependency {dependency.label} was cancelled"
        return CANCELLED, Cancelled(cause), cause
    assert isinstance(dependency.outcome, Err)
    error = dependency.outcome.error
    # The root cause is named, not the neighbour: in a chain of a hundred that is what helps.
    if isinstance(error, TaskDependencyError) and "root" in error.details:
        root, reason = error.details["root"], error.details["reason"]
        label = error.details["label"]
    else:
        root, reason, label = dependency.id, type(error).__name__, dependency.label
    verdict = TaskDependencyError(
        f"{task.label} cannot run: it depends on {label}, which failed with {reason}",
        task.id,
        {"root": root, "reason": reason, "label": label},
    )
    verdict.__cause__ = error.__cause__ if root != dependency.id else error
    return FAILED, Err(verdict, raised=False), "dependency failed"


def story(task: Task) -> str:
    """What happened to ``task`` so far, for the message of an error that should not happen."""
    lines = [f"{task.label} is {task.status}"]
    if task.notes is not None:
        lines += [f"attempt {past.number} {past.ended}" for past in task.notes.attempts]
    lines.append(f"{task.run} runs started, {task.missing} dependencies open")
    return "; ".join(lines)

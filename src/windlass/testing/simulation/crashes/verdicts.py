"""The laws of ends, and of requests that are handled: each must have a reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...._core.states import CANCELLED, COMPLETED, FAILED, TERMINAL
from ....errors import SerializationError, TaskCrashedError, TaskDependencyError, TaskTimeoutError
from ..plans import Broken
from . import timing
from .plans import CODEC, VERSIONS

if TYPE_CHECKING:
    from collections.abc import Collection

    from ....ports import Row
    from .account import Account
    from .life import Life

_MOST_RETRIES = max(version.retries for version in VERSIONS.values())
_MOST_CRASHES = max(version.max_crashes for version in VERSIONS.values())


def crashes_allowed(account: Account, life: Life | None, id: str) -> int:
    """After how many crashes ``life`` does not run a task again.

    Where its function is unknown, and of all lives together, it is what is most generous.
    """
    order = account.orders[id]
    if order.max_crashes is not None:
        return order.max_crashes
    version = life.program.versions[order.function] if life is not None else "unknown"
    return VERSIONS[version].max_crashes if version != "unknown" else _MOST_CRASHES


def retries_allowed(account: Account, life: Life | None, id: str) -> int:
    """How often a task may fail and be tried again; likewise."""
    order = account.orders[id]
    if order.retries is not None:
        return order.retries
    version = life.program.versions[order.function] if life is not None else "unknown"
    return VERSIONS[version].retries if version != "unknown" else _MOST_RETRIES


def token(id: str, run: int) -> list[Any]:
    """What a run returns."""
    return [id, run]


def result(account: Account, id: str) -> Any:
    """What a task has returned, as it is stored."""
    row = account.row(id)
    assert row is not None
    assert row.outcome is not None
    return _decoded(row)[1]


def _decoded(row: Row) -> list[Any]:
    decoded: list[Any] = CODEC.decode(row.outcome or b"")
    return decoded


def judge(account: Account, life: Life, row: Row) -> None:
    """Raise unless there is a reason for the end in ``row``, which ``life`` has just stored."""
    kind, *rest = _decoded(row)
    if row.status == COMPLETED:
        report = account.reports.get((row.id, row.run))
        if kind != "ok" or rest[0] != token(row.id, row.run):
            raise Broken(f"run {row.run} of {row.id} is stored as having returned {rest[0]}")
        if report is None or report.how != "ok" or report.life is not life:
            raise Broken(f"run {row.run} of {row.id} is stored as having returned: {report}")
    elif row.status == FAILED:
        _judge_failure(account, life, row, rest)
    elif not _is_cancelled(account, life, row.id):
        raise Broken(f"{row.id} was cancelled by nobody: {rest}")


def _judge_failure(account: Account, life: Life, row: Row, rest: list[Any]) -> None:
    raised, crashed, packed = rest
    error, _ = CODEC.decode_error(packed)
    order = account.orders[row.id]
    crashes = len(account.crashed[row.id]) + len(account.unclear[row.id])
    failures = len(account.failed[row.id]) + len(account.unclear[row.id])
    report = account.reports.get((row.id, row.run))
    if crashed or isinstance(error, TaskCrashedError):
        fine = crashes >= crashes_allowed(account, life, row.id) or (
            crashes > 0 and order.fails_on_crash
        )
    elif raised:
        fine = report is not None and report.life is life
        if report is not None and report.how == "error":
            fine = fine and failures > retries_allowed(account, life, row.id)
    elif isinstance(error, TaskTimeoutError):
        fine = timing.has_run_out(account, life, row)
    elif isinstance(error, TaskDependencyError):
        after = set[str]().union(*(account.equals(name) for name in order.after))
        fine = any(
            {FAILED, CANCELLED} & account.ends[name]
            or name in account.unstored
            or (name in account.forgotten and row.id in account.stillborn)
            for name in after
        )
    else:
        narrow = life.program.versions.get(order.function) == "narrow"
        fine = isinstance(error, SerializationError) and narrow and order.with_results
    if not fine:
        raise Broken(f"{row.id} failed after {crashes} crashes without a reason: {error!r}")


def _is_cancelled(account: Account, life: Life | None, id: str) -> bool:
    if id in account.cancels or timing.has_expired(account, life, id):
        return True
    # What it follows may have given way to another with its key, which may never have been stored.
    above = [other for name in account.orders[id].after for other in account.equals(name)]
    if id in account.parents:
        above.append(account.parents[id])
    return any(
        CANCELLED in account.ends[other]
        or other in account.cancels
        or (other in account.unstored and _is_cancelled(account, None, other))
        for other in above
    )


def judge_handled(account: Account, life: Life, number: int, changed: Collection[int]) -> None:
    """Raise unless what a request asked for is stored along with its being handled.

    ``changed`` are the numbers of the tasks that the same commit has written.
    """
    if number not in account.requests:
        raise Broken(f"request {number} was handled twice")
    kind, body = account.requests.pop(number)
    fields = CODEC.decode(body)
    id = fields[1] if kind == "submit" else fields[0]
    row = account.row(id)
    account.news.append(f"request {number} ({kind} {id}) is handled")
    if kind == "submit":
        if row is None and not account.is_known(id):
            raise Broken(f"{id} was submitted by request {number}, which had no effect")
    elif row is None:
        return  # nobody knows it
    elif kind == "cancel":
        if row.status not in TERMINAL and not account.retries[id]:
            raise Broken(f"{id} was cancelled by request {number}, and is {row.status}")
    elif "narrow" in life.program.versions.values() or account.unstored or account.forgotten:
        return  # what it would retry it may not be able to call, or not find
    elif kind == "retry" and row.status in {FAILED, CANCELLED} and row.seq not in changed:
        raise Broken(f"{id} was retried by request {number}, and is {row.status}")

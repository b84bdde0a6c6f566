"""The laws of time: nothing is too early, nothing ends by time that is not up, or goes on after it.

A process that has led since somebody asked it for a task knows exactly when that was. Any other
knows it by the wall, and may be wrong by as much as that was set since.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from ...._core.states import RUNNING, TERMINAL
from ..plans import Broken
from . import verdicts

if TYPE_CHECKING:
    from ...._runtime.run import Run
    from ....ports import Row
    from .account import Account
    from .life import Life

_HAIR = 1e-6


def judge_start(account: Account, life: Life, run: Run) -> None:
    """Raise if it is too early for ``run``, or too late."""
    id, world = run.job.id, account.world
    order, asked_at = account.orders[id], account.asked_at[id]
    if account.retries[id]:
        return  # by hand it is given all of it anew
    ahead = 0.0 if _knows(account, life, id) else world.wall.ahead_since(asked_at)
    if world.now + ahead + _HAIR < asked_at + order.delay:
        raise Broken(f"{id} starts before its delay is over")
    if order.at is not None and world.wall.latest_since(asked_at) + _HAIR < world.epoch + order.at:
        raise Broken(f"{id} starts too early")
    failure = account.failures.get(id)
    if failure is not None:
        ahead = 0.0 if failure.life is life else world.wall.ahead_since(failure.at)
        if world.now + ahead + _HAIR < failure.at + order.wait:
            raise Broken(f"{id} starts again before its retry is due")
    taken = life.clock.truly(run.job.started_at)
    if run.number == 1 and _is_past(account, life, id, order.expires, taken):
        raise Broken(f"{id} starts after it has expired")
    if _is_past(account, life, id, order.total_timeout, taken):
        raise Broken(f"{id} starts after its total timeout")


def has_expired(account: Account, life: Life | None, id: str) -> bool:
    """Whether a task may have ended because it was not started in time."""
    order, row = account.orders[id], account.row(id)
    if account.retries[id]:
        return order.expires is not None
    never_ran = row is None or not row.run
    return never_ran and _may_be_up(account, life, id, order.expires)


def has_run_out(account: Account, life: Life, row: Row) -> bool:
    """Whether a task may have failed because it took too long."""
    id, order = row.id, account.orders[row.id]
    if account.retries[id]:
        return order.timeout is not None or order.total_timeout is not None
    if _may_be_up(account, life, id, order.total_timeout):
        return True
    failures = len(account.failed[id]) + len(account.unclear[id])
    return row.run in account.unclear[id] and failures > verdicts.retries_allowed(account, life, id)


def was_overdue(account: Account, life: Life, id: str, run: int, at: float) -> bool:
    """Whether a run had gone on for its whole timeout ``at`` that time, and may have been ended."""
    timeout, began = account.orders[id].timeout, account.began.get((id, run))
    return timeout is not None and began is not None and began[0] is life and (
        at + _HAIR >= began[1] + timeout
    )  # fmt: skip


def judge_rest(account: Account, life: Life) -> None:
    """Raise if anything goes on in a leader whose time was over at its last turn."""
    for id, run in life.runs:
        if (id, run) not in life.stopped and was_overdue(account, life, id, run, life.turned):
            raise Broken(f"run {run} of {id} goes on after its timeout")
    for row in account.rows.values():
        if row.status in TERMINAL or account.retries[row.id]:
            continue
        order = account.orders[row.id]
        if not row.run and _is_past(account, life, row.id, order.expires, life.turned):
            raise Broken(f"{row.id} is {row.status} after it has expired")
        ends = row.status == RUNNING and (row.id, row.run) not in life.runs.keys() - life.stopped
        if not ends and _is_past(account, life, row.id, order.total_timeout, life.turned):
            raise Broken(f"{row.id} is {row.status} after its total timeout")


def _knows(account: Account, life: Life | None, id: str) -> bool:
    """Whether ``life`` has led since it was asked for a task."""
    if life is None or account.asked_in[id] is not life:
        return False
    return account.led_at.get(life, inf) <= account.asked_at[id]


def _may_be_up(account: Account, life: Life | None, id: str, seconds: float | None) -> bool:
    """Whether so many seconds may have passed since a task was asked for."""
    asked_at, world = account.asked_at[id], account.world
    ahead = 0.0 if _knows(account, life, id) else world.wall.ahead_since(asked_at)
    return seconds is not None and world.now + ahead + _HAIR >= asked_at + seconds


def _is_past(
    account: Account, life: Life, id: str, seconds: float | None, at: float
) -> bool:  # fmt: skip
    """Whether so many seconds must have passed ``at`` that time, as ``life`` knows it."""
    asked_at, world = account.asked_at[id], account.world
    back = 0.0 if _knows(account, life, id) else world.wall.back_since(asked_at)
    return seconds is not None and at - back - _HAIR > asked_at + seconds

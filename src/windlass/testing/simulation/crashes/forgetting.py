"""The laws of forgetting: only what has ended, what nothing needs, and what is old or was asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ...._core.states import COMPLETED, TERMINAL
from ..plans import Broken

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ....ports import Row
    from .account import Account


class Cleaning(NamedTuple):
    """What somebody wants to be forgotten."""

    older_than: float
    keep: int
    only_completed: bool


def judge(account: Account, seqs: Iterable[int]) -> list[Row]:
    """Raise unless the tasks with these numbers may go; those of them that were there."""
    gone = [account.rows[seq] for seq in dict.fromkeys(seqs) if seq in account.rows]
    names = {row.id for row in gone}
    for row in gone:
        if row.status not in TERMINAL:
            raise Broken(f"{row.id}, which is {row.status}, was forgotten")
        if not _has_reason(account, row):
            raise Broken(f"{row.id} was forgotten without a reason")
    for row in account.rows.values():
        needed = {account.holder(name) for name in account.orders[row.id].after}
        if row.status not in TERMINAL and needed & names:
            raise Broken(f"{row.id} is {row.status} and depends on what was forgotten: {needed}")
    return gone


def _has_reason(account: Account, row: Row) -> bool:
    if row.id in account.unwanted:
        return True
    setting, wall = account.world.setting, account.world.wall
    assert row.ended_at is not None
    age = wall.latest_since(account.asked_at[row.id]) - row.ended_at
    newer = len({id for id, at in account.ended_at if at >= row.ended_at and id != row.id})
    is_old = row.key is None or (setting.keys is not None and age >= setting.keys)
    seconds = setting.completed if row.status == COMPLETED else setting.failed
    by_age = seconds is not None and age >= seconds
    by_count = setting.newest is not None and newer >= setting.newest
    return (is_old and (by_age or by_count)) or any(
        age >= one.older_than
        and newer >= one.keep
        and (row.status == COMPLETED or not one.only_completed)
        for one in account.cleanings
    )

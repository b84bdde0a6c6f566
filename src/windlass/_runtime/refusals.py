"""What a store refuses for itself is left out, so that the rest of a commit can be stored.

It may be a value that is too big. A new task that has one is refused, and its handle says so. Of
any other it is told as much as can be: that it completed, but its result is lost, say. A
checkpoint, a step or a line that cannot be kept is not there after a crash, and an error in the
log says so now.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from .._core.states import CANCELLED, COMPLETED, FAILED
from ..errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .entry import Entry
    from .journal import Journal
    from .records import Records

logger = logging.getLogger("windlass")


def leave_out(
    entries: Sequence[Entry],
    error: StoreError,
    records: Records,
    journal: Journal,
) -> bool:
    """Take out of ``entries`` what ``error`` is about; False if it is about none of it."""
    part, seq = error.details.get("refused", ("", 0))
    if part in {"fresh", "inserts"}:
        refused = [job for entry in entries for job in entry.new if job.seq == seq]
        if refused or seq in journal.never:
            # Who was retried meanwhile takes the place of what never was, and never is either.
            refused += [job for entry in entries for job in entry.renewed if job.seq == seq]
            journal.never.add(seq)
            _forget(entries, seq)
            journal.refused.extend((job, error) for job in refused)
            return True
    if part in {"inserts", "updates"}:
        return _say_less(entries, error, records, seq)
    return bool(part) and _drop(entries, error, records, part, seq)


def _forget(entries: Sequence[Entry], seq: int) -> None:
    """Take out all that is said of a task."""
    for entry in entries:
        entry.new = [job for job in entry.new if job.seq != seq]
        entry.fresh.pop(seq, None)
        entry.inserts.pop(seq, None)
        entry.updates.pop(seq, None)


def _say_less(entries: Sequence[Entry], error: StoreError, records: Records, seq: int) -> bool:
    """Say of a task only how it stands; if that is refused as well, nothing."""
    found = False
    for entry in entries:
        both: tuple[dict[int, Any], ...] = (entry.inserts, entry.updates)
        for rows in both:
            if (row := rows.get(seq)) is None:
                continue
            found = True
            less = _in_short(row, str(error), records)
            if less == row:
                del rows[seq]
            else:
                rows[seq] = less
    if found:
        logger.error("what became of %s cannot be stored: %s", records.label(seq), error)
    return found


def _in_short(row: Any, why: str, records: Records) -> Any:
    """What can be said of a task, a Row or an Update of it, without anything that it has made."""
    outcome = None
    if row.status == COMPLETED.value:
        outcome = records.value(["lost", why], "a refusal")
    elif row.status == FAILED.value:
        outcome = records.error(StoreError(why))
    elif row.status == CANCELLED.value:
        outcome = records.value(["cancelled", why], "a refusal")
    return row._replace(notes=None, outcome=outcome)


def _drop(
    entries: Sequence[Entry], error: StoreError, records: Records, part: str, seq: int
) -> bool:
    found = False
    for entry in entries:
        items: list[Any] = getattr(entry, part)
        kept = [item for item in items if item[0] != seq]
        found = found or len(kept) < len(items)
        setattr(entry, part, kept)
    if found:
        logger.error("the %s of %s cannot be stored: %s", part, records.label(seq), error)
    return found

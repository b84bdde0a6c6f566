"""A job that is kept in a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .job import Job

if TYPE_CHECKING:
    from ..ports import Row

EXTERNAL = "external"
"""The executor of tasks that are driven by hand."""
UNKNOWN = "unknown"
"""The executor of tasks whose function this program does not know: it has no slots."""
LAST_CHANCE = "last chance"
"""The gate that recovery makes for tasks that one more crash would end; it is not stored."""
NEVER_STORED = -1
"""In place of its number in the store, for a job that could not be put there."""


class StoredJob(Job):
    """A job that is kept in a store."""

    __slots__ = ("__weakref__", "function", "packed", "recovered", "seq", "source", "told")

    seq: int
    """Its place in the store; 0 until it is written for the first time."""
    packed: bytes | None
    """Its arguments, until they are written."""
    function: str
    """The stable id of its function."""
    source: Row | None
    """As it was read, while its call is not needed, or cannot be made by this program."""
    told: bool
    """Whether its end may be known, because it is on disk."""
    recovered: bool
    """Whether the store may know of checkpoints and steps that memory does not."""

    def renewed(self, now: float) -> StoredJob:
        new = StoredJob(self.id, self.recipe, now, self.args, self.kwargs, self.context, self.loop)
        new.seq, new.function, new.packed = self.seq, self.function, self.packed
        new.recovered, new.told = self.recovered, False
        new.source = self.source
        return new

    def become(self, other: StoredJob) -> None:
        """Stand where ``other``, the same task as read from the store, stands."""
        for name in _STATE:
            setattr(self, name, getattr(other, name))


_STATE = (
    "spec", "recipe", "status", "run", "created_at", "queued_at", "started_at", "ended_at", "due",
    "dependencies", "held", "outcome", "notes", "args", "kwargs", "packed", "recovered", "seq",
    "source", "told",
)  # fmt: skip

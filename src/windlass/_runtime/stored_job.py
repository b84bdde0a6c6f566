"""A job that is kept in a store."""

from __future__ import annotations

from .job import Job

UNKNOWN = "unknown"
"""The executor of tasks whose function this program does not know: it has no slots."""
NEVER_STORED = -1
"""In place of its number in the store, for a job that could not be put there."""


class StoredJob(Job):
    """A job that is kept in a store."""

    __slots__ = ("function", "packed", "recovered", "seq")

    seq: int
    """Its place in the store; 0 until it is written for the first time."""
    packed: bytes | None
    """Its arguments, until they are written."""
    function: str
    """The stable id of its function."""
    recovered: bool
    """Whether the store may know of checkpoints and steps that memory does not."""

    def renewed(self, now: float) -> StoredJob:
        new = StoredJob(self.id, self.recipe, now, self.args, self.kwargs, self.context, self.loop)
        new.seq, new.function, new.packed = self.seq, self.function, self.packed
        new.recovered = self.recovered
        return new

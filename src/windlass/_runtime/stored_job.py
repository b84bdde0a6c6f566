"""A job that is kept in a store."""

from __future__ import annotations

from .job import Job

EXTERNAL = "external"
"""The executor of tasks that are driven by hand."""
UNKNOWN = "unknown"
"""The executor of tasks whose function this program does not know: it has no slots."""
NEVER_STORED = -1
"""In place of its number in the store, for a job that could not be put there."""


class StoredJob(Job):
    """A job that is kept in a store."""

    __slots__ = ("__weakref__", "function", "packed", "recovered", "seq")

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

    def become(self, other: StoredJob) -> None:
        """Stand where ``other``, the same task as read from the store, stands."""
        for name in _STATE:
            setattr(self, name, getattr(other, name))


_STATE = (
    "spec", "recipe", "status", "run", "created_at", "queued_at", "started_at", "ended_at", "due",
    "dependencies", "held", "outcome", "notes", "args", "kwargs", "packed", "recovered", "seq",
)  # fmt: skip

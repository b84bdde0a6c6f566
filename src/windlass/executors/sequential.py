"""One at a time, in the event loop's thread: for what must never overlap, or change threads."""

from __future__ import annotations

from .._core.pools import Traits
from .lanes import LaneExecutor


class SequentialExecutor(LaneExecutor):
    """Runs one call at a time, on the loop's own thread, which a plain function blocks.

    A task here cannot wait for another task: nothing else could run in the meantime that this
    executor is asked to run.
    """

    def __init__(self, *, grace: float = 10.0) -> None:
        super().__init__(Traits(slots=1, grace=grace))

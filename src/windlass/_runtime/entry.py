"""An entry of the journal: what one turn of the pump has to write down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._core.change import Moves

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..ports import Fresh, Line, Row, Update
    from .run import Run
    from .stored_job import StoredJob
    from .wait import Promise


class Entry:
    """What one turn has to write, and what is to be done when that is safe."""

    __slots__ = (
        "checkpoints", "deletes", "ended", "fresh", "functions", "handled", "inserts", "lines",
        "moves", "new", "news", "promises", "renewed", "runs", "steps", "stops", "trims", "updates",
    )  # fmt: skip

    def __init__(self) -> None:
        self.moves = Moves()
        self.fresh: dict[int, Fresh] = {}
        self.inserts: dict[int, Row] = {}
        self.updates: dict[int, Update] = {}
        self.new: list[StoredJob] = []
        self.renewed: list[StoredJob] = []
        """Retried: each in the place of one that is stored, or was to be."""
        self.ended: list[StoredJob] = []
        self.deletes: list[int] = []
        self.functions: list[tuple[str, bytes]] = []
        self.checkpoints: list[tuple[int, bytes]] = []
        self.steps: list[tuple[int, str, bytes]] = []
        self.lines: list[Line] = []
        self.trims: list[tuple[int, int]] = []
        self.handled: list[int] = []
        self.news: list[Any] = []
        """For the clients: each change as what makes a Change; and the ids of those that gave way
        to others with their keys, once these have ended."""
        self.promises: list[Promise[None]] = []
        """To be kept when all this is safe."""
        self.stops: Sequence[Run] = ()
        """To be stopped then."""
        self.runs: list[Run] = []
        """To be started after that: in the places of those, perhaps."""

    def __bool__(self) -> bool:
        return bool(
            self.fresh or self.inserts or self.updates or self.moves or self.moves.circuits
            or self.promises or self.runs or self.stops or self.checkpoints or self.steps
            or self.lines or self.deletes or self.handled or self.news
        )  # fmt: skip

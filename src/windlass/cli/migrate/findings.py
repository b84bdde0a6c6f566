"""What is found in a program: each use of an old path, and what is to be done about it."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Action(enum.StrEnum):
    """What is to be done about a use."""

    REWRITE = "rewrite"
    """It is certain: ``--write`` does it."""
    DECIDE = "decide"
    """A person must decide: ``--write`` leaves a comment."""
    WAIT = "wait"
    """Nothing can be done yet: other uses of the same manager, or Windlass, are in the way."""


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One use of an old path."""

    line: int
    column: int
    old: str
    """What stands there."""
    new: str
    """What to write instead."""
    action: Action

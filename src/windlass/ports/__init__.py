"""The ports: what the runtime asks of the world. The docstrings are the contracts.

An adapter is tiny and decides nothing. ``windlass.testing.contracts`` holds the suite that every
executor, of ours or of yours, must pass.
"""

from __future__ import annotations

from .clock import Clock as Clock
from .codec import Codec as Codec
from .executor import Call as Call
from .executor import Executor as Executor
from .executor import Idle as Idle
from .executor import Later as Later
from .executor import Parcel as Parcel
from .executor import Report as Report
from .store import Batch as Batch
from .store import Fresh as Fresh
from .store import Line as Line
from .store import Request as Request
from .store import Row as Row
from .store import Store as Store
from .store import Update as Update

__all__ = [
    "Batch",
    "Call",
    "Clock",
    "Codec",
    "Executor",
    "Fresh",
    "Idle",
    "Later",
    "Line",
    "Parcel",
    "Report",
    "Request",
    "Row",
    "Store",
    "Update",
]

"""How long ``import windlass`` takes, in fresh interpreters."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import windlass

from .case import MILLISECONDS, Case, Measure
from .stopwatch import Sample

_PROGRAM = """
import sys, time
sys.path.insert(0, sys.argv[1])
began = time.perf_counter()
import {module}
print(time.perf_counter() - began)
"""


def importing(module: str) -> Measure:
    """The best of ``count``, without site packages: their hooks import things of their own."""
    where = str(Path(windlass.__file__).parents[1])
    program = _PROGRAM.format(module=module)

    def measure(count: int) -> Sample:
        return Sample(
            min(
                float(subprocess.check_output([sys.executable, "-I", "-S", "-c", program, where]))
                for _ in range(count)
            )
        )

    return measure


CASES = (
    Case(
        "import",
        "import windlass",
        "import asyncio",
        5,
        importing("windlass"),
        importing("asyncio"),
        unit=MILLISECONDS,
    ),
)

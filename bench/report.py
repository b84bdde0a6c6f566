"""The table, and the same as JSON."""

from __future__ import annotations

import gc
import os
import platform
import sys
from typing import TYPE_CHECKING, Any

from .budgets import BUDGETS, Budget

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .case import Result, Unit
    from .stopwatch import Sample

_HEADINGS = ("case", "what", "ours", "gc", "yardstick", "", "gc", "ratio", "budget", "verdict")
_LEFT = {0, 1, 4, 9}


def heading() -> str:
    """Where the figures come from."""
    collector = ", ".join(map(str, gc.get_threshold()))
    return (
        f"{platform.python_implementation()} {platform.python_version()}, "
        f"{os.cpu_count()} cores, collector's thresholds {collector}"
    )


def table(results: Sequence[Result]) -> str:
    """All results, aligned: what a task costs, the collector's share, and the verdict."""
    rows = [_HEADINGS, *(_row(result) for result in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    lines = [
        "  ".join(
            cell.ljust(width) if column in _LEFT else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    lines.insert(1, "─" * max(map(len, lines)))
    return "\n".join(lines)


def shortfalls(results: Sequence[Result]) -> list[Result]:
    """What is not within its budget."""
    return [
        result
        for result in results
        if result.missing is None
        and (budget := BUDGETS.get(result.case.name)) is not None
        and not budget.kept_by(result)
    ]


def as_json(results: Sequence[Result]) -> dict[str, Any]:
    """Every single measurement."""
    return {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "collector": gc.get_threshold(),
        "cases": [_case_as_json(result) for result in results],
    }


def _case_as_json(result: Result) -> dict[str, Any]:
    case = result.case
    known: dict[str, Any] = {"case": case.name, "what": case.what, "yardstick": case.yardstick_name}
    if result.missing is not None:
        return {**known, "missing": result.missing}
    budget = BUDGETS.get(case.name)
    return {
        **known,
        "count": result.count,
        "unit": "bytes" if case.unit.name == "B" else "seconds",
        "ours": [sample._asdict() for sample in result.ours],
        "theirs": [sample._asdict() for sample in result.yardstick],
        "ratio": result.ratio,
        "budget": None if budget is None else {"ratio": budget.limit, "cost": budget.cost},
        "ok": None if budget is None else budget.kept_by(result),
    }


def _row(result: Result) -> tuple[str, ...]:
    case = result.case
    budget = BUDGETS.get(case.name)
    if result.missing is not None:
        return (case.name, case.what, "", "", case.yardstick_name, "", "", "", "", result.missing)
    ours, theirs = min(result.ours), min(result.yardstick)
    verdict = "" if budget is None else "ok" if budget.kept_by(result) else "short"
    return (
        case.name,
        case.what,
        _cost(ours, case.unit),
        _share(ours),
        case.yardstick_name,
        _cost(theirs, case.unit),
        _share(theirs),
        f"{result.ratio:.2f}",
        "" if budget is None else _limit(budget, case.unit),
        verdict,
    )


def _cost(sample: Sample, unit: Unit) -> str:
    return f"{sample.cost * unit.scale:,.{unit.digits}f} {unit.name}"


def _share(sample: Sample) -> str:
    return f"{sample.collecting / sample.cost:.0%}" if sample.collecting else ""


def _limit(budget: Budget, unit: Unit) -> str:
    if budget.limit is not None:
        return f"≤ {budget.limit:.2f}"
    assert budget.cost is not None
    return f"≤ {budget.cost * unit.scale:,.{unit.digits}f} {unit.name}"


def progress(text: str) -> None:
    """Say on a terminal what is being measured."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)

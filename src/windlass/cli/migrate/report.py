"""What was found in a program, told to people or to programs."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from .findings import Action

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .program import Program


def as_lines(program: Program, *, written: bool) -> Iterator[str]:
    """A line for each use, and what it all amounts to."""
    counts: Counter[Action] = Counter()
    for path, findings in sorted(program.findings.items()):
        for finding in sorted(findings):
            counts[finding.action] += 1
            action = "done" if written and finding.action is Action.REWRITE else finding.action
            yield f"{path}:{finding.line}: {action}: {finding.old} -> {finding.new}"
    total = counts.total()
    if not total:
        yield "Nothing here uses an old path."
        return
    certain, open_ = counts[Action.REWRITE], counts[Action.DECIDE]
    parts = [
        f"{certain} {'rewritten' if written else 'certain'}",
        f"{open_} for a person to decide",
        f"{counts[Action.WAIT]} waiting for those",
    ]
    files = len([path for path, findings in program.findings.items() if findings])
    yield f"{_some(total, 'use')} of old paths in {_some(files, 'file')}: {', '.join(parts)}."
    if program.texts and not written:
        yield "With --write, what is certain is rewritten, and the rest gets comments."


def _some(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count != 1 else ''}"


def as_json(program: Program, *, written: bool) -> str:
    """The same for programs."""
    told: dict[str, Any] = {
        "uses": [
            {
                "file": str(path),
                "line": finding.line,
                "column": finding.column,
                "old": finding.old,
                "new": finding.new,
                "action": finding.action.value,
            }
            for path, findings in sorted(program.findings.items())
            for finding in sorted(findings)
        ],
        "written": sorted(map(str, program.texts)) if written else [],
        "skipped": [
            {"file": str(skipped.path), "line": skipped.line, "why": skipped.why}
            for skipped in program.skipped
        ],
    }
    return json.dumps(told, indent=2)


def is_done(program: Program, *, written: bool) -> bool:
    """Whether nothing of the old paths is left to do."""
    left = {Action.DECIDE, Action.WAIT} if written else set(Action)
    return not any(
        finding.action in left for findings in program.findings.values() for finding in findings
    )

"""Draw the state diagram of the documentation from the table that the engine itself goes by.

::

    python docs/diagram.py            writes it into docs/states.md
    python docs/diagram.py --check    exits with 1 if it is not the one that stands there
"""

from __future__ import annotations

import sys
from pathlib import Path

from windlass._core.states import TERMINAL, TRANSITIONS

PAGE = Path(__file__).with_name("states.md")
BEGIN, END = "<!-- diagram: made by docs/diagram.py -->\n", "<!-- end of the diagram -->\n"


def diagram() -> str:
    """The table as a Mermaid state diagram, and below it as a table."""
    lines = ["```mermaid", "stateDiagram-v2"]
    for before, moves in TRANSITIONS.items():
        start = "[*]" if before is None else str(before)
        lines += [f"    {start} --> {after}: {_plain(why)}" for after, why in moves.items()]
    lines += [f"    {status} --> [*]" for status in TRANSITIONS if status in TERMINAL]
    lines += ["```", "", "| from | to | when |", "|---|---|---|"]
    for before, moves in TRANSITIONS.items():
        start = "(new)" if before is None else f"`{before}`"
        lines += [f"| {start} | `{after}` | {why} |" for after, why in moves.items()]
        if not moves:
            lines.append(f"| {start} | none | it stays as it ended |")
    return "\n".join([*lines, ""])


def redrawn(page: str) -> str:
    """``page`` with what stands between the markers replaced."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return before + BEGIN + diagram() + END + after


def main(arguments: list[str]) -> int:
    """The command."""
    page = PAGE.read_text(encoding="utf-8")
    if redrawn(page) == page:
        return 0
    if arguments == ["--check"]:
        print(f"{PAGE.name} is out of date: run `python docs/diagram.py`")
        return 1
    PAGE.write_text(redrawn(page), encoding="utf-8")
    print(f"{PAGE.name} is up to date now")
    return 0


def _plain(why: str) -> str:
    # A colon or a semicolon would end the label.
    return why.replace(":", ",").replace(";", ",")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""What the commands on a file share: the file they are given, and how they end."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer
from rich.console import Console
from rich.text import Text

from windlass import StoreError, TaskError

from ..summary import say

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from rich.table import Table

    from windlass.observe import TaskFile

NOT_DONE, NO_FILE = 1, 2
_WIDE = 10_000

File: TypeAlias = Annotated[Path, typer.Argument(metavar="FILE", help="The file of tasks.")]
Ids: TypeAlias = Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of tasks.")]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Patience: TypeAlias = Annotated[
    float, typer.Option("--timeout", min=0.1, help="Seconds to wait for the program that leads.")
]


@contextmanager
def looking_at(path: Path, command: str) -> Generator[TaskFile]:
    """The file at ``path``; what is wrong with it is said, and ends the command."""
    from windlass.observe import TaskFile  # noqa: PLC0415  # `windlass run` needs none

    try:
        yield TaskFile(path)
    except TaskError as error:
        print(f"windlass {command}: {error}", file=sys.stderr)
        raise typer.Exit(NO_FILE if isinstance(error, StoreError) else NOT_DONE) from None


def show(lines: Iterable[Text | Table], *, cut: bool = False) -> None:
    """Print what is for people; on a terminal, lines may be ``cut`` to its width."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width, cut = _WIDE, False
    for line in lines:
        if isinstance(line, Text):
            if cut:
                line.truncate(console.width, overflow="ellipsis")
            say(console, line)
        else:
            console.print(line)


def show_json(value: Any) -> None:
    """Print what is for programs."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))

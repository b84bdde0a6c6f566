"""The command ``windlass migrate``."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003  # typer reads the annotations
from typing import Annotated

import typer

_CANNOT = 2


def migrate(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A program: a file or a folder.")],
    *,
    write: Annotated[
        bool,
        typer.Option("--write", help="Rewrite what is certain; leave comments at the rest."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what a program uses of the older task systems, and what to write instead.

    PATH is the whole program: what is not in it does not count as using its managers. It is
    read, not run.

    Each use is one of three. *rewrite*: it is certain, and `--write` does it. *decide*: a person
    must, and `--write` leaves a comment there. *wait*: it is certain in itself, but one manager
    goes as a whole.

    The exit code is 0 if nothing is left to do, 1 if something is, and 2 if PATH or a file in
    it could not be read.
    """
    try:
        from .program import NoProgramError, read  # noqa: PLC0415  # comes with an extra
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "libcst":
            raise
        print(
            "windlass migrate: it needs libcst, which is not installed. This brings it:\n\n"
            "    pip install 'windlass[migrate]'\n",
            file=sys.stderr,
        )
        raise typer.Exit(_CANNOT) from None
    from . import report  # noqa: PLC0415  # likewise

    try:
        program = read(path)
        if write:
            program.write()
    except (NoProgramError, OSError) as error:
        print(f"windlass migrate: {error}", file=sys.stderr)
        raise typer.Exit(_CANNOT) from None
    if as_json:
        print(report.as_json(program, written=write))
    else:
        for line in report.as_lines(program, written=write):
            print(line)
    for skipped in program.skipped:
        place = f"{skipped.path}:{skipped.line}" if skipped.line else str(skipped.path)
        print(f"windlass migrate: {place} is skipped: {skipped.why}", file=sys.stderr)
    done = report.is_done(program, written=write)
    raise typer.Exit(_CANNOT if program.skipped else 0 if done else 1)

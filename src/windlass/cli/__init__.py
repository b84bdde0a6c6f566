"""The command line: ``windlass run FILE.py`` runs a program and shows its tasks as they go.

It is built on public names alone, and comes with an extra: ``pip install 'windlass[cli]'``.
"""

from __future__ import annotations

import sys

_EXTRA = {"click", "rich", "typer"}


def main() -> None:
    """What the command ``windlass`` runs."""
    try:
        from .app import app  # noqa: PLC0415  # comes with an extra, which may be missing
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        print(
            f"windlass: the command line needs {error.name}, which is not installed. "
            "This brings it:\n\n    pip install 'windlass[cli]'\n",
            file=sys.stderr,
        )
        sys.exit(1)
    app(prog_name="windlass")

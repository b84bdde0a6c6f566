"""The same run on every Python that is found."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import windlass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

OLDEST = (3, 11)
_NEWEST_MINOR = 19


def run_on_all(arguments: Sequence[str]) -> list[dict[str, Any]]:
    """Run the bench with ``arguments`` on each Python; what it wrote as JSON."""
    runs: list[dict[str, Any]] = []
    sources = str(Path(windlass.__file__).parents[1])
    paths = [sources, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder, "figures.json")
        for python in found():
            subprocess.run(
                [python, "-m", "bench", *arguments, "--json", str(written)],
                cwd=Path(__file__).parents[1],
                env=environment,
                check=True,
            )
            print(flush=True)
            runs += json.loads(written.read_text(encoding="utf-8"))
    return runs


def found() -> list[str]:
    """One Python of each minor version: this one, and the first that answers of each other."""
    by_version: dict[tuple[int, int], str] = {sys.version_info[:2]: sys.executable}
    for candidate in _candidates():
        version = _version_of(candidate)
        if version is not None and version >= OLDEST:
            by_version.setdefault(version, candidate)
    return [python for _, python in sorted(by_version.items())]


def _candidates() -> Iterator[str]:
    for minor in range(OLDEST[1], _NEWEST_MINOR + 1):
        path = shutil.which(f"python3.{minor}")
        if path is not None:
            yield path
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    if pyenv.is_dir():
        yield from (str(folder / "bin" / "python") for folder in sorted(pyenv.iterdir()))


def _version_of(python: str) -> tuple[int, int] | None:
    """Its version, or None if it does not run: a pyenv shim may stand for nothing."""
    ask = "import sys; print(*sys.version_info[:2])"
    try:
        done = subprocess.run(
            [python, "-c", ask], check=True, capture_output=True, text=True, timeout=30
        )
        major, minor = map(int, done.stdout.split())
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return major, minor

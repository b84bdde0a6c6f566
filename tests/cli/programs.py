"""Programs for ``windlass run`` to run."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

WINDLASS = (sys.executable, "-m", "windlass.cli")


def write(folder, text, name="program.py"):
    (folder / name).write_text(textwrap.dedent(text))
    return name


def python(*args, cwd, **env):
    """Run python; the finished process."""
    return subprocess.run(
        [sys.executable, *args],
        cwd=cwd,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=40,
        check=False,
    )


def windlass(*args, cwd, **env):
    """Run windlass without a terminal; the finished process."""
    return python(*WINDLASS[1:], *args, cwd=cwd, **env)

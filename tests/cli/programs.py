"""Programs for ``windlass run`` to run."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

from ready import Ready

WINDLASS = (sys.executable, "-m", "windlass.cli")
_ready = Ready()


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
        timeout=60,
        check=False,
    )


def started(*args, cwd, **env):
    """Run windlass without a terminal, from the start; the finished process."""
    return python(*WINDLASS[1:], *args, cwd=cwd, **env)


def windlass(*args, cwd, **env):
    """Run windlass without a terminal, in a process that has it imported; the finished process."""
    with tempfile.TemporaryDirectory() as folder:
        output = [Path(folder, name) for name in ("stdout", "stderr")]
        code = _ready.run(*args, output=output, cwd=cwd, env=env)
        printed = [file.read_text("utf-8") for file in output]
    return subprocess.CompletedProcess(args, code, *printed)

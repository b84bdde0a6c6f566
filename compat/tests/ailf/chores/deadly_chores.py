"""Tasks that a worker is given for the tests: they kill it."""

import os
import signal
from pathlib import Path

from ailf.workers.celery_app import app


@app.task(name="chores.kill_worker")
def kill_worker(diary: str, times: int) -> str:
    """Kill the process that runs this, so many times; then do what there is to do."""
    begun = begin(diary)
    if begun <= times:
        os.kill(os.getpid(), signal.SIGKILL)
    return f"done the {begun}. time"


@app.task(name="chores.fail")
def fail(diary: str) -> None:
    """Fail, as anything may."""
    begin(diary)
    raise ValueError("this one cannot be done")


def begin(diary: str) -> int:
    """Note that it was begun once more, and how often that makes."""
    with Path(diary).open("a") as lines:
        lines.write("begun\n")
    return len(Path(diary).read_text().splitlines())

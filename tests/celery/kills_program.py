"""A durable manager, as people would write one: it submits until its standard input is closed.

``kills_program.py FILE RECORD``: what it was promised, and what it has taken for ended, are lines
of RECORD; a manager that is killed is started again with the same two.
"""

from __future__ import annotations

import sys
import threading
import time

import far_program

from windlass import Change, TaskManager, TaskStatus
from windlass.celery import CeleryExecutor

LIMIT = 60.0

file, record = sys.argv[1:]


def note(line: str) -> None:
    """Write a line that whoever comes after us reads, whatever becomes of us."""
    far_program.write_line(record, line)


def main() -> None:
    executor = CeleryExecutor(far_program.app, name="killed", slots=12, lease=3.0, patience=LIMIT)
    leave = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), leave.set()), daemon=True).start()
    first = time.time_ns() // 1_000_000 * 1_000
    with TaskManager(file, executors={"celery": executor}) as manager:
        manager.subscribe(
            lambda changes: [
                note(f"accepted {change.task_id}")
                for change in changes
                if isinstance(change, Change) and change.after == TaskStatus.COMPLETED
            ]
        )
        note("ready")
        number = first
        while not leave.wait(0.02):
            number += 1
            call = far_program.twice.options(max_crashes=1_000_000)
            handle = manager.enqueue(call, number, record).result(LIMIT)
            note(f"submitted {handle.id} {number}")


if __name__ == "__main__":
    main()

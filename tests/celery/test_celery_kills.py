"""Workers, Redis and the manager are killed at random: nothing is lost, and nothing counts twice.

``WINDLASS_KILLS=500`` kills that often instead of once each.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from windlass.observe import TaskFile

KILLS = int(os.environ.get("WINDLASS_KILLS", "3"))
LIMIT = 60.0


class Program:
    """The manager's process; see ``kills_program``."""

    def __init__(self, url: str, folder: Path) -> None:
        here = Path(__file__).parent
        path = os.pathsep.join([str(here), os.environ.get("PYTHONPATH", "")])
        self._log = (folder / "manager.log").open("ab")
        self._process = subprocess.Popen(
            [sys.executable, here / "kills_program.py", folder / "tasks.db", folder / "record.txt"],
            env={**os.environ, "WINDLASS_TEST_REDIS": url, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
        )

    def kill(self) -> None:
        """Kill it without a word."""
        self._process.kill()
        self._bury(LIMIT)

    def leave(self) -> int:
        """Have it do what is left, and end; its exit code."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self._bury(LIMIT + 2 * KILLS)

    def _bury(self, patience: float) -> int:
        try:
            return self._process.wait(patience)
        finally:
            self._process.kill()
            self._process.wait()
            self._log.close()
            assert self._process.stdin is not None
            self._process.stdin.close()


@pytest.mark.timeout(3 * LIMIT + 10 * KILLS)
def test_nothing_is_lost_and_nothing_counts_twice(mortal, own_worker, tmp_path):
    draw = random.Random(os.environ.get("WINDLASS_KILLS_SEED", "11"))
    start = ["-c", "2"]
    workers = [own_worker(*start, address=mortal.url) for _ in range(2)]
    program = Program(mortal.url, tmp_path)
    killed: Counter[str] = Counter()
    try:
        for number in range(KILLS):
            # A moment that nobody has chosen is what is tested.
            threading.Event().wait(draw.uniform(0.2, 1.0))
            whom = ("worker", "manager", "redis")[number % 3]
            killed[whom] += 1
            if whom == "redis":
                mortal.restart()
            elif whom == "manager":
                program.kill()
                program = Program(mortal.url, tmp_path)
            if whom != "manager":  # not every worker of Celery's gets over the loss of its broker
                victim = workers.pop(draw.randrange(2))
                draw.choice([victim.kill, victim.kill_all])()
                victim.stop()
                workers.append(own_worker(*start, address=mortal.url))
    finally:
        code = program.leave()
    log = (tmp_path / "manager.log").read_text()
    assert code == 0, log[-3000:]
    told = [line.split() for line in (tmp_path / "record.txt").read_text().splitlines()]
    submitted = {line[1]: int(line[2]) for line in told if line[0] == "submitted"}
    accepted = Counter(line[1] for line in told if line[0] == "accepted")
    runs = Counter(int(line[1]) for line in told if line[0] == "ran")
    ends = {info.id: info for info in TaskFile(tmp_path / "tasks.db").list_tasks()}
    lost = [id for id in submitted if id not in ends or ends[id].status != "completed"]
    assert not lost
    assert all(ends[id].result == 2 * number for id, number in submitted.items())
    assert max(accepted.values()) == 1
    again = sum(runs[number] - 1 for number in submitted.values())
    figures = f"submitted {len(submitted)}, lost 0, accepted twice 0, run again {again}"
    sys.stdout.write(f"{dict(killed)}: {figures}\n")

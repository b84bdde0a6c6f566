"""A program is killed at random moments, again and again; a record of its own says what it did.

``WINDLASS_KILLS=500`` kills it that often instead of eight times.
"""

import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

import windlass

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX"),
    pytest.mark.timeout(3600),
]

KILLS = int(os.environ.get("WINDLASS_KILLS", "8"))
SIGNALS = [signal.SIGKILL] * 4 + [signal.SIGTERM, signal.SIGINT]
VICTIM = Path(__file__).with_name("victim.py")


class Record:
    """What the victim noted in each of its lives."""

    def __init__(self, folder):
        self.file = folder / "jobs.db"
        self._log = (folder / "log").open("ab")
        self._read = (folder / "log").open("rb")
        self.lives = 0
        self.opened = False
        """Whether the last life came as far as opening the file."""
        self.acknowledged, self.finished, self.heard = set(), set(), set()
        self.starts = Counter()
        self.over = set()
        """What the file said was over when a life ended."""
        self.excused = 0
        """Runs that were cut short."""

    def close(self):
        self._log.close()
        self._read.close()

    def begin(self, seed):
        """Let the victim live; without a seed it only finishes what there is."""
        self.lives += 1
        return subprocess.Popen(
            [sys.executable, "-W", "error", VICTIM, self.file, str(seed)],
            env={
                **os.environ,
                "VICTIM_LOG": str(self._log.fileno()),
                "VICTIM_LIFE": str(self.lives),
                "PYTHONPATH": str(Path(windlass.__file__).parents[1]),
            },
            pass_fds=[self._log.fileno()],
            stderr=subprocess.PIPE,
            text=True,
        )

    def take(self):
        """Take in what was noted in the life that has just ended; returns what it started."""
        started = Counter()
        self.opened = False
        for line in self._read.read().decode().splitlines():
            life, what, name = line.split()
            assert int(life) == self.lives
            if what == "start":
                started[name] += 1
            elif what == "open":
                self.opened = True
            else:
                {"ack": self.acknowledged, "finish": self.finished, "heard": self.heard}[what].add(
                    name
                )
        return started

    def statuses(self):
        """What the file says; nothing is written, nor put back from the log, in looking."""
        if not self.file.exists():
            return {}
        with closing(sqlite3.connect(f"file:{self.file}?mode=ro", uri=True)) as connection:
            (tables,) = connection.execute(
                "SELECT count(*) FROM sqlite_master WHERE name = 'windlass_tasks'"
            ).fetchone()
            # It may have been killed before there were any.
            found = connection.execute("SELECT id, status FROM windlass_tasks") if tables else []
            return dict(found)

    def judge(self, started):
        """Compare the life that has ended with what is in the file."""
        now = self.statuses()
        assert max(started.values(), default=0) <= 1, "started twice in one life"
        assert not started.keys() & self.over, "run again although it was over"
        assert started.keys() <= now.keys(), "started and not in the file"
        assert now.keys() >= self.acknowledged, "acknowledged and lost"
        self.over = {id for id, status in now.items() if status == "completed"}
        assert self.heard <= self.over, "heard of and not in the file"
        cut_short = {id for id in started if id not in self.over}
        assert set(now.values()) <= {"pending", "waiting", "running", "completed"}
        self.starts += started
        self.excused += len(cut_short)
        return {id: now[id] for id in cut_short}


def test_nothing_acknowledged_is_lost_and_nothing_runs_twice_without_need(tmp_path):
    draw = random.Random(os.environ.get("WINDLASS_KILLS_SEED", "7"))
    record = Record(tmp_path)
    slow = 1.0
    for _ in range(KILLS):
        process = record.begin(seed=draw.randrange(1, 10**9))
        how = draw.choice(SIGNALS)
        with process, pytest.raises(subprocess.TimeoutExpired):
            try:
                process.wait(slow * draw.uniform(0.05, 0.9))
            finally:
                process.send_signal(how)
                _, errors = process.communicate(timeout=60)
        # One that is told in its first moments may not have come to where it could listen.
        assert process.returncode in {-how, 128 + how} or "KeyboardInterrupt" in errors, errors
        cut_short = record.judge(record.take())
        if not record.acknowledged:
            slow = min(1.2 * slow, 6.0)  # a machine on which a start takes longer than most lives
        if process.returncode == 128 + signal.SIGINT:  # the attempts are given back, if it was open
            assert not record.opened or "running" not in record.statuses().values()
        else:
            assert set(cut_short.values()) <= {"running"}, "started before that was stored"

    with record.begin(seed="") as process:
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert not record.judge(record.take())
    lost = record.acknowledged - record.finished
    again = sum(record.starts.values()) - len(record.starts)
    sys.stdout.write(
        f"killed {KILLS} times: acknowledged {len(record.acknowledged)}, lost {len(lost)}, "
        f"run again {again}, of that without need {again - record.excused}\n"
    )
    assert not lost
    assert record.acknowledged <= record.over
    assert again == record.excused
    assert len(record.acknowledged) > KILLS, "too little was going on to prove anything"
    record.close()

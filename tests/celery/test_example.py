"""The example of a cluster, started by its one command."""

import subprocess
import sys
from pathlib import Path

import pytest

CLUSTER = Path(__file__).parents[2] / "examples" / "cluster" / "run.py"


@pytest.mark.usefixtures("redis_program")
def test_the_newsroom_on_a_cluster(tmp_path):
    done = subprocess.run(
        [sys.executable, CLUSTER],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    result, place, *workers = done.stdout.splitlines()
    assert result == "86 stories, 10 copies, 4 pages missing"
    assert place == f"The front page is in {tmp_path}/newsroom.html"
    assert (tmp_path / "newsroom.html").read_text().count("<meter") == 86
    assert [line.split(" ran ")[0] for line in workers] == ["The first worker", "The second worker"]
    assert all("fetch parse score" in line for line in workers)
    assert "Traceback" not in done.stderr
    assert "timed out, retry in" in done.stderr

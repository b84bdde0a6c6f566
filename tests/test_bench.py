"""The bench runs and prints its table; what the figures are is for people to judge."""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def bench(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=140,
    ).stdout


def test_every_case_is_listed_once():
    names = [line.split()[0] for line in bench("--list").splitlines()]
    assert {"at-once", "threads", "processes-map", "layers-10k", "pending", "peer-huey"} <= {*names}
    assert len(names) == len(set(names))


def test_a_table_of_figures_is_printed_and_kept(tmp_path):
    file = tmp_path / "figures.json"
    printed = bench("--quick", "--json", str(file), "at-once", "threads", "pending")
    rows = {line.split()[0]: line for line in printed.splitlines() if line}
    for name in ("at-once", "threads"):
        assert re.search(r"\d µs .* \d+\.\d\d +≤ \d\.\d\d +(ok|short)$", rows[name]), rows[name]
    assert re.search(r"\d B .* ≤ 500 B +(ok|short)$", rows["pending"]), rows["pending"]
    (kept,) = json.loads(file.read_text(encoding="utf-8"))
    assert [case["case"] for case in kept["cases"]] == ["at-once", "threads", "pending"]
    assert all(case["ratio"] > 0 for case in kept["cases"])

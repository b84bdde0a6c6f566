"""The contract finds what it is there to find: executors that break it, each in its own way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from . import broken

BROKEN = {
    "TestDoubling": "test_every_task_ends_once_with_its_own_result",
    "TestMixing": "test_every_task_ends_once_with_its_own_result",
    "TestOneAtATime": "test_all_slots_are_used_at_once",
    "TestLeavingThreads": "test_no_thread_outlives_it",
    "TestWithoutContext": "test_context_variables_travel_along",
    "TestPretendingToKill": "test_a_cancelled_task_ends_whether_it_listens_or_not",
    "TestDeaf": "test_a_cancelled_task_ends_whether_it_listens_or_not",
}


@pytest.fixture(scope="module")
def report():
    """What pytest says of all of them: one run, because most of it would be starting pytest."""
    file = Path(broken.__file__)
    nodes = [f"{file}::TestSound", *(f"{file}::{name}::{test}" for name, test in BROKEN.items())]
    options = ["-rA", "--tb=line", "-p", "no:cacheprovider", "-p", "no:hypothesispytest"]
    command = [sys.executable, "-m", "pytest", *options, *nodes]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60).stdout


def test_a_sound_executor_keeps_it(report):
    lines = [line for line in report.splitlines() if "::TestSound::" in line]
    assert len(lines) > 25
    assert all(line.startswith("PASSED") for line in lines)


@pytest.mark.parametrize("name", BROKEN)
def test_one_that_is_broken_does_not(report, name):
    (line,) = [line for line in report.splitlines() if f"::{name}::" in line]
    assert line.startswith("FAILED")


def test_whoever_says_nothing_is_told_what_is_missing():
    with pytest.raises(NotImplementedError, match="say how to make the executor"):
        broken.ExecutorContract().make_executor()

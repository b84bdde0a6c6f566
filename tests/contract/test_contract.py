"""The contract finds what it is there to find: executors that break it, each in its own way."""

from __future__ import annotations

from pathlib import Path

import pytest

import windlass

HEAD = """
from windlass._core.outcome import Ok
from windlass.executors.threads import ThreadExecutor
from windlass.testing import ExecutorContract

class Broken(ThreadExecutor):
    def tampered(self, report):
        return report

    def open(self, loop, report, idle):
        super().open(loop, self.tampered(report), idle)

class TestBroken(ExecutorContract):
    limit = 2.0

    def make_executor(self):
        return Broken(2)
"""

SOUND = ""

DOUBLING = """
def tampered(self, report):
    def twice(call, outcome, *, wake=True):
        report(call, outcome)
        report(call, outcome)
    return twice
Broken.tampered = tampered
"""

MIXING = """
def tampered(self, report):
    def mixed(call, outcome, *, wake=True):
        last, self.last = getattr(self, "last", outcome), outcome
        report(call, last if type(outcome) is Ok else outcome)
    return mixed
Broken.tampered = tampered
"""

ONE_AT_A_TIME = """
import threading
gate = threading.Lock()
def start(self, calls):
    for call in calls:
        threading.Thread(target=self.single, args=[call], daemon=True).start()
def single(self, call):
    with gate:
        outcome = call.run()
    self._report(call, outcome)
Broken.start, Broken.single = start, single
"""

LEAVING_THREADS = """
Broken.close = lambda self: None
"""

WITHOUT_CONTEXT = """
import contextvars
def start(self, calls):
    for call in calls:
        call.job.context = contextvars.Context()
    ThreadExecutor.start(self, calls)
Broken.start = start
"""

PRETENDING_TO_KILL = """
import dataclasses
def __init__(self, slots):
    ThreadExecutor.__init__(self, slots)
    self.traits = dataclasses.replace(self.traits, lingers=False)
Broken.__init__ = __init__
"""


@pytest.mark.parametrize(
    ("how", "found"),
    [
        ("SOUND", None),
        ("DOUBLING", "test_every_task_ends_once_with_its_own_result"),
        ("MIXING", "test_every_task_ends_once_with_its_own_result"),
        ("ONE_AT_A_TIME", "test_all_slots_are_used_at_once"),
        ("LEAVING_THREADS", "test_no_thread_outlives_it"),
        ("WITHOUT_CONTEXT", "test_context_variables_travel_along"),
        ("PRETENDING_TO_KILL", "test_a_cancelled_task_ends_whether_it_listens_or_not"),
    ],
)
def test_it_finds(pytester, pytestconfig, monkeypatch, how, found):
    installed = pytestconfig.pluginmanager.has_plugin("windlass")
    plugin = () if installed else ("-p", "windlass.testing.plugin")
    monkeypatch.setenv("PYTHONPATH", str(Path(windlass.__file__).parents[1]))
    pytester.makepyfile(HEAD + globals()[how])
    only = ("-k", found) if found else ()
    result = pytester.runpytest_subprocess(*plugin, "-p", "no:cacheprovider", *only, timeout=50)
    outcomes = result.parseoutcomes()
    assert (outcomes.get("failed", 0) > 0) is (found is not None)
    assert outcomes.get("passed", 0) > 20 or found

"""Executors that break the contract, each in its own way; no tests of this project's."""

from __future__ import annotations

import contextvars
import threading

from windlass._core.outcome import Ok
from windlass.executors.threads import ThreadExecutor
from windlass.testing import ExecutorContract


class Suite(ExecutorContract):
    limit = 0.5  # what is waited for in vain
    executor_class = ThreadExecutor

    def make_executor(self):
        return self.executor_class(2)


class TestSound(Suite):
    """It breaks nothing, to begin with."""

    limit = 60.0


class Reporting(ThreadExecutor):
    """Has a way of its own to report."""

    def open(self, loop, report, idle):
        self.pass_on = report
        super().open(loop, self.report, idle)


class Doubling(Reporting):
    def report(self, call, outcome, *, wake=True):
        self.pass_on(call, outcome)
        self.pass_on(call, outcome, wake=wake)


class TestDoubling(Suite):
    executor_class = Doubling


class Mixing(Reporting):
    """Takes the result of one call for that of another."""

    last = Ok("nothing")

    def report(self, call, outcome, *, wake=True):
        if type(outcome) is Ok:
            self.last, outcome = outcome, self.last
        self.pass_on(call, outcome, wake=wake)


class TestMixing(Suite):
    executor_class = Mixing


class OneAtATime(ThreadExecutor):
    """Declares two slots, and has one."""

    gate = threading.Lock()

    def start(self, calls):
        for call in calls:
            threading.Thread(target=self.run, args=[call], daemon=True).start()

    def run(self, call):
        with self.gate:
            outcome = call.run()
        self._report(call, outcome)


class TestOneAtATime(Suite):
    executor_class = OneAtATime


class LeavingThreads(ThreadExecutor):
    def close(self):
        """Leave everything as it is."""


class TestLeavingThreads(Suite):
    executor_class = LeavingThreads


class WithoutContext(ThreadExecutor):
    def start(self, calls):
        for call in calls:
            call.job.context = contextvars.Context()
        super().start(calls)


class TestWithoutContext(Suite):
    executor_class = WithoutContext


class PretendingToKill(ThreadExecutor):
    """Declares that what it stops is gone."""

    def __init__(self, slots):
        super().__init__(slots)
        self.traits = self.traits._replace(lingers=False)


class TestPretendingToKill(Suite):
    executor_class = PretendingToKill


class Deaf(ThreadExecutor):
    """Waits for what it was asked to stop."""

    def __init__(self, slots):
        super().__init__(slots)
        self.traits = self.traits._replace(lingers=False, grace=3600.0)

    def stop(self, call):
        """Do nothing."""


class TestDeaf(Suite):
    executor_class = Deaf

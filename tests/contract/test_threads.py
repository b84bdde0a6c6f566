"""What the thread executor alone is asked for: to be right without a lock."""

from __future__ import annotations

import sys
import threading
from queue import SimpleQueue

import pytest

from windlass._core.outcome import OK_NONE
from windlass.executors.threads import ThreadExecutor


class Errand:
    """A call that returns when it is told to."""

    number = 1
    name = "errand"

    def __init__(self, number):
        self.task_id = f"t{number}"
        self.begun, self.told, self.interrupted = threading.Event(), threading.Event(), False

    def run(self):
        self.begun.set()
        self.told.wait()
        return OK_NONE

    def interrupt(self):
        self.interrupted = True


@pytest.fixture
def executor():
    reports = SimpleQueue()
    made = ThreadExecutor(2, max_abandoned=0)
    made.reports = reports
    made.open(None, lambda call, _, *, wake: reports.put(call), lambda: None)
    yield made
    made.close()


def test_a_stopped_call_takes_its_place_until_it_returns(executor):
    call = Errand(1)
    executor.start([call])
    executor.stop(call)
    executor.stop(call)
    assert call.interrupted
    assert (executor.capacity, executor.left_behind()) == (1, ["errand [t1]"])
    call.told.set()
    assert executor.reports.get(timeout=60) is call
    assert (executor.capacity, executor.left_behind()) == (2, [])


def test_a_stop_and_a_return_at_the_same_moment(executor):
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for number in range(300):
            call = Errand(number)
            executor.start([call])
            assert call.begun.wait(60)
            call.told.set()
            executor.stop(call)
            assert executor.reports.get(timeout=60) is call
            assert executor.figures() == {"abandoned": 0}
    finally:
        sys.setswitchinterval(usual)
    assert executor.reports.empty()

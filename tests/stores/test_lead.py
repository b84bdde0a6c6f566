"""The lock that tells who leads, with real processes: killed, stopped, forked and racing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from windlass.errors import StoreError
from windlass.stores.lead import Lead

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs the locks of POSIX")

LIMIT = 60.0


@pytest.fixture
def file(tmp_path):
    return tmp_path / "tasks.db"


@pytest.fixture
def lead(file):
    lead = Lead(file)
    yield lead
    lead.release()


@pytest.fixture
def start():
    """Starts a program in another process; what it prints first says that it is there."""
    children = []

    def start(program, *arguments):
        command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program, *arguments]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        children.append(child)
        return child

    yield start
    for child in children:
        child.kill()
        child.communicate()


HOLDING = """
import sys
from windlass.stores.lead import Lead
lead = Lead(sys.argv[1])
assert lead.try_take()
while True:
    print(lead.held, lead.try_take(), flush=True)
    sys.stdin.readline()
"""


def held(child):
    """Wait for the holder's next word: whether it holds the lock, and whether it can take it."""
    return child.stdout.readline().split()


def ask(child):
    child.stdin.write("\n")
    child.stdin.flush()
    return held(child)


# -- in one process --------------------------------------------------------------------------------


def test_only_one_leads(file, lead):
    other = Lead(file)
    assert lead.try_take()
    assert lead.try_take()
    assert not other.try_take()
    assert (lead.held, other.held) == (True, False)
    lead.release()
    lead.release()
    assert not lead.held
    assert other.try_take()
    other.release()


def test_two_names_of_a_file_are_one(file, lead, tmp_path):
    file.touch()
    (tmp_path / "link.db").symlink_to(file)
    assert lead.try_take()
    assert not Lead(tmp_path / "link.db").try_take()


def test_waiting_can_be_given_up(file, lead):
    lead.try_take()
    cancelled = threading.Event()
    answers = []
    waiter = threading.Thread(target=lambda: answers.append(Lead(file).wait(cancelled)))
    waiter.start()
    cancelled.set()
    waiter.join(LIMIT)
    assert answers == [False]


def test_one_of_several_takes_over(file, lead):
    lead.try_take()
    first, second = Lead(file), Lead(file)
    assert not first.try_take()
    assert not second.try_take()
    assert first.take_over()
    assert (lead.held, first.held) == (False, True)
    # Whom the second one found silent leads no more: it must look again.
    assert not second.take_over()
    assert first.held
    assert second.take_over()
    assert (first.held, second.held) == (False, True)
    second.release()


def test_taking_over_from_nobody_is_taking(file, lead):
    assert lead.take_over()
    assert lead.held
    assert list(file.parent.iterdir()) == [lead.path]


def test_a_lock_file_that_was_deleted_is_lost(lead):
    lead.try_take()
    lead.path.unlink()
    assert not lead.held
    assert lead.try_take()


def test_a_lock_that_cannot_be_had_says_why(tmp_path):
    with pytest.raises(StoreError, match=r"missing/tasks\.db\.lock cannot be used.*give this user"):
        Lead(tmp_path / "missing" / "tasks.db").try_take()


def open_files():
    return len(list(Path("/dev/fd").iterdir()))


def test_no_file_stays_open(lead):
    before = open_files()
    for _ in range(50):
        lead.try_take()
        other = Lead(lead.path.with_suffix(""))
        other.try_take()
        other.take_over()
        other.release()
        lead.release()
    assert open_files() == before


# -- several processes -----------------------------------------------------------------------------


def test_whoever_is_killed_is_followed_at_once(file, lead, start):
    holder = start(HOLDING, str(file))
    assert held(holder) == ["True", "True"]
    cancelled = threading.Event()
    waiter = threading.Thread(target=lead.wait, args=[cancelled])
    waiter.start()
    holder.kill()
    holder.wait()
    waiter.join(LIMIT)
    cancelled.set()
    waiter.join(LIMIT)
    assert lead.held


def test_whoever_is_stopped_can_be_replaced_and_notices(file, lead, start):
    holder = start(HOLDING, str(file))
    assert held(holder) == ["True", "True"]
    holder.send_signal(signal.SIGSTOP)
    assert not lead.try_take()
    assert lead.take_over()
    holder.send_signal(signal.SIGCONT)
    assert ask(holder) == ["False", "False"]
    assert lead.held
    lead.release()
    assert ask(holder) == ["False", "True"]


def test_whoever_follows_the_successor_need_not_wait_for_the_stopped(file, lead, start):
    stopped = start(HOLDING, str(file))
    assert held(stopped) == ["True", "True"]
    stopped.send_signal(signal.SIGSTOP)
    successor = Lead(file)
    assert not successor.try_take()
    assert successor.take_over()
    assert not lead.try_take()
    successor.release()
    assert lead.wait(threading.Event())


FORKING = """
import os, signal, sys
from windlass.stores.lead import Lead
lead = Lead(sys.argv[1])
assert lead.try_take()
if os.fork() == 0:
    print(os.getpid(), lead.held, lead.try_take(), flush=True)
signal.pause()
"""


def test_a_forked_child_does_not_keep_the_lock(file, lead, start):
    parent = start(FORKING, str(file))
    child, *said = held(parent)
    try:
        assert said == ["False", "False"]
        assert not lead.try_take()
        parent.kill()
        parent.wait()
        assert lead.try_take()
    finally:
        os.kill(int(child), signal.SIGKILL)


def test_a_program_that_was_started_does_not_keep_the_lock(file, lead, start):
    program = (
        "import subprocess, sys; from windlass.stores.lead import Lead;"
        "lead = Lead(sys.argv[1]); assert lead.try_take();"
        "child = subprocess.Popen(['sleep', '60'], close_fds=False, stdout=subprocess.DEVNULL);"
        "print(child.pid, flush=True); child.wait()"
    )
    parent = start(program, str(file))
    (child,) = held(parent)
    try:
        parent.kill()
        parent.wait()
        assert lead.try_take()
    finally:
        os.kill(int(child), signal.SIGKILL)


RACING = """
import os, sys
from windlass.stores.lead import Lead
lead, mark = Lead(sys.argv[1]), sys.argv[1] + ".mark"
print("ready", flush=True)
sys.stdin.readline()
won = 0
while won < 100:
    if lead.try_take():
        # Two at a time could not both make it.
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
        won += 1
        os.unlink(mark)
        lead.release()
print("done")
"""


def test_two_that_race_never_both_lead(file, start):
    racers = [start(RACING, str(file)) for _ in range(2)]
    for racer in racers:
        assert held(racer) == ["ready"]
    for racer in racers:
        racer.stdin.write("\n")
        racer.stdin.flush()
    for racer in racers:
        said, _ = racer.communicate(timeout=LIMIT)
        assert (said, racer.returncode) == ("done\n", 0)


TAKING_OVER = """
import sys
from windlass.stores.lead import Lead
lead = Lead(sys.argv[1])
assert not lead.try_take()
print("ready", flush=True)
sys.stdin.readline()
print(lead.take_over(), lead.held, flush=True)
sys.stdin.readline()
print(lead.held, flush=True)
sys.stdin.readline()
"""


def test_of_those_that_take_over_at_once_one_leads(file, lead, start):
    for _ in range(5):
        assert lead.try_take()
        rivals = [start(TAKING_OVER, str(file)) for _ in range(3)]
        for rival in rivals:
            assert held(rival) == ["ready"]
        for rival in rivals:
            rival.stdin.write("\n")
            rival.stdin.flush()
        # One that comes later may take over from one that has: it looks again before it does.
        assert "True" in [held(rival)[0] for rival in rivals]
        assert [ask(rival)[0] for rival in rivals].count("True") == 1
        assert not lead.held
        for rival in rivals:
            rival.communicate(timeout=LIMIT)

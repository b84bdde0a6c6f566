"""Every example runs as a program of its own and prints what it promises."""

import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from redis_server import HOW_TO_GET_ONE, find_redis_server

EXAMPLES = Path(__file__).parent.parent / "examples"

EXPECTED = {
    "first_steps": """
        submitted: fetch pending
        meanwhile: degrees waiting
        the report: Oslo: 21 degrees, sunny
        in Fahrenheit: 69
        Rome: 21 degrees, sunny
        Lima: 21 degrees, sunny
        Cairo: 21 degrees, sunny
        Kyoto: 21 degrees, sunny
        """,
    "dependencies": """
        the bill: 14.0 - the order is on its way
        the total failed without a start: True
        1 of 2 prices are known
        """,
    "retries_and_timeouts": """
        attempt 1
        attempt 2
        attempt 3
        through on attempt 3
        given up after 1 attempt: ValueError
        cleaned up
        cleaned up
        in time
        cleaned up
        stopped: True
        """,
    "progress_and_cancel": """
        copied: 10
        under way: True
        cancelled: True
        ended: cancelled (asked)
        why it is not done: running
        the socket is closed
        again: False
        """,
    "groups": """
        ['Ash has it', 'Birch has it']
        failed: the shop has burnt down
        Cedar was cancelled
        ['Elm has it', 'Fir has it']
        """,
    "plain_code": """
        144
        hello, plain code
        not yet: False
        [0, 1, 4, 9, 16]
        [36, 49]
        all done: completed
        """,
    "processes": """
        primes: [1229, 2262]
        elsewhere: True
        killed: no loop is endless
        crashed: True
        and on it goes: 25
        """,
    "graph": """
        party(roof(walls(base())), garden(base()))
        ✓ base [completed]
        ✓ walls [completed]  ◀─ base
        ✓ roof [completed]  ◀─ walls
        ✓ garden [completed]  ◀─ base
        ✓ party [completed]  ◀─ roof, garden
        refused: the graph has a cycle: hen -> egg -> hen
        """,
    "rate_and_outage": """
        the gate is open
        the gate is half-open
        the gate is open
        the gate is half-open
        the gate is open
        the gate is half-open
        the gate is closed
        25 answers from 30 calls
        """,
    "gpu": """
        before the heavy one: ['a', 'b', 'c', 'd', 'no gpu']
        after it: ['e', 'f'] and most in use was 2
        later: ['x', 'y', 'z'] with 1 slot
        """,
    "tenants": """
        Small and Tiny were among the first hundred: True
        Giant got through, too: 1000
        not begun: cancelled: expired
        """,
    "agents": """
        agents: ['ready', 'ready', 'ready']
        asked 60, answered 60
        and of 7^20: {{"7^20":76}}
        agents ended with [-9, 0, 0]
        """,
    "crash": """
        paid 3
        paid 4
        paid 5
        all paid: 15 in so many attempts: [1, 1, 2, 1, 1]
        """,
    "newsroom": """
        86 stories, 10 copies, 4 pages missing
        The front page is in {here}/newsroom.html
        """,
}


def run(*command, cwd, code=0):
    done = subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done


@pytest.fixture(scope="module")
def newsrooms(tmp_path_factory):
    """The longest example, by itself and with ``windlass run``: the runs, and where they are.

    They are begun first and looked at last: each is ten seconds, nearly all of them waiting.
    """
    commands = [("-W", "error"), ("-m", "windlass.cli", "run")]
    with ThreadPoolExecutor() as pool:
        runs = []
        for command in commands:
            folder = tmp_path_factory.mktemp("newsroom")
            done = pool.submit(run, *command, EXAMPLES / "newsroom.py", cwd=folder)
            runs.append((done, folder))
        yield runs


def words(text):
    return [line.strip() for line in text.strip().splitlines()]


def test_no_example_is_forgotten():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == EXPECTED.keys()


def check(name, done, folder):
    assert words(done.stdout) == words(EXPECTED[name].format(here=folder))
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("newsrooms")
@pytest.mark.parametrize("name", [name for name in EXPECTED if name != "newsroom"])
def test_example(tmp_path, name):
    if name == "agents":
        pytest.importorskip("redis", reason="needs the Redis client: pip install 'windlass[redis]'")
        if find_redis_server() is None:
            pytest.skip(HOW_TO_GET_ONE)
    if name == "crash":  # it is about what is left after its first run
        killed = run(EXAMPLES / "crash.py", cwd=tmp_path, code=-signal.SIGKILL)
        assert words(killed.stdout) == ["paid 1", "paid 2", "killed while paying 3"]
    check(name, run("-W", "error", EXAMPLES / f"{name}.py", cwd=tmp_path), tmp_path)


def test_the_newsroom(newsrooms):
    done, folder = newsrooms[0]
    check("newsroom", done.result(), folder)


def test_the_newsroom_with_windlass_run(newsrooms):
    running, folder = newsrooms[1]
    done = running.result()
    check("newsroom", done, folder)
    assert "✔ 302 tasks in" in done.stderr
    # It is about slow, busy and broken pages, and they are there.
    assert "timed out, retry in" in done.stderr
    assert "is busy" in done.stderr
    page = (folder / "newsroom.html").read_text()
    assert page.count("<meter") == 86
    reasons = re.findall(r"<li>page (\d+): ([a-z ]+)", page)
    assert reasons == [
        ("22", "it breaks off after "),
        ("31", "the site says "),
        ("57", "the site says "),
        ("66", "the site says "),
    ]


def test_examples_are_as_short_as_they_promise():
    for path in EXAMPLES.glob("*.py"):
        most = {"newsroom": 149, "agents": 80}.get(path.stem, 50)
        assert len(path.read_text().splitlines()) <= most, path

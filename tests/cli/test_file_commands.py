"""The commands on a file of tasks, beside a process that has died, or one that works on."""

import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys

import pytest
from programs import WINDLASS, python, windlass, write
from terminal import Terminal

from windlass.observe import TaskFile

PROGRAM = """
import asyncio, os, sys
from windlass import TaskManager, current_task, task

@task
async def fetch(url):
    if "bad" in url and not os.path.exists("mended"):
        raise ValueError(f"no such page: {url}")
    return url.upper()

@task
async def combine(*parts):
    return list(parts)

@task(on_crash="fail")
async def charge(seconds=1000):
    current_task().progress(0.5, "half of it")
    print("charged", flush=True)
    await asyncio.sleep(seconds)

async def main(mode):
    async with TaskManager("jobs.db") as tm:
        def put(id, name, function, *args):
            tm.register_task(name, function, *args, task_id=id)
            return tm.execute_task(id)

        if mode != "again":
            put("good", "fetch", fetch, "page")
            bad = put("bad", "fetch", fetch.options(tags=["x"], owner="ann"), "bad page")
            put("fallen", "combine", combine, bad.output)
            running = put("running", "charge", charge)
            put("waiting", "combine", combine, running.output)
            put("later", "fetch", fetch.options(delay=3600), "later")
            await tm.gather(bad, return_errors=True)
            while running.status == "pending":
                await asyncio.sleep(0.01)
            await tm.flush()
        print("ready", flush=True)
        if mode == "crash":
            os._exit(9)
        if mode == "again":
            handles = [tm.get_handle(id) for id in sys.argv[2:]]
            print(await tm.gather(*handles, return_errors=True), flush=True)
            await tm.stop()
        else:
            await asyncio.sleep(1000)

asyncio.run(main(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def wreck(tmp_path_factory):
    """A folder as a program that was killed has left it."""
    folder = tmp_path_factory.mktemp("wreck")
    write(folder, PROGRAM)
    assert python("program.py", "crash", cwd=folder).returncode == 9
    return folder


@pytest.fixture
def crashed(wreck, tmp_path):
    """A folder of one's own with the file of a program that was killed."""
    return shutil.copytree(wreck, tmp_path / "wreck")


@pytest.fixture
def led(tmp_path):
    """A folder with the file of a program that works on; ``led.program`` is its process."""
    write(tmp_path, PROGRAM)
    program = subprocess.Popen(
        [sys.executable, "program.py", "work"], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    try:
        while program.stdout.readline() != "ready\n":
            assert program.poll() is None
        yield tmp_path, program
    finally:
        program.kill()
        program.communicate()


def asked(folder, *args):
    """What a command prints as JSON."""
    done = windlass(*args, "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def statuses(folder):
    return {one["id"]: one["status"] for one in asked(folder, "ls", "jobs.db")}


def contents(folder):
    """Everything in a folder, and what would tell that it was changed."""
    return {
        path.name: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in folder.iterdir()
        if not path.name.endswith("-shm")  # where readers note that they read
    }


READING = [
    ("ls", "jobs.db"), ("show", "jobs.db", "bad"), ("stats", "jobs.db"), ("doctor", "jobs.db"),
    ("purge", "jobs.db", "--older-than", "0", "--dry-run"),
]  # fmt: skip
WRITING = [
    ("cancel", "jobs.db", "x"), ("retry", "jobs.db", "x"), ("purge", "jobs.db", "--keep", "1"),
    ("vacuum", "jobs.db"),
]  # fmt: skip
AFTER_A_CRASH = {
    "good": "completed", "bad": "failed", "fallen": "failed", "running": "running",
    "waiting": "waiting", "later": "pending",
}  # fmt: skip


# -- looking ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [*READING, *WRITING], ids=lambda command: command[0])
def test_a_file_that_is_not_there_is_not_made(tmp_path, command):
    done = windlass(*command, cwd=tmp_path)
    assert done.returncode == 2
    assert f"windlass {command[0]}: there is no file" in done.stderr
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("command", [*READING, *WRITING], ids=lambda command: command[0])
def test_a_file_without_tasks_stays_as_it_is(tmp_path, command):
    connection = sqlite3.connect(tmp_path / "jobs.db")
    connection.execute("CREATE TABLE mine (x)")
    connection.close()
    before = contents(tmp_path)
    done = windlass(*command, cwd=tmp_path)
    assert done.returncode == 2
    assert "holds no tasks" in done.stderr
    assert contents(tmp_path) == before


def test_looking_changes_nothing_and_knows_no_function(crashed):
    before = contents(crashed)
    for command in READING:
        done = windlass(*command, cwd=crashed)
        assert (done.returncode, done.stderr) == (0, ""), (command, done.stderr)
    assert contents(crashed) == before
    assert statuses(crashed) == AFTER_A_CRASH


def test_a_file_that_was_closed_gets_no_company(crashed):
    assert asked(crashed, "cancel", "jobs.db", "running") == [
        {"id": "running", "status": "cancelled", "refused": None}
    ]
    before = contents(crashed)
    assert "jobs.db-wal" not in before
    for command in READING:
        assert windlass(*command, cwd=crashed).returncode == 0
    assert contents(crashed) == before


def test_a_file_in_a_folder_that_cannot_be_written(crashed, tmp_path_factory):
    assert asked(crashed, "vacuum", "jobs.db")["after"] > 0  # and with that, the log is put back
    place = tmp_path_factory.mktemp("disk")
    if (
        os.geteuid() == 0
        and subprocess.run(["mount", "-t", "tmpfs", "x", place], check=False).returncode
    ):
        pytest.skip("root can write everywhere, and mounting is not allowed here")
    shutil.copy(crashed / "jobs.db", place)
    if os.geteuid() == 0:
        subprocess.run(["mount", "-o", "remount,ro", place], check=True)
    else:
        place.chmod(0o555)
    try:
        assert statuses(place) == AFTER_A_CRASH
        for command in READING:
            assert windlass(*command, cwd=place).returncode == 0, command
        refused = windlass("cancel", "jobs.db", "later", cwd=place)
        assert refused.returncode == 2
        assert "Give this user the right" in refused.stderr
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", "--lazy", place], check=True)
        else:
            place.chmod(0o755)


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--status", "failed"], ["bad", "fallen"]),
        (["--status", "failed", "--status", "pending"], ["bad", "fallen", "later"]),
        (["--name", "combine"], ["fallen", "waiting"]),
        (["--name", "program.charge"], ["running"]),
        (["--tag", "x"], ["bad"]),
        (["--owner", "ann"], ["bad"]),
        (["--owner", "bob"], []),
        (["--limit", "2"], ["waiting", "later"]),
        (["--limit", "0"], [*AFTER_A_CRASH]),
        (["--status", "failed", "--limit", "1"], ["fallen"]),
    ],
)
def test_what_is_listed(crashed, options, found):
    assert [one["id"] for one in asked(crashed, "ls", "jobs.db", *options)] == found


def test_show_tells_all_about_a_failure(crashed):
    shown = asked(crashed, "show", "jobs.db", "bad")
    assert shown["error"] == {"type": "ValueError", "text": "no such page: bad page"}
    assert shown["attempts"][0]["ended"] == "failed"
    assert "program.py" in shown["traceback"]
    assert shown["tags"] == ["x"]
    text = windlass("show", "jobs.db", "bad", cwd=crashed).stdout
    for part in ("failed after", "raise ValueError", "no such page: bad page", "owner", "ann"):
        assert part in text
    fallen = windlass("show", "jobs.db", "fallen", cwd=crashed).stdout
    assert "after        ✘ fetch  bad  failed" in fallen


@pytest.mark.parametrize(
    ("id", "words"),
    [
        ("good", "completed"),
        ("running", "was running when its process died"),
        ("waiting", "waiting for `charge`"),
        ("later", "next try"),
    ],
)
def test_show_explains(crashed, id, words):
    assert words in asked(crashed, "show", "jobs.db", id)["explanation"]


def test_show_of_a_task_that_is_not_there(crashed):
    done = windlass("show", "jobs.db", "nobody", cwd=crashed)
    assert done.returncode == 1
    assert "there is no task 'nobody'" in done.stderr


def test_stats(crashed):
    found = asked(crashed, "stats", "jobs.db")
    assert found["counts"]["failed"] == 2
    assert found["functions"]["program.fetch"]["counts"] == {
        "completed": 1, "failed": 1, "pending": 1
    }  # fmt: skip
    assert found["ended"] == {"last_minute": 3, "last_hour": 3, "last_day": 3}
    assert "6 tasks" in windlass("stats", "jobs.db", cwd=crashed).stdout


# -- with nobody there -----------------------------------------------------------------------------


def test_what_is_cancelled_and_retried_while_nobody_is_there(crashed):
    done = windlass("cancel", "jobs.db", "waiting", "good", "nobody", "--json", cwd=crashed)
    assert done.returncode == 1
    refused = {one["id"]: one["refused"] for one in json.loads(done.stdout)}
    assert refused == {
        "waiting": None, "good": "it is completed already", "nobody": "there is no such task"
    }  # fmt: skip
    assert windlass("retry", "jobs.db", "good", cwd=crashed).returncode == 1
    assert asked(crashed, "retry", "jobs.db", "bad", "--downstream")[0]["status"] == "pending"
    # What ran when its process died is for the next program: it knows of on_crash, we do not.
    assert statuses(crashed) == {
        **AFTER_A_CRASH, "bad": "pending", "fallen": "waiting", "waiting": "cancelled"
    }  # fmt: skip
    (crashed / "mended").touch()
    again = python("program.py", "again", "bad", "fallen", cwd=crashed)
    assert "['BAD PAGE', ['BAD PAGE']]" in again.stdout, again.stderr
    assert "charged" not in again.stdout
    assert statuses(crashed)["running"] == "failed"


def test_purging(crashed):
    assert asked(crashed, "purge", "jobs.db", "--status", "failed", "--keep", "1") == {
        "forgotten": 1, "dry_run": False
    }  # fmt: skip
    assert "bad" not in statuses(crashed)
    assert windlass("purge", "jobs.db", "--older-than", "1h", cwd=crashed).stdout == (
        "0 tasks forgotten\n"
    )
    assert asked(crashed, "purge", "jobs.db", "--older-than", "0")["forgotten"] == 2
    assert [*statuses(crashed)] == ["running", "waiting", "later"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "say what is to be forgotten"),
        (["--status", "running"], "have not ended"),
        (["--older-than", "soon"], "is no duration"),
    ],
)
def test_purges_that_are_refused(crashed, options, words):
    done = windlass("purge", "jobs.db", *options, cwd=crashed)
    assert done.returncode == 2
    assert words in " ".join(done.stderr.split())


# -- with a program that works on ------------------------------------------------------------------


def test_what_is_cancelled_and_retried_while_a_program_runs(led):
    folder, program = led
    assert asked(folder, "cancel", "jobs.db", "running", "later") == [
        {"id": "running", "status": "cancelled", "refused": None},
        {"id": "later", "status": "cancelled", "refused": None},
    ]
    assert statuses(folder)["waiting"] == "cancelled"
    (folder / "mended").touch()
    asked(folder, "retry", "jobs.db", "bad", "--downstream")
    assert program.poll() is None
    assert asked(folder, "doctor", "jobs.db")["leader"]["pid"] == program.pid
    assert asked(folder, "purge", "jobs.db", "--status", "cancelled")["forgotten"] == 3
    assert {*statuses(folder)} == {"good", "bad", "fallen"}
    assert asked(folder, "vacuum", "jobs.db")["after"] > 0


def test_how_far_a_task_is_that_runs(led):
    folder, program = led
    progress = {one["id"]: one["progress"] for one in asked(folder, "ls", "jobs.db")}
    assert progress["running"] == asked(folder, "show", "jobs.db", "running")["progress"] == 0.5
    assert "running  " in windlass("ls", "jobs.db", cwd=folder).stdout
    assert "50% half of it" in windlass("show", "jobs.db", "running", cwd=folder).stdout
    program.kill()
    program.wait()
    assert asked(folder, "show", "jobs.db", "running")["progress"] == 0.0
    assert asked(folder, "doctor", "jobs.db")["leader"]["seen"].count("T") == 1


def test_a_program_that_does_not_answer(led):
    folder, program = led
    program.send_signal(signal.SIGSTOP)
    done = windlass("cancel", "jobs.db", "later", "--timeout", "0.5", cwd=folder)
    assert done.returncode == 1
    assert f"process {program.pid}" in done.stderr
    assert "has not answered within 0.5 seconds" in done.stderr
    examined = asked(folder, "doctor", "jobs.db", "--quick")
    assert examined["requests"] == {"cancel": 1}
    lock = folder / "jobs.db.lock"
    (folder / "now").touch()
    now = (folder / "now").stat().st_mtime
    os.utime(lock, (now - 6,) * 2)
    assert "no sign of life" in windlass("doctor", "jobs.db", "--quick", cwd=folder).stdout
    os.utime(lock, (now - 60,) * 2)
    examined = windlass("doctor", "jobs.db", cwd=folder)
    assert examined.returncode == 1
    assert "has given no sign of life for" in examined.stdout
    program.send_signal(signal.SIGCONT)
    assert windlass("cancel", "jobs.db", "waiting", cwd=folder).returncode == 0
    assert statuses(folder)["later"] == "cancelled"


def test_a_program_that_dies_before_it_answers(led):
    folder, program = led
    program.send_signal(signal.SIGSTOP)
    command = [*WINDLASS, "cancel", "jobs.db", "later", "--timeout", "30"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as asking:
        look = TaskFile(folder / "jobs.db")
        while not look.state().requests:
            assert asking.poll() is None
        program.kill()
        assert asking.communicate(timeout=60)[0] == "later: cancelled\n"
    assert statuses(folder) == {**AFTER_A_CRASH, "later": "cancelled"}


# -- the doctor ------------------------------------------------------------------------------------


def test_the_doctor_after_a_crash(crashed):
    said = windlass("doctor", "jobs.db", cwd=crashed)
    assert said.returncode == 0
    for words in (
        "the file is whole", "nobody leads", "3 unfinished tasks wait", "1 of them ran",
        "jobs.db-wal and jobs.db-shm are there",
    ):  # fmt: skip
        assert words in said.stdout


def test_the_doctor_names_what_is_lacking(crashed):
    write(
        crashed,
        """
        from windlass import TaskManager
        with TaskManager("jobs.db") as tm:
            pass
        """,
        "other.py",
    )
    program = "from windlass import TaskManager\ntm = TaskManager('jobs.db')\n"
    program += "tm.start().result()\ntm.stop().result()"
    write(crashed, program, "other.py")
    assert python("other.py", cwd=crashed).returncode == 0
    said = windlass("doctor", "jobs.db", cwd=crashed)
    assert said.returncode == 1
    assert "the function 'program.fetch': 1 task needed it" in said.stdout


def test_the_doctor_finds_damage(crashed):
    assert asked(crashed, "vacuum", "jobs.db")
    file = crashed / "jobs.db"
    data = bytearray(file.read_bytes())
    for page in range(3, len(data) // 4096):  # past those that say what tables there are
        data[page * 4096 + 8 : page * 4096 + 40] = os.urandom(32)
    file.write_bytes(data)
    said = windlass("doctor", "jobs.db", cwd=crashed)
    assert said.returncode in {1, 2}
    assert "is damaged" in said.stdout + said.stderr


def test_a_file_that_is_no_database(tmp_path):
    (tmp_path / "jobs.db").write_text("what people write in files\n" * 100)
    done = windlass("doctor", "jobs.db", cwd=tmp_path)
    assert done.returncode == 2
    assert "is damaged" in done.stderr


# -- in a terminal ---------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_lines_fit_into_a_terminal(crashed, columns):
    command = [sys.executable, "-m", "windlass.cli", "ls", "jobs.db"]
    with Terminal(*command, cwd=crashed, columns=columns) as terminal:
        assert terminal.end() == 0
        lines = [line for line in terminal.text.splitlines() if line]
    assert len(lines) == 1 + len(AFTER_A_CRASH)
    assert [line.split()[1] for line in lines[1:]] == [*AFTER_A_CRASH]
    assert [line.split()[2] for line in lines[1:]] == [*AFTER_A_CRASH.values()]

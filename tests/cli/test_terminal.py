"""``windlass run`` on a real terminal: what is seen, and what Ctrl-C does."""

import re
import signal

import pytest
from programs import WINDLASS, write
from terminal import CTRL_C, Terminal

RUN = (*WINDLASS, "run")

SHOW = """
import subprocess, sys
from windlass import TaskManager, current_task, task

@task(executor="process")
def elsewhere():
    print("from a worker", flush=True)

def measured(stop):
    current_task().progress(0.4, "four tenths")
    return sys.stdin.readline()

def broken():
    raise ValueError("out of order")

def main():
    print("first line")
    with TaskManager(threads=1) as tm:
        tm.submit(elsewhere).result()
        subprocess.run(["echo", "from a child"])
        print("half a ", end="", flush=True)
        failing = tm.submit(broken)
        tm.gather(failing, return_errors=True).result()
        slow = tm.submit(measured, None)
        tm.submit(measured, slow.output)
        tm.submit(measured, None)
        slow.result()
        print("line")
        for number in range(40):
            print("row", number)
        tm.cancel_all()
    print("last line")

if __name__ == "__main__":
    main()
"""


def picture(seen):
    """The rows of the view."""
    lines = seen.screen.lines()
    tops = [row for row, line in enumerate(lines) if line.startswith("╭─ windlass")]
    return lines[tops[0] :] if tops else []


def test_what_is_seen(tmp_path):
    name = write(tmp_path, SHOW)
    with Terminal(*RUN, name, cwd=tmp_path, rows=24, columns=90) as seen:
        seen.until("four tenths")
        rows = picture(seen)
        assert name in rows[0]
        assert len(rows[0]) == 90
        counts = rows[1]
        for words in ("✔ 1 completed", "▶ 1 running", "● 1 pending", "◌ 1 waiting", "✘ 1 failed"):
            assert words in counts
        assert re.search(r"[\d.]+/s +00:0\d", counts)
        assert any(re.match(r"│ elsewhere +━+ +1/1 │", row) for row in rows)
        assert any(re.match(r"│ broken +━+ +✘ 1 +1/1 │", row) for row in rows)
        running = next(row for row in rows if "▶ measured" in row)
        assert re.search(r"\d\.\d s +━+.*40% four tenths", running)
        assert rows[-1].startswith("╰")
        # What went wrong is told as it comes, above the picture.
        assert "✘ broken" in seen.text.partition("╭")[0]
        assert "failed: ValueError: out of order" in seen.text.partition("╭")[0]
        seen.type("\n")
        assert seen.end() == 1
    lines = [line for line in seen.text.splitlines() if line]
    wanted = ["first line", "from a worker", "from a child", "line", "row 0", "row 39", "last line"]
    assert [line for line in lines if line in wanted] == wanted
    # Nothing is left of the picture, and the summary follows on the program's last line.
    assert not any(mark in seen.text for mark in "╭│╰━")
    after = seen.text.partition("last line\n")[2]
    assert after.startswith("✘ 5 tasks in ")
    assert "broken" in after


def test_the_picture_stays_where_it_is_when_the_terminal_is_resized(tmp_path):
    name = write(tmp_path, SHOW)
    with Terminal(*RUN, name, cwd=tmp_path, rows=24, columns=90) as seen:
        seen.until("four tenths")
        seen.resize(30, 100)
        seen.screen.__init__(30, 100)
        seen.until(lambda seen: "╭" in seen.text and seen.screen.lines()[-1].startswith("╰"))
        assert len(picture(seen)[0]) == 100
        seen.type("\n")
        assert seen.end() == 1


@pytest.mark.parametrize("env", [{"TERM": "dumb"}, {"PYTHONIOENCODING": "ascii:replace"}])
def test_a_terminal_that_cannot_show_it_gets_lines(tmp_path, env):
    name = write(tmp_path, SHOW)
    with Terminal(*RUN, name, cwd=tmp_path, **env) as seen:
        seen.type("\n")
        assert seen.end() == 1
    assert not re.search(r"\x1b\[1;\d+r", seen.raw)
    assert "elsewhere" in seen.raw
    assert "╭" not in seen.raw
    assert "\\u" not in seen.raw


def test_plain_means_lines(tmp_path):
    name = write(tmp_path, SHOW)
    with Terminal(*RUN, "--plain", name, cwd=tmp_path) as seen:
        seen.type("\n")
        assert seen.end() == 1
    assert "✔ elsewhere" in seen.text
    assert "╭" not in seen.raw


def test_output_that_goes_elsewhere_is_the_programs_alone(tmp_path):
    name = write(tmp_path, "import sys\nsys.stdout = open('out', 'w')\n" + SHOW)
    with Terminal(*RUN, name, cwd=tmp_path) as seen:
        seen.until("four tenths").type("\n")
        assert seen.end() == 1
    printed = (tmp_path / "out").read_text()
    assert printed.startswith("first line\nhalf a line\nrow 0\n")
    assert printed.endswith("row 39\nlast line\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_it_leaves_the_terminal_as_it_was(tmp_path, number):
    name = write(tmp_path, SHOW)
    with Terminal(*RUN, name, cwd=tmp_path) as seen:
        seen.until("four tenths")
        seen.process.send_signal(number)
        assert seen.end() == -number
    assert seen.screen.bottom == 23
    assert "╭" not in seen.text


def test_suspended_and_resumed(tmp_path):
    name = write(tmp_path, SHOW)
    with Terminal(*RUN, name, cwd=tmp_path) as seen:
        seen.until("four tenths")
        # A process that has nobody to resume it, an orphan's, is not stopped by its terminal.
        seen.process.send_signal(signal.SIGTSTP)
        seen.until(lambda seen: "╭" not in seen.text)
        seen.process.send_signal(signal.SIGCONT)
        seen.until(lambda seen: "╭" in seen.text).type("\n")
        assert seen.end() == 1


# -- Ctrl-C ---------------------------------------------------------------------------------------

ASYNC = """
import asyncio, sys
from windlass import TaskManager, current_task

def typed():
    print("running", flush=True)
    print("typed", sys.stdin.readline().strip())
    return 1

async def endless():
    try:
        print("running", flush=True)
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0.01)
        print("cleaned up")

async def waits_for_another():
    print("running", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    print("submitting")
    await current_task().submit(never)

async def never():
    print("this must not be")

async def main(first):
    async with TaskManager(max_concurrent_tasks=1) as tm:
        handles = [tm.submit(first), tm.submit(never), tm.submit(never)]
        await tm.gather(*handles)

try:
    asyncio.run(main(globals()[sys.argv[1]]))
except KeyboardInterrupt:
    print("interrupted")
    raise
"""

# Here Ctrl-C comes while the block is left, which waits for all tasks.
LEAVING = ASYNC.replace("        await tm.gather(*handles)\n", "")

PLAIN = (
    ASYNC.partition("async def main")[0]
    + """
try:
    with TaskManager(max_concurrent_tasks=1) as tm:
        handles = [tm.submit(globals()[sys.argv[1]]), tm.submit(never), tm.submit(never)]
        tm.gather(*handles).result()
except KeyboardInterrupt:
    print("interrupted")
    raise
"""
)

PROGRAMS = {
    "async": ASYNC,
    "leaving": LEAVING,
    "plain": PLAIN,
    "plain leaving": PLAIN.replace("        tm.gather(*handles).result()\n", ""),
}
each_program = pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)


@each_program
def test_ctrl_c_lets_running_tasks_finish(tmp_path, program):
    name = write(tmp_path, program)
    with Terminal(*RUN, name, "typed", cwd=tmp_path) as seen:
        seen.until("running\n").until("▶ 1 running").type(CTRL_C)
        seen.until("1 still running, no more are started")
        seen.type("enough\n")
        assert seen.end() == 130
    assert "typed enough\ninterrupted\n" in seen.text
    assert "this must not be" not in seen.text
    assert "Traceback" not in seen.text
    assert re.search(r"⊘ 3 tasks in .* until Ctrl-C: 1 completed, 2 cancelled", seen.text)


@each_program
def test_ctrl_c_twice_cancels(tmp_path, program):
    name = write(tmp_path, program)
    with Terminal(*RUN, name, "endless", cwd=tmp_path) as seen:
        seen.until("running\n").until("▶ 1 running").type(CTRL_C)
        seen.until("1 still running").type(CTRL_C)
        assert seen.end() == 130
    assert "cleaned up\ninterrupted\n" in seen.text
    assert "this must not be" not in seen.text
    assert "Traceback" not in seen.text
    assert "3 cancelled" in seen.text


def test_ctrl_c_does_not_wait_for_a_task_that_waits_for_one_that_cannot_start(tmp_path):
    name = write(tmp_path, ASYNC)
    with Terminal(*RUN, name, "waits_for_another", cwd=tmp_path) as seen:
        seen.until("running\n").until("▶ 1 running").type(CTRL_C)
        seen.until("1 still running").type("\n")
        assert seen.end() == 130
    assert "submitting\ninterrupted\n" in seen.text
    assert "this must not be" not in seen.text


def test_ctrl_c_without_tasks_is_pythons(tmp_path):
    name = write(
        tmp_path,
        """
        import threading
        from windlass import TaskManager
        with TaskManager() as tm:
            tm.submit(int).result()
            print("waiting", flush=True)
            try:
                threading.Event().wait()
            finally:
                print("interrupted")
        """,
    )
    with Terminal(*RUN, name, cwd=tmp_path) as seen:
        seen.until("waiting").until("✔ 1 completed").type(CTRL_C)
        assert seen.end() == 130
    assert "interrupted" in seen.text
    assert "Traceback" not in seen.text


def test_a_third_ctrl_c_breaks_in(tmp_path):
    name = write(
        tmp_path,
        """
        import asyncio, sys
        from windlass import TaskManager
        async def forever():
            await asyncio.Event().wait()
        async def main():
            async with TaskManager() as tm:
                tm.submit(forever)
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    print("deaf", flush=True)
                    sys.stdin.readline()
        asyncio.run(main())
        """,
    )
    with Terminal(*RUN, name, cwd=tmp_path) as seen:
        seen.until("▶ 1 running").type(CTRL_C)
        seen.until("1 still running").type(CTRL_C)
        seen.until("deaf").type(CTRL_C)
        assert seen.end() == 130
    assert "Traceback" not in seen.text


def test_a_program_keeps_its_own_handler(tmp_path):
    name = write(
        tmp_path,
        """
        import signal, threading
        from windlass import TaskManager
        over = threading.Event()
        signal.signal(signal.SIGINT, lambda *_: over.set())
        with TaskManager() as tm:
            tm.submit(over.wait)
        print("in my own way")
        """,
    )
    with Terminal(*RUN, name, cwd=tmp_path) as seen:
        seen.until("▶ 1 running").type(CTRL_C)
        assert seen.end() == 0
    assert "in my own way" in seen.text

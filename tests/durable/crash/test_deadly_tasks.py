"""A task that kills its process is started three times, and its neighbours get through."""

import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import pytest

import windlass
from durable.stage import read

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX")

PROGRAM = """
    import asyncio, os, sys
    from windlass import TaskManager, task

    FILE, LOG = sys.argv[1:3]
    ready = asyncio.Event()

    def note(name):
        with open(LOG, "a") as log:
            log.write(name + "\\n")

    @task(id="deadly")
    async def deadly():
        note("deadly")
        await ready.wait()
        await asyncio.sleep(0.05)
        os._exit(3)

    @task(id="quick")
    async def quick(n):
        note(f"quick-{n}")
        await asyncio.sleep(0.01)

    @task(id="slow")
    async def slow(n):
        note(f"slow-{n}")
        await asyncio.sleep(0.2)

    async def main():
        async with TaskManager(FILE, max_concurrent_tasks=4) as tm:
            if not tm.list_tasks():
                handles = [tm.submit(slow, 0), tm.submit(deadly), tm.submit(slow, 1)]
                handles += [tm.submit(quick, n) for n in range(20)]
                for handle in handles:
                    await handle.stored
            ready.set()

    asyncio.run(main())
"""


def test_it_is_started_three_times_and_its_neighbours_are_unharmed(tmp_path):
    script, file, log = tmp_path / "program.py", tmp_path / "jobs.db", tmp_path / "log"
    script.write_text(textwrap.dedent(PROGRAM))
    codes = []
    while 0 not in codes and len(codes) < 6:
        done = subprocess.run(
            [sys.executable, "-W", "error", script, file, log],
            env={"PYTHONPATH": str(Path(windlass.__file__).parents[1])},
            timeout=60,
            check=False,
            capture_output=True,
            text=True,
        )
        codes.append(done.returncode)
    assert codes == [3, 3, 3, 0], done.stderr
    statuses = Counter(read(file, "SELECT function, status FROM windlass_tasks"))
    assert statuses[("deadly", "failed")] == 1
    assert statuses[("quick", "completed")] == 20
    assert statuses[("slow", "completed")] == 2
    assert Counter(log.read_text().split())["deadly"] == 3

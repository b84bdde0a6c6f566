"""``python -m bench.crash``: what is left of twenty tasks when everything is killed.

Twenty tasks of 0.4 s, two at a time. When six have started, every process that runs them is killed
with ``kill -9``, and started again at once, with default settings; a broker such as Redis lives on.
How many of the twenty have finished how soon? And what becomes of a task that kills its process?

Each system runs as its own program, in ``crash_apps``; one that is not installed is left out, and
said to be. The tasks write down themselves when they start and end.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep  # noqa: TID251  # it watches processes
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

APPS = Path(__file__).with_name("crash_apps")
TASKS, AT_KILL, PATIENCE, BUDGET = 20, 6, 30.0, 5.0
PYTHON = sys.executable


class System(NamedTuple):
    """How a system's program is run, in the folder where it is ``app.py``."""

    name: str
    module: str
    """What must be installed."""
    worker: tuple[str, ...]
    workers: int = 1
    redis: bool = False
    stays: bool = False
    """Whether the program that submits is the one that works."""


def _bin(name: str) -> str:
    return str(Path(PYTHON).with_name(name))


SYSTEMS = (
    System("Windlass", "windlass", (PYTHON, "app.py")),
    System("Huey, SQLite", "huey", (PYTHON, _bin("huey_consumer"), "app.huey", "-w", "2")),
    System("DBOS, SQLite", "dbos", (PYTHON, "app.py"), stays=True),
    System("APScheduler 4, SQLite", "apscheduler", (PYTHON, "app.py")),
    System("Celery, Redis", "celery", (PYTHON, "-m", "celery", "-A", "app", "worker", "-c", "2"),
           redis=True),
    System("RQ, Redis", "rq", (_bin("rq"), "worker", "--url", "REDIS_URL"), workers=2, redis=True),
    System("SAQ, Redis", "saq", (_bin("saq"), "app.settings"), redis=True),
    System("TaskIQ, Redis", "taskiq_redis",
           (_bin("taskiq"), "worker", "app:broker", "-w", "2", "--max-threadpool-threads", "1",
            "--max-async-tasks", "1"), redis=True),
)  # fmt: skip


class Outcome(NamedTuple):
    """What came of the twenty."""

    finished: int
    seconds: float | None
    """From the restart to the last end; None if not all of them have ended in time."""
    again: int
    """How many were started a second time."""


class Place:
    """A folder in which a system runs, and what its tasks noted there."""

    def __init__(self, system: System, folder: Path, redis: str, seconds: float = 0.4) -> None:
        self._system = system
        self._folder = folder
        self._log = folder / "log"
        self._log.touch()
        shutil.copy(APPS / "chore.py", folder)
        source = f"with_{system.module.removesuffix('_redis')}.py"
        shutil.copy(APPS / source, folder / "app.py")
        self._environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]),
            "CHORE_LOG": str(self._log),
            "CHORE_SECONDS": str(seconds),
            "STORE": str(folder / "store.db"),
            "REDIS_URL": redis,
        }
        self._running: list[subprocess.Popen[bytes]] = []

    def submit(self, *numbers: int) -> None:
        """Submit tasks, by the program that works on them, if it is that."""
        command = [PYTHON, "app.py", *map(str, numbers)]
        if self._system.stays:
            self.start(command)
        else:
            subprocess.run(
                command, cwd=self._folder, env=self._environment, check=True, timeout=60,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip

    def work(self) -> None:
        """Start the processes that work, unless they are on."""
        if not self._running:
            command = [
                self._environment.get(part, part) if part == "REDIS_URL" else part
                for part in self._system.worker
            ]
            for _ in range(self._system.workers):
                self.start(command)

    def start(self, command: list[str]) -> None:
        """Start a process that is killed by ``kill``."""
        self._running.append(
            subprocess.Popen(
                command,
                cwd=self._folder,
                env=self._environment,
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )

    def kill(self) -> None:
        """Kill everything that works, with all that it has started."""
        for process in self._running:
            for pid in _session(process.pid):
                with _gone_already():
                    os.kill(pid, signal.SIGKILL)
            process.wait()
        self._running = []

    @property
    def dead(self) -> bool:
        """Whether a process has ended by itself."""
        return any(process.poll() is not None for process in self._running)

    @property
    def over(self) -> bool:
        """Whether all processes have ended by themselves."""
        return all(process.poll() is not None for process in self._running)

    def noted(self, what: str) -> Counter[int]:
        """How often each task noted this."""
        lines = [line.split() for line in self._log.read_text().splitlines()]
        return Counter(int(n) for said, n, _ in lines if said == what)

    def change_source(self) -> None:
        """The program is another one after the restart, as after an update."""
        app = self._folder / "app.py"
        text = app.read_text().replace(
            "    chore.chore(n)", "    number = n\n    chore.chore(number)"
        )
        app.write_text(f'"""Another version."""\n\n{text}')

    def move(self) -> None:
        """What is restarted has another host name."""
        (self._folder / "sitecustomize.py").write_text(
            "import socket\nsocket.gethostname = lambda: 'elsewhere'\n"
        )


def _session(leader: int) -> list[int]:
    """The processes of a session."""
    pids = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with _gone_already():
                if os.getsid(int(entry.name)) == leader:
                    pids.append(int(entry.name))
    return pids


@contextmanager
def _gone_already() -> Iterator[None]:
    try:
        yield
    except ProcessLookupError:
        pass


def crash(system: System, redis: str, *, changed: bool = False, moved: bool = False) -> Outcome:
    """Kill everything when six of twenty have started; what is left?"""
    with tempfile.TemporaryDirectory() as folder:
        place = Place(system, Path(folder), redis)
        try:
            place.submit(*range(TASKS))
            place.work()
            _until(lambda: len(place.noted("start")) >= AT_KILL, PATIENCE)
            place.kill()
            if changed:
                place.change_source()
            if moved:
                place.move()
            began = monotonic()
            place.work()
            done = _until(lambda: len(place.noted("end")) == TASKS, PATIENCE)
            seconds = monotonic() - began if done else None
            again = sum(times - 1 for times in place.noted("start").values())
            return Outcome(len(place.noted("end")), seconds, again)
        finally:
            place.kill()


def deadly(system: System, redis: str) -> tuple[int, int]:
    """How often a task that kills its process is started, and how many of four others finish.

    Whatever has died is started again at once, as a supervisor would.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Place(system, Path(folder), redis)
        try:
            place.submit(0, -1, 1, 2, 3)
            place.work()

            def over() -> bool:
                if place.dead:
                    place.kill()
                    place.work()
                return len(place.noted("end")) == 4 and place.noted("start")[-1] >= 5

            _until(over, 12.0)
            return place.noted("start")[-1], len(place.noted("end"))
        finally:
            place.kill()


def shared(processes: int = 3, tasks: int = 500) -> Outcome:
    """Several processes submit to one file, and wait: how many tasks are done, how many twice?"""
    with tempfile.TemporaryDirectory() as folder:
        place = Place(SYSTEMS[0], Path(folder), "", seconds=0.002)
        began = monotonic()
        try:
            for process in range(processes):
                place.start(
                    [PYTHON, "app.py", "and-wait", *map(str, range(tasks)[process::processes])]
                )
            done = _until(lambda: place.over, PATIENCE)
            seconds = monotonic() - began if done else None
        finally:
            place.kill()
        again = sum(times - 1 for times in place.noted("start").values())
        return Outcome(len(place.noted("end")), seconds, again)


def _until(condition: Callable[[], bool], patience: float) -> bool:
    """Look until it is so, or has not been for too long."""
    end = monotonic() + patience
    while monotonic() < end:
        if condition():
            return True
        sleep(0.01)
    return condition()


@contextmanager
def redis_server() -> Iterator[str]:
    """A Redis of our own, with its own defaults; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(
            ["redis-server", "--port", str(port), "--dir", folder], stdout=subprocess.DEVNULL
        )
        try:
            _until(lambda: _listens(port), 10)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()
            server.wait()


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def row(system: System) -> str:
    """A row of the table."""
    if importlib.util.find_spec(system.module) is None:
        return f"| {system.name} | not installed | | | |"
    if system.redis and shutil.which("redis-server") is None:
        return f"| {system.name} | there is no redis-server | | | |"
    with redis_server() if system.redis else tempfile.TemporaryDirectory() as redis:
        outcome = crash(system, redis)
    with redis_server() if system.redis else tempfile.TemporaryDirectory() as redis:
        starts, others = deadly(system, redis)
    took = f"{outcome.seconds:.1f} s" if outcome.seconds is not None else f"not in {PATIENCE:.0f} s"
    return (
        f"| {system.name} | {outcome.finished} of {TASKS} | {took} | {outcome.again} | "
        f"{starts} times, {others} of 4 |"
    )


def main() -> int:
    """Print the table; 1 if Windlass does not do what it promises."""
    parser = argparse.ArgumentParser("python -m bench.crash", description=__doc__)
    parser.add_argument("--peers", action="store_true", help="other libraries as well")
    systems = SYSTEMS if parser.parse_args().peers else SYSTEMS[:1]
    print(
        "| | finished | after the restart | run again | the deadly one is started, others finish |"
    )
    print("|---|---|---|---|---|")
    for system in systems:
        print(row(system), flush=True)
    kept = True
    for how in ({"changed": True}, {"moved": True}):
        outcome = crash(SYSTEMS[0], "", **how)
        good = outcome.seconds is not None and outcome.seconds <= BUDGET
        kept &= good
        print(f"Windlass, {next(iter(how))}: {outcome}", "" if good else "SHORT OF THE BUDGET")
    together = shared()
    kept &= (together.finished, together.again) == (500, 0) and together.seconds is not None
    print(f"Windlass, three processes on one file: {together}")
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main())

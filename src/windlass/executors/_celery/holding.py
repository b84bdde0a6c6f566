"""Whose name it is: of two managers with the same one, each would take the other's results.

Who holds a name says so in Redis, every few seconds, under a key that expires soon after. A manager
that dies without a word is succeeded at once by one on its own machine, where it can be seen that
its process is gone; elsewhere when the key has expired.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
from pathlib import Path
from typing import Any

from .wire import GIVE_UP_NAME, TAKE_NAME, holder_of

HELD_SECONDS = 10

_PROCESS = secrets.token_hex(6)
"""Of this life of this process: its number may have been that of another before."""


class NameTakenError(Exception):
    """Another manager has the name, and is alive as far as can be seen."""


class Name:
    """One manager's claim to its name."""

    def __init__(self, redis: Any, name: str) -> None:
        self._redis = redis
        self._name = name
        self._key = holder_of(name)
        self._who = {"machine": _machine(), "host": socket.gethostname(), "pid": os.getpid()}
        self._mine = json.dumps({**self._who, "process": _PROCESS, "life": secrets.token_hex(6)})

    def take(self) -> None:
        """Take or keep the name; NameTakenError if another has it."""
        dead: str | bytes = ""
        while holder := self._redis.eval(TAKE_NAME, 1, self._key, self._mine, dead, HELD_SECONDS):
            told = json.loads(holder)
            if not self._is_gone(told):
                raise NameTakenError(
                    f"another manager has the name {self._name!r}: process {told['pid']} on "
                    f"{told['host']}. Give each its own: CeleryExecutor(name=)"
                )
            dead = holder

    def give_up(self) -> None:
        """Let others have it at once."""
        self._redis.eval(GIVE_UP_NAME, 1, self._key, self._mine)

    def _is_gone(self, holder: dict[str, Any]) -> bool:
        """Whether the process of ``holder`` has died, as far as can be seen from here."""
        if holder["machine"] != self._who["machine"]:
            return False
        if holder["pid"] == self._who["pid"]:
            return bool(holder["process"] != _PROCESS)
        try:
            os.kill(holder["pid"], 0)
        except ProcessLookupError:
            return True
        except OSError:  # it is somebody else's
            return False
        return False


def _machine() -> str:
    """Where the number of a process means the same: a machine since its start, or a container."""
    known = [socket.gethostname()]
    try:
        known.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        known.append(os.readlink("/proc/self/ns/pid"))  # noqa: PTH115  # it points to no path
    except OSError:  # not on Linux
        pass
    return " ".join(known)

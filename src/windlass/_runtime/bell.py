"""A bell between processes of one machine: a datagram says that there is something to look at.

It says no more than that, so a lost one costs a moment and a false one a look: whoever waits for
the bell looks all the same once in a while. Where there is no loopback interface, that is all
there is.
"""

from __future__ import annotations

import select
import socket
import time
from contextlib import suppress

_HERE = "127.0.0.1"
_NOBODY = 0


class Bell:
    """One process's own bell, by whose ``port`` others can ring it; a ``mute`` one has none."""

    def __init__(self, *, mute: bool = False) -> None:
        self._socket: socket.socket | None = None
        self.port: int = _NOBODY
        if mute:
            return
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.bind((_HERE, _NOBODY))
            self._socket.setblocking(False)
            self.port = self._socket.getsockname()[1]
        except OSError:
            self.close()

    def wait(self, seconds: float) -> list[int]:
        """Wait until it rings, at most so long; the ports of those who did."""
        if self._socket is None:
            time.sleep(seconds)
            return []
        ready, _, _ = select.select([self._socket], [], [], seconds)
        return self._answer() if ready else []

    def _answer(self) -> list[int]:
        callers: list[int] = []
        with suppress(OSError):
            while self._socket is not None:
                text, _ = self._socket.recvfrom(64)
                if text.isdigit():
                    callers.append(int(text))
        return callers

    def ring(self, port: int) -> None:
        """Ring the bell behind ``port``, and leave our own there."""
        if self._socket is not None and port:
            with suppress(OSError):
                self._socket.sendto(str(self.port).encode(), (_HERE, port))

    def close(self) -> None:
        """Take it down; called again it does nothing."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

"""The cable between a program and a server, which a test may cut: real sockets, nothing simulated.

A cable that is *cut* swallows everything that is sent and refuses nobody, as a network does that is
gone: whoever is connected is told nothing, and whoever connects gets no answer. What was connected
then stays dead when it is mended, and only a time limit of one's own notices that; unless it is
mended with a ``reset``, as by a machine that says it knows nothing of such a connection.
"""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress

_LARGE = 1 << 16
_RESET = struct.pack("ii", 1, 0)  # with this, closing a socket sends a reset


class Cable:
    """A way to a local port; see the module."""

    def __init__(self, port: int) -> None:
        self._far_port = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self._cut = False
        self._lock = threading.Lock()
        self._ends: list[socket.socket] = []
        self._dead: set[socket.socket] = set()
        self.swallowed = 0
        """How many bytes have gone nowhere."""
        self._threads: list[threading.Thread] = []
        self._run(self._accept)

    @property
    def url(self) -> str:
        """The address of a Redis at the other end."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def connections(self) -> int:
        """How many there are."""
        with self._lock:
            return len(self._ends) // 2

    def cut(self) -> None:
        """Let nothing through any more, and say nothing about it."""
        with self._lock:
            self._cut = True
            self._dead.update(self._ends)

    def mend(self, *, reset: bool = False) -> None:
        """Let new connections through; with ``reset`` those that died are told so."""
        with self._lock:
            self._cut = False
            dead = list(self._dead) if reset else []
        for end in dead:
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                end.shutdown(socket.SHUT_RD)  # its thread closes it

    def close(self) -> None:
        """Take it away."""
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._threads[0].join(60)  # who comes now is refused
        with self._lock:
            ends = list(self._ends)
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(60)
        self._server.close()

    def _run(self, what, *given: socket.socket) -> None:
        thread = threading.Thread(target=what, args=given, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._far_port))
            except OSError:
                near.close()
                continue
            with self._lock:
                self._ends += (near, far)
                if self._cut:
                    self._dead.update((near, far))
            self._run(self._carry, near, far)
            self._run(self._carry, far, near)

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        while True:
            try:
                data = source.recv(_LARGE)
            except OSError:
                data = b""
            if not data:
                break
            if source in self._dead:
                self.swallowed += len(data)
                continue
            with suppress(OSError):
                target.sendall(data)
        if source not in self._dead:
            with suppress(OSError):
                target.shutdown(socket.SHUT_WR)
        with self._lock:
            self._ends.remove(source)
            self._dead.discard(source)
        source.close()

"""A gate where tasks stop until the test lets them go on, in whatever thread or process they are.

It is a socket, because a task in another process, or on another machine, can come to that as well,
and because the end of a connection tells what nothing else can: that whoever held it is gone.
Nothing in here sleeps, and nothing waits longer than it was told to at most.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, TypeAlias

from ..._runtime.current import current_task
from ...errors import TaskCancellationError

if TYPE_CHECKING:
    from collections.abc import Callable

_GLANCE = 0.01
_HERE = b"here\n"

Address: TypeAlias = tuple[str, int]


class Visitor:
    """The test's end of the connection to one task at the gate."""

    def __init__(self, connection: socket.socket, limit: float) -> None:
        self._connection = connection
        connection.settimeout(limit)

    def let_go(self, letter: str = "!") -> None:
        """Let the task go on, with a letter to know what to do."""
        self._connection.sendall(letter.encode())

    def says(self) -> str:
        """What the task says next."""
        said = b""
        while not said.endswith(b"\n"):
            said += self._connection.recv(1) or b"(it left)\n"
        return said.decode().strip()

    def has_left(self) -> bool:
        """Wait until the task's function has ended, by itself or with its process."""
        try:
            return self._connection.recv(1) == b""
        except ConnectionError:
            return True

    def close(self) -> None:
        """Let go of the connection; a task at its other end goes on."""
        self._connection.close()


class Gate:
    """The test's side of the gate; ``arrived`` is called whenever somebody has come to it."""

    def __init__(self, limit: float, arrived: Callable[[], object] | None = None) -> None:
        self._limit = limit
        self._arrived = arrived
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(limit)
        self._visitors: list[Visitor] = []

    @property
    def address(self) -> Address:
        """Where tasks are to come to."""
        host, port = self._server.getsockname()
        return host, port

    def arrival(self) -> Visitor:
        """Wait for the next task to come, and to say so."""
        connection, _ = self._server.accept()
        visitor = Visitor(connection, self._limit)
        self._visitors.append(visitor)
        assert visitor.says() == _HERE.decode().strip()
        if self._arrived is not None:
            self._arrived()
        return visitor

    def close(self) -> None:
        """Open it for good: whoever waits at it, or comes to it, goes on."""
        for visitor in self._visitors:
            visitor.close()
        self._server.close()


# -- the tasks' side, for threads and processes ... ------------------------------------------------


def come_to(gate: Address) -> socket.socket:
    """Connect to the gate, and say so: a connection is there before whoever asked for it knows."""
    connection = socket.create_connection(gate)
    connection.sendall(_HERE)
    return connection


def visit(gate: Address) -> str:
    """Stop at the gate; returns the letter that one is let go with."""
    with come_to(gate) as connection:
        return connection.recv(1).decode()


def visit_and_heed(gate: Address) -> str:
    """Stop at the gate, but leave when told to stop, and say so."""
    with come_to(gate) as connection:
        connection.settimeout(_GLANCE)
        while True:
            try:
                current_task().check_cancelled()
                return connection.recv(1).decode()
            except TimeoutError:
                continue
            except TaskCancellationError:
                connection.sendall(b"told to stop\n")
                raise


# -- ... and on an event loop ----------------------------------------------------------------------


async def visit_async(gate: Address) -> str:
    """Stop at the gate; returns the letter that one is let go with."""
    reader, writer = await asyncio.open_connection(*gate)
    try:
        writer.write(_HERE)
        return (await reader.read(1)).decode()
    finally:
        writer.close()


async def visit_and_heed_async(gate: Address) -> str:
    """Stop at the gate, but leave when told to stop, and say so."""
    reader, writer = await asyncio.open_connection(*gate)
    try:
        writer.write(_HERE)
        return (await reader.read(1)).decode()
    except asyncio.CancelledError:
        writer.write(b"told to stop\n")
        await writer.drain()
        raise
    finally:
        writer.close()

"""The lobby: the jobs that wait until there is room for them in the queue.

Each waits for what it was refused by, the manager's ``max_pending`` or that of a gate, in a line of
its own: first come, first served, and nobody waits behind a gate that they do not need.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, TypeAlias

from ..errors import QueueFullError
from .wait import Promise

if TYPE_CHECKING:
    from .handle import TaskHandle
    from .job import Job
    from .runtime import Runtime

Guest: TypeAlias = "tuple[Job, Promise[TaskHandle[Any]]]"

_ANYWHERE = ""
"""Stands for the manager's own ``max_pending`` among the names of gates."""


class Lobby:
    """See the module."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._lines: dict[str, deque[Guest]] = {}

    def __bool__(self) -> bool:
        return bool(self._lines)

    def enter(self, job: Job) -> Promise[TaskHandle[Any]]:
        """Take ``job`` in when there is room for it."""
        stored: Promise[TaskHandle[Any]] = Promise(self._runtime, f"enqueueing of {job.label}")
        guest = (job, stored)
        needs = (_ANYWHERE, *(name for name, _ in job.spec.gates))
        line = next((name for name in needs if name in self._lines), None)
        if line is None and (line := self._let_in(guest)) is None:
            return stored
        with self._runtime.watch_lock:
            first = not self._lines
            self._lines.setdefault(line, deque()).append(guest)
        if first:
            self._runtime.add_attendant(self._let_all_in)
        return stored

    def _let_in(self, guest: Guest) -> str | None:
        """None, if that is done; else what has no room."""
        job, stored = guest
        try:
            handle = self._runtime.submit_job(job)
        except QueueFullError as error:
            line = str(error.details.get("gate", _ANYWHERE))
            if line != _ANYWHERE:
                with self._runtime.lock:  # it waits, and is not refused
                    self._runtime.engine.turnstiles.all[line].refused -= 1
            return line
        except BaseException as error:  # noqa: BLE001  # whoever waits is to hear of it
            stored.break_(error)
        else:
            self._runtime.keep_when_stored(stored, handle)
        return None

    def _let_all_in(self) -> bool:
        """Take in those who wait, until it is full again; whether nobody waits any more."""
        with self._runtime.watch_lock:
            lines = [*self._lines.items()]
        for name, line in lines:
            refused: str | None = None
            while line and (refused := self._let_in(line[0])) != name:
                with self._runtime.watch_lock:
                    guest = line.popleft()
                    if refused is not None:  # there was room here, but there is none elsewhere
                        self._lines.setdefault(refused, deque()).append(guest)
            if refused == _ANYWHERE and name == _ANYWHERE:
                break
        with self._runtime.watch_lock:
            self._lines = {name: line for name, line in self._lines.items() if line}
            return not self._lines

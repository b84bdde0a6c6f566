"""Questions: what a follower has the leader answer, because it stands in no store.

A question is a request like any other; its answer is a note in the store, which whoever asked takes
away. The leader rings when it is there. Nobody leading, or a leader that is stuck, is an answer as
well, and comes as a StoreError.
"""

from __future__ import annotations

import dataclasses
import json
import os
import threading
from typing import TYPE_CHECKING, Any

from .._core.flow import Rate
from .._core.metrics import Durations, GateMetrics, Metrics, PoolMetrics
from .._core.states import RUNNING, TaskPriority, TaskStatus
from ..errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..ports import Store
    from .runtime import Runtime

PATIENCE = 3.0
"""For so many seconds whoever asks waits, and what was asked before that needs no answer."""
_LOOK_EVERY = 0.25


class Questions:
    """Those of one follower; see the module."""

    def __init__(self, store: Store, is_led: Callable[[], bool]) -> None:
        self._store = store
        self._is_led = is_led
        self._waiting: set[threading.Event] = set()

    def ask(self, runtime: Runtime, post: Callable[..., None], what: str, *about: Any) -> str:
        """What the leader says; ``post`` leaves the request. Blocks for a moment."""
        if not self._is_led():
            raise StoreError(
                "no process leads the file at present, so there is nobody to ask: open it with a "
                "program that runs its tasks. What is in the file can be read all the same"
            )
        number, rung, clock = os.urandom(8).hex(), threading.Event(), runtime.clock
        name, until = f"answer:{number}", clock.now() + PATIENCE
        self._waiting.add(rung)
        try:
            post("question", number, clock.wall(), what, *about)
            while (answer := self._store.read_note(name)) is None and clock.now() < until:
                rung.wait(_LOOK_EVERY)
                rung.clear()
        finally:
            self._waiting.discard(rung)
        if answer is None:
            raise StoreError(
                f"the process that leads the file has not answered for {PATIENCE:g} s: it is "
                "stopped, or has too much to do. `windlass doctor` tells which one it is"
            )
        self._store.write_note(name, None)
        return answer

    def ring(self) -> None:
        """Somebody has rung: there may be an answer."""
        for rung in tuple(self._waiting):
            rung.set()


# -- the leader's side -----------------------------------------------------------------------------


def answer(runtime: Runtime, asked_at: float, what: str, *about: Any) -> str | None:
    """What there is to say, in a text; None if nobody waits for it any more."""
    if runtime.clock.wall() - asked_at > PATIENCE:
        return None
    return _ANSWERS[what](runtime, *about)


def _explanation(runtime: Runtime, id: str) -> str:
    job = runtime.find(id)
    return runtime.explain(job) if job is not None else ""


def _progress(runtime: Runtime, *ids: str) -> str:
    jobs = [runtime.engine.tasks.get(id) for id in ids]
    with runtime.lock:
        notes = {job.id: job.notes for job in jobs if job is not None and job.status is RUNNING}
        told = {id: (said.progress or 0.0, said.message) for id, said in notes.items() if said}
    return json.dumps(told)


def _figures(runtime: Runtime) -> str:
    # Named tuples are lists there, and all keys are texts; what else there is, is a Rate.
    return json.dumps(runtime.metrics(), default=dataclasses.astuple)


_ANSWERS: Mapping[str, Callable[..., str]] = {
    "explain": _explanation,
    "metrics": _figures,
    "progress": _progress,
}


# -- figures that have travelled -------------------------------------------------------------------


def read_progress(text: str) -> dict[str, tuple[float, str]]:
    """How far tasks are that run, and what they are doing, by their ids."""
    return {id: (fraction, message) for id, (fraction, message) in json.loads(text).items()}


def read_metrics(text: str) -> Metrics:
    """The figures that the leader gave."""
    told = Metrics._make(json.loads(text))
    return told._replace(
        by_status={TaskStatus(status): count for status, count in told.by_status.items()},
        executors={name: _pool(pool) for name, pool in told.executors.items()},
        gates={name: _gate(gate) for name, gate in told.gates.items()},
        waiting_time={name: Durations._make(some) for name, some in told.waiting_time.items()},
        running_time={name: Durations._make(some) for name, some in told.running_time.items()},
    )


def _pool(told: Any) -> PoolMetrics:
    pool = PoolMetrics._make(told)
    queued: Mapping[Any, int] = pool.queued
    return pool._replace(queued={TaskPriority(int(level)): n for level, n in queued.items()})


def _gate(told: Any) -> GateMetrics:
    gate = GateMetrics._make(told)
    rate: Any = gate.rate
    return gate._replace(rate=Rate(*rate) if rate is not None else None)

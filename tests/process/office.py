"""A manager reduced to its dealings with one executor."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading

from errands import Errand, gone

from windlass._core.outcome import Err, Ok
from windlass.executors.processes import ProcessExecutor


def on_a_loop(test):
    @functools.wraps(test)
    def run(*args, **kwargs):
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 120))

    return run


class Office:
    def __init__(self, executor):
        self.executor = executor
        self.outcomes = {}
        self.ended = {}
        self.line = []
        self.running = set()
        self.loop = asyncio.get_running_loop()
        executor.open(self.loop, self.report, self.turn)

    def report(self, call, outcome, *, wake=True):
        assert call in self.running, "reported twice, or never started"
        self.running.remove(call)
        self.outcomes[call] = outcome
        if call in self.ended:
            self.loop.call_soon_threadsafe(self.ended[call].set)
        if wake:
            self.loop.call_soon_threadsafe(self.turn)

    def start(self, *calls):
        self.line += calls
        self.turn()

    def turn(self, *, resized=False):
        """Start what there is room for."""
        room = max(0, self.executor.capacity - len(self.running))
        calls, self.line = self.line[:room], self.line[room:]
        for call in calls:
            self.outcomes.pop(call, None)  # of an earlier run
        self.running.update(calls)
        if calls:
            self.executor.start(calls)

    async def outcome(self, call):
        if call not in self.outcomes:
            self.ended[call] = asyncio.Event()
            if call not in self.outcomes:
                await self.ended[call].wait()
        return self.outcomes[call]

    async def run(self, function, *args, **kwargs):
        call = Errand(function, *args, **kwargs)
        self.start(call)
        return await self.outcome(call)

    async def value(self, function, *args, **kwargs):
        outcome = await self.run(function, *args, **kwargs)
        assert isinstance(outcome, Ok), getattr(outcome, "error", outcome)
        return outcome.value

    async def error(self, function, *args, **kwargs):
        outcome = await self.run(function, *args, **kwargs)
        assert isinstance(outcome, Err), outcome
        return outcome


async def heard(call):
    """Wait until the call has said something, and what it was."""
    await asyncio.to_thread(call.said.wait)
    return call.messages[0][1]


@contextlib.asynccontextmanager
async def opened(slots=2, grace=0.2):
    """An office, of which no process is left afterwards."""
    executor = ProcessExecutor(slots, grace=grace)
    office = Office(executor)
    try:
        yield office
    finally:
        pids = list(executor._crew.workers) if executor._crew is not None else []
        executor.close()
        assert all([await asyncio.to_thread(gone, pid) for pid in pids])


async def all_seen_off():
    """Wait for the threads that close the pipes of closed executors."""
    for thread in threading.enumerate():
        if thread.name == "windlass-leaving":
            await asyncio.to_thread(thread.join)

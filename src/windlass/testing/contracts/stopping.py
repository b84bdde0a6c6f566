"""The contract, second part: tasks that are stopped, run out of time, or lose their process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ..._core.policies import Retry
from ..._core.states import TaskStatus
from ...errors import TaskCancellationError, TaskCrashedError, TaskTimeoutError
from . import errands
from .suite import MANY, Suite

if TYPE_CHECKING:
    from ...manager import TaskManager
    from ...ports import Executor
    from ..world import World
    from .gate import Gate

_TIMEOUT = 3600.0


class Stopping(Suite):
    """Each test is a law, and its docstring says which."""

    def test_a_task_that_waits_for_a_slot_can_be_cancelled(
        self, executor: Executor, manager: TaskManager, gate: Gate
    ) -> None:
        """At once, and its function never runs."""
        slots = self.all_slots(executor)
        handles = [manager.submit(self.task(self.visit), gate.address) for _ in range(slots)]
        visitors = [gate.arrival() for _ in handles]
        waiting = manager.submit(self.task(errands.leave_a_trace), gate.address)
        assert waiting.cancel()
        assert waiting.status is TaskStatus.CANCELLED
        for visitor in visitors:
            visitor.let_go()
        manager.gather(*handles).result(self.limit)
        assert waiting.info.started_at is None

    def test_a_running_task_hears_that_it_is_to_stop(
        self, executor: Executor, manager: TaskManager, gate: Gate
    ) -> None:
        """By ``check_cancelled()`` or, in a coroutine, by a CancelledError."""
        self.needs_a_way_back(executor)
        handle = manager.submit(self.task(self.visit_and_heed), gate.address)
        visitor = gate.arrival()
        assert handle.cancel()
        assert visitor.says() == "told to stop"
        assert isinstance(self.error_of(handle), TaskCancellationError)
        assert visitor.has_left()

    def test_a_cancelled_task_ends_whether_it_listens_or_not(
        self, executor: Executor, manager: TaskManager, gate: Gate
    ) -> None:
        """What can be killed is gone with it; what lingers is not heard of again."""
        handle = manager.submit(self.task(self.visit), gate.address)
        visitor = gate.arrival()
        assert handle.cancel()
        assert isinstance(self.error_of(handle), TaskCancellationError)
        if executor.traits.lingers:
            visitor.let_go()
        assert visitor.has_left()
        assert manager.submit(self.task(errands.add), 1).result(self.limit) == 1
        assert handle.status is TaskStatus.CANCELLED

    def test_the_others_do_not_notice(
        self, executor: Executor, manager: TaskManager, gate: Gate
    ) -> None:
        """To stop one task stops no other."""
        self.needs_several(executor)
        handles = [manager.submit(self.task(self.visit), gate.address) for _ in range(2)]
        visitors = [gate.arrival(), gate.arrival()]
        handles[0].cancel()
        self.error_of(handles[0])
        for visitor in visitors:
            visitor.close()
        assert handles[1].result(self.limit) == ""

    def test_cancelling_what_is_just_ending_does_no_harm(self, manager: TaskManager) -> None:
        """Every task ends one way or the other, and the executor goes on."""
        handles = manager.map(self.task(errands.add), range(MANY))
        for handle in handles:
            handle.cancel()
        manager.gather(*handles, return_errors=True).result(self.limit)
        assert manager.submit(self.task(errands.add), 1).result(self.limit) == 1

    def test_a_task_that_takes_too_long_fails(
        self, executor: Executor, timeless: TaskManager, world: World, gate: Gate
    ) -> None:
        """And is stopped as one that is cancelled."""
        handle = timeless.submit(self.task(self.visit, timeout=_TIMEOUT), gate.address)
        visitor = gate.arrival()
        world.advance(_TIMEOUT + executor.traits.grace)
        assert isinstance(self.error_of(handle), TaskTimeoutError)
        if executor.traits.lingers:
            visitor.let_go()
        assert visitor.has_left()
        assert timeless.submit(self.task(errands.add), 1).result(self.limit) == 1

    def test_a_task_that_took_too_long_is_tried_again_when_the_first_attempt_has_left(
        self, executor: Executor, timeless: TaskManager, world: World, gate: Gate
    ) -> None:
        """No two attempts of one task at a time."""
        twice = self.task(self.visit, timeout=_TIMEOUT, retry=Retry(retries=1, delay=0))
        handle = timeless.submit(twice, gate.address)
        first = gate.arrival()
        world.advance(_TIMEOUT + executor.traits.grace)
        if executor.traits.lingers:
            assert handle.status is TaskStatus.PENDING
            first.let_go()
        assert first.has_left()
        with world.hold():  # what has been sent and not yet received is nothing that a loop can see
            gate.arrival().let_go("2")
            assert handle.result(self.limit) == "2"

    # -- lost processes ------------------------------------------------------------------------

    def test_a_process_that_dies_is_a_crash(self, executor: Executor, manager: TaskManager) -> None:
        """Its task fails with an error that says so."""
        if not executor.traits.crosses:
            pytest.skip("declared: its functions run in this process, which would die with them")
        handle = manager.submit(self.task(errands.die, max_crashes=1))
        assert isinstance(self.error_of(handle), TaskCrashedError)
        assert handle.ended_by == "crash"

    def test_a_crash_costs_nobody_else(
        self, executor: Executor, manager: TaskManager, gate: Gate
    ) -> None:
        """Other tasks go on, and there is a new process for the next ones."""
        self.needs_to_survive(executor)
        others = min(executor.traits.slots - 1, 1)
        handles = [manager.submit(self.task(self.visit), gate.address) for _ in range(others)]
        visitors = [gate.arrival() for _ in handles]
        self.error_of(manager.submit(self.task(errands.die, max_crashes=1)))
        for visitor in visitors:
            visitor.let_go("!")
        assert manager.gather(*handles).result(self.limit) == ["!"] * others
        assert manager.submit(self.task(errands.add), 1).result(self.limit) == 1

    def test_a_task_whose_process_died_is_tried_again(
        self, executor: Executor, manager: TaskManager
    ) -> None:
        """Up to ``max_crashes`` times, without any retries being asked for."""
        self.needs_to_survive(executor)
        assert manager.submit(self.task(errands.die_until), 3).result(self.limit) == 3

    def needs_to_survive(self, executor: Executor) -> None:
        """Skip the test unless the executor outlives its processes."""
        if not executor.traits.crosses:
            pytest.skip("declared: its functions run in this process, which would die with them")
        if not self.survives_crashes:
            pytest.skip("declared: a process that dies takes others with it (survives_crashes)")

"""The contract, third part: an executor opens and closes, and leaves nothing behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ..._core.states import TaskStatus
from . import errands
from .suite import Suite

if TYPE_CHECKING:
    from ...manager import TaskManager
    from ...ports import Executor
    from .gate import Gate


class Closing(Suite):
    """Each test is a law, and its docstring says which."""

    def test_it_can_be_opened_again(self, manager: TaskManager) -> None:
        """As often as the manager is."""
        for _ in range(3):
            assert manager.submit(self.task(errands.add), 1).result(self.limit) == 1
            manager.shutdown().result(self.limit)
            manager.start().result(self.limit)

    def test_it_can_be_closed_without_having_run_anything(self, manager: TaskManager) -> None:
        """Nothing is started in vain, and nothing is missed on closing."""
        manager.shutdown().result(self.limit)

    def test_leaving_in_order_waits_for_what_runs(self, manager: TaskManager, gate: Gate) -> None:
        """A task that runs is not stopped by an orderly end."""
        handle = manager.submit(self.task(self.visit), gate.address)
        visitor = gate.arrival()
        closed = manager.shutdown()
        visitor.let_go("!")
        closed.result(self.limit)
        assert handle.result(self.limit) == "!"

    def test_leaving_in_a_hurry_stops_what_runs(
        self, executor: Executor, manager: TaskManager, gate: Gate
    ) -> None:
        """It is told, killed or abandoned, and not waited for longer than its grace."""
        handle = manager.submit(self.task(self.visit), gate.address)
        visitor = gate.arrival()
        manager.stop().result(self.limit)
        assert handle.status is TaskStatus.CANCELLED
        if executor.traits.lingers:
            visitor.let_go()
        assert visitor.has_left()

    def test_what_ends_after_the_close_is_not_heard_of(
        self, executor: Executor, manager: TaskManager, gate: Gate
    ) -> None:
        """The late result of an abandoned function changes nothing, even if it is open again."""
        if not executor.traits.lingers:
            pytest.skip("declared: nothing goes on after the close")
        handle = manager.submit(self.task(self.visit), gate.address)
        visitor = gate.arrival()
        manager.stop().result(self.limit)
        manager.start().result(self.limit)
        visitor.let_go()
        assert visitor.has_left()
        assert manager.submit(self.task(errands.add), 1).result(self.limit) == 1
        assert handle.status is TaskStatus.CANCELLED

    def test_no_thread_outlives_it(self, executor: Executor, manager: TaskManager) -> None:
        """The threads that tasks ran in end with the close."""
        if executor.traits.crosses or not self.own_workers:
            pytest.skip("declared: it has no threads of its own")
        handles = [manager.submit(self.task(errands.thread)) for _ in range(self.some(executor))]
        threads = manager.gather(*handles).result(self.limit)
        manager.shutdown().result(self.limit)
        for thread in threads:
            thread.join(self.limit)
        assert not any(thread.is_alive() for thread in threads)

    def test_no_process_outlives_it(
        self, executor: Executor, manager: TaskManager, gate: Gate
    ) -> None:
        """The processes that tasks ran in end with the close."""
        if not executor.traits.crosses or not self.own_workers:
            pytest.skip("declared: it has no processes of its own")
        manager.submit(self.task(errands.leave_a_trace), gate.address).result(self.limit)
        visitor = gate.arrival()
        manager.shutdown().result(self.limit)
        assert visitor.has_left()

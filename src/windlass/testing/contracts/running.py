"""The contract, first part: how tasks run, and what comes of it."""

from __future__ import annotations

import os
from contextvars import copy_context
from typing import TYPE_CHECKING

import pytest

from ..._core.policies import Retry
from ..._core.states import TaskStatus
from ...errors import DeadlockError, RemoteError, SerializationError, TaskExecutionError
from ...ports import Executor
from . import errands
from .gate import visit
from .suite import MANY, NAME, Suite

if TYPE_CHECKING:
    from ...manager import TaskManager
    from .gate import Gate


class Running(Suite):
    """Each test is a law, and its docstring says which."""

    def test_it_is_an_executor(self, executor: Executor) -> None:
        """It has everything that the port asks for, and traits that make sense."""
        assert isinstance(executor, Executor)
        assert executor.traits.slots >= 1
        assert executor.traits.grace >= 0
        assert executor.traits.max_waiting >= 0
        assert executor.capacity == executor.traits.slots

    def test_it_runs_a_function_and_returns_its_result(self, manager: TaskManager) -> None:
        """Positional and keyword arguments arrive, and the result comes back."""
        assert manager.submit(self.task(errands.add), 1, right=2).result(self.limit) == 3
        assert manager.submit(self.task(errands.echo), None).result(self.limit) is None

    def test_it_runs_coroutine_functions(self, manager: TaskManager) -> None:
        """``async def`` runs, on the manager's loop or under one of its own."""
        assert manager.submit(self.task(errands.add_async), 1, right=2).result(self.limit) == 3

    def test_every_task_ends_once_with_its_own_result(self, manager: TaskManager) -> None:
        """In whatever order many tasks come to an end, none is lost, mixed up or reported twice."""
        handles = manager.map(self.task(errands.add), range(MANY), range(MANY))
        assert manager.gather(*handles).result(self.limit) == [2 * n for n in range(MANY)]
        manager.join().result(self.limit)
        assert manager._runtime.engine.stale_reports == 0

    def test_large_arguments_and_results_pass(self, manager: TaskManager) -> None:
        """A megabyte each way."""
        data = os.urandom(errands.MANY_BYTES)
        assert manager.submit(self.task(errands.echo), data).result(self.limit) == data

    def test_results_of_other_tasks_arrive(self, manager: TaskManager) -> None:
        """A handle among the arguments is the result of that task when the function runs."""
        first = manager.submit(self.task(errands.add), 1)
        second = manager.submit(self.task(errands.add), first.output, first.output)
        assert second.result(self.limit) == 2

    def test_all_slots_are_used_at_once(
        self, executor: Executor, manager: TaskManager, gate: Gate
    ) -> None:
        """As many tasks as it has slots (four are enough) really run at the same time."""
        handles = [
            manager.submit(self.task(self.visit), gate.address) for _ in range(self.some(executor))
        ]
        visitors = [gate.arrival() for _ in handles]
        assert [handle.status for handle in handles] == [TaskStatus.RUNNING] * len(handles)
        for visitor in visitors:
            visitor.let_go()
        manager.gather(*handles).result(self.limit)

    def test_no_more_tasks_run_than_it_has_slots(
        self, executor: Executor, manager: TaskManager, gate: Gate
    ) -> None:
        """What finds no slot is PENDING, and runs when there is one."""
        slots = self.all_slots(executor)
        handles = [manager.submit(self.task(self.visit), gate.address) for _ in range(slots + 1)]
        visitors = [gate.arrival() for _ in range(slots)]
        assert handles[-1].status is TaskStatus.PENDING
        visitors.pop().let_go()
        gate.arrival().let_go()
        for visitor in visitors:
            visitor.let_go()
        manager.gather(*handles).result(self.limit)

    # -- failing -------------------------------------------------------------------------------

    def test_what_a_function_raises_is_what_its_handle_raises(self, manager: TaskManager) -> None:
        """With type, text and cause, and with a traceback that leads into the function."""
        handle = manager.submit(self.task(errands.fail), "bad value")
        with pytest.raises(ValueError, match="bad value") as caught:
            handle.result(self.limit)
        error = caught.value
        assert isinstance(error, TaskExecutionError)
        assert type(error.original_error) is ValueError
        frames = error.original_error.__traceback__
        assert frames is not None or "in fail" in str(error.remote_traceback)

    def test_an_awkward_exception_costs_only_its_own_task(self, manager: TaskManager) -> None:
        """An exception that cannot be rebuilt, or has no text, fails its task and nothing else."""
        handle = manager.submit(self.task(errands.fail_awkwardly))
        original = self.failure_of(handle)
        assert isinstance(original, (errands.AwkwardError, RemoteError))
        assert "awkward (7)" in str(original)
        self.failure_of(manager.submit(self.task(errands.fail_unspeakably)))
        assert manager.submit(self.task(errands.add), 1).result(self.limit) == 1

    @pytest.mark.parametrize("leaving", [SystemExit, KeyboardInterrupt])
    def test_a_function_cannot_leave_python(
        self, manager: TaskManager, leaving: type[BaseException]
    ) -> None:
        """SystemExit and its like fail the task that raises them; the executor goes on."""
        handle = manager.submit(self.task(errands.leave_python), leaving.__name__)
        assert isinstance(self.failure_of(handle), leaving)
        assert manager.submit(self.task(errands.add), 1).result(self.limit) == 1

    def test_a_failed_task_is_tried_again(self, manager: TaskManager) -> None:
        """Each attempt knows its number."""
        retry = Retry(retries=3, delay=0)
        assert manager.submit(self.task(errands.succeed_at, retry=retry), 3).result(self.limit) == 3

    def test_a_task_can_be_put_off(self, manager: TaskManager, gate: Gate) -> None:
        """``raise Snooze`` runs the task again and spends no attempt."""
        self.needs_functions_that_block()
        handle = manager.submit(self.task(errands.snooze_if_told), gate.address)
        gate.arrival().let_go("s")
        gate.arrival().let_go()
        assert handle.result(self.limit) == 1

    # -- the current task ----------------------------------------------------------------------

    def test_a_function_knows_its_task(self, manager: TaskManager) -> None:
        """``current_task()`` tells id, name, attempt and metadata."""
        told = self.task(errands.tell_of_itself, name="known", metadata={"size": 3})
        handle = manager.submit(told)
        assert handle.result(self.limit) == (handle.id, "known", 1, {"size": 3}, False)

    def test_progress_is_seen_while_it_runs(
        self, executor: Executor, manager: TaskManager, gate: Gate
    ) -> None:
        """What a task says about itself reaches the manager at once."""
        self.needs_a_way_back(executor)
        self.needs_functions_that_block()
        handle = manager.submit(self.task(errands.make_progress), gate.address)
        visitor = gate.arrival()
        assert manager.get_task_progress(handle) == (0.5, "halfway")
        visitor.let_go()
        handle.result(self.limit)

    def test_a_checkpoint_is_there_in_the_next_attempt(
        self, executor: Executor, manager: TaskManager
    ) -> None:
        """What one attempt leaves behind, the next one finds."""
        self.needs_a_way_back(executor)
        retry = Retry(retries=1, delay=0)
        handle = manager.submit(self.task(errands.remember, retry=retry))
        assert handle.result(self.limit) == {"step": 3}

    def test_clean_ups_run_and_do_not_change_the_outcome(
        self, executor: Executor, manager: TaskManager, gate: Gate
    ) -> None:
        """What was deferred runs when the function has ended, and its errors are kept."""
        if not self.on_loop:
            handle = manager.submit(self.task(errands.clean_up), gate.address)
            gate.arrival().let_go()
            assert handle.result(self.limit) == "done"
        bad = manager.submit(self.task(errands.clean_up_badly))
        assert bad.result(self.limit) == "done"
        if executor.traits.reports_progress:
            assert [str(error) for error in bad.info.cleanup_errors] == ["in the clean-up"]

    def test_context_variables_travel_along(self, executor: Executor, manager: TaskManager) -> None:
        """In this process a task sees those of who submitted it, and keeps its own changes."""
        if executor.traits.crosses:
            pytest.skip("declared: its calls leave this process, and context variables do not")

        def submit() -> list[str]:
            errands.colour.set("blue")
            functions = (errands.change_colour, errands.see_colour)
            return [manager.submit(self.task(f)).result(self.limit) for f in functions]

        assert copy_context().run(submit) == ["blue", "blue"]

    # -- tasks of tasks ------------------------------------------------------------------------

    def test_a_task_can_have_children(
        self, executor: Executor, manager: TaskManager, gate: Gate
    ) -> None:
        """A child knows its parent, and is cancelled along with it."""
        self.needs_a_way_back(executor)
        have = errands.have_child_async if self.on_loop else errands.have_child
        parent = manager.submit(self.task(have), visit, gate.address)
        visitors = [gate.arrival(), gate.arrival()]
        (child,) = manager.list_tasks(parent=parent)
        assert child.status is TaskStatus.RUNNING
        parent.cancel()
        self.error_of(parent)
        manager.join().result(self.limit)
        info = manager.get_task(child.id)
        assert info is not None
        assert info.status is TaskStatus.CANCELLED
        for visitor in visitors:
            visitor.close()

    def test_a_task_that_waits_for_a_task(self, executor: Executor, manager: TaskManager) -> None:
        """It lends its slot, so this works with a single one; or it is refused, with the remedy."""
        if executor.traits.crosses and not executor.traits.reports_progress:
            pytest.skip("declared: its tasks have no way back to the manager")
        manager.max_concurrent_tasks = 1
        wait = errands.wait_for_child_async if self.on_loop else errands.wait_for_child
        handle = manager.submit(self.task(wait), self.task(errands.add), 1, 2)
        if executor.traits.max_waiting:
            assert handle.result(self.limit) == 3
        else:
            assert isinstance(self.failure_of(handle), DeadlockError)

    # -- what cannot cross ---------------------------------------------------------------------

    def test_what_cannot_be_called_over_there_is_refused_at_submit(
        self, executor: Executor, manager: TaskManager
    ) -> None:
        """Not a task yet, and already an error that says why."""
        if not executor.traits.crosses:
            assert manager.submit(self.task(lambda: 1)).result(self.limit) == 1
            return
        with pytest.raises(SerializationError, match=NAME):
            manager.submit(self.task(lambda: 1))

    @pytest.mark.parametrize("function", [errands.make_unsendable, errands.make_unreadable])
    def test_a_result_that_refuses_to_travel_fails_its_task(
        self, executor: Executor, manager: TaskManager, function: errands.Maker
    ) -> None:
        """With an error about that, and at no cost to anybody else."""
        if not executor.traits.crosses:
            pytest.skip("declared: its results do not leave this process")
        error = self.error_of(manager.submit(self.task(function)))
        assert isinstance(error, SerializationError)
        assert manager.submit(self.task(errands.add), 1).result(self.limit) == 1

    def test_an_argument_that_refuses_to_travel_fails_its_task(
        self, executor: Executor, manager: TaskManager
    ) -> None:
        """Likewise."""
        if not executor.traits.crosses:
            pytest.skip("declared: its arguments do not leave this process")
        handle = manager.submit(self.task(errands.echo), errands.Unsendable())
        assert isinstance(self.error_of(handle), SerializationError)
        assert manager.submit(self.task(errands.add), 1).result(self.limit) == 1

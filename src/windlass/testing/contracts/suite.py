"""What the parts of the contract share: how the executor, the manager and the gate come about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ...decorators import task
from ...errors import TaskError, TaskExecutionError
from ...manager import TaskManager
from ..world import World
from .gate import Gate, visit, visit_and_heed, visit_and_heed_async, visit_async

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..._runtime.handle import TaskHandle
    from ...ports import Executor

NAME = "tested"
SEVERAL = 4
MANY = 200


class Suite:
    """See ``ExecutorContract``."""

    on_loop = False
    own_workers = True
    survives_crashes = True
    limit = 60.0

    def make_executor(self) -> Executor:
        """A new executor, not yet open."""
        raise NotImplementedError("say how to make the executor that is to be tested")

    def dispose(self, executor: Executor) -> None:
        """Let go of what ``make_executor`` has made beside the executor, a pool for example."""

    @pytest.fixture
    def executor(self) -> Iterator[Executor]:
        """The executor under test."""
        executor = self.make_executor()
        yield executor
        self.dispose(executor)

    @pytest.fixture
    def manager(self, executor: Executor) -> Iterator[TaskManager]:
        """An open manager that has the executor under the name of "tested"."""
        manager = TaskManager(executors={NAME: executor}, watchdog=None)
        manager.start().result(self.limit)
        yield manager
        manager.stop().result(self.limit)

    @pytest.fixture
    def world(self) -> Iterator[World]:
        """Virtual time, which stands still while anything is at work."""
        with World(patience=self.limit) as world:
            yield world

    @pytest.fixture
    def timeless(self, executor: Executor, world: World) -> Iterator[TaskManager]:
        """Like ``manager``, in virtual time."""
        manager = world.manager(executors={NAME: executor})
        manager.start().result(self.limit)
        yield manager
        manager.stop().result(self.limit)

    @pytest.fixture
    def gate(self, request: pytest.FixtureRequest) -> Iterator[Gate]:
        """Where tasks stop until the test lets them go on."""
        # The managers first, so that it is closed before them: nobody waits for who waits here.
        names = {"manager", "timeless"} & set(request.fixturenames)
        managers = [request.getfixturevalue(name) for name in names]

        def starts_are_known() -> None:
            """A task comes here the long way round, perhaps before the word that it has begun."""
            for manager in managers:
                claimed = manager._runtime.engine.claimed
                told = manager._doors.when(lambda claimed=claimed: not claimed, "starts")  # noqa: SLF001
                told.result(self.limit)

        gate = Gate(self.limit, starts_are_known)
        yield gate
        gate.close()

    # -- words of the suite --------------------------------------------------------------------

    def task(self, function: Callable[..., Any], **options: Any) -> Any:
        """``function`` as a task for the executor under test."""
        given: dict[str, Any] = {"executor": NAME, **options}
        return task(function, **given)

    @property
    def visit(self) -> Callable[..., Any]:
        """Stops at the gate, whatever happens."""
        return visit_async if self.on_loop else visit

    @property
    def visit_and_heed(self) -> Callable[..., Any]:
        """Stops at the gate, but leaves it when told to stop."""
        return visit_and_heed_async if self.on_loop else visit_and_heed

    def some(self, executor: Executor) -> int:
        """How many tasks to run at once: all of its slots, if those are few."""
        return min(executor.traits.slots, SEVERAL)

    def error_of(self, handle: TaskHandle[Any]) -> TaskError:
        """Wait until a task has failed or was cancelled; its error."""
        try:
            result = handle.result(self.limit)
        except TaskError as error:
            return error
        pytest.fail(f"{handle!r} was to fail, and returned {result!r}")

    def failure_of(self, handle: TaskHandle[Any]) -> BaseException:
        """Wait until the function of a task has raised; what it raised."""
        error = self.error_of(handle)
        assert isinstance(error, TaskExecutionError), error
        return error.original_error

    def needs_a_way_back(self, executor: Executor) -> None:
        """Skip the test if a running task cannot reach the manager."""
        if not executor.traits.reports_progress:
            pytest.skip("declared: nothing that a task says reaches the manager while it runs")

    def all_slots(self, executor: Executor) -> int:
        """How many slots it has; skips the test if those are too many to be filled."""
        if executor.traits.slots > MANY:
            pytest.skip(f"declared: {executor.traits.slots} slots, too many to be filled")
        return executor.traits.slots

    def needs_several(self, executor: Executor) -> None:
        """Skip the test if only one task runs at a time."""
        if executor.traits.slots == 1:
            pytest.skip("declared: it has a single slot")

    def needs_functions_that_block(self) -> None:
        """Skip the test if a plain function would block the loop that is to let it go on."""
        if self.on_loop:
            pytest.skip("declared: plain functions block the manager's event loop")

"""An engine with its levers, for tests: a clock that is told, and tasks by one-letter names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from windlass._core.engine import Engine
from windlass._core.explain import explain
from windlass._core.outcome import Err, Ok
from windlass._core.policies import Retry
from windlass._core.pools import Traits
from windlass._core.spec import Spec
from windlass._core.states import TaskStatus
from windlass._core.task import Task

if TYPE_CHECKING:
    from windlass._core.change import Transition

EXECUTORS = {
    "process": Traits(slots=2),
    "async": Traits(slots=10, grace=2.0, max_waiting=1000),
    "thread": Traits(slots=2, lingers=True, max_waiting=2),
    "remote": Traits(slots=2, local=False, grace=1.0),
    "external": Traits(slots=1_000_000, local=False, manual=True),
}


class Room:
    """Monotonic time starts at 100 s, wall time at noon of a day in 1970."""

    def __init__(self, executors: dict[str, Traits] | None = None, **options: Any) -> None:
        self.engine = Engine(executors or EXECUTORS, **options)
        self.now = 100.0
        self.wall_offset = 43_100.0
        self._told: list[Transition] = []

    @property
    def wall(self) -> float:
        return self.now + self.wall_offset

    def make(self, id: str, *after: Task, executor: str = "process", **options: Any) -> Task:
        """A task that has not been submitted; ``retries=`` and ``delay=`` make a Retry."""
        name = options.pop("name", id)
        held, due, at = (options.pop(name, None) for name in ("held", "due", "at"))
        parent, key = options.pop("parent", None), options.pop("key", None)
        if "retries" in options:
            retry = {name: options.pop(name) for name in ("delay", "overlap") if name in options}
            options["retry"] = Retry(options.pop("retries"), jitter=0, **{"delay": 0, **retry})
        task = Task(id, Spec(name=name, executor=executor, **options), self.now)
        task.dependencies = after
        task.held = bool(held)
        if due is not None:
            task.due = self.now + due
        if at is not None:
            task.noted.due_at = at
        if parent is not None:
            task.noted.parent = parent
        if key is not None:
            task.noted.key = key
        return task

    def add(self, id: str, *after: Task, **options: Any) -> Task:
        task = self.make(id, *after, **options)
        self.engine.add(task, self.now)
        return task

    def running(self, id: str, *after: Task, **options: Any) -> Task:
        """A task that has been submitted and started."""
        task = self.add(id, *after, **options)
        if options.get("executor") == "external":
            assert self.engine.start_by_hand(task, self.now)
        else:
            self.take()
        assert task.status is TaskStatus.RUNNING, task
        return task

    def completed(self, id: str, *after: Task, **options: Any) -> Task:
        task = self.running(id, *after, **options)
        self.report(task, Ok(id))
        return task

    def failed(self, id: str, *after: Task, **options: Any) -> Task:
        task = self.running(id, *after, **options)
        self.report(task, Err(ValueError(id)))
        return task

    def cancelled(self, id: str, *after: Task, **options: Any) -> Task:
        task = self.add(id, *after, **options)
        self.engine.cancel(task, self.now)
        return task

    def take(self) -> list[str]:
        """Start what can start; the ids."""
        taken = [task.id for task in self.engine.take(self.now)]
        self._told += self.engine.drain()  # what is started must be told before anything else
        return taken

    def report(self, task: Task, outcome: Any = None, run: int | None = None) -> None:
        """The executor reports; by default that the current run returned."""
        outcome = Ok(task.id) if outcome is None else outcome
        self.engine.settle([(task, task.run if run is None else run, outcome)], self.now)

    def later(self, seconds: float) -> None:
        """Time passes, and the engine is told."""
        self.now += seconds
        self.engine.advance(self.now, self.wall)

    def renew(self, old: Task) -> Task:
        """What ``Engine.retry`` is given: a new task as the old one was."""
        return Task(old.id, old.spec, self.now)

    def retry(self, task: Task, *, downstream: bool = False) -> list[Task]:
        return self.engine.retry(task, self.now, self.renew, downstream=downstream)

    def why(self, task: Task) -> str:
        return explain(self.engine, task, self.now, self.wall)

    def transitions(self) -> list[Transition]:
        """What has happened since the last call."""
        told, self._told = [*self._told, *self.engine.drain()], []
        return told

    def moves(self) -> list[str]:
        """The same in words: "a: pending -> running (started)"."""
        return [
            f"{task.id}: {before or 'new'} -> {after} ({cause})"
            for task, before, after, _, _, cause in self.transitions()
        ]

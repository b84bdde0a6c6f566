"""What a history is about: the manager's setting, and what is asked of each task."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ..._core.flow import Gate
from ..._core.policies import Retry
from ..._core.pools import Traits
from ..._core.spec import RunIf, Spec, WhenOpen
from ..._core.states import TaskPriority

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..._core.flow import Adaptive
    from .world import World

Tuple = TypeVar("Tuple", bound=Any)

_POLICIES = tuple(field.name for field in fields(Gate) if field.name != "name")


class Broken(AssertionError):  # noqa: N818  # a law is broken
    """The engine broke a law."""


class Flop(Exception):  # noqa: N818  # it is what the task raises, not what goes wrong here
    """What a task fails with; holds its name and the number of the run."""


class Fatal(Flop):
    """What a task fails with that must not be tried again."""


EXECUTORS: Mapping[str, Traits] = {
    # One of each kind: killed at once, asked politely, not stoppable, elsewhere, by hand, and
    # elsewhere in a queue, where who begins when is only heard of.
    "process": Traits(slots=2),
    "async": Traits(slots=6, grace=2.0, max_waiting=4),
    "thread": Traits(slots=2, lingers=True, max_waiting=2),
    "remote": Traits(slots=2, local=False, grace=0.5),
    "external": Traits(slots=1_000_000, local=False, manual=True),
    "cluster": Traits(slots=2, local=False, grace=1.0, reports_start=True, outlives=True),
}


TAKE_BACK = frozenset({"process", "remote"})
"""Who sends workers more calls than they can begin, and takes back what stands too long."""


class Setting(NamedTuple):
    """How the engine is set up."""

    limit: int | Adaptive = 4
    executors: tuple[str, ...] = tuple(EXECUTORS)
    narrow: bool = False
    """Whether each executor has a single slot."""
    max_pending: int = 1_000_000
    age_every: float | None = 8.0
    keep_seconds: float | None = None
    keep_count: int | None = None
    gates: tuple[Gate, ...] = ()

    def traits(self) -> dict[str, Traits]:
        """The executors by name."""
        kinds = {name: EXECUTORS[name] for name in self.executors}
        if not self.narrow:
            return kinds
        return {
            name: kind if kind.manual else kind._replace(slots=1, max_waiting=1)
            for name, kind in kinds.items()
        }

    def world(self) -> World:
        """A world with this setting in which nothing has happened yet."""
        from .world import World  # noqa: PLC0415  # it is made of plans itself

        return World(self)

    def plainer(self) -> Iterator[Setting]:
        """The same with less that is special about it, in several ways."""
        yield from plainer(self, Setting())
        gates = self.gates
        for number, gate in enumerate(gates):
            yield self._replace(gates=gates[:number] + gates[number + 1 :])
            for policy in _POLICIES:
                if getattr(gate, policy) is not None:
                    without: dict[str, Any] = {policy: None}
                    less = replace(gate, **without)
                    yield self._replace(gates=(*gates[:number], less, *gates[number + 1 :]))

    def __str__(self) -> str:
        return "setting: " + differences(self, type(self)())


class Plan(NamedTuple):
    """What is asked of one task."""

    name: str
    executor: str = "process"
    priority: TaskPriority = TaskPriority.NORMAL
    after: tuple[str, ...] = ()
    run_if: RunIf = "all_success"
    retries: int = 0
    wait: float = 0.0
    overlap: bool = False
    max_crashes: int = 3
    timeout: float | None = None
    total_timeout: float | None = None
    expires: float | None = None
    held: bool = False
    delay: float = 0.0
    at: float | None = None
    """Seconds of wall time from the beginning of the history."""
    parent: str | None = None
    key: str | None = None
    gates: tuple[tuple[str, int], ...] = ()
    owner: str | None = None
    when_open: WhenOpen = "wait"

    def spec(self) -> Spec:
        """The plan as the engine is told."""
        return Spec(
            self.name,
            self.executor,
            priority=self.priority,
            retry=Retry(self.retries, delay=self.wait, unless=(Fatal,), overlap=self.overlap),
            timeout=self.timeout,
            total_timeout=self.total_timeout,
            expires=self.expires,
            run_if=self.run_if,
            max_crashes=self.max_crashes,
            gates=self.gates,
            owner=self.owner,
            when_open=self.when_open,
        )

    def simpler(self) -> Iterator[Plan]:
        """The same with less that is special about it, in several ways."""
        yield from plainer(self, Plan(self.name))
        for number, (name, weight) in enumerate(self.gates):
            yield self._replace(gates=self.gates[:number] + self.gates[number + 1 :])
            if weight > 1:
                lighter = (*self.gates[:number], (name, 1), *self.gates[number + 1 :])
                yield self._replace(gates=lighter)

    def __str__(self) -> str:
        return f"{self.name} ({differences(self, Plan(self.name)) or 'nothing special'})"


def plainer(plan: Tuple, plain: Tuple) -> Iterator[Tuple]:
    """``plan`` with one thing after another that is special about it as usual."""
    for field, value, usual in zip(plan._fields, plan, plain, strict=True):
        if value != usual:
            yield plan._replace(**{field: usual})


def differences(plan: Any, plain: Any) -> str:
    """What is not usual about ``plan``, in words."""
    return ", ".join(
        f"{field}={value!s}" if isinstance(value, TaskPriority) else f"{field}={value!r}"
        for field, value, usual in zip(plan._fields, plan, plain, strict=True)
        if value != usual
    )

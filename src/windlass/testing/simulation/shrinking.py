"""Cutting down a history that fails, for as long as it still fails."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from ..._core.flow import Gate
from .drawing import Played
from .history import History, play
from .plans import Plan, Setting
from .steps import Step, Submit

if TYPE_CHECKING:
    from collections.abc import Iterator

_TRIES = 4_000
_POLICIES = tuple(field.name for field in fields(Gate) if field.name != "name")


def shrink(failed: Played) -> Played:
    """A smaller history that fails as well, though perhaps in another way; where it is found."""
    tries = 0
    while True:
        for smaller in _smaller(failed.history):
            tries += 1
            error = _fails(smaller)
            if error is not None:
                failed = Played(smaller, error)
                break
            if tries >= _TRIES:
                return failed
        else:
            return failed


def _fails(history: History) -> Exception | None:
    try:
        play(history)
    except Exception as error:  # noqa: BLE001  # whatever it is, it should not be
        return error
    return None


def _smaller(history: History) -> Iterator[History]:
    """Histories that are a bit simpler, the boldest first."""
    setting, steps = history
    size = len(steps)
    while size:
        for start in range(0, len(steps), size):
            yield History(setting, steps[:start] + steps[start + size :])
        size //= 2
    for number, step in enumerate(steps):
        if isinstance(step, Submit):
            for simpler in _simpler(step):
                yield History(setting, (*steps[:number], simpler, *steps[number + 1 :]))
    yield from (History(simpler, steps) for simpler in _plainer(setting))


def _simpler(step: Submit) -> Iterator[Step]:
    if len(step.plans) > 1:
        for number in range(len(step.plans)):
            yield Submit(step.plans[:number] + step.plans[number + 1 :])
    for number, plan in enumerate(step.plans):
        usual = Plan(plan.name)._asdict()
        for field in Plan._fields:
            if getattr(plan, field) != usual[field]:
                simpler = plan._replace(**{field: usual[field]})
                yield Submit((*step.plans[:number], simpler, *step.plans[number + 1 :]))
        for gates in _fewer(plan.gates):
            simpler = plan._replace(gates=gates)
            yield Submit((*step.plans[:number], simpler, *step.plans[number + 1 :]))


def _fewer(gates: tuple[tuple[str, int], ...]) -> Iterator[tuple[tuple[str, int], ...]]:
    for number, (name, weight) in enumerate(gates):
        yield gates[:number] + gates[number + 1 :]
        if weight > 1:
            yield (*gates[:number], (name, 1), *gates[number + 1 :])


def _plainer(setting: Setting) -> Iterator[Setting]:
    usual = Setting()._asdict()
    for field in Setting._fields:
        if getattr(setting, field) != usual[field]:
            yield setting._replace(**{field: usual[field]})
    gates = setting.gates
    for number, gate in enumerate(gates):
        yield setting._replace(gates=gates[:number] + gates[number + 1 :])
        for policy in _POLICIES:
            if getattr(gate, policy) is not None:
                without: dict[str, Any] = {policy: None}
                plainer = replace(gate, **without)
                yield setting._replace(gates=(*gates[:number], plainer, *gates[number + 1 :]))

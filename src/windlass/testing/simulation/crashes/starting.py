"""The laws of starting: what must be so when an executor is given a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...._core.states import COMPLETED, RUNNING, TERMINAL
from ..plans import Broken
from . import timing, verdicts
from .plans import EXECUTORS

if TYPE_CHECKING:
    from ...._runtime.run import Run
    from .account import Account
    from .life import Life


def judge(account: Account, life: Life, run: Run) -> None:
    """Raise if ``run`` must not start in ``life`` now."""
    id, order = run.job.id, account.orders[run.job.id]
    if not life.runtime.accepting:
        raise Broken(f"{id} starts in {life.name}, which closes")
    row = account.row(id)
    begun = account.begun.get((id, run.number))
    if row is None or begun is None or begun != account.epochs.get(life):
        raise Broken(f"run {run.number} of {id} starts, and {life.name} has not stored it")
    if begun == account.epoch and (row.run != run.number or row.status in TERMINAL):
        raise Broken(f"run {run.number} of {id} starts, and stored is {row.status}, run {row.run}")
    if (id, run.number) in account.started_runs:
        raise Broken(f"run {run.number} of {id} starts for the second time")
    account.started_runs.add((id, run.number))
    if life.program.versions.get(order.function, "unknown") == "unknown":
        raise Broken(f"{id} starts where {order.function} is unknown")
    if order.held and not account.is_released(id):
        raise Broken(f"{id} starts and is held")
    _judge_budgets(account, id, run.number)
    timing.judge_start(account, life, run)
    _judge_dependencies(account, run)
    _judge_limits(account, life, run)
    _judge_what_was_kept(account, run)


def _judge_budgets(account: Account, id: str, run: int) -> None:
    if account.retries[id]:
        return  # by hand it is given all of it anew
    crashes = sum(past < run for past in account.crashed[id])
    failures = sum(past < run for past in account.failed[id])
    order = account.orders[id]
    if crashes >= verdicts.crashes_allowed(account, None, id) or (crashes and order.fails_on_crash):
        raise Broken(f"{id} starts after {crashes} crashes")
    if failures > verdicts.retries_allowed(account, None, id):
        raise Broken(f"{id} starts after {failures} failures")


def _judge_dependencies(account: Account, run: Run) -> None:
    order = account.orders[run.job.id]
    for asked in order.after:
        name = account.holder(asked)
        ended = COMPLETED in account.ends[name]
        if order.run_if == "all_done":
            # One that could not be stored has ended by that, whoever has its key now. One that was
            # retried may have ended, and begun anew, before anything of that was stored.
            ended = bool(
                account.ends[name]
                or account.equals(asked) & account.unstored
                or account.retries[name]
            )
        if not ended:
            raise Broken(f"{run.job.id} starts, and {name} is {account.status(name)}")
    if order.with_results and order.run_if == "all_success":
        results: tuple[Any, ...] = tuple(
            verdicts.result(account, account.holder(name)) for name in order.after
        )
        args, kwargs = run.arguments()
        if args != results or kwargs:
            raise Broken(f"{run.job.id} is given {args}, and should be given {results}")


def _judge_limits(account: Account, life: Life, run: Run) -> None:
    on = [*life.runs.values(), run]
    limited = [one for one in on if not _is_given_up(account, life, one)]
    if len(limited) > account.world.setting.limit:
        raise Broken(f"{len(limited)} runs at once, and the limit is {account.world.setting.limit}")
    kind = run.job.spec.executor
    if sum(one.job.spec.executor == kind for one in limited) > EXECUTORS[kind].slots:
        raise Broken(f"{kind} has more runs than slots")
    orders = [account.orders[one.job.id] for one in on]
    if orders[-1].gated and sum(order.gated for order in orders) > 1:
        raise Broken("two are behind a gate of one slot")
    suspects = account.suspects - account.retries.keys()  # those are given all of it anew
    last_chances = [one.job.id for one in on if one.job.id in suspects]
    leads = account.epochs.get(life) == account.epoch
    if leads and run.job.id in last_chances and len(last_chances) > 1:
        raise Broken(f"{last_chances} run at once, each with one crash left")


def _is_given_up(account: Account, life: Life, run: Run) -> bool:
    """Whether a run was stopped, and goes on after its grace: it has a gate, and no slot."""
    row = account.row(run.job.id)
    stopped = (run.job.id, run.number) in life.stopped
    return stopped and row is not None and (row.status, row.run) != (RUNNING, run.number)


def _judge_what_was_kept(account: Account, run: Run) -> None:
    id = run.job.id
    for step, value in account.kept[id].items():
        if run.known_step(step) != (value,):
            raise Broken(f"step {step} of {id} was done, and now gives {run.known_step(step)}")
    if (run.restored or 0) < account.checkpoints[id]:
        raise Broken(f"{id} is given checkpoint {run.restored} of {account.checkpoints[id]}")

"""Composition: a runtime made of settings. The one file that names executors, stores and codecs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from ._core.flow import Adaptive
from ._core.pools import Traits
from ._numbers import require_count, require_seconds
from ._runtime.clock import SystemClock
from ._runtime.load import require_psutil
from ._runtime.runtime import Runtime
from .decorators import recipe_of
from .executors.coroutines import CoroutineExecutor
from .executors.processes import ProcessExecutor
from .executors.sequential import SequentialExecutor
from .executors.threads import ThreadExecutor

if TYPE_CHECKING:
    from ._runtime.durable import Role
    from .ports import Clock, Codec, Executor

    Durability = Literal["full", "normal"]


def runtime_of(
    executors: Mapping[str, Executor],
    clock: Clock | None,
    *,
    limit: int | Adaptive,
    max_pending: int,
    age_every: float | None,
    retention_seconds: float | None,
    retention_count: int | None,
) -> Runtime:
    """A runtime that keeps its tasks in memory."""
    require_count("max_pending", max_pending, least=1)
    _require_seconds(age_every=age_every, retention_seconds=retention_seconds)
    _require_counts(0, retention_count=retention_count)
    return Runtime(
        executors,
        clock or SystemClock(),
        recipe_of,
        limit=require_limit(limit),
        max_pending=max_pending,
        age_every=age_every,
        keep_seconds=retention_seconds,
        keep_count=retention_count,
    )


def executors_of(
    others: Mapping[str, Executor] | None,
    *,
    grace: float,
    threads: int | None,
    max_abandoned: int,
    max_waiting: int,
    processes: int | None,
) -> dict[str, Executor]:
    """The usual executors by name, and ``others`` beside them or in their places."""
    require_seconds("cancel_grace", grace, hint="")
    _require_counts(1, threads=threads, processes=processes)
    _require_counts(0, max_abandoned_threads=max_abandoned, max_waiting_threads=max_waiting)
    if not isinstance(others, Mapping | None):
        raise TypeError(f"executors= takes a dict of names and executors, not {others!r}")
    for name, executor in (others or {}).items():
        if not isinstance(getattr(executor, "traits", None), Traits):
            raise TypeError(
                f"executors={{{name!r}: ...}} takes an executor, not {executor!r}; what is a "
                "concurrent.futures.Executor becomes one by FuturesExecutor(pool)"
            )
    return {
        "sequential": SequentialExecutor(grace=grace),
        "async": CoroutineExecutor(grace=grace),
        "thread": ThreadExecutor(threads, max_abandoned=max_abandoned, max_waiting=max_waiting),
        "process": ProcessExecutor(processes),
        **(others or {}),
    }


def keep_in_file(
    runtime: Runtime,
    file: str | os.PathLike[str],
    *,
    durability: Durability,
    codec: Codec | None,
    role: Role,
    keep_completed: float | None,
    keep_failed: float | None,
    keep_keys: float | None,
    keep_count: int | None,
) -> None:
    """Let ``runtime`` keep its tasks in ``file``."""
    if role not in {"any", "client", "errand"}:
        raise ValueError(f"role is 'any', 'client' or 'errand', not {role!r}")
    _require_counts(0, keep_count=keep_count)
    _require_seconds(keep_completed=keep_completed, keep_failed=keep_failed, keep_keys=keep_keys)
    # Whoever keeps nothing pays for none of these.
    from ._runtime.durable import Durable  # noqa: PLC0415
    from ._runtime.keeping import Keep  # noqa: PLC0415
    from .codecs import MsgpackCodec  # noqa: PLC0415
    from .decorators import REGISTRY  # noqa: PLC0415
    from .stores.lead import Lead  # noqa: PLC0415
    from .stores.sqlite import SqliteStore  # noqa: PLC0415

    keep = Keep(keep_completed, keep_failed, keep_keys, keep_count)
    durable = Durable(
        runtime,
        SqliteStore(file, durability=durability),
        codec or MsgpackCodec(),
        REGISTRY,
        Lead(file),
        keep if role != "errand" else Keep(None, None, None, None),
        role=role,
    )
    runtime.keep_in(durable)


def require_limit(limit: int | Adaptive) -> int | Adaptive:
    """``max_concurrent_tasks``, if it can be that."""
    if isinstance(limit, Adaptive):
        require_psutil(limit)
        return limit
    return require_count("max_concurrent_tasks", limit, least=1)


def refuse_unnamed(file: object, others: tuple[object, ...]) -> None:
    """Raise for settings without a name, with the one that was probably meant."""
    if isinstance(file, str | os.PathLike | None) and not others:
        return
    given = others[0] if isinstance(file, str | os.PathLike | None) else file
    hint = f", and {given!r} has none"
    if isinstance(given, int):
        hint = f": did you mean TaskManager(max_concurrent_tasks={given!r})?"
    raise TypeError(f"TaskManager takes its settings by name{hint}")


def _require_counts(least: int, **settings: int | None) -> None:
    for name, value in settings.items():
        if value is not None:
            require_count(name, value, least=least)


def _require_seconds(**settings: float | None) -> None:
    for name, value in settings.items():
        if value is not None:
            require_seconds(name, value)

"""Tasks on a Celery cluster: ``CeleryExecutor`` for the manager, ``install`` for the workers.

::

    app = Celery(broker="redis://...")
    install(app)


    @task(executor="celery")
    def crunch(n: int) -> int: ...


    async with TaskManager(executors={"celery": CeleryExecutor(app)}) as tm:
        print(await tm.submit(crunch, 7))

Celery and the Redis client come with ``pip install 'windlass[celery]'``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..executors.celery import CeleryExecutor as _CeleryExecutor
from .words import CodecWords

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..ports import Codec

__all__ = ["CeleryExecutor", "install"]


class CeleryExecutor(_CeleryExecutor):
    """Runs calls on the workers of a Celery app.

    Args:
        app: your Celery app; ``install(app)`` must have been called in the workers' program.
        redis: the address of the Redis through which tasks are heard of. By default it is the app's
            result backend, or its broker.
        name: one that this manager keeps over restarts, so that a durable one finds its tasks that
            are still under way. It is one manager's at a time: the calls of a second one wait
            until the first has gone, and fail when ``patience`` is over.
        slots: how many calls are handed over at once; more wait in the manager, by priority. They
            do not count against ``max_concurrent_tasks``.
        grace: seconds that a stopped call gets before its process is killed.
        lease: seconds without a sign of life after which a worker is taken for dead.
        patience: seconds for which a broker or a Redis that does not answer is tried again.
        start_timeout: seconds after which it is looked into why nobody begins a call.
        max_bytes: how large arguments and results may be.
        keep: seconds for which results are kept for a named manager that is away.
        codec: what turns values into bytes; workers need the same, see ``install``.
        options: Celery's own, for every call: ``queue="gpu"``, ``routing_key=``, ``priority=``. A
            single task has its own in ``metadata={"celery": {"queue": "gpu"}}``.
    """

    def __init__(self, app: Any, *, codec: Codec | None = None, **settings: Any) -> None:
        super().__init__(app, CodecWords(codec), **settings)


def install(
    app: Any,
    *,
    redis: Any = None,
    codec: Codec | None = None,
    around: Sequence[Callable[..., Any]] = (),
) -> None:
    """Let the workers of ``app`` run tasks of Windlass: those that their program has, by id.

    One Celery task is added, and nothing but functions decorated with ``@task`` can be called
    through it. ``redis`` and ``codec`` are as for ``CeleryExecutor``; ``around`` is what
    ``manager.around(...)`` is given elsewhere, since that does not travel.
    """
    from .far import Far  # noqa: PLC0415  # only workers need it

    Far(app, redis, CodecWords(codec), around).install()

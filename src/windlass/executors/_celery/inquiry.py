"""Why does nobody begin these? The workers are asked, and what they say is told.

Three answers: there is no worker at all, there are workers whose program has no ``install(app)``,
or there are good ones that listen to other queues, or are busy. A worker without ``install`` throws
letters away that it gets, so those are sent again if others can open them.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from ..._core.outcome import Err
from ...errors import TaskError
from .wire import TASK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .flights import Flight, Flights
    from .post import Post

logger = logging.getLogger("windlass")

_PATIENCE = 1.0
_NAMED = 5


def inquire(app: Any, late: Sequence[Flight], flights: Flights, post: Post) -> None:
    """Find out why ``late`` are late, and say so."""
    inspect = app.control.inspect(timeout=_PATIENCE)
    registered = inspect.registered() or {}
    able = sorted(node for node, tasks in registered.items() if _has_it(tasks))
    unable = sorted(registered.keys() - set(able))
    late = [flight for flight in late if flight in flights and flight.place is None]
    if not late:
        return
    named = ", ".join(flight.label for flight in late[:_NAMED])
    more = f" and {len(late) - _NAMED} more" if len(late) > _NAMED else ""
    if not registered:
        logger.warning(
            "no worker has begun %s%s, and none answers: start one with `celery -A ... worker`",
            named,
            more,
        )
    elif not able:
        why = (
            f"the workers that answer ({', '.join(unable)}) have no task {TASK!r}: call "
            "windlass.celery.install(app) in their program"
        )
        for flight in late:
            error = TaskError(f"nobody can run {flight.label}: {why}", flight.call.task_id)
            flights.end(flight.key, Err(error, raised=False))
    else:
        queues = inspect.active_queues() or {}
        listening = sorted({queue["name"] for node in able for queue in queues.get(node, ())})
        logger.warning(
            "no worker has begun %s%s. Those that can (%s) listen to the queues %s: they are busy, "
            "or the tasks wait in another queue%s",
            named,
            more,
            ", ".join(able),
            ", ".join(listening),
            f". Without windlass.celery.install(app): {', '.join(unable)}" if unable else "",
        )
        if unable:
            post.send(late)


def _has_it(tasks: Sequence[str]) -> bool:
    # A task's name may be followed by its settings.
    return any(task.split(" ", 1)[0] == TASK for task in tasks)

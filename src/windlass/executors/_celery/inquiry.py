"""Why does nobody begin these? The workers are asked, and what they say is told.

Nobody may listen to their queue; those who do may have a program without ``install(app)``, and then
the tasks fail; or they are busy. Or the letters are lost: a worker without ``install`` throws them
away, and one that was cut off from the broker leaves some in limbo for an hour. So copies are sent,
each time after twice as long: a queue that is merely long does not grow much by it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from ..._core.outcome import Err
from ...errors import TaskError
from .wire import TASK

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .flights import Flight, Flights
    from .post import Post

logger = logging.getLogger("windlass")

_PATIENCE = 1.0
_NAMED = 5


def inquire(app: Any, late: Sequence[Flight], flights: Flights, post: Post) -> None:
    """Find out why ``late`` are late, and say so."""
    inspect = app.control.inspect(timeout=_PATIENCE, connection=post.connection())
    tasks, queues = inspect.registered() or {}, inspect.active_queues() or {}
    by_queue: dict[str | None, list[Flight]] = {}
    for flight in late:
        if flight in flights and flight.place is None:
            by_queue.setdefault(_queue_of(app, flight), []).append(flight)
    for queue, waiting in by_queue.items():
        able, unable = _listeners(queue, tasks, queues)
        where = f"the queue {queue!r}" if queue is not None else "their queue"
        if unable and not able:
            why = (
                f"those who listen to {where} ({', '.join(unable)}) have no task {TASK!r}: call "
                "windlass.celery.install(app) in their program"
            )
            for flight in waiting:
                error = TaskError(f"no worker can run {flight.label}: {why}", flight.call.task_id)
                flights.end(flight.key, Err(error, raised=False))
            continue
        situation = _situation(where, able, unable, queues)
        for flight in waiting:
            flight.call.heard("held up", situation)
        logger.warning("no worker has begun %s. %s", _names(waiting), situation)
        if able:
            post.send_again(waiting)


def _queue_of(app: Any, flight: Flight) -> str | None:
    """The queue that its letter went to, if there is one by name."""
    queue = app.amqp.router.route(dict(flight.options), TASK).get("queue")
    name: str | None = getattr(queue, "name", queue)
    return name


def _listeners(
    queue: str | None, tasks: Mapping[str, Sequence[str]], queues: Mapping[str, Any]
) -> tuple[list[str], list[str]]:
    """The workers that listen to ``queue``: those who can open letters, and the others."""
    able: list[str] = []
    unable: list[str] = []
    for node in sorted(tasks):
        if queue is None or queue in {one["name"] for one in queues.get(node) or ()}:
            # A task's name may be followed by its settings.
            known = any(name.split(" ", 1)[0] == TASK for name in tasks[node])
            (able if known else unable).append(node)
    return able, unable


def _situation(
    where: str, able: Sequence[str], unable: Sequence[str], queues: Mapping[str, Any]
) -> str:
    if not queues:
        return "No worker answers: start one with `celery -A ... worker`"
    if not able:
        heard = sorted({queue["name"] for several in queues.values() for queue in several or ()})
        return f"Nobody listens to {where}; there are workers for: {', '.join(heard)}"
    text = f"Those who listen to {where} ({', '.join(able)}) have other things to do"
    if unable:
        text += f". Without windlass.celery.install(app): {', '.join(unable)}"
    return text


def _names(flights: Sequence[Flight]) -> str:
    named = ", ".join(flight.label for flight in flights[:_NAMED])
    return f"{named} and {len(flights) - _NAMED} more" if len(flights) > _NAMED else named

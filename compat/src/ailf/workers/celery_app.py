"""The Celery app; ``celery -A ailf.workers.celery_app worker`` starts a worker for its tasks.

Broker and backend are named by CELERY_BROKER_URL and CELERY_RESULT_BACKEND, and are a Redis server
on this machine otherwise. Importing this connects to nothing.

A message is acknowledged when its task has ended, so a worker that dies loses none: another one
runs the task again. That would go on for ever with a task that *kills* its worker, and neither
Celery nor Redis counts. So each delivery is counted in the result backend, before the task begins,
and the one after ``MAX_DELIVERIES`` fails the task instead. Where the backend cannot count, a lost
worker fails its task at once.
"""

from __future__ import annotations

import os
from time import monotonic
from typing import TYPE_CHECKING, Any

try:
    import celery  # type: ignore[import-untyped]  # pyright: ignore[reportMissingTypeStubs]
except ImportError as error:
    raise ImportError(
        "tasks on a cluster need Celery, which is not installed: pip install 'celery[redis]'"
    ) from error

from kombu.exceptions import OperationalError

from ..messaging._server import address_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MAX_DELIVERIES", "BrokerUnreachableError", "RedeliveredTooOftenError", "app"]

MAX_DELIVERIES = 3
_REMEMBERED = 24 * 3600
_LOCAL = "redis://localhost:6379/0"
_BROKER = os.environ.get("CELERY_BROKER_URL") or _LOCAL
_BACKEND = os.environ.get("CELERY_RESULT_BACKEND") or _LOCAL


class RedeliveredTooOftenError(Exception):
    """The workers that were given this task died before it ended."""


class BrokerUnreachableError(OperationalError, ConnectionError):
    """A task could not be sent; Celery's own error, and Python's."""


class CountedTask(celery.Task):  # type: ignore[misc]  # there are no types for it
    """A task whose deliveries are counted; the base of all tasks of the app."""

    abstract = True

    def apply_async(self, *args: Any, **kwargs: Any) -> Any:
        """Send the task, as ``delay`` does."""
        began = monotonic()
        lost = (OperationalError, *getattr(self.backend, "connection_errors", ()))
        try:
            return super().apply_async(*args, **kwargs)
        except Exception as error:
            if not isinstance(error, lost) and not isinstance(error.__cause__, lost):
                raise
            servers = " or ".join(dict.fromkeys(map(address_of, (_BROKER, _BACKEND))))
            raise BrokerUnreachableError(
                f"{self.name} was not sent: no answer from {servers}, tried for "
                f"{monotonic() - began:.1f} s. Start the server, or name another by "
                "CELERY_BROKER_URL and CELERY_RESULT_BACKEND"
            ) from error

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task, unless it was delivered too often."""
        request = self.request
        if request.called_directly or request.is_eager or not _counts(self.backend):
            return self.run(*args, **kwargs)
        key = f"ailf-deliveries:{request.id}:{request.retries}"
        delivery = self.backend.incr(key)
        self.backend.expire(key, _REMEMBERED)
        try:
            if delivery > MAX_DELIVERIES:
                raise RedeliveredTooOftenError(
                    f"{self.name} [{request.id}] was begun {MAX_DELIVERIES} times and its worker "
                    "died each time, so it is not begun again. The worker's log tells of what "
                    "killed it"
                )
            return self.run(*args, **kwargs)
        finally:
            self.backend.delete(key)


def _counts(backend: Any) -> bool:
    """Whether a result backend can count: Redis can, of those that Celery has."""
    return hasattr(backend, "incr") and hasattr(backend, "expire")


app = celery.Celery(
    "ailf",
    broker=_BROKER,
    backend=_BACKEND,
    include=["ailf.workers.tasks"],
    task_cls=CountedTask,
)
app.conf.update(
    accept_content=["json"],
    task_serializer="json",
    result_serializer="json",
    task_acks_late=True,
    task_reject_on_worker_lost=_BACKEND.startswith(("redis://", "rediss://")),
    task_track_started=True,
    worker_prefetch_multiplier=1,  # what is prefetched waits behind a long task
    broker_connection_retry_on_startup=True,
)


def remote(name: str, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """``app.task`` with a type, which Celery has not."""
    decorator: Callable[[Callable[..., Any]], Any] = app.task(name=name, **options)
    return decorator

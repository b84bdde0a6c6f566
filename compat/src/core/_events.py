"""Events about tasks; people know them as ``core.event_system``.

Here, because a program may have a module of that name itself, which then hides ours.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable
from typing import Any, TypeAlias

from ._task import now

logger = logging.getLogger("windlass.compat")


class EventType(enum.Enum):
    """What happened."""

    TASK_CREATED = "task_created"
    TASK_STARTED = "task_started"
    TASK_COMPLETED = "task_completed"
    TASK_FAILED = "task_failed"
    TASK_CANCELLED = "task_cancelled"
    TASK_PROGRESS = "task_progress"


class Event:
    """One thing that happened, and to what."""

    def __init__(
        self, event_type: EventType, data: dict[str, Any] | None = None, source: str | None = None
    ) -> None:
        self.event_type = event_type
        self.data = data or {}
        self.source = source
        self.timestamp = now()

    def __repr__(self) -> str:
        return f"<Event {self.event_type.value} {self.data.get('task_id', '')}>"


Listener: TypeAlias = Callable[[Event], object]

_listeners: dict[EventType | None, list[Listener]] = {}


def subscribe(event_type: EventType | None, listener: Listener) -> None:
    """Have ``listener`` called with every event of a type from now on; None means all types."""
    _listeners[event_type] = [*_listeners.get(event_type, ()), listener]


def unsubscribe(event_type: EventType | None, listener: Listener) -> bool:
    """Call ``listener`` no more; False if it was not subscribed."""
    listening = _listeners.get(event_type, [])
    _listeners[event_type] = [other for other in listening if other != listener]
    return len(_listeners[event_type]) < len(listening)


def is_heard(event_type: EventType) -> bool:
    """Whether anybody listens to events of this type."""
    return bool(_listeners.get(event_type) or _listeners.get(None))


def publish_sync(event: Event) -> None:
    """Call everybody who listens to events of this type; one that raises harms nobody else."""
    for listener in (*_listeners.get(event.event_type, ()), *_listeners.get(None, ())):
        try:
            listener(event)
        except Exception:
            logger.exception("a listener raised on %r; it goes on listening", event)


def create_task_event(
    event_type: EventType, task_id: str, data: dict[str, Any] | None = None
) -> Event:
    """An event about a task."""
    return Event(event_type, {"task_id": task_id, **(data or {})}, "task")

"""Events about tasks, for programs that listen to them."""

from ._events import (
    Event,
    EventType,
    create_task_event,
    is_heard,
    publish_sync,
    subscribe,
    unsubscribe,
)

__all__ = [
    "Event",
    "EventType",
    "create_task_event",
    "is_heard",
    "publish_sync",
    "subscribe",
    "unsubscribe",
]

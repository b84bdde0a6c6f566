"""Events about tasks, for programs that listen to them."""
# ruff: noqa: PLC0414  # on purpose: this is where people know them from

from ._events import Event as Event
from ._events import EventType as EventType
from ._events import create_task_event as create_task_event
from ._events import is_heard as is_heard
from ._events import publish_sync as publish_sync
from ._events import subscribe as subscribe
from ._events import unsubscribe as unsubscribe

"""The managers of this process, for whoever watches a program without having written it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._runtime.openings import Listener

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..manager import TaskManager


def on_open(callback: Callable[[TaskManager], object]) -> Listener:
    """Have ``callback(manager)`` called whenever a manager of this process opens, until cancelled.

    It is called in the thread that opens it, before the manager takes its first task: whoever
    subscribes then hears of everything. A manager that is closed and opened again is told of again;
    subscriptions outlive that.
    """
    return Listener(callback)

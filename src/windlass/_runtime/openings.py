"""Who hears of managers as they open: whoever watches a whole program, and made none of them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger("windlass")

_listeners: list[Listener] = []


class Listener:
    """A callback that hears of managers; ``cancel`` it to hear no more."""

    def __init__(self, callback: Callable[[Any], object]) -> None:
        self._callback = callback
        _listeners.append(self)

    def cancel(self) -> None:
        """Hear no more."""
        if self in _listeners:
            _listeners.remove(self)

    def tell(self, manager: object) -> None:
        """Pass ``manager`` on; what the listener makes of it is its own affair."""
        try:
            self._callback(manager)
        except Exception:
            logger.exception("a listener to the opening of managers raised; it goes on listening")


def tell_of(manager: object) -> None:
    """``manager`` is about to open."""
    for listener in tuple(_listeners):
        listener.tell(manager)

"""What of Celery's somebody has passed; told by its class, since Celery need not be there."""

from __future__ import annotations

from typing import Any


def signature_in(function: Any) -> Any:
    """The Celery signature that ``function`` is, or that a decorator was given; else None."""
    inner = getattr(function, "__wrapped__", function)
    return inner if _is_of(inner, "celery.canvas") else None


def is_celery_task(function: Any) -> bool:
    """Whether it is a task of Celery's, or what stands for one until it is looked at."""
    return _is_of(function, "celery.app.task") or _is_of(function, "celery.local")


def _is_of(thing: Any, module: str) -> bool:
    return any(kind.__module__ == module for kind in type(thing).__mro__)

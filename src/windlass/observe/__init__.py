"""Watching: what is built on changes and the read API alone, and knows nothing of the engine."""

from .managers import on_open as on_open

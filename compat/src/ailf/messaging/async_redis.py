"""Publish and subscribe on an event loop."""

from ._subscriptions import AsyncRedisPubSub

__all__ = ["AsyncRedisPubSub"]

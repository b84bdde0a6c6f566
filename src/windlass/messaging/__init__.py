"""Tasks that are started by messages, through a Redis server.

``listen`` makes a task of every message in a stream, and loses none; ``subscribe`` and ``publish``
are broadcasts to whoever listens now.
"""

from __future__ import annotations

import os
import socket
import uuid
from typing import TYPE_CHECKING, Any

from .._numbers import require_count, require_seconds
from .broadcasts import Broadcasts, encoded, send
from .doors import Listener as Listener
from .requests import Requests
from .server import Server
from .starting import Starter
from .stream import Stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from .. import TaskHandle, TaskManager

__all__ = ["Listener", "listen", "publish", "subscribe"]


def listen(
    manager: TaskManager,
    stream: str,
    task: Callable[..., Any],
    *,
    reply: str | None = None,
    dead: str | None = None,
    group: str = "windlass",
    consumer: str | None = None,
    url: str | None = None,
    in_flight: int = 100,
    idle: float = 30.0,
    tries: int = 3,
    keep: int = 1_000_000,
) -> Listener:
    """Make a task of every message in a Redis stream, once it is opened.

    The fields of a message are the keyword arguments of ``task``, as its annotations say: a field
    whose parameter takes texts is the text that it is, any other is JSON. Fields that it has no
    parameter for are left out.

    A message is acknowledged when its task has ended or, with a manager that keeps tasks in a file,
    as soon as it is on disk. Any number of processes may listen to the same stream; each message
    goes to one of them, and to another if that one dies.

    Args:
        manager: whose tasks they will be; it has to be open when the listener is.
        stream: the stream to read, which is made if there is none.
        task: the function.
        reply: the stream that is told how each message ended: ``correlation_id`` (that of the
            message, or its id), ``id``, ``status``, and ``result`` as JSON, or ``error`` and
            ``error_type``. None for no replies.
        dead: the stream for messages that cannot be done, with the reason; ``<stream>:dead`` if
            it is not given.
        group: who shares the messages of the stream: each goes to one consumer of a group.
        consumer: the name of this process in the group, which no other may have at that time.
        url: where the server is, ``redis://user:password@host:port/0``; if it is not given, the
            environment variable ``REDIS_URL``, or this machine.
        in_flight: how many messages are worked on at once; the rest waits in the stream.
        idle: after so many seconds without a sign a consumer is dead, and others take over.
        tries: how often a message is tried before it goes to ``dead``: by consumers that die of
            it, and by retries of a task that fails, unless its ``@task`` says ``retry=``.
        keep: how many entries ``reply`` and ``dead`` keep, about.
    """
    for name, value in (("stream", stream), ("group", group)):
        _require_name(name, value)
    for name, given in (("reply", reply), ("dead", dead), ("consumer", consumer)):
        if given is not None:
            _require_name(name, given)
    dead = dead or f"{stream}:dead"
    if stream in {reply, dead}:
        raise ValueError(f"{stream!r} is the stream to read: replies and dead letters need others")
    require_seconds("idle", idle)
    require_count("in_flight", in_flight, least=1)
    require_count("tries", tries, least=1)
    require_count("keep", keep, least=1)
    server = Server(url)
    name = consumer or f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    source = Stream(None, stream, group, name, keep, idle)
    work = Requests(
        Starter(manager, task, tries=tries), server, source,
        reply=reply, dead=dead, in_flight=in_flight, tries=tries,
    )  # fmt: skip
    return Listener(manager, work)


def subscribe(
    manager: TaskManager,
    channel: str,
    task: Callable[..., Any],
    *,
    url: str | None = None,
    in_flight: int = 100,
) -> Listener:
    """Make a task of everything that is published to a channel while this is open.

    The first parameter of ``task`` is the message: the text that it is, or what its annotation
    makes of it as JSON. If there is one called ``channel``, it is told that as well.

    Args:
        manager: whose tasks they will be; it has to be open when the subscription is.
        channel: the name of a channel, or a pattern such as ``news.*``.
        task: the function.
        url: where the server is; see ``listen``.
        in_flight: how many messages are worked on at once. A server keeps a few megabytes for who
            does not read, and then hangs up.
    """
    _require_name("channel", channel)
    require_count("in_flight", in_flight, least=1)
    return Listener(manager, Broadcasts(Starter(manager, task), Server(url), channel, in_flight))


def publish(
    manager: TaskManager, channel: str, message: Any, *, url: str | None = None
) -> TaskHandle[int]:
    """Send a message to all who have subscribed to a channel at this moment; says how many.

    Texts and bytes are sent as they are, all else as JSON. It is a task of ``manager``, in memory.
    """
    _require_name("channel", channel)
    named = send.options(name=f"publish to {channel}")
    return manager.submit(named, Server(url), channel, encoded(message))


def _require_name(what: str, value: Any) -> None:
    if not isinstance(value, str) or not value:
        raise TypeError(f"{what}= takes a text, not {value!r}")

"""Streams: messages that stay until somebody has handled them.

Theory of operation
-------------------
A group hands each entry to one of its consumers and remembers it until that acknowledges it. An
entry whose consumer has died, or could not handle it, is *claimed*, by whoever reads next, once it
has been left alone for ``claim_after`` seconds. So every entry is handled at least once, and again
if a consumer took longer than that, or died between handling and acknowledging.

The steps that make this up are written once; see ``_clients``.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from ._clients import AsyncRedisClient, RedisClient, Steps
from ._server import driver
from ._subscriptions import FIRST_PAUSE, LONGEST_PAUSE

logger = logging.getLogger("ailf")

Processor: TypeAlias = Callable[[dict[str, Any]], Any]

# The server is asked to wait for so many milliseconds at a time: a command that waits longer than
# the connection's own timeout would pass for a server that is gone, and ``stop`` is to be heard.
_AT_A_TIME = 1000
_FAREWELL = 5.0
# How errors begin that say so of the stream or the group, before and during a wait.
_GONE = ("NOGROUP", "UNBLOCKED")


class RedisStream:
    """A stream of entries. With ``client=``, an ``AsyncRedisClient``, whatever it does is awaited.

    Then ``read`` and ``read_group`` give pairs of id and data, and otherwise dicts of the two.
    """

    def __init__(
        self,
        stream_name: str,
        redis_client: RedisClient | None = None,
        *,
        client: AsyncRedisClient | RedisClient | None = None,
    ) -> None:
        self.stream_name = stream_name
        self.client = client or redis_client or RedisClient()
        self._pairs = isinstance(self.client, AsyncRedisClient)
        self._group: str | None = None
        self._consumer: str | None = None
        self._own_groups: set[str] = set()
        self._cursors: dict[str, str] = {}
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, data: Mapping[str, Any]) -> Any:
        """Append an entry, whose values become texts; returns its id."""
        fields = {name: _text(value) for name, value in data.items()}
        return self.client.carry_out(self._add(fields))

    def read(self, count: int = 10, block: int | None = None, last_id: str = "$") -> Any:
        """Entries after ``last_id``; waits up to ``block`` milliseconds for the first (0: ever)."""
        return self.client.carry_out(self._read(count, block, last_id))

    def create_group(self, name: str, start_id: str = "$") -> Any:
        """Have a group, and the stream; it begins after ``start_id``: with new entries. True."""
        return self.client.carry_out(self._create(name, start_id))

    def create_consumer_group(
        self, group_name: str, consumer_name: str, start_id: str = "$"
    ) -> Any:
        """Have a group and be a consumer of it; see ``create_group``."""
        self._group, self._consumer = group_name, consumer_name
        return self.create_group(group_name, start_id)

    def read_group(
        self,
        count: int = 10,
        block: int | None = None,
        last_id: str = ">",
        *,
        group_name: str | None = None,
        consumer_name: str | None = None,
        claim_after: float = 60.0,
    ) -> Any:
        """Entries for this consumer: those that another has left for too long, or new ones."""
        group, consumer = self._member(group_name, consumer_name)
        return self.client.carry_out(
            self._read_group(group, consumer, count, block, last_id, round(claim_after * 1000))
        )

    def acknowledge(self, message_id: str, *, group_name: str | None = None) -> Any:
        """Say that an entry has been handled; False if nobody was waiting for that."""
        group, _ = self._member(group_name, "-")
        return self.client.carry_out(self._acknowledge(group, message_id))

    # -- in plain code: a loop that hands each entry to a function -----------------------------

    def process_messages(
        self,
        processor: Processor,
        count: int = 10,
        block: int = 1000,
        last_id: str = ">",
        *,
        claim_after: float = 60.0,
    ) -> None:
        """Call ``processor(data)`` with each entry, and acknowledge it if that returns true.

        Goes on until ``stop``, also while the server is away. An entry that was not acknowledged
        comes again after ``claim_after`` seconds, here or at another consumer of the group.
        """
        self._refuse_async("process_messages")
        self._member(None, None)
        self._stopped.clear()
        self._process(processor, count, block, last_id, claim_after)

    def process_in_thread(
        self,
        processor: Processor,
        count: int = 10,
        block: int = 1000,
        daemon: bool = True,
        *,
        claim_after: float = 60.0,
    ) -> threading.Thread:
        """The same in a thread of its own, which is returned."""
        self._refuse_async("process_in_thread")
        self._member(None, None)
        self._stopped.clear()
        self._thread = threading.Thread(
            target=self._process,
            args=(processor, count, block, ">", claim_after),
            name="ailf-stream",
            daemon=daemon,
        )
        self._thread.start()
        return self._thread

    def stop(self) -> None:
        """End the loop after the entry it is at, and wait for that a while."""
        self._stopped.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_FAREWELL)

    def _process(
        self, processor: Processor, count: int, block: int, last_id: str, claim_after: float
    ) -> None:
        pause = 0.0
        unsaid: set[str] = set()
        """Entries that are handled, which the server could not be told yet."""
        while not self._stopped.is_set():
            try:
                for id in list(unsaid):
                    self.acknowledge(id)
                    unsaid.discard(id)
                entries = self.read_group(count, block, last_id, claim_after=claim_after)
                pause = 0.0
                for entry in entries:
                    if self._stopped.is_set():
                        break
                    id, data = entry["id"], entry["data"]
                    if self._handled(processor, id, data):
                        unsaid.add(id)
                        self.acknowledge(id)
                        unsaid.discard(id)
            except ConnectionError as error:
                if not pause:
                    logger.warning("%s. Entries of %s wait for it", error, self.stream_name)
                pause = min(max(2 * pause, FIRST_PAUSE), LONGEST_PAUSE)
                self._stopped.wait(pause)

    def _handled(self, processor: Processor, id: str, data: dict[str, Any]) -> bool:
        try:
            return bool(processor(data))
        except Exception:
            logger.exception("the processor of %s raised at the entry %s", self.stream_name, id)
            return False

    def _refuse_async(self, method: str) -> None:
        if self._pairs:
            raise RuntimeError(
                f"{method}() is for plain code and would block the event loop; with an "
                "AsyncRedisClient, loop over `await stream.read_group(...)`"
            )

    def _member(self, group: str | None, consumer: str | None) -> tuple[str, str]:
        group, consumer = group or self._group, consumer or self._consumer
        if not group or not consumer:
            raise ValueError(
                f"there is no consumer group of {self.stream_name!r} to read for: call "
                "create_consumer_group(group, consumer) first, or give group_name= and "
                "consumer_name="
            )
        return group, consumer

    # -- the steps -----------------------------------------------------------------------------

    def _add(self, fields: dict[str, str]) -> Steps:
        return (yield "xadd", (self.stream_name, fields), {})

    def _acknowledge(self, group: str, id: str) -> Steps:
        return bool((yield "xack", (self.stream_name, group, id), {}))

    def _create(self, group: str, start_id: str) -> Steps:
        try:
            yield "xgroup_create", (self.stream_name, group, start_id), {"mkstream": True}
        except driver().ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
        self._own_groups.add(group)
        return True

    def _read(self, count: int, block: int | None, last_id: str) -> Steps:
        if last_id == "$" and block is not None:
            # What comes between two of our waits is new as well.
            newest = yield "xrevrange", (self.stream_name,), {"count": 1}
            last_id = newest[0][0] if newest else "0-0"
        return (yield from self._await(block, "xread", {self.stream_name: last_id}, count=count))

    def _read_group(
        self, group: str, consumer: str, count: int, block: int | None, last_id: str, idle: int
    ) -> Steps:
        streams = {self.stream_name: last_id}
        while True:
            try:
                if last_id == ">":
                    claimed = yield from self._claim(group, consumer, count, idle)
                    if claimed:
                        return self._shown(claimed)
                return (
                    yield from self._await(
                        block, "xreadgroup", group, consumer, streams, count=count
                    )
                )
            except driver().ResponseError as error:
                # A server that lost its data has lost the group; what is added since waits for one.
                if not str(error).startswith(_GONE) or group not in self._own_groups:
                    raise
                yield from self._create(group, "0")

    def _claim(self, group: str, consumer: str, count: int, idle: int) -> Steps:
        """Take over what was left for ``idle`` milliseconds; a long list takes several turns."""
        start = self._cursors.get(group, "0-0")
        options = {"start_id": start, "count": count}
        answer = yield "xautoclaim", (self.stream_name, group, consumer, idle), options
        self._cursors[group] = answer[0]
        return [(id, fields) for id, fields in answer[1] if fields]  # what was deleted has none

    def _await(self, block: int | None, command: str, *args: Any, **options: Any) -> Steps:
        """Read, and wait in turns that are short enough."""
        left = block
        while True:
            turn = None if left is None else min(left or _AT_A_TIME, _AT_A_TIME)
            answer = yield command, args, {**options, "block": turn}
            if left:
                left -= turn or 0
            if answer or left is None or (block and not left) or self._stopped.is_set():
                return self._shown([entry for _, entries in answer or () for entry in entries])

    def _shown(self, entries: list[tuple[str, dict[str, Any]]]) -> list[Any]:
        if self._pairs:
            return [(id, fields) for id, fields in entries]
        return [{"id": id, "data": fields} for id, fields in entries]


def _text(value: Any) -> str:
    if isinstance(value, dict | list | tuple):
        return json.dumps(value)
    return value if isinstance(value, str) else str(value)

"""A stream of requests with its consumer group, and who may end a message.

Theory of operation
-------------------
A message that was read and not ended is in one of two places on the server: in the group's list of
pending messages, or, once a durable manager has stored its task, in a hash beside it, ``owed``.
Being there is the *right to end it*. Ending takes the message out of that place and adds the
reply, or the dead letter, in one script, which the server runs as a whole or not at all. So
whoever comes second, a consumer that was thought dead, or a script that is sent again because its
answer was lost, finds no right and adds nothing: a message has one reply.

A server that has lost its memory knows of no rights. It has also lost the ``epoch`` that was
written when the group was made, and by that a consumer's right of before is recognised.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping  # of a dataclass
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .server import driver

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

CORRELATION = b"correlation_id"
_EPOCH = "epoch"
# A consumer without messages that was silent for so long will not come back.
_LONG_DEAD = 3_600.0

# KEYS: stream, owed, further streams. ARGV: group, id, epoch, how many entries to keep, then for
# each further stream the number of texts that follow, and these. What can fail comes first.
_END = """
local pending = redis.pcall('XPENDING', KEYS[1], ARGV[1], ARGV[2], ARGV[2], 1)
local has_right = (not pending.err and #pending > 0)
    or redis.call('HEXISTS', KEYS[2], ARGV[2]) == 1
    or redis.call('HGET', KEYS[2], 'epoch') ~= ARGV[3]
if not has_right then return 0 end
for i = 3, #KEYS do
    local kind = redis.call('TYPE', KEYS[i]).ok
    if kind ~= 'stream' and kind ~= 'none' then
        return redis.error_reply('WRONGTYPE ' .. KEYS[i] .. ' is a ' .. kind .. ', not a stream')
    end
end
local at = 5
for i = 3, #KEYS do
    local last = at + tonumber(ARGV[at])
    redis.call('XADD', KEYS[i], 'MAXLEN', '~', ARGV[4], '*', unpack(ARGV, at + 1, last))
    at = last + 1
end
redis.pcall('XACK', KEYS[1], ARGV[1], ARGV[2])
redis.call('HDEL', KEYS[2], ARGV[2])
return 1
"""

# KEYS: stream, owed. ARGV: group, id, note.
_OWE = """
if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 0 then return 0 end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
return 1
"""

# Claim what is pending for long. KEYS: stream. ARGV: group, consumer, milliseconds, how many,
# whether only the consumer's own, then the ids that it knows of. What was removed from the stream
# can be done by nobody any more.
_CLAIM = """
local known = {}
for i = 6, #ARGV do known[ARGV[i]] = true end
local ask = {'XPENDING', KEYS[1], ARGV[1], 'IDLE', ARGV[3], '-', '+', ARGV[4] + #ARGV - 5}
if ARGV[5] == '1' then ask[#ask + 1] = ARGV[2] end
local claimed, gone = {}, {}
for _, row in ipairs(redis.call(unpack(ask))) do
    local id = row[1]
    if not known[id] and #claimed < tonumber(ARGV[4]) then
        local entry = redis.call('XRANGE', KEYS[1], id, id)[1]
        if entry then
            redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, id, 'RETRYCOUNT', row[4] + 1)
            claimed[#claimed + 1] = {id, entry[2], row[4] + 1}
        else
            redis.call('XACK', KEYS[1], ARGV[1], id)
            gone[#gone + 1] = id
        end
    end
end
return {claimed, gone}
"""

# Keep one's messages from being claimed by others. A claim of what was removed from the stream
# would end it, so the right moves. KEYS: stream, owed. ARGV: group, consumer, ids with notes.
_KEEP = """
for i = 3, #ARGV, 2 do
    local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1, ARGV[2])
    if #pending > 0 then
        if #redis.call('XRANGE', KEYS[1], ARGV[i], ARGV[i]) == 0 then
            redis.call('XACK', KEYS[1], ARGV[1], ARGV[i])
            redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1])
        else
            redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'JUSTID')
        end
    end
end
redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, '0-0', 'JUSTID')
return 1
"""

# Without a message pending, a consumer can go. KEYS: stream. ARGV: group, consumer.
_DISMISS = """
if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) == 0 then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
end
return 1
"""


@dataclass(slots=True)
class Message:
    """An entry of the stream that was read."""

    id: str
    fields: Mapping[bytes, bytes]
    epoch: str
    deliveries: int = 1
    adopted: bool = False
    """Whether it was owed by another consumer."""
    correlation: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.correlation = self.fields.get(CORRELATION) or self.id.encode()


@dataclass(slots=True)
class Stream:
    """One stream, one group in it, and this consumer of the group."""

    client: Any
    name: str
    group: str
    consumer: str
    keep: int
    silence: float
    """After so many seconds without a sign a consumer is taken for dead."""
    epoch: str = ""

    @property
    def owed(self) -> str:
        """The hash of the messages that are stored, and not yet ended."""
        return f"{self.name}:{self.group}:owed"

    async def refuse_others(self, *names: str | None) -> None:
        """Raise ValueError if one of the keys is something else than a stream."""
        for name in names:
            kind = (await self.client.type(name)).decode() if name else "none"
            if kind not in {"stream", "none"}:
                raise ValueError(f"the key {name!r} is a {kind}, and has to be a stream, or new")

    async def make(self) -> None:
        """Make the stream and the group, if they are not there; it begins with the first entry."""
        try:
            await self.client.xgroup_create(self.name, self.group, id="0", mkstream=True)
        except driver().ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
        await self.client.hsetnx(self.owed, _EPOCH, uuid.uuid4().hex)
        self.epoch = (await self.client.hget(self.owed, _EPOCH)).decode()

    async def read(self, count: int, seconds: float) -> list[Message]:
        """The next messages, at most ``count``; if there are none, wait for one for a while."""
        answer = await self.client.xreadgroup(
            self.group, self.consumer, {self.name: ">"}, count, block=max(1, round(seconds * 1000))
        )
        return [
            Message(id.decode(), fields, self.epoch)
            for _, entries in answer or ()
            for id, fields in entries
        ]

    async def claim(
        self, count: int, idle: float, known: Collection[str], *, own: bool = False
    ) -> tuple[list[Message], list[str]]:
        """Take over messages that nobody has cared for; and those that were removed meanwhile."""
        who = self.group, self.consumer, round(idle * 1000), count, int(own)
        claimed, gone = await self.client.eval(_CLAIM, 1, self.name, *who, *known)
        return [
            Message(id.decode(), _pairs(texts), self.epoch, deliveries)
            for id, texts, deliveries in claimed
        ], [id.decode() for id in gone]

    async def keep_alive(self, messages: Collection[Message]) -> None:
        """Say that they are being worked on, and that this consumer lives."""
        texts = [text for one in messages for text in (one.id, self.note(one, None))]
        who = self.group, self.consumer
        await self.client.eval(_KEEP, 2, self.name, self.owed, *who, *texts)

    async def owe(self, message: Message, task: str) -> None:
        """Acknowledge a message whose task is stored: its end is owed from now on."""
        note = self.note(message, task)
        keys = self.name, self.owed
        await self.client.eval(_OWE, 2, *keys, self.group, message.id, note)

    async def end(self, message: Message, entries: Mapping[str, Sequence[Any]]) -> bool:
        """End a message and add ``entries`` to further streams; False if it had been ended."""
        args: list[Any] = [self.group, message.id, message.epoch, self.keep]
        for texts in entries.values():
            args += [len(texts), *texts]
        keys = [self.name, self.owed, *entries]
        return bool(await self.client.eval(_END, len(keys), *keys, *args))

    def note(self, message: Message, task: str | None) -> str:
        """What is written down of a message that is owed."""
        correlation = message.correlation.decode("utf-8", "surrogateescape")
        return json.dumps([task, self.consumer, correlation, message.deliveries])

    async def debts(self, known: Collection[str], *, of_living: bool) -> list[tuple[Message, str]]:
        """What is owed, with the tasks, by consumers that are silent, or by all."""
        rows = await self.client.hgetall(self.owed)
        living = set() if of_living else await self.living()
        debts = []
        for key, note in rows.items():
            id = key.decode()
            if id == _EPOCH or id in known:
                continue
            task, consumer, correlation, deliveries = json.loads(note)
            if task is None or consumer in living:
                continue
            entries = await self.client.xrange(self.name, id, id)
            message = Message(id, entries[0][1] if entries else {}, self.epoch, deliveries, True)
            message.correlation = correlation.encode("utf-8", "surrogateescape")
            debts.append((message, task))
        return debts

    async def living(self) -> set[str]:
        """The consumers that were heard of lately; those long dead, with nothing left, go."""
        living = set()
        for row in await self.client.xinfo_consumers(self.name, self.group):
            silent = row["idle"] / 1000
            if silent < self.silence:
                living.add(row["name"].decode())
            elif silent > max(_LONG_DEAD, 10 * self.silence) and not row["pending"]:
                await self.dismiss(row["name"])
        return living

    async def dismiss(self, consumer: str | bytes) -> None:
        """Let a consumer go, unless messages are pending with it."""
        await self.client.eval(_DISMISS, 1, self.name, self.group, consumer)


def _pairs(texts: Sequence[bytes]) -> dict[bytes, bytes]:
    return dict(zip(texts[::2], texts[1::2], strict=True))

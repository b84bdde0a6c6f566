"""Celery as an executor: calls run on the workers of an app of yours, wherever those are.

The manager hands over calls and hears of them; the engine decides everything else, as ever. Nothing
here waits: what blocks is done by two threads, one for what goes out (``_celery.post``) and one for
what comes in (``_celery.ear``). The protocol is told in ``_celery.wire``.

The class that people use is in ``windlass.celery``: it brings the words (codec and functions),
which belong to other layers.
"""

from __future__ import annotations

import importlib
import secrets
from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Any

from .._core.outcome import Err
from .._core.pools import Traits
from .._numbers import require_count, require_seconds
from ..errors import SerializationError, TaskError
from ._celery.ear import Ear
from ._celery.flights import Flight, Flights
from ._celery.kinds import signature_in
from ._celery.options import options_in, refuse_slips
from ._celery.post import Post
from ._celery.signatures import Signatures, why_not_signature
from ._celery.wire import flight_of, news_of, opened_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping, Sequence

    from ..ports import Call, Report
    from ._celery.words import Words

_LATENESS = 2.0
"""How much longer the engine waits for a stopped call than we do: the kill is a message as well."""
_SOCKET_TIMEOUT = 5.0
_UNNAMED_KEEP = 60.0


class CeleryExecutor:
    """See ``windlass.celery.CeleryExecutor``."""

    def __init__(
        self,
        app: Any,
        words: Words,
        *,
        redis: Any = None,
        name: str | None = None,
        slots: int = 1_000,
        grace: float = 0.5,
        lease: float = 6.0,
        patience: float = 30.0,
        start_timeout: float = 30.0,
        max_bytes: int = 16 << 20,
        keep: float = 86_400.0,
        **options: Any,
    ) -> None:
        if not hasattr(app, "send_task"):
            raise TypeError(f"CeleryExecutor takes a Celery app, not {app!r}")
        if not isinstance(name, str | None):
            raise TypeError(f"name= takes a text, not {name!r}")
        if name is not None and (not name or "/" in name):
            raise ValueError(f"name= takes a text without slashes, not {name!r}")
        refuse_slips(options, "CeleryExecutor")
        require_seconds("grace", grace, zero=True)
        for what, seconds in (
            ("lease", lease),
            ("patience", patience),
            ("start_timeout", start_timeout),
            ("keep", keep),
        ):
            require_seconds(what, seconds)
        self.app = app
        self.traits = Traits(
            slots=require_count("slots", slots, least=1),
            local=False,
            grace=grace + _LATENESS,
            crosses=True,
            reports_start=True,
            outlives=name is not None,
        )
        self.connect = redis_of(app, redis)
        self.name = name
        self.options = options
        self._words = words
        self._grace = grace
        self._lease = lease
        self._patience = patience
        self._start_timeout = start_timeout
        self._max_bytes = require_count("max_bytes", max_bytes, least=1)
        self._keep = keep if name is not None else _UNNAMED_KEEP
        self._manager = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._flights: Flights | None = None
        self._post: Post
        self._ear: Ear
        self._signatures: Signatures
        self._prefix = ""
        self._serial = count(1)

    @property
    def capacity(self) -> int:
        """All of its slots: what is stopped is killed."""
        return self.traits.slots

    def open(
        self, loop: asyncio.AbstractEventLoop, report: Report, idle: Callable[[], None]
    ) -> None:
        """See ``Executor``."""
        self._loop = loop
        self._prefix = secrets.token_hex(6)
        self._manager = manager = self.name or self._prefix
        flights = Flights(self._words, report, lambda *what: self._post.tell(*what))  # noqa: PLW0108  # not there yet
        self._ear = Ear(
            self.connect(),
            manager,
            flights,
            remembers=self.name is not None,
            keep=self._keep,
            lease=self._lease,
            start_timeout=self._start_timeout,
            lost=self._send_again,
            stale=self._look_into,
        )
        self._post = Post(
            self.app, self.connect(), manager, flights, self._words, self._ear, self._patience
        )
        self._signatures = Signatures(self.app, flights, self._post)
        self._flights = flights

    def why_not(self, function: Any) -> str | None:
        """See ``Executor``."""
        if (signature := signature_in(function)) is not None:
            return why_not_signature(self.app, signature)
        return self._words.why_not(function)

    def start(self, calls: Sequence[Call]) -> None:
        """See ``Executor``."""
        flights = self._flights
        assert flights is not None  # it is open
        letters: list[Flight] = []
        signed: deque[Flight] = deque()
        for call in calls:
            key = f"{call.task_id}.{call.number}.{self._prefix}{next(self._serial)}"
            flight = Flight(call, key)
            call.place = flight
            flights.put(flight)
            try:
                self._write(flight)
            except Exception as error:  # noqa: BLE001  # a user's properties may raise anything
                flights.end(key, Err(_refusal(error, call), raised=False))
            else:
                (signed if flight.signed else letters).append(flight)
        if letters:
            self._post.send(letters)
        if signed:
            self._signatures.start(signed)

    def _write(self, flight: Flight) -> None:
        """Write the letter of ``flight``, or note what its signature is given."""
        call = flight.call
        parcel: Any = call.parcel()
        flight.options = options_in(parcel.metadata, call)
        if (signature := signature_in(parcel.function)) is not None:
            flight.signed = True
            given = {"args": parcel.args, "kwargs": parcel.kwargs}
            flight.letter = {"signature": signature, **given}
            return
        flight.options = {**self.options, **flight.options}
        letter = self._words.letter(parcel)
        letter |= {"key": flight.key, "manager": self._manager, "max_bytes": self._max_bytes}
        self._refuse_large(letter, call)
        flight.letter = letter

    def _refuse_large(self, letter: dict[str, Any], call: Call) -> None:
        size = sum(map(len, letter["parts"])) * 3 // 4  # they are in base64
        if size > self._max_bytes:
            raise SerializationError(
                f"the arguments of {call.name} [{call.task_id}] take {size:,} bytes, and max_bytes "
                f"is {self._max_bytes:,}. Leave them in a file or a database and pass where, or "
                "raise CeleryExecutor(max_bytes=)",
                call.task_id,
            )

    def stop(self, call: Call) -> None:
        """See ``Executor``."""
        flight = call.place
        if not isinstance(flight, Flight) or self._flights is None or flight.stopping:
            return
        flight.stopping = True
        self._post.take_back(flight)
        assert self._loop is not None
        if not self._loop.is_closed():
            self._loop.call_later(self._grace, self._kill, flight)

    def _kill(self, flight: Flight) -> None:
        if self._flights is not None and flight in self._flights:
            self._post.kill([flight])

    def close(self) -> None:
        """See ``Executor``."""
        flights, self._flights = self._flights, None
        if flights is None:
            return
        left = flights.close()
        if any(flight.place is not None for flight in left):
            self._post.kill(left)
        self._ear.close()
        self._signatures.close()
        self._post.close(self._leave)
        self._loop = None

    def _leave(self) -> None:
        """Have what was not begun dropped, and the ear return from its read."""
        redis = self.connect()
        with redis:
            if self.name is None:
                manager = self._manager
                redis.delete(news_of(manager), flight_of(manager), opened_of(manager))
            else:
                closed: dict[Any, Any] = {"kind": "closed", "key": "", "body": ""}
                redis.xadd(news_of(self._manager), closed, nomkstream=True)

    def figures(self) -> Mapping[str, int]:
        """How many calls are with Celery, and how many of them run."""
        flights = self._flights
        if flights is None:
            return {"handed_over": 0, "begun": 0}
        return {"handed_over": len(flights), "begun": len(flights.begun())}

    # -- what the two threads ask for ----------------------------------------------------------

    def _send_again(self) -> None:
        """Letters may be lost: a copy of one that is not does no harm."""
        if self._flights is not None and (unopened := self._flights.unopened()):
            self._post.send_again(unopened)

    def _look_into(self, flights: list[Flight]) -> None:
        from ._celery.inquiry import inquire  # noqa: PLC0415  # few programs ever need it

        table = self._flights
        if table is not None:
            self._post.do(lambda late: inquire(self.app, late, table, self._post), flights)


def redis_of(app: Any, redis: Any) -> Callable[[], Any]:
    """What makes clients of the Redis that ``app`` uses, or of the one given by its address."""
    try:
        client = importlib.import_module("redis").Redis
    except ImportError:
        raise ImportError(
            "tasks on Celery are heard of through Redis, whose client is not installed: "
            "pip install 'windlass[celery]'"
        ) from None
    url = redis
    if url is None:
        given = (app.conf.result_backend, app.conf.broker_url)
        known = [one for one in given if str(one).startswith(("redis://", "rediss://", "redis+"))]
        url = known[0] if known else None
    if not isinstance(url, str):
        raise ValueError(  # noqa: TRY004  # it is the app's configuration that will not do
            "tasks on Celery are heard of through Redis, and neither result_backend nor broker_url "
            f"of {app!r} is one: say redis='redis://host:6379/0'"
        )

    def connect() -> Any:
        return client.from_url(
            url, socket_timeout=_SOCKET_TIMEOUT, socket_connect_timeout=_SOCKET_TIMEOUT
        )

    return connect


def _refusal(error: Exception, call: Call) -> TaskError:
    if isinstance(error, TaskError):
        error.task_id = error.task_id or call.task_id
        return error
    text = f"{call.name} [{call.task_id}] cannot be sent to a worker: {error}"
    refusal = SerializationError(text, call.task_id)
    refusal.__cause__ = error
    return refusal

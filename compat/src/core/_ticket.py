"""Ids that can be awaited, for calls that some programs await and others do not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Generator

    from windlass import TaskHandle

    from ._record import Record


class Ticket(str):
    """An id; awaiting it gives the task's result."""

    __slots__ = ("_handle", "_record", "_timeout")

    _record: Record
    _handle: TaskHandle[Any]
    _timeout: float | None

    @classmethod
    def to(
        cls, record: Record, handle: TaskHandle[Any], id: str, timeout: float | None = None
    ) -> Self:
        """The ticket to a task that was executed."""
        ticket = cls(id)
        ticket._record, ticket._handle, ticket._timeout = record, handle, timeout
        return ticket

    def __await__(self) -> Generator[Any, Any, Any]:
        record = self._record
        return record.engine.result(record, self._handle, self._timeout).__await__()


class Receipt(str):
    """An id; awaiting it gives the id, at once."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, Any, str]:
        yield from ()
        return str(self)

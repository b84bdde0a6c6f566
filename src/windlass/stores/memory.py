"""Tasks in memory, as a store keeps them: for tests and the simulator, where a crash is played.

It answers as the others do, refuses what they refuse, and forgets everything with its process.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from .._core.states import TERMINAL, TaskStatus
from ..errors import StoreError, StoreFencedError
from ..ports import Request, Row
from . import NEWS_KEPT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..ports import Batch, Line


class MemoryStore:
    """See the module. It may be opened again after ``close``, and has kept everything."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_open = False
        self._epoch = 0
        self._tasks: dict[int, Row] = {}
        self._seqs: dict[str, int] = {}
        self._last_seq = 0
        self._functions: dict[str, bytes] = {}
        self._checkpoints: dict[int, bytes] = {}
        self._steps: dict[int, dict[str, bytes]] = {}
        self._lines: dict[int, list[tuple[int, Line]]] = {}
        self._last_line = 0
        self._requests: dict[int, Request] = {}
        self._last_request = 0
        self._news: deque[tuple[int, bytes]] = deque(maxlen=NEWS_KEPT)
        self._last_news = 0
        self._notes: dict[str, tuple[str, str | None]] = {}

    def open(self) -> None:
        self._is_open = True

    def close(self) -> None:
        self._is_open = False

    # -- the leader's --------------------------------------------------------------------------

    def take_lead(self) -> int:
        with self._opened():
            self._epoch += 1
            return self._epoch

    def commit(self, epoch: int, batch: Batch) -> None:
        with self._opened():
            if epoch != self._epoch:
                raise StoreFencedError(
                    f"another leads this store now (epoch {self._epoch}, and this one's was "
                    f"{epoch}). Nothing was written; start again to work with it."
                )
            self._write_tasks(batch)
            self._write_rest(batch)

    def _write_tasks(self, batch: Batch) -> None:
        replaced: dict[int, Row | None] = {}
        try:
            # In the order in which the other stores write; the first deletes make room for ids.
            gone = self._ids(batch.deletes)
            for seq in batch.deletes:
                self._put(seq, None, replaced)
            rows = batch.rows()
            for row in rows[: len(batch.fresh)]:
                self._refuse_known(row)
                self._put(row.seq, row, replaced)
            for row in batch.inserts:
                self._put(row.seq, row, replaced)
            for seq, update in batch.updates.items():
                if old := self._tasks.get(seq):
                    changes = update._asdict()
                    if update.ended_at is None:
                        del changes["ended_at"], changes["outcome"]
                    self._put(seq, old._replace(**changes), replaced)
            gone |= self._ids(batch.deletes)
            for seq in batch.deletes:
                self._put(seq, None, replaced)
        except StoreError:
            for seq in replaced:
                self._take_out(seq)
            for seq, was in replaced.items():
                if was is not None:
                    self._tasks[seq], self._seqs[was.id] = was, seq
            raise
        self._last_seq = max([self._last_seq, *(row.seq for row in rows)])
        for name, (_, task) in tuple(self._notes.items()) if gone else ():
            if task in gone:
                del self._notes[name]

    def _ids(self, seqs: list[int]) -> set[str]:
        return {self._tasks[seq].id for seq in seqs if seq in self._tasks}

    def _refuse_known(self, fresh: Row) -> None:
        if fresh.seq in self._tasks:
            raise StoreError(f"there is a task {fresh.seq} already: nothing was stored")

    def _put(self, seq: int, row: Row | None, replaced: dict[int, Row | None]) -> None:
        old = self._take_out(seq)
        replaced.setdefault(seq, old)
        if row is None:
            return
        if row.id in self._seqs:
            raise StoreError(f"two tasks have the id {row.id!r}: nothing was stored")
        if row.status not in set(TaskStatus):
            raise StoreError(f"{row.status!r} is no status: nothing was stored")
        if (row.status in TERMINAL) != (row.ended_at is not None):
            raise StoreError(
                f"a task that is {row.status} and ended at {row.ended_at}: nothing was stored"
            )
        self._tasks[seq], self._seqs[row.id] = row, seq

    def _take_out(self, seq: int) -> Row | None:
        row = self._tasks.pop(seq, None)
        if row is not None:
            del self._seqs[row.id]
        return row

    def _write_rest(self, batch: Batch) -> None:
        for seq in batch.deletes:
            for kept in (self._checkpoints, self._steps, self._lines):
                kept.pop(seq, None)
        self._functions.update(batch.functions)
        for seq, value in batch.checkpoints:
            if seq in self._tasks:
                self._checkpoints[seq] = value
        for seq, name, value in batch.steps:
            if seq in self._tasks:
                self._steps.setdefault(seq, {})[name] = value
        for line in batch.lines:
            if line.seq in self._tasks:
                self._last_line += 1
                self._lines.setdefault(line.seq, []).append((self._last_line, line))
        for seq, most in batch.trims:
            if seq in self._lines:
                self._lines[seq] = self._lines[seq][-most:]
        for number in batch.handled:
            self._requests.pop(number, None)
        if batch.news is not None:
            self._last_news += 1
            self._news.append((self._last_news, batch.news))

    # -- what is there -------------------------------------------------------------------------

    def last_seq(self) -> int:
        with self._opened():
            return self._last_seq

    def unfinished(self) -> Iterator[Row]:
        return iter([row for row in self._rows() if row.ended_at is None])

    def rows(self, ids: Sequence[str]) -> dict[str, Row]:
        with self._opened():
            return {id: self._tasks[self._seqs[id]] for id in ids if id in self._seqs}

    def finished(self, before: int | None = None, limit: int = 1_000) -> list[Row]:
        newest_first = reversed(self._rows())
        ended = [row for row in newest_first if row.ended_at is not None]
        return [row for row in ended if before is None or row.seq < before][:limit]

    def keys(self) -> Iterator[tuple[str, str]]:
        ended = [row for row in self._rows() if row.ended_at is not None]
        return iter([(row.key, row.id) for row in ended if row.key is not None])

    def functions(self) -> dict[str, bytes]:
        with self._opened():
            return dict(self._functions)

    def checkpoint(self, seq: int) -> bytes | None:
        with self._opened():
            return self._checkpoints.get(seq)

    def steps(self, seq: int) -> dict[str, bytes]:
        with self._opened():
            return dict(self._steps.get(seq, {}))

    def lines(self, seq: int, since: int = 0) -> list[tuple[int, Line]]:
        with self._opened():
            return [(number, line) for number, line in self._lines.get(seq, []) if number > since]

    def ended(
        self,
        before: float,
        statuses: Sequence[str],
        limit: int,
        skip: int = 0,
        keyed_before: float | None = None,
    ) -> list[int]:
        keyed = before if keyed_before is None else min(before, keyed_before)
        found = sorted(
            (row.ended_at, row.seq)
            for row in self._rows()
            if row.ended_at is not None
            and row.ended_at < (before if row.key is None else keyed)
            and row.status in statuses
        )
        return [seq for _, seq in found[: max(0, min(limit, len(found) - skip))]]

    def counts(self) -> dict[str, int]:
        return dict(Counter(str(row.status) for row in self._rows()))

    def _rows(self) -> list[Row]:
        with self._opened():
            return [self._tasks[seq] for seq in sorted(self._tasks)]

    # -- between processes ---------------------------------------------------------------------

    def post(self, requests: Sequence[tuple[str, bytes]]) -> list[int]:
        with self._opened():
            first = self._last_request + 1
            for number, (kind, body) in enumerate(requests, first):
                self._requests[number] = Request(number, kind, body)
            self._last_request += len(requests)
            return [*range(first, first + len(requests))]

    def post_in(self, connection: Any, kind: str, body: bytes) -> int:
        raise StoreError(
            f"a store in memory shares no transactions with {connection!r}, in which a request of "
            f"the kind {kind!r} with {len(body)} bytes was to be left"
        )

    def requests(self, limit: int = 1_000) -> list[Request]:
        with self._opened():
            return list(self._requests.values())[:limit]

    def news(self, since: int) -> list[tuple[int, bytes]]:
        with self._opened():
            return [(number, body) for number, body in self._news if number > since]

    def read_note(self, name: str) -> str | None:
        with self._opened():
            return self._notes.get(name, (None, None))[0]

    def write_note(self, name: str, text: str | None, task: str | None = None) -> None:
        with self._opened():
            if text is None:
                self._notes.pop(name, None)
            else:
                self._notes[name] = text, task

    def shrink(self) -> None:
        with self._opened():
            pass  # there is no file

    def _opened(self) -> threading.Lock:
        """The lock, if the store is open."""
        if not self._is_open:
            raise StoreError("the store is not open: call open() first")
        return self._lock

"""The disk that all lives share, the wires that lead to it, and the lock that tells who leads."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ....errors import StoreFullError, StoreLockedError
from ....stores.memory import MemoryStore
from ....stores.sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ....ports import Batch, Store
    from .account import Account
    from .life import Life

Mood: TypeAlias = Literal["well", "full", "locked"]

_FASTEST = "/dev/shm"  # noqa: S108  # a name of our own is made in it


class PowerCut(BaseException):
    """The process dies here and now; nothing that runs in it gets to do anything about it."""


class Disk:
    """A real store, and the mood it is in."""

    def __init__(self, *, in_file: bool) -> None:
        self.mood: Mood = "well"
        self.holder: Life | None = None
        """Who has the lock."""
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._opened: list[Store] = []
        self._memory: MemoryStore | None = None if in_file else MemoryStore()
        if in_file:
            folder = _FASTEST if Path(_FASTEST).is_dir() else None
            self._folder = tempfile.TemporaryDirectory(dir=folder, prefix="windlass-")

    def store(self) -> Store:
        """The store, as one more process sees it."""
        if self._folder is None:
            assert self._memory is not None
            return self._memory
        store = SqliteStore(Path(self._folder.name) / "jobs.db", durability="normal")
        self._opened.append(store)
        return store

    def close(self) -> None:
        """Leave nothing behind."""
        for store in self._opened:
            store.close()
        if self._folder is not None:
            self._folder.cleanup()

    def refuse(self) -> None:
        """Raise what a write meets in this mood."""
        if self.mood == "full":
            raise StoreFullError("there is no room on the simulated disk. Wait until there is")
        if self.mood == "locked":
            raise StoreLockedError("somebody else writes to the simulated disk. Wait for that")


class Wire:
    """The store as one life has it: every write can be its last. What it reads is what there is."""

    def __init__(self, life: Life, disk: Disk, account: Account) -> None:
        self._life = life
        self._disk = disk
        self._account = account
        self._store = disk.store()
        self.writes_left: int | None = None
        """How many writes it takes until the process dies; None: it does not."""
        self.dies_after = False
        """Whether the last one is still done."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def close(self) -> None:
        """Of a store in memory all lives have the same."""
        if not isinstance(self._store, MemoryStore):
            self._store.close()

    def take_lead(self) -> int:
        """Lead, as far as the store is concerned."""
        self._before()
        epoch = self._store.take_lead()
        self._account.led(self._life, epoch)
        self._after()
        return epoch

    def commit(self, epoch: int, batch: Batch) -> None:
        """Write what the journal has written down."""
        try:
            self._before()
        except StoreFullError:
            self._account.could_not_store(batch)
            raise
        self._store.commit(epoch, batch)
        self._account.committed(self._life, epoch, batch)
        self._after()

    def post(self, requests: Sequence[tuple[str, bytes]]) -> list[int]:
        """Leave what the leader is asked for."""
        try:
            self._before()
        except StoreFullError:
            self._account.could_not_leave(requests)
            raise
        numbers = self._store.post(requests)
        self._account.posted(dict(zip(numbers, requests, strict=True)))
        self._after()
        return numbers

    def write_note(self, name: str, text: str | None, task: str | None = None) -> None:
        """Leave a note."""
        self._before()
        self._store.write_note(name, text, task)
        self._after()

    def _before(self) -> None:
        if not self._life.alive:
            raise PowerCut
        if self.writes_left is not None:
            self.writes_left -= 1
            if self.writes_left <= 0 and not self.dies_after:
                self._cut()
        self._disk.refuse()

    def _after(self) -> None:
        if self.writes_left is not None and self.writes_left <= 0:
            self._cut()

    def _cut(self) -> None:
        self._life.die()
        raise PowerCut


class Lock:
    """What says whether a life may lead, as ``windlass.stores.lead`` does by a lock file."""

    def __init__(self, life: Life, disk: Disk) -> None:
        self._life = life
        self._disk = disk

    def try_take(self) -> bool:
        """Lead, if nobody does."""
        holder = self._disk.holder
        if holder is not None and holder is not self._life and holder.alive:
            return False
        self._disk.holder = self._life
        return True

    def take_over(self) -> bool:
        """Lead in place of one that is silent."""
        self._disk.holder = self._life
        return True

    @property
    def taken(self) -> bool:
        """Whether anybody leads."""
        return self._disk.holder is not None

    def beat(self) -> bool:
        """A life that is not frozen is heard of all the time; whether it still has the lock."""
        return self._disk.holder is self._life

    def sign_of_life(self) -> object:
        """Another one at any time, but for a holder that is frozen."""
        holder = self._disk.holder
        if holder is None:
            return None
        return holder.name, None if holder.frozen else self._life.world.now

    def release(self) -> None:
        """Lead no more."""
        if self._disk.holder is self._life:
            self._disk.holder = None

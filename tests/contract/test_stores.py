"""One contract for all stores."""

from __future__ import annotations

import pytest

from windlass.stores.memory import MemoryStore
from windlass.stores.sqlite import SqliteStore
from windlass.testing import StoreContract


class TestMemory(StoreContract):
    shared = False

    def make_store(self, place):
        return MemoryStore()


class TestSqlite(StoreContract):
    def make_store(self, place):
        return SqliteStore(place / "tasks.db")


class TestSqliteNormal(StoreContract):
    def make_store(self, place):
        return SqliteStore(place / "tasks.db", durability="normal")


def test_whoever_says_nothing_is_told_what_is_missing(tmp_path):
    with pytest.raises(NotImplementedError, match="say how to make the store"):
        StoreContract().make_store(tmp_path)

"""The contract of stores, as a suite of tests: for ours, and for those that you write.

::

    from windlass.testing import StoreContract


    class TestMyStore(StoreContract):
        def make_store(self, place):
            return MyStore(place / "tasks")

What the port's docstrings promise is tested, with the store alone: no manager, no threads but the
test's own, and no time at all.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from ..._core.states import TaskStatus
from ...errors import StoreError, StoreFencedError
from ...ports import Batch, Line, Row, Update

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from ...ports import Store

__all__ = ["StoreContract"]

_MANY = 2_500
_ENDED = ("completed", "failed", "cancelled")


def row(seq: int, status: str = "pending", **fields: Any) -> Row:
    """A task that has what every task has, and ``fields``."""
    ended = float(seq) if status in _ENDED else None
    plain = Row(seq, f"t-{seq}", "m.f", status, None, 1.5, None, ended, 0, b"()", b"{}", None, None)
    return plain._replace(**fields)


def updates(
    seqs: Iterable[int], status: str, run: int = 1, outcome: bytes | None = None
) -> dict[int, Update]:
    """Changes of the tasks ``seqs``, each of which ends at a time of its own."""
    return {
        seq: Update(status, 2.5, float(seq) if status in _ENDED else None, run, None, outcome)
        for seq in seqs
    }


def batch(**fields: Any) -> Batch:
    """A batch that has ``fields``, and nothing else."""
    made = Batch()
    for name, value in fields.items():
        setattr(made, name, value)
    return made


class StoreContract:
    """What every store must keep, as tests: subclass it in a test module of yours.

    - ``make_store(place)``: a store, not yet open, that keeps all it has in the folder ``place``.
    - ``shared``: two stores that were made for the same place keep the same tasks, in this process
      and in another. What is in memory does not.
    - ``limit``: what does not happen within so many seconds has failed to happen.
    """

    shared = True
    limit = 60.0

    def make_store(self, place: Path) -> Store:
        """A new store on what is in ``place``, not yet open."""
        raise NotImplementedError("say how to make the store that is to be tested")

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        """The store under test, open."""
        store = self.make_store(tmp_path)
        store.open()
        yield store
        store.close()

    @pytest.fixture
    def other(self, store: Store, tmp_path: Path) -> Iterator[Store]:
        """Another store on the same tasks, open."""
        if not self.shared:
            pytest.skip("declared: no two stores keep the same tasks")
        other = self.make_store(tmp_path)
        other.open()
        yield other
        other.close()

    @pytest.fixture
    def commit(self, store: Store) -> Callable[..., None]:
        """Commits as the leader: ``commit(inserts=[...])``."""
        epoch = store.take_lead()
        return lambda **fields: store.commit(epoch, batch(**fields))

    # -- tasks ---------------------------------------------------------------------------------

    def test_an_empty_store_has_nothing(self, store: Store) -> None:
        """Every question has an answer from the beginning."""
        assert (store.last_seq(), list(store.unfinished()), store.finished()) == (0, [], [])
        assert (store.rows(["t-1"]), list(store.keys()), store.counts()) == ({}, [], {})
        assert (store.checkpoint(1), store.steps(1), store.lines(1)) == (None, {}, [])
        assert (store.requests(), store.news(0), store.read_note("n")) == ([], [], None)
        assert store.ended(1e18, _ENDED, 10) == []

    def test_a_task_comes_back_as_it_was(self, store: Store, commit: Callable[..., None]) -> None:
        """In every field, whatever is in it."""
        rows = [
            row(1, call=b"", options=b"\0\xff" * 5_000),
            row(2, "running", key="\N{SNOWMAN}'; --", started_at=1e-7, run=2**40, notes=b""),
            row(2**60, "failed", id="", function="f" * 999, created_at=-1.5, outcome=b"\0"),
        ]
        commit(inserts=rows)
        assert store.rows([task.id for task in rows]) == {task.id: task for task in rows}
        assert store.last_seq() == 2**60

    def test_every_status_can_be_stored(self, store: Store, commit: Callable[..., None]) -> None:
        """And is counted."""
        commit(inserts=[row(n, str(status)) for n, status in enumerate(TaskStatus)])
        assert store.counts() == dict.fromkeys(map(str, TaskStatus), 1)

    def test_an_update_changes_what_it_names(
        self, store: Store, commit: Callable[..., None]
    ) -> None:
        """And nothing else, neither of this task nor of another."""
        commit(inserts=[row(1, key="k"), row(2)])
        commit(updates=updates([1], "running"))
        commit(updates=updates([1], "completed", 2, b"3"))
        changed = row(1, "completed", key="k", started_at=2.5, run=2, outcome=b"3")
        assert store.rows(["t-1", "t-2"]) == {"t-1": changed, "t-2": row(2)}

    def test_a_batch_may_insert_and_update_the_same(
        self, store: Store, commit: Callable[..., None]
    ) -> None:
        """As when a task is submitted and starts while the last commit is under way."""
        commit(
            inserts=[row(seq) for seq in range(100)],
            updates=updates(range(90), "running"),
        )
        commit(updates=updates(range(80), "completed"))
        assert store.counts() == {"completed": 80, "running": 10, "pending": 10}

    def test_tasks_may_share_an_update(self, store: Store, commit: Callable[..., None]) -> None:
        """Which says nothing of those between them."""
        commit(fresh=[(seq, f"t-{seq}", "m.f", 1.5, b"()") for seq in range(10)])
        began = Update("running", 2.5, None, 1, None, None)
        ended = Update("completed", 2.5, 3.5, 1, None, b"3")
        commit(updates=dict.fromkeys((1, 2, 3, 5, 9, 7, 8, 12), began))
        commit(updates=dict.fromkeys((2, 3, 9), ended) | dict.fromkeys((4, 5, 0, 12), ended))
        found = list(store.unfinished())
        assert [task.seq for task in found] == [1, 6, 7, 8]
        assert [task.seq for task in found if task.started_at == 2.5] == [1, 7, 8]
        assert [task.seq for task in store.finished()] == [9, 5, 4, 3, 2, 0]
        assert all(task.outcome == b"3" for task in store.finished())

    def test_what_is_fresh_is_as_if_written_at_length(
        self, store: Store, commit: Callable[..., None]
    ) -> None:
        """And may begin, end, be put off and be forgotten in the batch that it comes in."""
        seqs = range(1, 200)
        commit(
            fresh=[(seq, f"t-{seq}", "m.f", 1.5, bytes(seq)) for seq in seqs],
            updates=updates([1], "running") | updates([2], "failed", outcome=b"e"),
            deletes=[3],
        )
        found = [row(seq, call=bytes(seq), options=b"") for seq in seqs]
        found[0] = found[0]._replace(status="running", started_at=2.5, run=1)
        del found[1:3]
        assert list(store.unfinished()) == found
        ended = row(2, "failed", call=bytes(2), options=b"", started_at=2.5, run=1, outcome=b"e")
        assert store.finished() == [ended]
        assert store.last_seq() == 199

    def test_without_an_end_an_update_leaves_the_end_as_it_is(
        self, store: Store, commit: Callable[..., None]
    ) -> None:
        """So what has ended cannot be running, whoever says so."""
        commit(inserts=[row(1, "completed", outcome=b"3"), row(2)])
        with pytest.raises(StoreError):
            commit(updates=updates([1], "running"))
        commit(updates=updates([2], "running", outcome=b"not yet"))
        assert store.rows(["t-1"]) == {"t-1": row(1, "completed", outcome=b"3")}
        assert store.rows(["t-2"])["t-2"].outcome is None

    def test_functions_are_kept_as_last_written(
        self, store: Store, commit: Callable[..., None]
    ) -> None:
        """By their ids."""
        assert store.functions() == {}
        commit(functions=[("m.f", b"1"), ("m.g", b"2")])
        commit(functions=[("m.g", b"3"), ("m.h", b"")])
        assert store.functions() == {"m.f": b"1", "m.g": b"3", "m.h": b""}

    def test_a_known_seq_takes_the_place_of_what_was_there(
        self, store: Store, commit: Callable[..., None]
    ) -> None:
        """As an explicit retry does; what the task has done so far stays with it."""
        commit(inserts=[row(1, "failed", outcome=b"e", key="k")], steps=[(1, "a", b"1")])
        commit(inserts=[row(1, run=3)])
        assert store.rows(["t-1"]) == {"t-1": row(1, run=3)}
        assert (list(store.unfinished()), store.finished()) == ([row(1, run=3)], [])
        assert (store.steps(1), list(store.keys())) == ({"a": b"1"}, [])

    def test_what_is_written_too_late_does_nothing(
        self, store: Store, commit: Callable[..., None]
    ) -> None:
        """Nothing is kept of a task that is not there, to come back with the next one."""
        late: dict[str, Any] = {
            "updates": updates([1], "completed"),
            "steps": [(1, "a", b"1")],
            "checkpoints": [(1, b"1")],
            "lines": [Line(1, 0.0, "log", "text")],
        }
        commit(**late)
        commit(inserts=[row(1)])
        assert store.rows(["t-1"]) == {"t-1": row(1)}
        assert (store.checkpoint(1), store.steps(1), store.lines(1)) == (None, {}, [])

    def test_deletes_take_everything_with_them(
        self, store: Store, commit: Callable[..., None]
    ) -> None:
        """Steps, checkpoints and lines, but those of no other task; twice is as good as once."""
        for seq in (1, 2):
            commit(
                inserts=[row(seq, "completed", key="k")],
                steps=[(seq, "a", b"1")],
                checkpoints=[(seq, b"1")],
                lines=[Line(seq, 0.0, "log", "text")],
            )
        commit(deletes=[1, 1, 7])
        commit(inserts=[row(1)])
        assert store.rows(["t-1", "t-2"]) == {"t-1": row(1), "t-2": row(2, "completed", key="k")}
        assert (store.checkpoint(1), store.steps(1), store.lines(1)) == (None, {}, [])
        assert (store.checkpoint(2), store.steps(2), len(store.lines(2))) == (b"1", {"a": b"1"}, 1)

    def test_the_greatest_seq_is_never_forgotten(
        self, store: Store, commit: Callable[..., None]
    ) -> None:
        """Not even when its task is, nor when it was never seen."""
        commit(inserts=[row(1), row(7)])
        commit(deletes=[7])
        assert store.last_seq() == 7
        commit(inserts=[row(9)], deletes=[9])
        assert (store.last_seq(), store.rows(["t-9"])) == (9, {})

    def test_an_id_is_free_once_its_task_is_deleted(
        self, store: Store, commit: Callable[..., None]
    ) -> None:
        """At once, in the same batch."""
        commit(inserts=[row(1, "completed")])
        commit(deletes=[1], inserts=[row(2, id="t-1")])
        assert store.rows(["t-1"]) == {"t-1": row(2, id="t-1")}

    # -- all or nothing ------------------------------------------------------------------------

    @pytest.mark.parametrize(
        "wrong",
        [
            {"inserts": [row(3), row(4, id="t-1")]},
            {"fresh": [(3, "t-3", "m.f", 1.5, b""), (4, "t-1", "m.f", 1.5, b"")]},
            {"inserts": [row(3), row(4, "unheard of")]},
            {"inserts": [row(3), row(4, "completed", ended_at=None)]},
            {"inserts": [row(3)], "updates": {2: Update("running", 1.0, 1.0, 1, None, None)}},
        ],
        ids=["id twice", "fresh id twice", "no status", "ended at no time", "running and ended"],
    )
    def test_what_cannot_be_is_refused(
        self, store: Store, commit: Callable[..., None], wrong: dict[str, Any]
    ) -> None:
        """With a StoreError, and all of the batch with it."""
        commit(inserts=[row(1), row(2), row(5)])
        with pytest.raises(StoreError):
            commit(deletes=[5], handled=store.post([("k", b"")]), news=b"n", **wrong)
        assert list(store.unfinished()) == [row(1), row(2), row(5)]
        assert (len(store.requests()), store.news(0), store.last_seq()) == (1, [], 5)
        commit(inserts=[row(6)])
        assert len(store.rows(["t-1", "t-2", "t-5", "t-6"])) == 4

    def test_only_the_newest_epoch_may_write(self, store: Store) -> None:
        """An older one is told, and writes nothing."""
        first, second = store.take_lead(), store.take_lead()
        assert second > first
        for epoch in (first, second + 1):
            with pytest.raises(StoreFencedError):
                store.commit(epoch, batch(inserts=[row(1)], news=b"n"))
        assert (store.counts(), store.news(0)) == ({}, [])
        store.commit(second, batch(inserts=[row(1)]))
        assert store.counts() == {"pending": 1}

    def test_readers_see_whole_batches(self, store: Store, commit: Callable[..., None]) -> None:
        """From other threads, while the leader writes."""
        commit(inserts=[row(seq) for seq in range(20)])
        over = threading.Event()
        seen: list[dict[str, int]] = []

        def read() -> None:
            while not over.is_set():
                seen.append(store.counts())

        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        for _ in range(20):
            commit(updates=updates(range(20), "completed"))
            commit(inserts=[row(seq, "running") for seq in range(20)])  # once more, by hand
        over.set()
        for reader in readers:
            reader.join(self.limit)
        assert seen
        assert all(list(counts.values()) == [20] for counts in seen)

    # -- what is there -------------------------------------------------------------------------

    def test_unfinished_tasks_come_in_their_order(
        self, store: Store, commit: Callable[..., None]
    ) -> None:
        """However many there are, and whatever is committed while they are read."""
        commit(inserts=[row(seq) for seq in range(_MANY, 0, -1)])
        commit(updates=updates(range(2, _MANY + 1, 2), "completed"))
        seqs: list[int] = []
        for task in store.unfinished():
            seqs.append(task.seq)
            commit(updates=updates([task.seq] if task.seq % 100 == 1 else [], "running"))
        assert seqs == list(range(1, _MANY + 1, 2))

    def test_finished_tasks_come_newest_first(
        self, store: Store, commit: Callable[..., None]
    ) -> None:
        """A page at a time."""
        commit(inserts=[row(seq, _ENDED[seq % 3] if seq % 4 else "running") for seq in range(20)])
        seqs = [seq for seq in range(19, -1, -1) if seq % 4]
        assert [task.seq for task in store.finished()] == seqs
        assert [task.seq for task in store.finished(limit=3)] == seqs[:3]
        assert [task.seq for task in store.finished(before=seqs[2], limit=4)] == seqs[3:7]

    def test_keys_of_ended_tasks_are_told(self, store: Store, commit: Callable[..., None]) -> None:
        """Of a key that was used again, the newest task comes last."""
        commit(inserts=[row(1, "completed", key="a"), row(2, key="b"), row(3, "failed", key="a")])
        commit(inserts=[row(4, "completed"), row(5, "cancelled", key="c")])
        assert list(store.keys()) == [("a", "t-1"), ("a", "t-3"), ("c", "t-5")]

    def test_steps_and_checkpoints_are_the_last_ones(
        self, store: Store, commit: Callable[..., None]
    ) -> None:
        """What is written again takes the place of what was there."""
        commit(inserts=[row(1)], steps=[(1, "a", b"1"), (1, "b", b"2")], checkpoints=[(1, b"x")])
        commit(steps=[(1, "a", b"3")], checkpoints=[(1, b"y"), (1, b"z")])
        assert (store.steps(1), store.checkpoint(1)) == ({"a": b"3", "b": b"2"}, b"z")

    def test_lines_come_in_order_and_can_be_resumed(
        self, store: Store, commit: Callable[..., None]
    ) -> None:
        """Each has a number that only grows, and stays."""
        lines = [Line(1 + n % 2, n / 2, "log", f"line {n}") for n in range(6)]
        commit(inserts=[row(1), row(2)], lines=lines[:4])
        before = store.lines(1)
        commit(lines=lines[4:])
        numbered = store.lines(1)
        assert [line for _, line in numbered] == lines[::2]
        assert numbered[:2] == before
        assert store.lines(1, since=before[-1][0]) == numbered[2:]

    def test_of_lines_the_newest_stay(self, store: Store, commit: Callable[..., None]) -> None:
        """As many as a batch says, its own among them, and those of other tasks all."""
        lines = [Line(1 + n % 2, n / 2, "log", f"line {n}") for n in range(8)]
        commit(inserts=[row(1), row(2)], lines=lines[:6])
        commit(lines=lines[6:], trims=[(1, 3), (2, 9), (3, 1)])
        assert [line for _, line in store.lines(1)] == lines[2::2]
        assert [line for _, line in store.lines(2)] == lines[1::2]

    def test_the_oldest_ended_tasks_are_found(
        self, store: Store, commit: Callable[..., None]
    ) -> None:
        """By status and time, oldest first, without so many of the newest."""
        rows = [row(n, _ENDED[n % 2], ended_at=10.0 - n) for n in range(6)]
        commit(inserts=[*rows, row(6)])
        assert store.ended(99.0, _ENDED, 10) == [5, 4, 3, 2, 1, 0]
        assert store.ended(9.0, _ENDED, 10) == [5, 4, 3, 2]
        assert store.ended(99.0, ["failed"], 2) == [5, 3]
        assert store.ended(99.0, ["completed"], 10, skip=1) == [4, 2]
        assert store.ended(99.0, _ENDED, 3, skip=5) == [5]
        assert store.ended(99.0, _ENDED, 10, keyed_before=0.0) == [5, 4, 3, 2, 1, 0], "without keys"
        assert store.ended(99.0, _ENDED, 3, skip=9) == store.ended(99.0, [], 3) == []

    # -- between processes ---------------------------------------------------------------------

    def test_requests_are_kept_until_handled(
        self, store: Store, commit: Callable[..., None]
    ) -> None:
        """In order, and no number is used again."""
        numbers = store.post([(f"kind {n}", bytes([n])) for n in range(3)])
        assert [tuple(request) for request in store.requests()] == [
            (number, f"kind {n}", bytes([n])) for n, number in enumerate(numbers)
        ]
        assert [request.number for request in store.requests(limit=2)] == numbers[:2]
        commit(handled=numbers)
        commit(handled=numbers[:1])
        assert store.requests() == []
        assert store.post([("next", b"")])[0] > numbers[2] > numbers[1] > numbers[0]

    def test_everybody_may_post_at_once(self, store: Store) -> None:
        """Nothing is lost, and no two requests have the same number."""
        numbers: list[int] = []
        threads = [
            threading.Thread(target=lambda: numbers.extend(store.post([("k", b"")])))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(self.limit)
        assert sorted(numbers) == [request.number for request in store.requests()]
        assert len(set(numbers)) == 8

    def test_news_is_numbered_without_gaps(self, store: Store, commit: Callable[..., None]) -> None:
        """Whoever has fallen behind sees by the number what is forgotten; the last is never."""
        commit(news=b"0")
        ((first, _),) = store.news(0)
        commit(inserts=[row(1)])
        for n in range(1, 1_001):
            commit(news=b"%d" % n)
        kept = store.news(first)
        assert [number - first for number, _ in kept] == list(range(1_001 - len(kept), 1_001))
        assert [int(body) for _, body in kept] == [number - first for number, _ in kept]
        assert 0 < len(kept) < 1_000
        assert store.news(kept[-2][0]) == kept[-1:]

    def test_notes_can_be_left_and_taken_away(self, store: Store) -> None:
        """By name."""
        store.write_note("a", "one")
        store.write_note("a", "two")
        store.write_note("b", "")
        assert (store.read_note("a"), store.read_note("b")) == ("two", "")
        store.write_note("a", None)
        store.write_note("never", None)
        assert (store.read_note("a"), store.read_note("b")) == (None, "")

    def test_a_note_of_a_task_goes_with_it(self, store: Store, commit: Callable[..., None]) -> None:
        """When that is deleted, not when it is replaced; the last word says whose a note is."""
        for name, task in {"a": "t-1", "b": "t-2", "c": None, "d": "t-1"}.items():
            store.write_note(name, "text", task)
        store.write_note("d", "text")
        commit(inserts=[row(1)])
        commit(inserts=[row(1)])
        assert [store.read_note(name) for name in "abcd"] == ["text"] * 4
        commit(deletes=[1])
        assert [store.read_note(name) for name in "abcd"] == [None, "text", "text", "text"]
        commit(inserts=[row(2)], deletes=[2])  # it was never seen by anybody
        assert [store.read_note(name) for name in "abcd"] == [None, None, "text", "text"]

    def test_shrinking_loses_nothing(self, store: Store, commit: Callable[..., None]) -> None:
        """Of what was not deleted."""
        commit(inserts=[row(seq, call=bytes(2_000)) for seq in range(1, 1_001)])
        commit(deletes=list(range(2, 1_001)))
        store.shrink()
        assert list(store.unfinished()) == [row(1, call=bytes(2_000))]
        assert store.last_seq() == 1_000

    def test_another_store_keeps_the_same_tasks(
        self, store: Store, other: Store, commit: Callable[..., None]
    ) -> None:
        """What one commits the other sees, and of two leaders only the last may write."""
        commit(inserts=[row(1)], news=b"n")
        assert list(other.unfinished()) == [row(1)]
        (number,) = other.post([("k", b"b")])
        other.write_note("a", "text")
        assert (store.requests()[0].number, store.read_note("a")) == (number, "text")
        epoch = other.take_lead()
        with pytest.raises(StoreFencedError):
            commit(inserts=[row(2)])
        other.commit(epoch, batch(handled=[number]))
        assert (store.requests(), store.counts()) == ([], {"pending": 1})

    # -- opening and closing -------------------------------------------------------------------

    def test_everything_is_there_after_reopening(
        self, store: Store, commit: Callable[..., None]
    ) -> None:
        """Tasks and what belongs to them, numbers, and the epoch."""
        epoch = store.take_lead()
        (number,) = store.post([("k", b"b")])
        store.commit(epoch, batch(inserts=[row(1), row(2)], steps=[(1, "a", b"1")], deletes=[2]))
        store.close()
        store.open()
        assert list(store.unfinished()) == [row(1)]
        assert (store.steps(1), store.last_seq()) == ({"a": b"1"}, 2)
        assert [request.number for request in store.requests()] == [number]
        assert store.take_lead() > epoch

    def test_a_closed_store_says_so(self, store: Store) -> None:
        """Opening and closing may be done twice; all else is refused before and after."""
        store.open()
        epoch = store.take_lead()
        for _ in range(2):
            store.close()
            with pytest.raises(StoreError, match="not open"):
                store.counts()
            with pytest.raises(StoreError, match="not open"):
                store.commit(epoch, batch(inserts=[row(1)]))
        store.open()
        assert store.counts() == {}

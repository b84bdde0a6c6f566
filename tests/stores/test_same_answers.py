"""The store in memory and the one in a file answer the same, whatever is done to them."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from windlass.errors import StoreError
from windlass.ports import Batch, Line, Row, Update
from windlass.stores.memory import MemoryStore
from windlass.stores.sqlite import SqliteStore

SEQS = st.integers(0, 8)
UNFINISHED = st.sampled_from(["pending", "waiting", "running"])
FINISHED = st.sampled_from(["completed", "failed", "cancelled"])
TIMES = st.floats(0, 9, width=16)
# Now and then one that cannot be: a status without its time, or with one that it cannot have.
STANDINGS = st.one_of(
    st.tuples(UNFINISHED, st.none()),
    st.tuples(FINISHED, TIMES),
    st.tuples(UNFINISHED, st.none()),
    st.tuples(FINISHED, TIMES),
    st.tuples(st.sampled_from(["pending", "failed", "odd"]), st.none() | TIMES),
)
BYTES = st.binary(max_size=3)
NAMES = st.text("ab", max_size=2)


def made_row(seq, standing, id, key, rest):
    status, ended_at = standing
    return Row(seq, id, "m.f", status, key, 1.0, None, ended_at, 1, rest, rest, None, rest)


# Mostly an id of its own, sometimes one that is perhaps another's.
ROWS = SEQS.flatmap(
    lambda seq: st.builds(
        made_row,
        st.just(seq),
        STANDINGS,
        st.sampled_from([f"t{seq}"] * 9 + ["t1"]),
        st.none() | NAMES,
        BYTES,
    )
)
UPDATES = st.builds(
    lambda standing, notes, outcome: Update(*standing[:1], 2.0, *standing[1:], 2, notes, outcome),
    STANDINGS,
    st.none() | BYTES,
    st.none() | BYTES,
)
FRESH = st.builds(lambda seq, call: (seq, f"t{seq}", "m.f", 1.0, call), SEQS, BYTES)


@st.composite
def batches(draw):
    batch = Batch()
    batch.inserts = draw(st.lists(ROWS, max_size=3))
    batch.fresh = draw(st.lists(FRESH, max_size=2))
    shared = dict.fromkeys(draw(st.lists(SEQS, max_size=4)), draw(UPDATES))
    batch.updates = shared | draw(st.dictionaries(SEQS, UPDATES, max_size=3))
    batch.deletes = draw(st.lists(SEQS, max_size=2))
    batch.checkpoints = draw(st.lists(st.tuples(SEQS, BYTES), max_size=2))
    batch.steps = draw(st.lists(st.tuples(SEQS, NAMES, BYTES), max_size=2))
    batch.lines = draw(st.lists(st.builds(Line, SEQS, TIMES, NAMES, NAMES), max_size=2))
    batch.handled = draw(st.lists(st.integers(0, 5), max_size=2))
    batch.news = draw(st.none() | BYTES)
    return batch


class TwoStores(RuleBasedStateMachine):
    @initialize()
    def begin(self):
        self.folder = tempfile.TemporaryDirectory()
        file = Path(self.folder.name) / "tasks.db"
        # The disk's part is tested elsewhere, and costs what many more examples would.
        self.stores = MemoryStore(), SqliteStore(file, durability="normal")
        for store in self.stores:
            store.open()
        self.epoch = self.both(lambda store: store.take_lead())

    def teardown(self):
        if hasattr(self, "stores"):
            for store in self.stores:
                store.close()
            self.folder.cleanup()

    def both(self, ask):
        """What both stores answer to ``ask``, or the kind of error with which both refuse it."""
        answers = []
        for store in self.stores:
            try:
                answers.append(ask(store))
            except StoreError as error:
                answers.append(type(error))
        assert answers[0] == answers[1]
        return answers[0]

    @rule(batch=batches(), late=st.sampled_from([0, 0, 0, 0, 1]))
    def commit(self, batch, late):
        self.both(lambda store: store.commit(self.epoch - late, batch))

    @rule()
    def take_lead(self):
        self.epoch = self.both(lambda store: store.take_lead())

    @rule(kind=NAMES, body=BYTES)
    def post(self, kind, body):
        self.both(lambda store: store.post([(kind, body)]))

    @rule(name=NAMES, text=st.none() | NAMES, task=st.none() | SEQS)
    def write_note(self, name, text, task):
        id = None if task is None else f"t{task}"
        self.both(lambda store: store.write_note(name, text, id))

    @rule()
    def reopen(self):
        self.both(lambda store: store.close())
        self.both(lambda store: store.counts())
        self.both(lambda store: store.open())

    @rule()
    def shrink(self):
        self.both(lambda store: store.shrink())

    @rule(
        before=TIMES,
        statuses=st.lists(FINISHED | UNFINISHED, max_size=4),
        limit=st.integers(0, 4),
        skip=st.integers(0, 4),
    )
    def ask_for_some(self, before, statuses, limit, skip):
        self.both(lambda store: store.ended(before, statuses, limit, skip))
        self.both(lambda store: store.finished(int(before), limit))
        self.both(lambda store: store.news(int(before)))
        self.both(lambda store: store.requests(limit))

    @invariant()
    def the_same_is_there(self):
        if not hasattr(self, "stores"):
            return
        for ask in (
            lambda store: store.last_seq(),
            lambda store: list(store.unfinished()),
            lambda store: store.finished(),
            lambda store: store.rows([f"t{n}" for n in range(9)]),
            lambda store: list(store.keys()),
            lambda store: store.counts(),
            lambda store: store.news(0),
            lambda store: store.requests(),
            lambda store: [(store.checkpoint(n), store.steps(n)) for n in range(9)],
            lambda store: [
                store.read_note(name) for name in ("", "a", "b", "aa", "ab", "ba", "bb")
            ],
            # The numbers of lines are each store's own.
            lambda store: [[line for _, line in store.lines(n)] for n in range(9)],
        ):
            self.both(ask)


TestTwoStores = TwoStores.TestCase
TestTwoStores.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)

"""The engine against a naive model of itself: same inputs, same statuses, same order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine_room import Room
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from naive_model import AGE_EVERY, ENDS, GRACE, LIMIT, SLOTS, Model, Record

from windlass._core.outcome import Again, Cancelled, Err, Ok
from windlass._core.pools import Traits
from windlass._core.states import TERMINAL, TRANSITIONS, TaskPriority

if TYPE_CHECKING:
    from windlass._core.task import Task

EXECUTORS = {
    name: Traits(
        slots,
        local=name != "external",
        grace=GRACE[name],
        lingers=name == "thread",
        manual=name == "external",
    )
    for name, slots in SLOTS.items()
}

picks = st.integers(0, 1_000_000)
# Mostly plain tasks that run and end, or nothing would ever get far.
limits = st.sampled_from([None, None, None, None, None, None, 1.0, 4.5, 11.0])
executors = st.sampled_from(["process", "process", "async", "async", "thread", "external"])
priorities = st.sampled_from([TaskPriority.NORMAL, TaskPriority.NORMAL, *TaskPriority])


class EngineAndModel(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.room = Room(EXECUTORS, limit=LIMIT, age_every=AGE_EVERY, keep_seconds=None)
        self.model = Model()
        self.tasks: dict[Record, Task] = {}
        self.folded = {}

    def record(self, pick: int, fits=lambda record: True) -> Record | None:
        fitting = [record for record in self.model.records if fits(record)]
        return fitting[pick % len(fitting)] if fitting else None

    # -- what people ask for -----------------------------------------------------------------------

    @precondition(lambda self: len(self.model.records) < 12)
    @rule(
        executor=executors,
        priority=priorities,
        after=st.lists(picks, max_size=2),
        all_done=st.booleans(),
        retries=st.sampled_from([0, 1, 1, 2]),
        wait=st.sampled_from([0.0, 0.0, 1.19]),
        timeout=limits,
        total=limits,
        expires=limits,
        held=st.sampled_from([False, False, False, True]),
        delay=st.sampled_from([0.0, 0.0, 0.0, 2.37]),
    )
    def submit(
        self,
        executor,
        priority,
        after,
        all_done,
        retries,
        wait,
        timeout,
        total,
        expires,
        held,
        delay,
    ):
        # Hundredths tell the limits apart, so that no two of them are ever reached together.
        options = {
            "timeout": timeout and timeout + 0.01,
            "total_timeout": total and total + 0.02,
            "expires": expires and expires + 0.04,
        }
        before = [record for record in map(self.record, after) if record is not None]
        now, serial = self.room.now, len(self.tasks)
        task = self.room.make(
            f"t{serial}", *(self.tasks[record] for record in before),
            executor=executor, priority=priority, run_if="all_done" if all_done else "all_success",
            retries=retries, delay=wait, max_crashes=2, held=held, due=delay or None, **options,
        )  # fmt: skip
        record = Record(
            f"t{serial}", executor, int(priority), before, all_done, retries, wait, held=held,
            timeout=options["timeout"], total_at=total and now + options["total_timeout"],
            expires_at=expires and now + options["expires"], due=now + delay if delay else 0.0,
        )  # fmt: skip
        self.tasks[record] = task
        self.room.engine.add(task, now)
        self.model.submit(record)

    @rule(pick=picks)
    def cancel(self, pick):
        record = self.record(pick)
        if record is not None:
            asked = self.room.engine.cancel(self.tasks[record], self.room.now)
            assert asked == (record.status not in ENDS)
            self.model.cancel(record)

    @rule(pick=picks)
    def release(self, pick):
        record = self.record(pick, lambda record: record.held)
        if record is not None:
            self.room.engine.release(self.tasks[record], self.room.now)
            self.model.release(record)

    @rule(pick=picks)
    def retry(self, pick):
        old = self.record(pick, lambda record: record.status in {"failed", "cancelled"})
        if old is None:
            return
        (task,) = self.room.retry(self.tasks[old])
        spec, now = task.spec, self.room.now
        new = Record(
            old.id, old.executor, old.priority, all_done=old.all_done, retries=old.retries,
            wait=old.wait, timeout=old.timeout,
            total_at=spec.total_timeout and now + spec.total_timeout,
            expires_at=spec.expires and now + spec.expires,
        )  # fmt: skip
        self.tasks[new] = task
        self.model.retry(old, new)

    @rule(pick=picks)
    def start_by_hand(self, pick):
        record = self.record(pick, lambda record: record.executor == "external")
        if record is not None:
            started = self.room.engine.start_by_hand(self.tasks[record], self.room.now)
            assert started == self.model.start_by_hand(record)

    # -- what the world reports --------------------------------------------------------------------

    @rule(
        pick=picks,
        old=st.sampled_from([0, 0, 0, 0, 1, -1]),
        how=st.sampled_from(
            ["ok", "ok", "error", "error", "error", "crash", "snooze", "cancelled"]
        ),
    )
    def report(self, pick, old, how):
        self.take()
        running = self.record(pick, lambda record: record.status == "running")
        record = running if running and not old else self.record(pick, lambda record: record.run)
        if record is not None:
            outcome = {
                "ok": Ok(1),
                "error": Err(ValueError()),
                "crash": Err(OSError(), crashed=True),
                "snooze": Again(0.67),
                "cancelled": Cancelled("gave up"),
            }[how]
            run = record.run - old
            self.room.report(self.tasks[record], outcome, run)
            self.model.report(record, run, how, 0.67)

    @rule(seconds=st.sampled_from([0.0, 0.0, 0.25, 1.0, 3.5, 20.0]), take=st.booleans())
    def time_passes(self, seconds, take):
        self.room.later(seconds)
        self.model.advance(seconds)
        if take:
            self.take()

    @rule()
    def take(self):
        taken = self.room.engine.take(self.room.now)
        self.fold()
        found = {task: record for record, task in self.tasks.items()}
        for task in taken:
            record, line = found[task], self.model.line()
            assert record in line
            best = max(map(self.model.urgency, line))
            assert self.model.urgency(record) == best
            same = [
                r for r in line if (r.executor, r.priority) == (record.executor, record.priority)
            ]
            assert record.joined == min(other.joined for other in same)
            self.model.start(record)
        assert self.model.line() == []

    # -- what must hold ----------------------------------------------------------------------------

    @invariant()
    def the_engine_stands_where_the_model_stands(self):
        self.model.step += 1
        for record in self.model.records:
            task = self.tasks[record]
            assert self.room.engine.tasks[record.id] is task
            assert (task.id, task.status) == (record.id, record.status)
            assert (task.run, task.held) == (record.run, record.held)
            assert task.queued == (record.place == "line")
            assert (task in self.room.engine.by_hand) == (record.place == "hand")
            assert (self.room.engine.ending(task) is not None) == (record.stopped is not None)

    @invariant()
    def slots_are_counted_right(self):
        for name, pool in self.room.engine.slots.pools.items():
            assert pool.taken == self.model.busy(name)
        assert self.room.engine.lingering == self.model.lingering

    @invariant()
    def every_move_is_in_the_table(self):
        self.fold()
        assert self.folded == {id: task.status for id, task in self.room.engine.tasks.items()}

    def fold(self):
        for task, before, after, when, _, cause in self.room.transitions():
            assert self.folded.get(task.id) is before
            assert after in TRANSITIONS[before]
            assert when == self.room.now
            assert cause
            assert (before in TERMINAL) == (cause == "explicit retry")
            self.folded[task.id] = after


TestEngineAndModel = EngineAndModel.TestCase
TestEngineAndModel.settings = settings(max_examples=200, stateful_step_count=60)

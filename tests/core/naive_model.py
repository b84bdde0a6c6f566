"""The engine once more, in lists and scans: slow, and short enough to be seen to be right."""

from __future__ import annotations

from dataclasses import dataclass, field

WAITING, PENDING, RUNNING = "waiting", "pending", "running"
COMPLETED, FAILED, CANCELLED = "completed", "failed", "cancelled"
ENDS = {COMPLETED, FAILED, CANCELLED}

SLOTS = {"process": 1, "async": 2, "thread": 2, "external": 1_000}
GRACE = {"process": 0.0, "async": 2.53, "thread": 0.0, "external": 0.0}
LIMIT = 3
AGE_EVERY = 8.0


@dataclass(eq=False)
class Record:
    """What is known of one life of a task."""

    id: str
    executor: str
    priority: int = 1
    after: list[Record] = field(default_factory=list)
    all_done: bool = False
    retries: int = 0
    wait: float = 0.0
    max_crashes: int = 2
    timeout: float | None = None
    total_at: float | None = None
    expires_at: float | None = None
    held: bool = False
    due: float = 0.0
    status: str = PENDING
    run: int = 0
    first_run: int = 1
    failures: int = 0
    crashes: int = 0
    started_at: float = 0.0
    rung: int = 0
    """The run whose timeout has struck."""
    stopped: str | None = None
    grace_until: float = 0.0
    place: str = ""
    """Of a pending task: "" (held, or behind its thread), "due", "line" or "hand"."""
    queued_at: float = 0.0
    joined: int = 0


class Model:
    """See the module. Times are chosen such that two different limits never meet."""

    def __init__(self) -> None:
        self.now = 100.0
        self.records: list[Record] = []
        self.lingering: dict[str, int] = {}
        self.step = 0

    # -- where things stand ------------------------------------------------------------------------

    def current(self) -> dict[str, Record]:
        return {record.id: record for record in self.records}

    def busy(self, executor: str) -> int:
        return sum(r.status == RUNNING and r.executor == executor for r in self.records)

    def has_room(self, executor: str) -> bool:
        running = sum(self.busy(name) for name in SLOTS if name != "external")
        return self.busy(executor) < SLOTS[executor] and running < LIMIT

    def line(self) -> list[Record]:
        """Who could start now."""
        return [r for r in self.records if r.place == "line" and self.has_room(r.executor)]

    def urgency(self, record: Record) -> tuple[int, float]:
        level = record.priority
        if level < 2:
            level = min(2, level + int((self.now - record.queued_at) / AGE_EVERY))
        return level, -record.queued_at

    # -- what people ask for -----------------------------------------------------------------------

    def submit(self, record: Record) -> None:
        self.records.append(record)
        if not record.held:
            self.release(*record.after)
        fated = [other for other in record.after if other.status in {FAILED, CANCELLED}]
        if fated and not record.all_done:
            record.status = fated[0].status
        elif any(other.status not in ENDS for other in record.after):
            record.status = WAITING
        else:
            self.line_up(record)

    def release(self, *records: Record) -> None:
        for record in records:
            if record.held and record.status not in ENDS:
                record.held = False
                self.release(*record.after)
                if record.status == PENDING:
                    self.line_up(record)

    def cancel(self, record: Record) -> None:
        if record.status == RUNNING:
            self.stop(record, "cancel")
        elif record.status not in ENDS:
            self.end(record, CANCELLED)

    def retry(self, old: Record, new: Record) -> None:
        new.run, new.first_run = old.run, old.run + 1
        new.after = [self.current()[other.id] for other in old.after]
        self.records.remove(old)
        self.submit(new)

    def start_by_hand(self, record: Record) -> bool:
        if record.place != "hand":
            return False
        self.start(record)
        return True

    def start(self, record: Record) -> None:
        record.status, record.place = RUNNING, ""
        record.run += 1
        record.started_at = self.now

    # -- what the world reports --------------------------------------------------------------------

    def report(self, record: Record, run: int, how: str, delay: float = 0.0) -> None:
        if record.run != run or record.status != RUNNING:
            self.leave(record, run)
        elif record.stopped:
            self.close(record, left=True)
        elif how == "ok":
            self.end(record, COMPLETED)
        elif how == "cancelled":
            self.end(record, CANCELLED)
        elif how == "snooze":
            self.back(record, delay)
        elif how == "crash":
            record.crashes += 1
            self.again_or_end(record, record.crashes < record.max_crashes, 0.0)
        else:
            self.fail(record)

    def leave(self, record: Record, run: int) -> None:
        if self.lingering.get(record.id) == run:
            del self.lingering[record.id]
            current = self.current()[record.id]
            if current.status == PENDING and current.place == "":
                self.line_up(current)

    def advance(self, seconds: float) -> None:
        """One thing after another, as each was to happen; but all of them now."""
        self.now += seconds
        while due := [
            event for r in self.records for event in self.events(r) if event[0] <= self.now
        ]:
            _, what, record = min(due, key=lambda event: event[0])
            if what == "due":
                self.line_up(record)
            elif what == "grace":
                self.close(record, left=False)
            elif what == "expires":
                self.end(record, CANCELLED)
            elif record.status == RUNNING:
                if what == "timeout":
                    record.rung = record.run
                else:
                    record.total_at = None
                self.stop(record, what)
            else:
                self.end(record, FAILED)

    def events(self, record: Record):
        """What is still to happen to a task, and when."""
        if record.status in ENDS:
            return
        if record.place == "due":
            yield record.due, "due", record
        if record.total_at is not None:
            yield record.total_at, "total", record
        if record.expires_at is not None and record.run < record.first_run:
            yield record.expires_at, "expires", record
        if record.status == RUNNING:
            if record.stopped:
                yield record.grace_until, "grace", record
            if record.timeout is not None and record.rung != record.run:
                yield record.started_at + record.timeout, "timeout", record

    # -- the life of one task ----------------------------------------------------------------------

    def line_up(self, record: Record) -> None:
        record.place = ""
        if record.held:
            return
        if record.due > self.now:
            record.place = "due"
        elif record.id not in self.lingering:
            record.place = "hand" if record.executor == "external" else "line"
            record.queued_at, record.joined = self.now, self.step

    def stop(self, record: Record, why: str) -> None:
        if record.stopped is None:
            record.stopped = why
            record.grace_until = self.now + GRACE[record.executor]
            if not GRACE[record.executor]:
                self.close(record, left=record.executor != "thread")
        elif record.stopped == "timeout":
            record.stopped = why

    def close(self, record: Record, *, left: bool) -> None:
        why, record.stopped = record.stopped, None
        if not left:
            self.lingering[record.id] = record.run
        if why == "timeout":
            self.fail(record)
        else:
            self.end(record, FAILED if why == "total" else CANCELLED)

    def fail(self, record: Record) -> None:
        record.failures += 1
        wait = record.wait * 2 ** (record.failures - 1)
        self.again_or_end(record, record.failures <= record.retries, wait)

    def again_or_end(self, record: Record, again: bool, wait: float) -> None:
        if again:
            self.back(record, wait)
        else:
            self.end(record, FAILED)

    def back(self, record: Record, wait: float) -> None:
        record.status = PENDING
        record.due = self.now + wait
        self.line_up(record)

    def end(self, record: Record, status: str) -> None:
        record.status, record.place = status, ""
        for other in list(self.records):
            if other.status == WAITING and record in other.after:
                if status != COMPLETED and not other.all_done:
                    self.end(other, status)
                elif all(before.status in ENDS for before in other.after):
                    other.status = PENDING
                    self.line_up(other)

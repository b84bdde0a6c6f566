"""What tasks say in the log, kept with them.

Whatever logger a task uses, each record that is made inside it is *heard*: by the thread that made
it, under no lock, since a record may be made anywhere, even by a finalizer that runs while a lock
is held. The pump takes in what was heard, with the engine's lock, into the *log* of each task: its
newest lines, as many as are kept. There they stay, in memory; with a file, they go into an entry of
the journal. They ask for no commit of their own: what none takes along is on disk within a second.

A task that says nothing has no log, and a call for a level that is off makes no record.
"""

from __future__ import annotations

import logging
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from .stored_job import StoredJob

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from ..ports import Line
    from .entry import Entry
    from .job import Job

_MANY = 1_000  # as many lines are heard before whoever says the next takes them in
_LONGEST = 10_000
_LAST = 10  # go with the error of a task whose process has died
_format_exception = logging.Formatter().formatException


class LogLine(NamedTuple):
    """One record that a task made in the log."""

    number: int
    """Counted from 1, over all attempts; where some are missing, they were too many to keep."""
    at: float
    """When, in seconds since the epoch."""
    level: str
    logger: str
    text: str
    """The message, and the traceback if there was one."""
    attempt: int

    def __str__(self) -> str:
        return f"{self.level} {self.logger}: {self.text}"


class Log:
    """What one task has said: the newest lines, and how many there were."""

    __slots__ = ("count", "lines", "unwritten")

    def __init__(self, most: int, lines: Sequence[LogLine] = ()) -> None:
        self.lines = deque(lines, maxlen=most)
        self.count = lines[-1].number if lines else 0
        self.unwritten = 0
        """How many of the newest are still to be written, where there is a file."""


class LogBook:
    """The logs of all tasks of one manager; see the module."""

    def __init__(self, lock: threading.Lock) -> None:
        self.most = 0
        """How many lines are kept of each task."""
        self.version = 0
        """Another one whenever there is more to read."""
        self.readers = 0
        """How many wait for more, and want to have it soon."""
        self._lock = lock
        self._heard: deque[tuple[Job, int, float, str, str, str]] = deque()
        self._unwritten: dict[StoredJob, Log] = {}

    def __bool__(self) -> bool:
        """Whether anything was said that is not where it belongs yet."""
        return bool(self._heard or self._unwritten)

    def hear(self, job: Job, at: float, said: tuple[str, str, str]) -> None:
        """Note what ``job`` has said: the level, the logger and the text. See the module."""
        self._heard.append((job, job.attempt, at, *said))
        if len(self._heard) >= _MANY and self._lock.acquire(blocking=False):
            try:
                self.take_in()
            finally:
                self._lock.release()

    def take_in(self) -> None:
        """Put what was heard into the logs; with the engine's lock."""
        heard = self._heard
        for _ in range(len(heard)):
            job, attempt, at, level, logger, text = heard.popleft()
            log: Log | None = job.noted.log
            if log is None:
                log = job.noted.log = Log(self.most)
            log.count += 1
            log.lines.append(LogLine(log.count, at, level, logger, text, attempt))
            if isinstance(job, StoredJob):
                log.unwritten += 1
                self._unwritten[job] = log
            else:
                self.version += 1

    def hand_over(
        self, entry: Entry, pack: Callable[[StoredJob, LogLine], Line], *, all_of_them: bool
    ) -> None:
        """Have lines written with ``entry``: of the tasks that end in it, or of all.

        While the disk has not taken what it was given last, the logs hold on to theirs: they are
        bounded, and what waits for a disk is not.
        """
        for job in list(self._unwritten) if all_of_them else entry.ended:
            log = self._unwritten.pop(job, None)
            if log is None or job.seq <= 0:
                continue
            new = list(log.lines)[-log.unwritten :]
            log.unwritten = 0
            entry.lines += [pack(job, line) for line in new]
            if log.count > self.most:
                entry.trims.append((job.seq, self.most))
            if job.outcome is not None:
                log.lines.clear()  # who asks from now on asks the file

    def told(self, job: Job, since: int) -> list[LogLine]:
        """What a job that is not in a file has said, after the line ``since``."""
        with self._lock:
            self.take_in()
            log = job.notes.log if job.notes is not None else None
            return [line for line in log.lines if line.number > since] if log is not None else []

    def last(self, job: Job) -> list[str]:
        """The last words of a job whose process has died."""
        with self._lock:
            self.take_in()
            return last_words(job)


def last_words(job: Job) -> list[str]:
    """What a job said last, in its last attempt."""
    log: Log | None = job.notes.log if job.notes is not None else None
    lines = log.lines if log is not None else ()
    return [str(line) for line in lines if line.attempt == job.attempt][-_LAST:]


def said_in(record: logging.LogRecord) -> tuple[str, str, str]:
    """The level, the logger and the text of a record; never raises."""
    text = "(its message cannot be made)"
    with suppress(Exception):  # the arguments are the user's, and may not fit
        text = record.getMessage()
    if record.exc_info and record.exc_info[0] is not None:
        with suppress(Exception):
            text = f"{text}\n{_format_exception(record.exc_info)}"
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}… ({len(text) - _LONGEST:,} more characters)"
    return record.levelname, record.name, text

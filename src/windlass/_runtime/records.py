"""Records: a job as bytes. How one is made of bytes again is in ``reading``.

What is stored of a job falls into three parts. Its *call* and its *options* are what was asked, and
never change; the options are those that its function does not ask itself, see ``functions``. Its
*notes* are what happened to it beyond its status: held, put off, failed before, half done. Most
jobs have neither options nor notes of their own, and cost neither.

Inside, time is monotonic and means nothing to the next process, so what is stored is wall time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._core.change import Change
from .._core.outcome import OK_NONE, Cancelled, Err, Lost, Ok
from .._core.states import PENDING
from ..errors import NotDurableError, SerializationError
from ..ports import Line, Row, Update
from .arguments import filled
from .chunks import ItemHandle
from .functions import known_by, options_of, stored_name
from .handle import Output, TaskHandle
from .stored_job import StoredJob

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .._core.change import Transition
    from .._core.outcome import Outcome
    from ..ports import Codec, Fresh
    from .functions import Registry
    from .log_lines import LogLine
    from .runtime import Runtime


def is_untouched(job: StoredJob) -> bool:
    """Whether nothing has happened to a new job but that it came in."""
    return job.status is PENDING and not (job.run or job.held or job.due or job.notes)


class Records:
    """Turns jobs into rows; see the module."""

    def __init__(self, runtime: Runtime, codec: Codec, registry: Registry) -> None:
        self._runtime = runtime
        self._codec = codec
        self._registry = registry
        # What most calls and most results are made of.
        self._no_arguments = codec.encode_call((), {})
        self._nothing = codec.encode(["ok", None])

    def prepare(self, job: StoredJob) -> None:
        """Pack what was asked of a new job; raises if that cannot be stored."""
        recipe = job.recipe
        function = recipe.stored_as
        if function is None:
            function = recipe.stored_as = stored_name(recipe, self._registry)
        if function is None:
            raise NotDurableError(
                f"{job.spec.name} cannot be kept in a file, because only functions decorated with "
                "@task have a name by which the next process finds them. Decorate it, or let it "
                "live in memory: task(func, durable=False)",
                job.id,
            )
        job.seq, job.function, job.recovered, job.told = 0, function, False, False
        job.source = None
        job.packed = self.call(job)
        self._options(job)  # refused here, not in the middle of a turn
        if job.notes is not None:
            self._codec.encode(job.notes.key, f"the key of {job.label}")
        for other in job.dependencies:
            _require_stored(other, job)

    def call(self, job: StoredJob) -> bytes:
        """The arguments of ``job`` as bytes."""
        if job.source is not None:
            return job.source.call
        if not (job.args or job.kwargs):
            return self._no_arguments
        args = job.args if job.recipe.chunk_of is None else job.args[1:]  # its function is its name
        return self._codec.encode_call(
            *filled(args, job.kwargs or {}, lambda handle: handle),  # what map returned, as a list
            job.label,
            lambda value: _reference(value, job),
        )

    def fresh(self, job: StoredJob, offset: float) -> Fresh | None:
        """A new job without key and options, which most have not; how it stands, is not said."""
        notes = job.notes
        if (
            job.packed is None
            or job.recipe.asks is None
            or job.recipe.asks
            or job.dependencies
            or job.source is not None
            or (notes is not None and (notes.key is not None or notes.parent is not None))
        ):
            return None
        return job.seq, job.id, job.function, job.created_at + offset, job.packed

    def row(self, job: StoredJob, offset: float) -> Row:
        """All of ``job`` as it stands; ``offset`` turns its times into wall times."""
        call = job.packed if job.packed is not None else self.call(job)
        key = job.notes.key if job.notes is not None else None
        status, started_at, ended_at, run, notes, outcome = self._standing(job, offset)
        return Row(
            job.seq, job.id, job.function, status, key, job.created_at + offset, started_at,
            ended_at, run, call, self._options(job), notes, outcome,
        )  # fmt: skip

    def updates(self, jobs: Iterable[StoredJob], offset: float) -> dict[int, Update]:
        """What may have changed of ``jobs``, by their numbers; those that stand alike share it."""
        updates: dict[int, Update] = {}
        update: Any = ()
        for job in jobs:
            standing = self._standing(job, offset)
            if standing != update:
                update = Update._make(standing)
            updates[job.seq] = update
        return updates

    def _standing(self, job: StoredJob, offset: float) -> tuple[Any, ...]:
        outcome, ended_at, packed, notes = job.outcome, None, None, None
        if outcome is not None:
            ended_at = job.ended_at + offset
            packed = self._nothing if outcome is OK_NONE else self._outcome_of(job, outcome)
        if job.notes is not None or job.held or job.due:
            notes = self._notes(job, offset)
        return (
            job.status._value_,  # what ``value`` takes ten times as long to find
            job.started_at + offset if job.started_at else None,
            ended_at,
            job.run,
            notes,
            packed,
        )

    def own_options(self, function: str) -> bytes | None:
        """What a function asks itself, if it is known here, and can be stored."""
        known = known_by(function, self._registry)
        try:
            return self._codec.encode(options_of(known.spec, None)) if known is not None else None
        except SerializationError:  # its metadata; a call is refused only for what it says itself
            return None

    def news(self, move: Transition, offset: float) -> list[Any]:
        """What clients are told of a move: the parts of a Change, but for the error."""
        change = Change.of(move, offset)
        before = change.before.value if change.before is not None else None
        parts = [change.task_id, change.name, change.type, before, change.after.value, change.at]
        return [*parts, change.attempt, change.cause]

    def packed_news(self, news: list[Any]) -> bytes:
        """News as bytes."""
        return self._codec.encode(news, "news")

    def value(self, value: Any, what: str) -> bytes:
        """A checkpoint, or the result of a step."""
        return self._codec.encode(value, what)

    def error(self, error: BaseException) -> bytes:
        """The outcome of a task that failed with ``error``."""
        return self._codec.encode(["error", False, False, self._codec.encode_error(error)])

    def label(self, seq: int) -> str:
        """The task with this number in the store, in words."""
        jobs = list(self._runtime.engine.tasks.values())
        named = (job.label for job in jobs if isinstance(job, StoredJob) and job.seq == seq)
        return next(named, f"task {seq} of the file")

    def line(self, job: StoredJob, line: LogLine) -> Line:
        """What ``job`` has said in the log."""
        kind = f"{line.number} {line.attempt} {line.level.replace(' ', '_')} {line.logger}"
        return Line(job.seq, line.at, _storable(kind), _storable(line.text))

    def _options(self, job: StoredJob) -> bytes:
        if job.source is not None:
            return job.source.options
        options, notes = job.recipe.asks, job.notes
        if options is None:
            known = known_by(job.function, self._registry)
            base = known.spec if known is not None else None
            options = job.recipe.asks = options_of(job.spec, base)
        elif not (options or notes or job.dependencies):
            return b""  # as most have it
        if job.dependencies:
            options = {**options, "after": [other.id for other in job.dependencies]}
        if notes is not None and notes.parent is not None:
            options = {**options, "parent": notes.parent.id}
        return self._codec.encode(options, f"an option of {job.label}") if options else b""

    def _notes(self, job: StoredJob, offset: float) -> bytes | None:
        noted: dict[str, Any] = {}
        if job.held:
            noted["held"] = True
        if job.due:
            noted["due"] = job.due + offset
        notes = job.notes
        if notes is not None:
            for name in ("due_at", "failures", "crashes", "given_back", "progress", "message"):
                if value := getattr(notes, name):
                    noted[name] = _storable(value) if name == "message" else value
            if notes.attempts:
                noted["attempts"] = [
                    [past.number, past.started_at + offset, past.ended_at + offset, past.ended]
                    + ([self._codec.encode_error(past.error)] if past.error is not None else [])
                    for past in notes.attempts
                ]
        return self._codec.encode(noted) if noted else None

    def _outcome_of(self, job: StoredJob, outcome: Outcome) -> bytes:
        if isinstance(outcome, Lost):
            return self._codec.encode(["lost", outcome.value])
        if isinstance(outcome, Ok):
            try:
                return self._codec.encode(["ok", outcome.value], f"the result of {job.label}")
            except SerializationError as error:
                self._runtime.warn_unstorable(job, error)
                return self._codec.encode(["lost", str(error)])
        if isinstance(outcome, Err):
            packed = self._codec.encode_error(outcome.error, outcome.traceback)
            return self._codec.encode(["error", outcome.raised, outcome.crashed, packed])
        assert isinstance(outcome, Cancelled)
        return self._codec.encode(["cancelled", _storable(outcome.cause)])


def _reference(value: Any, job: StoredJob) -> str | None:
    """What stands for ``value``, if it stands for the result of a task."""
    handle = value._windlass_handle if isinstance(value, Output) else value
    if not isinstance(handle, TaskHandle):
        return None
    _require_stored(handle._job, job)
    return f"{handle.id}#{handle._index}" if isinstance(handle, ItemHandle) else handle.id


def _require_stored(other: Any, job: StoredJob) -> None:
    if not isinstance(other, StoredJob):
        raise NotDurableError(
            f"{job.label} is to be kept in a file, but depends on {other.label}, which lives in "
            "memory (durable=False) and would be gone. Make both durable, or neither",
            job.id,
        )


def _storable(text: str) -> str:
    """What was said about a task, without what UTF-8 lacks: it is too late to refuse it."""
    return text.encode(errors="replace").decode()

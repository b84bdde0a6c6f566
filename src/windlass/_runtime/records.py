"""Records: a job as bytes, and a job made of bytes again.

What is stored of a job falls into three parts. Its *call* and its *options* are what was asked, and
never change. Its *notes* are what happened to it beyond its status: held, put off, failed before,
half done. Most jobs have neither options nor notes of their own, and cost neither.

Options are stored as what differs from the function's own, so that a program that changes a
function's timeout changes it for the stored tasks, too, unless their call said otherwise.

Inside, time is monotonic and means nothing to the next process, so what is stored is wall time.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Protocol, cast

from .._core.change import Change
from .._core.outcome import OK_NONE, Cancelled, Err, Lost, Ok
from .._core.spec import Spec
from .._core.states import COMPLETED, FAILED, TaskPriority, TaskStatus
from .._core.task import Attempt, Task
from ..errors import (
    NotDurableError,
    SerializationError,
    StoreCorruptError,
    TaskDependencyError,
    TaskError,
)
from ..ports import Line, Row, Update
from .arguments import filled
from .chunks import ItemHandle, chunk_recipe
from .handle import Output, TaskHandle
from .log_lines import LogLine
from .recipe import Recipe
from .signature import CallShape
from .stored_job import EXTERNAL, LAST_CHANCE, UNKNOWN, StoredJob

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .._core.change import Transition
    from .._core.outcome import Outcome
    from ..ports import Codec
    from .job import Job
    from .runtime import Runtime

_OF_RETRY = ("retries", "delay", "backoff", "cap", "jitter", "overlap")
_OF_SPEC = (
    "name", "executor", "type", "description", "tags", "metadata", "owner", "timeout",
    "total_timeout", "expires", "run_if", "max_crashes", "on_crash", "gates", "when_open",
)  # fmt: skip

_CHUNK = "#chunk"


class Registry(Protocol):
    """How stable ids and functions find each other."""

    def id_of(self, recipe: Recipe) -> str | None:
        """The stable id of a function, if it has one."""
        ...

    def recipe(self, id: str) -> Recipe | None:
        """The recipe of the function with this id or alias, if this program has it."""
        ...


class Records:
    """Turns jobs into rows and back; see the module."""

    def __init__(self, runtime: Runtime, codec: Codec, registry: Registry) -> None:
        self._runtime = runtime
        self._codec = codec
        self._registry = registry
        # What most calls and most results are made of.
        self._no_arguments = codec.encode_call((), {})
        self._nothing = codec.encode(["ok", None])

    # -- to be stored ----------------------------------------------------------------------------

    def prepare(self, job: StoredJob) -> None:
        """Pack what was asked of a new job; raises if that cannot be stored."""
        recipe = job.recipe
        function = recipe.stored_as
        if function is None:
            function = recipe.stored_as = self._id_of(recipe)
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

    def _id_of(self, recipe: Recipe) -> str | None:
        """Under which name a function is stored; that of a chunk is made of its function's."""
        if recipe.chunk_of is None:
            return self._registry.id_of(recipe)
        inner = self._registry.id_of(recipe.chunk_of)
        return inner + _CHUNK if inner is not None else None

    def _known(self, function: str) -> Recipe | None:
        """The recipe of what was stored under this name."""
        known = self._registry.recipe(function.removesuffix(_CHUNK))
        return chunk_recipe(known) if known is not None and function.endswith(_CHUNK) else known

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

    def row(self, job: StoredJob, offset: float) -> Row:
        """All of ``job`` as it stands; ``offset`` turns its times into wall times."""
        call = job.packed if job.packed is not None else self.call(job)
        key = job.notes.key if job.notes is not None else None
        status, started_at, ended_at, run, notes, outcome, seq = self._standing(job, offset)
        return Row(
            seq, job.id, job.function, status, key, job.created_at + offset, started_at, ended_at,
            run, call, self._options(job), notes, outcome,
        )  # fmt: skip

    def update(self, job: StoredJob, offset: float) -> Update:
        """What may have changed of ``job``."""
        return Update(*self._standing(job, offset))

    def _standing(self, job: StoredJob, offset: float) -> tuple[Any, ...]:
        ended_at = packed = None
        if job.outcome is not None:
            ended_at, packed = job.ended_at + offset, self._outcome_of(job, job.outcome)
        return (
            job.status._value_,  # what ``value`` takes ten times as long to find
            job.started_at + offset if job.run else None,
            ended_at,
            job.run,
            self._notes(job, offset) if job.notes or job.held or job.due else None,
            packed,
            job.seq,
        )

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
            options = job.recipe.asks = self._asked(job.function, job.spec)
        if job.dependencies:
            options = {**options, "after": [other.id for other in job.dependencies]}
        if notes is not None and notes.parent is not None:
            options = {**options, "parent": notes.parent.id}
        return self._codec.encode(options, f"an option of {job.label}") if options else b""

    def _asked(self, function: str, spec: Spec) -> dict[str, Any]:
        """What ``spec`` asks beyond what the function says of itself."""
        known = self._known(function)
        base = known.spec if known is not None else None
        if (LAST_CHANCE, 1) in spec.gates:
            own = tuple(gate for gate in spec.gates if gate[0] != LAST_CHANCE)
            spec = dataclasses.replace(spec, gates=own)
        options: dict[str, Any] = {}
        if spec is not base:
            for name in _OF_SPEC:
                if base is None or getattr(spec, name) != getattr(base, name):
                    options[name] = getattr(spec, name)
            if base is None or spec.priority is not base.priority:
                options["priority"] = int(spec.priority)
            if base is None or spec.retry != base.retry:
                options["retry"] = {name: getattr(spec.retry, name) for name in _OF_RETRY}
        return options

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
        if outcome is OK_NONE:
            return self._nothing
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

    # -- from the store --------------------------------------------------------------------------

    def job(
        self, row: Row, offset: float, resolve: Callable[[str], Job]
    ) -> tuple[StoredJob, TaskError | None]:
        """The job that ``row`` stands for, and why it cannot run, if it cannot.

        ``resolve`` finds the jobs that it names.
        """
        try:
            return self._job(row, offset, resolve)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            # What SQL must know in fields of its own has no checksum.
            text = f"what is stored of {row.id} is damaged: {error}. Restore the file from a backup"
            problem = StoreCorruptError(text, str(row.id))
            blank = Row(
                row.seq, str(row.id), "", "", None, -offset, None, None, 0, b"", b"", None, None
            )
            job, _ = self._job(blank, offset, resolve)
            if row.ended_at is not None:
                job.status, job.outcome, job.told = FAILED, Err(problem, raised=False), True
            return job, problem

    def _job(
        self, row: Row, offset: float, resolve: Callable[[str], Job]
    ) -> tuple[StoredJob, TaskError | None]:
        problem: TaskError | None = None
        options: dict[str, Any] = {}
        try:
            options = self._read(row.options)
            recipe = self._recipe(row, options)
        except (SerializationError, StoreCorruptError, TypeError, ValueError) as error:
            problem = _unreadable(row, error)
            recipe = self._recipe(row, {})
        job = StoredJob(row.id, recipe, row.created_at - offset, (), None, None, None)
        job.seq, job.function, job.packed, job.recovered = row.seq, row.function, None, True
        job.run, job.told = row.run, row.outcome is not None
        later = job.told or recipe.spec.executor == UNKNOWN
        job.source = row if later else None
        if job.told:  # then names are all it needs of others, unless it is retried: see ``revive``
            resolve = _named
        job.started_at = row.started_at - offset if row.started_at is not None else 0.0
        job.ended_at = row.ended_at - offset if row.ended_at is not None else 0.0
        if row.key is not None:
            job.noted.key = row.key
        try:
            job.dependencies = tuple(resolve(id) for id in options.get("after", ()))
            if "parent" in options:
                job.noted.parent = _parent(options["parent"], resolve)
            if row.notes is not None:
                self._take_notes(job, self._read(row.notes), offset)
            if row.outcome is not None:
                job.status, job.outcome = TaskStatus(row.status), self._outcome(row)
            if job.source is None:
                self._take_call(job, row, resolve)
        except TaskError as error:
            problem = problem or error
        if job.told and problem is not None:
            job.status, job.outcome = FAILED, Err(problem, raised=False)
        return job, problem

    def revive(self, job: StoredJob, resolve: Callable[[str], Job]) -> None:
        """Read the call of a job that had ended and is to run again."""
        if job.source is not None and job.spec.executor != UNKNOWN:
            self._take_call(job, job.source, resolve)
            job.source = None

    def lacking(self, job: StoredJob) -> str | None:
        """What this program does not have of what ``job`` needs, in words."""
        if job.source is None or job.spec.executor != UNKNOWN:
            return None
        return self._lacking(job.source.function, self._read(job.source.options))

    def _lacking(self, function: str, options: dict[str, Any]) -> str | None:
        known = self._known(function)
        if known is None:
            return f"the function {function.removesuffix(_CHUNK)!r}"
        executor = options.get("executor", known.spec.executor)
        if executor not in {*self._runtime.executors, EXTERNAL}:
            return f"the executor {executor!r}"
        gates = options.get("gates", known.spec.gates)
        there = self._runtime.engine.turnstiles.all
        return next((f"the gate {name!r}" for name, _ in gates if name not in there), None)

    def restored(self, data: bytes, what: str) -> Any:
        """A checkpoint, or the result of a step."""
        return self._codec.decode(data, what)

    def log(self, lines: Sequence[tuple[int, Line]]) -> list[LogLine]:
        """The lines of a task, as it said them."""
        found: list[LogLine] = []
        for _, line in lines:
            number, attempt, level, logger = line.kind.split(" ", 3)
            found.append(LogLine(int(number), line.at, level, logger, line.text, int(attempt)))
        return found

    def _read(self, data: bytes) -> dict[str, Any]:
        return cast("dict[str, Any]", self._codec.decode(data)) if data else {}

    def _recipe(self, row: Row, options: dict[str, Any]) -> Recipe:
        known = self._known(row.function)
        lacks = self._lacking(row.function, options)
        changes = {name: options[name] for name in _OF_SPEC if name in options}
        if "priority" in options:
            changes["priority"] = TaskPriority(options["priority"])
        if lacks is not None:
            changes |= {"executor": UNKNOWN, "gates": ()}
        if known is None:
            changes.setdefault("name", row.function)
            return Recipe(_nobody, None, Spec(**changes), CallShape(_nobody, row.function))
        if "retry" in options:
            changes["retry"] = dataclasses.replace(known.spec.retry, **options["retry"])
        return known.with_spec(**changes) if changes else known

    def _take_call(self, job: StoredJob, row: Row, resolve: Callable[[str], Job]) -> None:
        args, kwargs = self._codec.decode_call(
            row.call, job.label, lambda reference: self._handle(reference, resolve)
        )
        if job.recipe.chunk_of is not None:
            args = (job.recipe.chunk_of.portable, *args)
        try:
            job.recipe.shape.check(args, kwargs)
        except TypeError as error:
            raise SerializationError(
                f"{job.label} was stored by another version of the program, and {row.function} "
                f"does not take what it was called with then: {error}",
                job.id,
            ) from None
        job.args, job.kwargs = args, kwargs or None

    def _handle(self, reference: str, resolve: Callable[[str], Job]) -> TaskHandle[Any]:
        id, _, index = reference.partition("#")
        job = resolve(id)
        if index:
            return ItemHandle(job, self._runtime, int(index))
        return TaskHandle(job, self._runtime)

    def _take_notes(self, job: StoredJob, noted: dict[str, Any], offset: float) -> None:
        job.held = noted.pop("held", False)
        due = noted.pop("due", None)
        if due is not None:
            job.due = due - offset
        attempts = noted.pop("attempts", ())
        if noted or attempts:
            notes = job.noted
            for name, value in noted.items():
                setattr(notes, name, value)
            for number, started, ended, how, *error in attempts:
                past = self._codec.decode_error(error[0])[0] if error else None
                notes.attempts.append(Attempt(number, started - offset, ended - offset, how, past))

    def _outcome(self, row: Row) -> Outcome:
        try:
            return self._read_outcome(row)
        except TaskError as error:  # it has ended all the same, and that much is known
            if row.status == COMPLETED.value:
                return Lost(str(error))
            return Err(error, raised=False)

    def _read_outcome(self, row: Row) -> Outcome:
        assert row.outcome is not None
        kind, *rest = self._codec.decode(row.outcome, f"the outcome of {row.id}")
        if kind == "ok":
            return Ok(rest[0])
        if kind == "lost":
            return Lost(rest[0])
        if kind == "cancelled":
            return Cancelled(rest[0])
        error, traceback = self._codec.decode_error(rest[2], f"the error of {row.id}")
        return Err(error, raised=rest[0], crashed=rest[1], traceback=traceback or None)


def _unreadable(row: Row, error: Exception) -> TaskError:
    if isinstance(error, TaskError):
        return error
    return SerializationError(
        f"{row.function} [{row.id}] was stored with options that mean nothing here: {error}", row.id
    )


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


def _named(id: str) -> Any:
    """Stands for a task of which only the id is asked."""
    stand_in = Task(id, _NOTHING, 0.0)
    stand_in.status = COMPLETED
    return stand_in


def _parent(id: str, resolve: Callable[[str], Job]) -> Any:
    try:
        return resolve(id)
    except TaskDependencyError:  # a child may outlive all memory of its parent
        return _named(id)


_NOTHING = Spec(name="", executor=UNKNOWN)


def _storable(text: str) -> str:
    """What was said about a task, without what UTF-8 lacks: it is too late to refuse it."""
    return text.encode(errors="replace").decode()


def _nobody(*_: Any, **__: Any) -> None:
    """Stands for a function that this program does not have; nothing calls it."""

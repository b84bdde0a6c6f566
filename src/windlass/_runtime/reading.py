"""Reading records: a job made of bytes again; see ``records``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from .._core.outcome import Cancelled, Err, Lost, Ok
from .._core.spec import Spec
from .._core.states import COMPLETED, FAILED, TaskStatus
from .._core.task import Attempt, Task
from ..errors import SerializationError, StoreCorruptError, TaskDependencyError, TaskError
from ..ports import Row
from .chunks import ItemHandle
from .functions import function_of, known_by, recipe_with
from .handle import TaskHandle
from .log_lines import LogLine
from .stored_job import EXTERNAL, UNKNOWN, StoredJob

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .._core.outcome import Outcome
    from ..ports import Codec, Line
    from .functions import Registry
    from .job import Job
    from .recipe import Recipe
    from .runtime import Runtime

_FIRST_TIME = -62_135_596_800.0
_LAST_TIME = 253_402_300_800.0
"""Between the two, in seconds since the epoch, is what a ``datetime`` can say."""


class Reader:
    """Turns rows into jobs."""

    def __init__(self, runtime: Runtime, codec: Codec, registry: Registry) -> None:
        self._runtime = runtime
        self._codec = codec
        self._registry = registry

    def read(self, row: Row) -> StoredJob:
        """The job that ``row`` stands for, as it is; nobody takes it in.

        Names are all it has of others. Whole jobs would bring those that they depend on in turn,
        and there is no end to a chain of tasks.
        """
        job, _ = self.job(row, self._runtime.wall_offset(), None)
        if job.outcome is None and row.status in set(TaskStatus):  # or it is damaged
            job.status = TaskStatus(row.status)
        return job

    def job(
        self, row: Row, offset: float, resolve: Callable[[str], Job] | None
    ) -> tuple[StoredJob, TaskError | None]:
        """The job that ``row`` stands for, and why it cannot run, if it cannot.

        ``resolve`` finds the jobs that it names; without it the call is not read.
        """
        try:
            return self._job(row, offset, resolve)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            # What SQL must know in fields of its own has no checksum.
            text = f"what is stored of {row.id} is damaged: {error}. Restore the file from a backup"
            problem = StoreCorruptError(text, str(row.id))
            blank = Row(
                row.seq, str(row.id), "", "", None, 0.0, None, None, 0, b"", b"", None, None
            )
            job, _ = self._job(blank, offset, resolve)
            if row.ended_at is not None:
                job.status, job.outcome, job.told = FAILED, Err(problem, raised=False), True
            return job, problem

    def _job(
        self, row: Row, offset: float, resolve: Callable[[str], Job] | None
    ) -> tuple[StoredJob, TaskError | None]:
        problem: TaskError | None = None
        options: dict[str, Any] = {}
        for at in (row.created_at, row.started_at, row.ended_at):
            if at is not None and not _FIRST_TIME < at < _LAST_TIME:
                raise ValueError(f"{at!r} is no time")
        try:
            options = self._read(row.options)
            recipe = self._recipe(row, options)
        except (SerializationError, StoreCorruptError, TypeError, ValueError) as error:
            problem = _unreadable(row, error)
            recipe = self._recipe(row, {})
        job = StoredJob(row.id, recipe, row.created_at - offset, (), None, None, None)
        job.seq, job.function, job.packed, job.recovered = row.seq, row.function, None, True
        job.run, job.told = row.run, row.outcome is not None
        if job.told or resolve is None:  # names will do, unless it is retried: see ``revive``
            job.source, resolve = row, _named
        else:
            job.source = row if recipe.spec.executor == UNKNOWN else None
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
        if problem is not None:
            job.source = row  # what cannot be read here is not lost for that
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
        row = job.source
        return self._lacking(row, known_by(row.function, self._registry), self._read(row.options))

    def _lacking(self, row: Row, known: Recipe | None, options: dict[str, Any]) -> str | None:
        if known is None:
            return f"the function {function_of(row.function)!r}"
        executor = options.get("executor", known.spec.executor)
        if executor not in self._runtime.executors and executor != EXTERNAL:
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
        known = known_by(row.function, self._registry)
        changes: dict[str, Any] = {}
        if self._lacking(row, known, options) is not None:
            changes = {"executor": UNKNOWN, "gates": ()}
        return recipe_with(options, known, row.function, **changes)

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

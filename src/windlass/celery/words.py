"""Tasks and what becomes of them as bytes: nothing is pickled, and only tasks are called by name.

Values go through the codec, as they do for a file. A function, the task's own or one among its
arguments, travels as its stable id, and over there it is looked up among the functions that were
decorated with ``@task``: no message can name anything else.
"""

from __future__ import annotations

import types
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

from .._core.outcome import Again, Cancelled, Err, Ok
from .._runtime.chunks import RUNNERS
from .._runtime.parcel import TaskParcel
from ..codecs import MsgpackCodec
from ..decorators import REGISTRY, TaskFunction
from ..errors import SerializationError, TaskError, TaskNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .._core.outcome import Outcome
    from ..ports import Call, Codec


class CodecWords:
    """Fulfils ``Words``, for both sides."""

    def __init__(self, codec: Codec | None) -> None:
        self._codec = codec if codec is not None else MsgpackCodec()

    def why_not(self, function: Any) -> str | None:
        """Why ``function`` cannot be run by a worker, or None if it can."""
        if _stable_id(function) is not None:
            return None
        return (
            "only functions that are decorated with @task, at the top level of a module, leave "
            "this machine: a worker finds them by their id, and calls nothing else"
        )

    # -- a call --------------------------------------------------------------------------------

    def letter(self, parcel: Any) -> dict[str, Any]:
        """The call as plain JSON."""
        what = f"{parcel.name} [{parcel.task_id}]"
        arguments = self._codec.encode_call(parcel.args, parcel.kwargs, what, _id_of)
        metadata = self._codec.encode(parcel.metadata, f"the metadata of {what}")
        restored = self._codec.encode(parcel.restored, f"the checkpoint of {what}")
        return {
            "function": _stable_id(parcel.function),
            "task": parcel.task_id,
            "name": parcel.name,
            "attempt": parcel.attempt,
            "parts": [b64encode(part).decode() for part in (arguments, metadata, restored)],
        }

    def parcel(
        self, letter: dict[str, Any], around: Sequence[Callable[..., Any]], node: str
    ) -> TaskParcel:
        """The call that ``letter`` describes, to be run here, on the worker ``node``."""
        what = f"{letter['name']} [{letter['task']}]"
        function = RUNNERS.get(letter["function"])
        if function is None and (recipe := REGISTRY.recipe(letter["function"])) is not None:
            function = recipe.function
        if function is None:
            raise TaskNotFoundError(
                f"{what}: the program of the worker {node} does not know the task "
                f"{letter['function']!r}: it is older than the manager's, or does not import the "
                "module that defines it",
                letter["task"],
            )
        arguments, metadata, restored = (b64decode(part) for part in letter["parts"])
        args, kwargs = self._codec.decode_call(arguments, what, _function)
        if letter["function"] in RUNNERS and not (args and isinstance(args[0], TaskFunction)):
            raise SerializationError(f"{what}: a chunk is made of calls of a task", letter["task"])
        return TaskParcel(
            letter["task"],
            letter["name"],
            letter["attempt"],
            self._codec.decode(metadata, f"the metadata of {what}"),
            self._codec.decode(restored, f"the checkpoint of {what}"),
            function,
            args,
            kwargs,
            tuple(around),
        )

    # -- how it ended --------------------------------------------------------------------------

    def outcome(self, outcome: Outcome, letter: dict[str, Any], most: int) -> bytes:
        """An outcome as bytes; one that cannot travel, or has more than ``most``, as an Err."""
        what = f"the result of {letter['name']} [{letter['task']}]"
        try:
            packed = self._codec.encode(self._parts(outcome, what))
        except SerializationError as error:
            error.task_id = letter["task"]
            return self._codec.encode(self._parts(Err(error, raised=False), what))
        if len(packed) > most:
            too_large = SerializationError(
                f"{what} takes {len(packed):,} bytes, and max_bytes is {most:,}. Leave it in a "
                "file or a database and return where, or raise CeleryExecutor(max_bytes=)",
                letter["task"],
            )
            return self._codec.encode(self._parts(Err(too_large, raised=False), what))
        return packed

    def _parts(self, outcome: Outcome, what: str) -> list[Any]:
        if isinstance(outcome, Ok):
            return ["ok", self._codec.encode(outcome.value, what)]
        if isinstance(outcome, Err):
            error = self._codec.encode_error(outcome.error, outcome.traceback)
            return ["err", error, outcome.raised, outcome.crashed, outcome.luck]
        if isinstance(outcome, Again):
            return ["again", outcome.delay]
        return ["cancelled", outcome.cause]

    def ended(self, data: bytes, call: Call) -> Outcome:
        """The outcome of ``call``. Raises nothing."""
        what = f"the result of {call.name} [{call.task_id}]"
        try:
            how, *rest = self._codec.decode(data, what)
            if how == "ok":
                return Ok(self._codec.decode(rest[0], what))
            if how == "again":
                return Again(rest[0])
            if how == "cancelled":
                return Cancelled(rest[0])
            packed, raised, crashed, luck = rest
            error, traceback = self._codec.decode_error(packed, f"the error of {call.name}")
        except TaskError as refusal:
            refusal.task_id = refusal.task_id or call.task_id
            return Err(refusal, raised=False)
        return Err(error, raised=raised, crashed=crashed, luck=luck, traceback=traceback)

    # -- what is said meanwhile ----------------------------------------------------------------

    def say(self, kind: str, payload: Any) -> bytes:
        """A message, or a reply, as bytes."""
        if kind == "cleanup":
            payload = [self.error(error) for error in payload]
        return self._codec.encode_call((kind, payload), {}, f"what is said ({kind})", _id_of)

    def hear(self, data: bytes) -> tuple[str, Any]:
        """Its kind and what it says."""
        (kind, payload), _ = self._codec.decode_call(data, "what was said", _function)
        if kind == "cleanup":
            payload = [self.read_error(error) for error in payload]
        return kind, payload

    def error(self, error: BaseException) -> bytes:
        """An exception as bytes."""
        return self._codec.encode_error(error)

    def read_error(self, data: bytes) -> BaseException:
        """The exception."""
        return self._codec.decode_error(data)[0]


def _id_of(value: Any) -> str | None:
    """The id that a task's function among the arguments travels as."""
    if isinstance(value, types.FunctionType):
        known = REGISTRY.recipe(f"{value.__module__}.{value.__qualname__}")
        value = known.portable if known is not None and known.function is value else None
    return REGISTRY.id_of(value._recipe) if isinstance(value, TaskFunction) else None  # noqa: SLF001


def _stable_id(function: Any) -> str | None:
    """The id by which a task's own function is found over there."""
    if isinstance(function, TaskFunction):
        return REGISTRY.id_of(function._recipe)  # noqa: SLF001
    return next((id for id, runner in RUNNERS.items() if runner is function), None)


def _function(id: str) -> Any:
    """The function that came as ``id``."""
    recipe = REGISTRY.recipe(id)
    if recipe is None:
        raise TaskNotFoundError(
            f"the task {id!r}, which is among the arguments, is not known here: import the module "
            "that defines it"
        )
    return recipe.portable

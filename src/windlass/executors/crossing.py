"""What can leave this process, and how an outcome comes back.

A call leaves as the pickle of its parcel, laid flat. An outcome comes back as the pickle of a plain
tuple of builtins, so that taking it apart can fail in one place only: the user's own result or
exception. Neither kind of failure may cost more than the one task: a result that refuses to travel
becomes a SerializationError that names its type, an exception that refuses becomes a RemoteError
with its type, text and traceback.
"""

from __future__ import annotations

import functools
import pickle
import sys
import types
from typing import TYPE_CHECKING, Any, Protocol

from .._core.outcome import OK_NONE, Again, Cancelled, Err, Ok
from ..errors import RemoteError, SerializationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._core.outcome import Outcome
    from ..ports import Call

_PROTOCOL = 5
_OK, _UNSENDABLE, _ERR, _AGAIN, _CANCELLED = range(5)
_PACKED_NONE = pickle.dumps((_OK, None), _PROTOCOL)


class Channel(Protocol):
    """What a parcel is given to reach the manager from over there.

    ``send`` and ``ask`` may be called from any thread of the worker while the call runs; after its
    end ``send`` does nothing and ``ask`` raises.
    """

    @property
    def cancelled(self) -> bool:
        """Whether the call is to stop."""
        ...

    def send(self, kind: str, payload: Any) -> None:
        """Say something, one way. Raises SerializationError if it cannot be pickled."""
        ...

    def ask(self, kind: str, payload: Any) -> Any:
        """Say something and wait for the reply, which may be an exception: it is raised."""
        ...

    def when_cancelled(self, callback: Callable[[], object]) -> None:
        """Have ``callback`` called, from another thread, when the call is to stop (or now)."""
        ...


# -- going over ----------------------------------------------------------------------------------


def why_not(function: Callable[..., Any]) -> str | None:
    """Say why ``function`` cannot be called in another process, or None if it can.

    Cheap enough for every submit, and therefore not the last word: arguments and captured state are
    only looked at when the call is packed.
    """
    while isinstance(function, functools.partial):
        function = function.func
    if isinstance(function, types.MethodType):
        return _why_not_instance(function.__self__) or None
    if isinstance(function, (types.FunctionType, type)):
        return _misplaced(function) or _not_found(function)
    if isinstance(function, types.BuiltinFunctionType):
        owner = function.__self__
        return (
            None
            if owner is None or isinstance(owner, types.ModuleType)
            else _why_not_instance(owner)
        )
    return _why_not_instance(function)


def _why_not_instance(owner: Any) -> str | None:
    if isinstance(owner, type):
        return _misplaced(owner) or _not_found(owner)
    wrapped = getattr(owner, "__wrapped__", None)
    if isinstance(wrapped, types.FunctionType):
        # A decorator's object: it knows how to travel, but where it stands must be reachable.
        return _misplaced(wrapped)
    kind: type[Any] = owner.__class__
    reason = _misplaced(kind)
    if reason is not None:
        return reason
    try:
        owner.__reduce_ex__(_PROTOCOL)
    except Exception as error:  # noqa: BLE001  # a user's __reduce__ may raise anything
        return (
            f"the object it belongs to, a {type_name(kind)}, cannot be pickled ({text_of(error)})"
        )
    return None


def _misplaced(thing: types.FunctionType | type) -> str | None:
    if thing.__name__ == "<lambda>":
        return "it is a lambda, which has no name to find it by over there: use `def`"
    return _unreachable(thing)


def _unreachable(thing: types.FunctionType | type) -> str | None:
    if "<locals>" in thing.__qualname__:
        return (
            f"it is defined inside a function ({thing.__qualname__}), where another process cannot "
            "find it: move it to the top level of its module"
        )
    if thing.__module__ == "__main__":
        return _unreachable_main(getattr(thing, "__code__", None))
    return None


def _unreachable_main(code: types.CodeType | None) -> str | None:
    remedy = "put it in a module of its own and import it from there"
    main = sys.modules["__main__"]
    name = getattr(getattr(main, "__spec__", None), "name", None)
    if name is not None and (name == "__main__" or name.endswith(".__main__")):
        # As with multiprocessing: such a file runs its program whenever it is imported.
        return (
            f"it stands in a package's __main__.py, which other processes do not import: {remedy}"
        )
    if getattr(main, "__file__", None) is None or (code and code.co_filename.startswith("<")):
        return (
            "it was defined at a prompt, in a notebook, by -c or on stdin, so there is no file "
            f"that another process could import it from: {remedy}"
        )
    return None


def _not_found(thing: types.FunctionType | type) -> str | None:
    """Why looking the name up would not lead to ``thing``, which is how pickle finds it."""
    found: Any = sys.modules.get(thing.__module__)
    if found is None:
        return f"its module {thing.__module__!r} is not among the imported ones"
    for part in thing.__qualname__.split("."):
        found = getattr(found, part, None)
    if found is thing:
        return None
    return (
        f"{thing.__module__}.{thing.__qualname__} is "
        f"{'missing' if found is None else 'something else'}: another process, which can only look "
        "the name up, would not find this function"
    )


def pack_call(call: Call) -> bytes | Err:
    """The call as bytes, or the Err to report in its place."""
    try:
        return pickle.dumps(call.parcel().flat(), _PROTOCOL)
    except SerializationError as error:
        return Err(error, raised=False)
    except BaseException as error:  # noqa: BLE001  # a user's __reduce__ may raise anything
        return Err(
            SerializationError(
                f"{label(call)} cannot be sent to another process: {text_of(error)}. Its function "
                "must be importable by name and its arguments must pickle",
                call.task_id,
            ),
            raised=False,
        )


def run_packed(data: bytes | memoryview, channel: Channel) -> bytes:
    """Over there: run a packed call and pack its outcome. Never raises."""
    try:
        opener, *contents = pickle.loads(data)  # noqa: S301  # from our own manager
        parcel = _opened(opener)(*contents)
    except BaseException as error:  # noqa: BLE001  # a user's __setstate__ may raise anything
        return pickle.dumps((_UNSENDABLE, None, text_of(error)), _PROTOCOL)
    outcome: Outcome
    try:
        outcome = parcel.run(channel)
    except BaseException as error:  # noqa: BLE001  # the worker outlives whatever a task does
        outcome = Err(error)
    return pack(outcome)


_opened = functools.lru_cache(pickle.loads)
"""What opens parcels, learnt once."""


# -- coming back ---------------------------------------------------------------------------------


def pack(outcome: Outcome) -> bytes:
    """An outcome as bytes. Never raises."""
    if outcome is OK_NONE:
        return _PACKED_NONE
    if type(outcome) is Ok:
        try:
            return pickle.dumps((_OK, outcome.value), _PROTOCOL)
        except BaseException as error:  # noqa: BLE001  # a user's __reduce__ may raise anything
            reason = (_UNSENDABLE, type_name(outcome.value.__class__), text_of(error))
            return pickle.dumps(reason, _PROTOCOL)
    if type(outcome) is Err:
        packed = pack_error(outcome.error, outcome.traceback)
        rest = (outcome.raised, outcome.crashed, outcome.luck)
        return pickle.dumps((_ERR, packed, *rest), _PROTOCOL)
    if type(outcome) is Again:
        return pickle.dumps((_AGAIN, outcome.delay), _PROTOCOL)
    assert isinstance(outcome, Cancelled)
    return pickle.dumps((_CANCELLED, str(outcome.cause)), _PROTOCOL)


def unpack(data: bytes | memoryview, call: Call) -> Outcome:  # noqa: PLR0911  # one for each kind
    """The outcome of ``call``. Never raises."""
    if data == _PACKED_NONE:
        return OK_NONE
    try:
        packed = pickle.loads(data)  # noqa: S301  # from our own worker
    except BaseException as error:  # noqa: BLE001  # a user's __setstate__ may raise anything
        text = f"the result of {label(call)} cannot be rebuilt in this process: {text_of(error)}"
        return Err(SerializationError(text, call.task_id), raised=False)
    kind = packed[0]
    if kind == _OK:
        return Ok(packed[1])
    if kind == _ERR:
        _, described, raised, crashed, luck = packed
        raised_there, traceback = unpack_error(described)
        return Err(raised_there, raised=raised, crashed=crashed, luck=luck, traceback=traceback)
    if kind == _AGAIN:
        return Again(packed[1])
    if kind == _CANCELLED:
        return Cancelled(packed[1])
    _, what, reason = packed
    if what is None:
        text = (
            f"{label(call)} cannot be unpacked in the other process: {reason}. Its function must "
            "be importable there under the same name, and its arguments must pickle both ways"
        )
    else:
        text = (
            f"{label(call)} ran, but its result cannot be sent back: it is of type {what}, and "
            f"{reason}. Return plain data, or something that pickles"
        )
    return Err(SerializationError(text, call.task_id), raised=False)


def pack_error(error: BaseException, traceback: str | None = None) -> tuple[Any, ...]:
    """An exception as builtins: pickled if it can be, and described in any case."""
    try:
        data = pickle.dumps(error, _PROTOCOL)
    except BaseException:  # noqa: BLE001  # a user's __reduce__ may raise anything
        data = None
    return data, type_name(type(error)), text_of(error), traceback or _traceback_of(error)


def unpack_error(packed: tuple[Any, ...]) -> tuple[BaseException, str]:
    """The exception, or the RemoteError that stands for it, and its traceback."""
    data, name, text, traceback = packed
    if data is not None:
        try:
            rebuilt = pickle.loads(data)  # noqa: S301  # from our own worker
        except BaseException:  # noqa: BLE001  # many exceptions cannot take their own args back
            rebuilt = None
        if isinstance(rebuilt, BaseException):
            return rebuilt, traceback
    return RemoteError(name, text, traceback), traceback


def _traceback_of(error: BaseException) -> str:
    """The formatted traceback, from the user's first frame on."""
    import traceback  # noqa: PLC0415  # most workers never need it

    step = error.__traceback__
    while step is not None and _is_ours(step.tb_frame):
        step = step.tb_next
    try:
        return "".join(traceback.format_exception(type(error), error, step or error.__traceback__))
    except Exception:  # noqa: BLE001  # an exception's own methods may raise
        return f"{type_name(type(error))}: {text_of(error)}\n"


def _is_ours(frame: types.FrameType) -> bool:
    return str(frame.f_globals.get("__package__")).startswith("windlass.")


# -- words ---------------------------------------------------------------------------------------


def label(call: Call) -> str:
    """The call's task as error messages name it."""
    return f"{call.name} [{call.task_id}]"


def type_name(kind: type) -> str:
    """A type's name, with its module unless that is ``builtins``."""
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def text_of(error: BaseException) -> str:
    """What the exception says, or its type's name; its ``__str__`` may raise."""
    try:
        return str(error) or type(error).__name__
    except BaseException:  # noqa: BLE001
        return f"<{type(error).__name__} whose text cannot be had>"

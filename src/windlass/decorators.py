"""``@task``: a function together with what should be asked of the tasks that run it.

The decorator starts nothing and changes nothing about calling the function: ``fetch(url)`` runs as
if it were undecorated. ``manager.submit(fetch, url)`` makes a task of it.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import math
import os
import sys
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    ParamSpec,
    TypedDict,
    TypeVar,
    Unpack,
    cast,
    get_type_hints,
    overload,
)

from ._core.spec import OnCrash, RunIf, Spec, WhenOpen
from ._numbers import require_seconds
from ._runtime.arguments import Ref
from ._runtime.handle import Output, TaskHandle
from ._runtime.options import translate
from ._runtime.recipe import ForCall, Recipe
from ._runtime.signature import is_asynchronous, name_of
from .executors._celery.kinds import is_celery_task, signature_in

if TYPE_CHECKING:
    from datetime import datetime
    from typing import Self

    from ._core.policies import Retry
    from ._core.states import TaskPriority

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
# Of a method: its instance, what is left of its parameters without that, and its result.
S = TypeVar("S")
Q = ParamSpec("Q")
T = TypeVar("T")


class TaskOptions(TypedDict, total=False):
    """What can be asked of every task of a function."""

    name: str
    type: str
    description: str
    tags: Iterable[str]
    metadata: Mapping[str, Any]
    owner: str | None
    priority: TaskPriority | str
    executor: str
    retry: Retry | None
    max_retries: int
    retry_delay: float
    timeout: float | None
    total_timeout: float | None
    expires: float | None
    run_if: RunIf
    max_crashes: int
    on_crash: OnCrash
    durable: bool
    gates: str | Iterable[str] | Mapping[str, int]
    when_open: WhenOpen
    id: str
    aliases: Sequence[str]


class CallOptions(TaskOptions, total=False):
    """What can be asked of one call."""

    after: Sequence[TaskHandle[Any] | str]
    key: str
    delay: float
    at: datetime | float


_FOR_CALL = frozenset({"after", "key", "delay", "at"})
_KNOWN = frozenset(TaskOptions.__annotations__) | _FOR_CALL

# Every decorated function by its stable id, so that other processes can find it.
_registry: dict[str, TaskFunction[Any, Any]] = {}


class TaskFunction(Generic[P, R_co]):
    """A function with options. Calling it runs the function; ``manager.submit`` makes a task.

    To type checkers it is what it was made of, like a ``Callable``: ``TaskFunction[[str], int]``,
    or ``TaskFunction[[str], Coroutine[Any, Any, int]]`` of a coroutine function.
    """

    __slots__ = ("__dict__", "__weakref__", "_id", "_recipe")

    def __init__(self, recipe: Recipe, id: str) -> None:
        functools.update_wrapper(self, recipe.function)
        recipe.portable = self
        self._recipe = recipe
        self._id = id

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Run the function here and now, as if it were undecorated."""
        return cast("R_co", self._recipe.function(*args, **kwargs))

    def __repr__(self) -> str:
        return f"<task {self._id}>"

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(
        self: TaskFunction[Concatenate[S, Q], T], instance: S, owner: type | None = None
    ) -> TaskFunction[Q, T]: ...
    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        old = self._recipe
        method = types.MethodType(old.function, instance)
        return TaskFunction(Recipe.of(method, None, old.spec, old.call), self._id)

    @property
    def id(self) -> str:
        """The stable id: module and name unless ``id=`` was given."""
        return self._id

    def options(self, **options: Unpack[CallOptions]) -> TaskFunction[P, R_co]:
        """The same function with other options, for one call or several."""
        old = self._recipe
        spec, call = _apply(old.spec, old.call, options)
        return TaskFunction(Recipe(old.function, None, spec, old.shape, call), self._id)

    def __reduce__(self) -> Any:
        function = self._recipe.function
        if isinstance(function, types.FunctionType):
            module, qualname = function.__module__, function.__qualname__
            if _look_up(module, qualname) is not function:  # it is decorated: its name means us
                return _find, (self._id, module, qualname)
        return _itself, (function,)  # task(func, ...) made this of something that travels by itself


def _itself(function: Any) -> Any:
    return function


def _look_up(module: str, qualname: str) -> Any:
    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found


def _find(id: str, module: str, qualname: str) -> Any:
    """The decorated function that was pickled as these."""
    if id not in _registry:
        importlib.import_module(module)
    return _registry.get(id) or _look_up(module, qualname)


@overload
def task(function: Callable[P, R], /, **options: Unpack[TaskOptions]) -> TaskFunction[P, R]: ...
@overload
def task(
    **options: Unpack[TaskOptions],
) -> Callable[[Callable[P, R]], TaskFunction[P, R]]: ...
def task(function: Any = None, /, **options: Any) -> Any:
    """Give a function the options its tasks are to have.

    As a decorator, ``@task`` or ``@task(retry=Retry(3), timeout=30)``; as a function,
    ``task(func, timeout=5)`` for a function that is not decorated.
    """
    for name in _FOR_CALL & options.keys():
        raise TypeError(f"{name}= is for one call: use func.options({name}=...) when submitting")
    if function is None:
        return lambda decorated: task(decorated, **options)
    if isinstance(function, TaskFunction):
        return function.options(**options)
    require_function(function)
    name = getattr(function, "__qualname__", type(function).__qualname__)
    id = options.pop("id", None) or f"{_module_of(function)}.{name}"
    aliases = options.pop("aliases", ())
    if not isinstance(id, str):
        raise TypeError(f"id= takes a text, not {id!r}")
    if isinstance(aliases, str) or not isinstance(aliases, Iterable):
        raise TypeError(f"aliases= takes several ids, not {aliases!r}")
    spec, _ = _apply(_default_spec(function), None, options)
    made: TaskFunction[Any, Any] = TaskFunction(Recipe.of(function, None, spec), id)
    known_as: tuple[Any, ...] = (id, *aliases)
    if not all(isinstance(one, str) for one in known_as):
        raise TypeError(f"aliases= takes texts, not {aliases!r}")
    _registry.update(dict.fromkeys(known_as, made))
    return made


def require_function(function: Any) -> None:
    """Raise TypeError, with the remedy, for what cannot be a task's function."""
    if isinstance(function, TaskHandle | Output):
        raise TypeError(
            f"{function!r} has been submitted: a handle is passed as an argument, after the "
            "function that is to have its result"
        )
    if inspect.isawaitable(function):
        if inspect.iscoroutine(function):
            function.close()  # or Python would warn that it was never awaited
        raise TypeError(
            "a task is made of a function and its arguments, not of a coroutine: write "
            "submit(fetch, url) instead of submit(fetch(url))"
        )
    if is_celery_task(function):
        raise TypeError(
            f"{function!r} is a task of Celery's: submit its signature, "
            f"{name_of(function)}.s(...), or give the function @task(executor='celery')"
        )
    if not callable(function):
        inside = isinstance(function, classmethod | property)
        remedy = ": put @task below the other decorator, next to the def" if inside else ""
        raise TypeError(f"a task is made of a function, not of {function!r}{remedy}")


def recipe_of(function: Any) -> Recipe:
    """The recipe of a decorated function, or of a plain one with default options."""
    if isinstance(function, TaskFunction):
        return function._recipe
    if isinstance(function, types.MethodType) and isinstance(function.__func__, TaskFunction):
        # What a classmethod makes of it, which from Python 3.13 on does not ask __get__.
        bound: TaskFunction[Any, Any] = function.__func__.__get__(function.__self__)
        return bound._recipe
    try:
        known = _plain.get(function)
    except TypeError:  # not hashable, then it is worked out each time
        known = None
    if known is None:
        require_function(function)
        known = Recipe.of(function, function, _default_spec(function))
        if len(_plain) >= _MANY:
            _plain.clear()
        if getattr(function, "__hash__", None) is not None:
            _plain[function] = known
    return known


# The recipes of undecorated functions; bounded, because lambdas come and go.
_plain: dict[Any, Recipe] = {}
known_recipe = _plain.get
"""For whoever knows that it has a plain function, and has no call to spare."""
_MANY = 512


class _Registry:
    """The decorated functions by their stable ids, as a store needs them."""

    def __init__(self) -> None:
        self._typed: set[str] = set()

    def id_of(self, recipe: Recipe) -> str | None:
        """The stable id of a decorated function."""
        portable = recipe.portable
        if not isinstance(portable, TaskFunction) or "<lambda>" in portable.id:
            return None
        if isinstance(recipe.function, types.MethodType):
            return None  # its instance would not be there
        self._register_types(portable.id, recipe.function)
        return portable.id

    def recipe(self, id: str) -> Recipe | None:
        """The recipe of the decorated function with this id or alias."""
        known = _registry.get(id)
        if known is None:
            return None
        self._register_types(id, known._recipe.function)
        return known._recipe

    def _register_types(self, id: str, function: Any) -> None:
        """Let the classes in the annotations of ``function`` be stored, the first time it is."""
        if id in self._typed:
            return
        self._typed.add(id)
        from .codecs import register_type, types_in  # noqa: PLC0415  # only for stores

        try:
            hints = get_type_hints(function)
        except Exception:  # noqa: BLE001  # they may name what is not there at run time
            return
        for kind in types_in(hints):
            register_type(kind)


REGISTRY = _Registry()


def _default_spec(function: Any) -> Spec:
    if (signature := signature_in(function)) is not None:
        return Spec(name=str(signature.task), executor="celery")
    executor = "async" if is_asynchronous(function) else "thread"
    return Spec(name=name_of(function), executor=executor)


def _module_of(function: Any) -> str:
    module = getattr(function, "__module__", None) or "builtins"
    if module in {"__main__", "__mp_main__"}:
        # A script is known by its file, so that its id is the same wherever it is imported.
        file = getattr(sys.modules.get(module), "__file__", None)
        # Not by pathlib, which is a fifth of what importing this package costs.
        return os.path.splitext(os.path.basename(file))[0] if file else "__main__"  # noqa: PTH119, PTH122
    return str(module)


def _apply(
    spec: Spec, call: ForCall | None, options: Mapping[str, Any]
) -> tuple[Spec, ForCall | None]:
    """``spec`` and ``call`` with ``options``, as people write them, applied."""
    unknown = options.keys() - _KNOWN
    if unknown:
        raise TypeError(
            f"there is no option {', '.join(sorted(unknown))}; "
            f"there are: {', '.join(sorted(_KNOWN))}"
        )
    if {"id", "aliases"} & options.keys():
        raise TypeError("id= and aliases= name the function and belong into @task(...)")
    changes = {name: value for name, value in options.items() if name not in _FOR_CALL}
    translate(changes, spec)
    for_call = {name: options[name] for name in _FOR_CALL & options.keys()}
    if not for_call:
        return dataclasses.replace(spec, **changes), call
    if for_call.get("delay") is not None:
        require_seconds("delay", for_call["delay"], zero=True)
    if for_call.get("at") is not None:
        for_call["at"] = _moment(for_call["at"])
    if not isinstance(key := for_call.get("key"), str | None):
        raise TypeError(f"key= takes a text, not {key!r}")
    if "after" in for_call:
        for_call["after"] = several(for_call["after"])
    return dataclasses.replace(spec, **changes), (call or ForCall())._replace(**for_call)


def _moment(at: Any) -> float:
    """``at`` in seconds since the epoch."""
    from datetime import datetime  # noqa: PLC0415  # slow to import, and few calls name a time

    if isinstance(at, datetime):
        return at.timestamp()
    if isinstance(at, bool) or not isinstance(at, (int, float)) or not math.isfinite(at):
        raise TypeError(f"at= takes a datetime, or seconds since the epoch, not {at!r}")
    return float(at)


def several(tasks: Any) -> tuple[Any, ...]:
    """The handles and ids in ``tasks``, which may be a single one."""
    if isinstance(tasks, TaskHandle | str | Ref):
        return (tasks,)
    if not isinstance(tasks, Iterable):
        raise TypeError(f"after= takes handles and ids, not {tasks!r}")
    return tuple(tasks)

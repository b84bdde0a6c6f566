"""The rule for ``register_task``, which every system signed in its own way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import libcst as cst

from .use import Edits
from .vocabulary import ALL_AWAITED, ASYNC, BRIDGE, OLDEST, UNIFIED

if TYPE_CHECKING:
    from .use import Use

_NATIVE = (
    "priority", "dependencies", "max_retries", "retry_delay", "timeout", "task_id", "description",
    "tags", "metadata",
)  # fmt: skip
_BY_POSITION = (
    "args", "kwargs", "priority", "dependencies", "max_retries", "retry_delay", "timeout",
    "task_id",
)  # fmt: skip
"""What follows the name and the function where it is not the function's own arguments."""

_OPTIONS: dict[str, tuple[str, ...]] = {
    UNIFIED: (*_NATIVE, "executor_type"),
    ASYNC: (*(name for name in _NATIVE if name != "metadata"), "focus_id", "auto_shutdown"),
    ALL_AWAITED: (*(name for name in _NATIVE if name != "tags"), "task_type"),
    OLDEST: _NATIVE,
    BRIDGE: (*_NATIVE[:6], "use_old_system"),
}
"""What is an option of the task; any other keyword is an argument of its function."""

_FIRST = (0, 1)
"""Where the name and the function stand."""

_EXECUTORS = {"sequential": "sequential", "thread_pool": "thread", "async": None}


class _Registration:
    """The arguments of one call, sorted."""

    def __init__(self, use: Use, call: cst.Call) -> None:
        self.use = use
        self.first: dict[str, cst.Arg] = {}
        """The name and the function."""
        self.passed: list[cst.Arg] = []
        self.keywords: list[cst.Arg] = []
        """Arguments of the function, by name."""
        self.kwargs: cst.Arg | None = None
        self.options: list[cst.Arg] = []
        self.task_type: cst.BaseExpression | None = None
        for position, arg in enumerate(call.args):
            if arg.star == "**" or (arg.star and position in _FIRST):
                raise use.undecided("what is passed cannot be seen")
            if arg.keyword is not None:
                self._take(arg.keyword.value, arg)
            else:
                self._take_by_position(position, arg)
        if self.first.keys() != {"name", "func"}:
            raise use.undecided("there is no function")

    def _take_by_position(self, position: int, arg: cst.Arg) -> None:
        if position == 0:
            self.first["name"] = arg
        elif position == 1:
            self.first["func"] = arg
        elif self.use.kind not in {ALL_AWAITED, BRIDGE}:
            self.passed.append(arg)
        elif arg.star or position - 2 >= len(_BY_POSITION):
            raise self.use.undecided("what is passed cannot be seen")
        else:
            name = _BY_POSITION[position - 2]
            self._take(name, arg.with_changes(keyword=cst.Name(name), equal=_TIGHT))

    def _take(self, name: str, arg: cst.Arg) -> None:
        kind = self.use.kind
        if name in {"name", "func"}:
            self.first[name] = arg
        elif name == "args":
            self.passed.extend(_spread(arg))
        elif name == "kwargs":
            self.kwargs = arg
        elif name == "executor_type" and kind == UNIFIED:
            self._take_executor(arg)
        elif name == "task_type" and kind == ALL_AWAITED:
            self.task_type = arg.value
        elif name == "focus_id" and kind == ASYNC:
            focus = [cst.DictElement(cst.SimpleString('"focus_id"'), arg.value)]
            self.options.append(
                arg.with_changes(keyword=cst.Name("metadata"), value=cst.Dict(focus))
            )
        elif name in {"auto_shutdown", "use_old_system"} and name in _OPTIONS[kind]:
            if name == "auto_shutdown" and self.use.page.code(arg.value) != "False":
                raise self.use.undecided("auto_shutdown: leave the manager's block instead")
        elif name in _OPTIONS[kind]:
            self.options.append(arg)
        else:
            self.keywords.append(arg)

    def _take_executor(self, arg: cst.Arg) -> None:
        value = arg.value.evaluated_value if isinstance(arg.value, cst.SimpleString) else ""
        if value not in _EXECUTORS:
            raise self.use.undecided("which executor it is cannot be seen")
        if executor := _EXECUTORS[str(value)]:
            text = cst.SimpleString(f'"{executor}"')
            self.options.append(arg.with_changes(keyword=cst.Name("executor"), value=text))

    def call(self, original: cst.Call) -> cst.Call:
        """The same as a call of Windlass's ``register_task``."""
        func = _unnamed(self.first["func"])
        if self.task_type is not None:
            about = cst.Arg(self.task_type, keyword=cst.Name("type"), equal=_TIGHT)
            task = cst.Call(cst.parse_expression("windlass.task"), [cst.Arg(func.value), about])
            func = func.with_changes(value=task)
        args = [_unnamed(self.first["name"]), func, *self.passed, *self._by_name(), *self.options]
        # What parts the last argument from the bracket stays there, whichever is the last now.
        first, last = original.args[0], original.args[-1]
        between = first.comma if first is not last else _NONE
        args = [
            arg.with_changes(comma=between, whitespace_after_arg=cst.SimpleWhitespace(""))
            if arg.comma is last.comma
            else arg
            for arg in args
        ]
        args[-1] = args[-1].with_changes(
            comma=last.comma, whitespace_after_arg=last.whitespace_after_arg
        )
        return original.with_changes(args=args)

    def _by_name(self) -> list[cst.Arg]:
        if not self.keywords:
            return [self.kwargs] if self.kwargs is not None else []
        elements: list[cst.BaseDictElement] = [
            cst.DictElement(cst.SimpleString(f'"{arg.keyword.value}"'), arg.value)
            for arg in self.keywords
            if arg.keyword is not None
        ]
        if self.kwargs is not None:
            if not isinstance(self.kwargs.value, cst.Dict):
                raise self.use.undecided("its arguments are passed in two ways")
            elements += self.kwargs.value.elements
        first = self.kwargs or self.keywords[0]
        return [first.with_changes(keyword=cst.Name("kwargs"), value=cst.Dict(elements))]


_TIGHT = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace(""))
_NONE = cst.MaybeSentinel.DEFAULT


def _unnamed(arg: cst.Arg) -> cst.Arg:
    return arg.with_changes(keyword=None, equal=_NONE)


def _spread(arg: cst.Arg) -> list[cst.Arg]:
    """The arguments that ``args=(...)`` stands for."""
    if not isinstance(arg.value, cst.Tuple | cst.List):
        return [_unnamed(arg).with_changes(star="*")]
    spread = [
        cst.Arg(element.value, star="*" if isinstance(element, cst.StarredElement) else "")
        for element in arg.value.elements
    ]
    tight = cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
    return [one.with_changes(comma=tight) for one in spread[:-1]] + [
        one.with_changes(comma=arg.comma, whitespace_after_arg=arg.whitespace_after_arg)
        for one in spread[-1:]
    ]


def register(use: Use) -> Edits:
    """``register_task``: the name and the function go first, then the function's arguments."""
    before = _Registration(use, use.call)
    before.call(use.call)  # says now what it cannot do
    if use.page.code(before.first["func"].value) == "None":
        raise use.undecided("there is no function: tm.external(name) is driven by hand")
    edits = Edits({use.call: lambda call: _Registration(use, call).call(call)})
    if use.kind == ALL_AWAITED:
        if use.awaited is None:
            raise use.undecided("it was to be awaited, and is a plain call now")
        edits.nodes[use.awaited] = lambda awaited: awaited.expression
    return edits

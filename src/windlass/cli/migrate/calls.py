"""The rules by which single calls are rewritten, or that say what a person must decide.

A rule gets one call of a manager's method and returns the edits that make it a call of Windlass
with the same results. Where it cannot promise that, it raises ``Undecided``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import libcst as cst

from .registering import register
from .use import Edits, Use
from .vocabulary import ALL_AWAITED, BRIDGE, OLDEST, UNIFIED

if TYPE_CHECKING:
    from collections.abc import Callable


def _is(node: cst.BaseExpression | None, value: str) -> bool:
    return isinstance(node, cst.Name) and node.value == value


def _without_await(use: Use) -> Edits:
    """The edits for what was awaited and is a plain call now."""
    if use.kind != ALL_AWAITED:
        return Edits()
    if use.awaited is None:
        raise use.undecided("it was to be awaited, and is a plain call now")
    return Edits({use.awaited: lambda awaited: awaited.expression})


def _renamed(use: Use, method: str, *names: str) -> Edits:
    """The edits for a call that has another name now, or other names for its arguments."""
    use.arguments(*names)
    edits = _without_await(use)

    def edit(call: cst.Call) -> cst.Call:
        bound = use.bind(call, names)
        by_position = [name for name in names if name in bound]
        if by_position != list(names[: len(by_position)]):
            return use.to(method, bound.pop(names[0]), **bound)
        return use.to(method, *(bound[name] for name in by_position))

    edits.nodes[use.call] = edit
    return edits


# -- the rules -------------------------------------------------------------------------------------


def same(use: Use) -> Edits:
    """What has the same name and the same answers."""
    if use.attribute == "start":
        use.arguments()
        return Edits()
    if use.attribute == "update_task_progress":
        return _renamed(use, use.attribute, "task_id", "progress", "message")
    return _renamed(use, use.attribute, "task_id")


def forget(use: Use) -> Edits:
    """``cleanup_task``."""
    return _renamed(use, "forget", "task_id")


def clean_up(use: Use) -> Edits:
    """``cleanup_completed_tasks``, which had a day for its default."""
    use.arguments("max_age")
    edits = _without_await(use)
    edits.nodes[use.call] = lambda call: use.to(
        "cleanup", use.bind(call, ("max_age",)).get("max_age", cst.Float("86400.0"))
    )
    return edits


def execute(use: Use) -> Edits:
    """``execute_task``, which returned an id, a result or both, now or later."""
    given = use.arguments("task_id", "wait")
    wait = given.get("wait")
    if wait is not None and not (_is(wait, "True") or _is(wait, "False")):
        raise use.undecided("whether it waits cannot be seen")
    if "task_id" not in given or not (
        use.kind == UNIFIED or use.page.is_known_id(given["task_id"])
    ):
        raise use.undecided("an unknown id was no error, and raises TaskNotFoundError now")
    waits = _is(wait, "True") or (wait is None and use.kind == UNIFIED)

    def edit(call: cst.Call) -> cst.Call:
        return use.to("execute_task", use.bind(call, ("task_id", "wait"))["task_id"])

    edits = Edits({use.call: edit})
    if use.kind in {UNIFIED, ALL_AWAITED}:
        if use.awaited is None:
            _require_gathered(use, waits=waits)
        elif not waits:
            _require_unused(use)
            edits.nodes[use.awaited] = lambda awaited: awaited.expression
    elif use.awaited is None and not waits:
        _require_unused(use)
    elif use.awaited is None:
        if use.kind == OLDEST:
            _require_unused(use)
        if use.page.on_a_loop(use.call) is not False:
            raise use.undecided("it may block an event loop, where it has to be awaited")
        edits.nodes[use.call] = lambda call: cst.Call(cst.Attribute(edit(call), cst.Name("result")))
    return edits


def _require_gathered(use: Use, *, waits: bool) -> None:
    """A coroutine that is passed on must be taken by what takes any awaitable."""
    for up in use.page.above(use.call):
        if isinstance(up, cst.Call):
            if waits and use.page.code(up.func) in {"asyncio.gather", "asyncio.wait_for"}:
                return
            break
        if isinstance(up, Statements):
            break
    raise use.undecided("it returned a coroutine")


Statements = (cst.SimpleStatementLine, cst.BaseCompoundStatement)


def _require_unused(use: Use) -> None:
    if not use.is_statement:
        raise use.undecided("it returned an id, and returns a handle now")


def cancel(use: Use) -> Edits:
    """``cancel_task``, which came back when the task had cleaned up."""
    names = ("task_id", "reason") if use.kind == BRIDGE else ("task_id",)
    id = use.arguments(*names)["task_id"]
    up = use.page.parent(use.whole)
    line = use.page.parent(up) if isinstance(up, cst.Expr | cst.Assign) else None
    if not isinstance(line, cst.SimpleStatementLine) or len(line.body) > 1:
        raise use.undecided(_NO_WAITING)
    if not use.page.is_known_id(id):
        raise use.undecided("it may be called with an unknown id")
    gathering = f"{use.key}.gather({use.key}.get_handle({use.page.code(id)}), return_errors=True)"
    edits = Edits({use.call: lambda call: use.to("cancel_task", *use.bind(call, names).values())})
    waiting = use.page.on_a_loop(use.call)
    if use.awaited is not None:
        edits.nodes[use.awaited] = lambda awaited: awaited.expression
        edits.after[line] = [f"await {gathering}  # until it has cleaned up"]
    elif use.kind in {UNIFIED, ALL_AWAITED} or waiting is None:
        raise use.undecided(_NO_WAITING)
    elif not waiting:
        edits.after[line] = [f"{gathering}.result()  # until it has cleaned up"]
    return edits


_NO_WAITING = "it returned when the task had cleaned up, and does not wait now"


def stop(use: Use) -> Edits:
    """``stop`` and ``shutdown``, which came back, in plain code, when all was done."""
    names = ("wait",) if use.attribute == "shutdown" else ()
    use.arguments(*names)

    def edit(call: cst.Call) -> cst.Call:
        return use.to(use.attribute, **use.bind(call, names))

    on_a_loop = use.page.on_a_loop(use.call)
    if use.awaited is not None or on_a_loop:
        return Edits({use.call: edit})
    if on_a_loop is None:
        raise use.undecided("in plain code it returned when all was done, on a loop at once")
    _require_unused(use)
    return Edits({use.call: lambda call: cst.Call(cst.Attribute(edit(call), cst.Name("result")))})


def drive(use: Use) -> Edits:
    """The bridge's verbs for tasks that are done by hand."""
    verb = use.attribute.removesuffix("_task")
    more = {"start": (), "complete": ("result",), "fail": ("error",)}[verb]
    id = use.arguments("task_id", *more)["task_id"]
    if not use.page.is_known_id(id):
        raise use.undecided("an unknown id was no error, and raises TaskNotFoundError now")

    def edit(call: cst.Call) -> cst.Call:
        bound = use.bind(call, ("task_id", *more))
        task = use.to("drive", bound.pop("task_id"))
        return cst.Call(
            cst.Attribute(task, cst.Name(verb)), [cst.Arg(value) for value in bound.values()]
        )

    return Edits({use.call: edit})


_FILTERS = {
    "get_tasks_by_status": ("status", "status"),
    "get_tasks_by_tag": ("tag", "tag"),
    "get_tasks_by_type": ("task_type", "type"),
}
"""The argument by which the older systems looked for tasks, and Windlass's name for it."""


def counted(use: Use) -> Edits:
    """A list or a dict of tasks, of which only the number is asked."""
    up = use.page.parent(use.whole)
    if not (isinstance(up, cst.Arg) and _is_call_of_len(use.page.parent(up))):
        raise use.undecided()
    status = use.attribute.removeprefix("get_").removesuffix("_tasks")
    if status.startswith("tasks_by") and use.attribute not in _FILTERS:
        raise use.undecided()
    names = _FILTERS.get(use.attribute, ())[:1]
    use.arguments(*names)
    edits = _without_await(use)

    def edit(call: cst.Call) -> cst.Call:
        if names:
            _, option = _FILTERS[use.attribute]
            return use.to("list_tasks", **{option: use.bind(call, names)[names[0]]})
        if status == "all":
            return use.to("list_tasks")
        return use.to("list_tasks", status=cst.SimpleString(f'"{status}"'))

    edits.nodes[use.call] = edit
    return edits


def _is_call_of_len(node: cst.CSTNode | None) -> bool:
    return isinstance(node, cst.Call) and _is(node.func, "len")


def pictured(use: Use) -> Edits:
    """A task, of which only what Windlass calls alike is looked at."""
    up = use.page.parent(use.whole)
    alike = {"status", "result", "name", "priority", "description"}
    if not (isinstance(up, cst.Attribute) and up.attr.value in alike):
        raise use.undecided()
    return _renamed(use, "get_task", "task_id")


def submit(use: Use) -> Edits:
    """The pool's ``submit``; a handle does for the id if only the manager is given it."""
    options = {"name", "priority"}
    given = {arg.keyword.value for arg in use.call.args if arg.keyword is not None}
    if "task_id" in given or any(arg.star == "**" for arg in use.call.args):
        raise use.undecided("the id is chosen by hand, or what is passed cannot be seen")
    if not use.call.args or use.call.args[0].keyword is not None or use.call.args[0].star:
        raise use.undecided("the function comes first now")
    if use.awaited is None and not use.is_statement:
        name = use.assigned_to
        if name is None or not all(_stands_for_id(use, node) for node in use.page.loads(name)):
            raise use.undecided("it returned an id, and returns a handle now")

    def edit(call: cst.Call) -> cst.Call:
        func, *rest = call.args
        about = [arg for arg in rest if arg.keyword is not None and arg.keyword.value in options]
        if about:
            task = cst.Call(
                cst.parse_expression("windlass.task"),
                [cst.Arg(func.value), *(arg.with_changes(comma=_NO_COMMA) for arg in about)],
            )
            func = func.with_changes(value=task)
        args = [func, *(arg for arg in rest if arg not in about)]
        if about and args:
            args[-1] = args[-1].with_changes(comma=_NO_COMMA)
        return call.with_changes(func=cst.parse_expression(f"{use.key}.submit"), args=args)

    return Edits({use.call: edit})


_NO_COMMA = cst.MaybeSentinel.DEFAULT


def _stands_for_id(use: Use, node: cst.Name) -> bool:
    """Whether ``node``, what is left of an id, may be a handle: it is awaited, or asked about."""
    up = use.page.parent(node)
    if isinstance(up, cst.Await):
        return True
    call = use.page.parent(up) if isinstance(up, cst.Arg) else None
    return isinstance(call, cst.Call) and use.page.code(call.func).startswith(f"{use.key}.")


RULES: dict[str, Callable[[Use], Edits]] = {
    rule.__name__: rule
    for rule in (
        same, forget, clean_up, execute, cancel, stop, drive, counted, pictured, submit, register,
    )
}  # fmt: skip
"""The rules by the names that the vocabulary calls them."""

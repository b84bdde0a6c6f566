"""The managers of one file: what is done with each, and whether it can go as a whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import libcst as cst

from .calls import RULES
from .findings import Action, Finding
from .use import Edits, Undecided, Use
from .vocabulary import (
    ALL_AWAITED,
    ASYNC,
    BRIDGE,
    CLASS_ADVICE,
    OLDEST,
    POOL,
    UNIFIED,
    advice_for,
    behind,
    rule_for,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .page import Page  # noqa: TC004  # its name will do

_OPENING = {"start", "execute_task", "submit", "start_task", "complete_task", "fail_task"}
"""What needs an open manager."""


@dataclass(slots=True)
class Group:
    """Managers of one file that go together, or stay together."""

    page: Page
    findings: list[Finding] = field(default_factory=list)
    edits: Edits = field(default_factory=Edits)
    comments: dict[cst.CSTNode, list[str]] = field(default_factory=dict)
    """What to write above a statement."""
    uses: list[Use] = field(default_factory=list)
    stuck: bool = False
    """Whether a person must decide something first."""

    def found(self, node: cst.CSTNode, new: str, action: Action = Action.REWRITE) -> None:
        """Note a use."""
        line, column = self.page.place(node)
        self.findings.append(Finding(line, column, _short(self.page.code(node)), new, action))

    def decide(self, node: cst.CSTNode, text: str, *, comment: bool = True) -> None:
        """Note a use that holds up the others."""
        self.stuck = True
        self.found(node, text, Action.DECIDE)
        if comment:
            said = self.comments.setdefault(self.page.statement(node), [])
            if text not in said:
                said.append(text)

    def settle(self) -> list[Finding]:
        """The findings, when all are there."""
        if not self.stuck:
            return self.findings
        self.edits = Edits()
        return [
            Finding(f.line, f.column, f.old, f.new, Action.WAIT)
            if f.action is Action.REWRITE
            else f
            for f in self.findings
        ]

    # -- what is done with one manager ---------------------------------------------------------

    def look_at(self, key: str, kind: str, made_by: set[cst.CSTNode]) -> None:
        """Look at everything that is done with the manager called ``key``."""
        for node in self._mentions(key, made_by):
            if kind in CLASS_ADVICE:
                self._list_only(node, kind)
            else:
                self._look_at_use(node, key, kind)

    def _mentions(self, key: str, made_by: set[cst.CSTNode]) -> Iterator[cst.BaseExpression]:
        """Where ``key`` is read; what else is assigned to it is noted."""
        bindings = self.page.bindings
        for alias in self.page.imports_of(key):
            if alias not in made_by:
                self.decide(alias, f"something else is called {key} here, too")
        nodes: list[cst.BaseExpression]
        name = key.removeprefix("self.")
        if name == key:
            nodes = list(self.page.names.get(key, []))
        else:
            nodes = [node for node in self.page.all(cst.Attribute) if node.attr.value == name]
        for node in nodes:
            if isinstance(self.page.parent(node), cst.NameItem):
                continue  # global, nonlocal
            if self.page.code(node) != key:
                self.decide(node, f"whether this is {key} cannot be seen")
            elif node in bindings:
                if node not in made_by:
                    self.decide(node, f"something else is called {key} here, too")
            else:
                yield node

    def _list_only(self, node: cst.BaseExpression, kind: str) -> None:
        up = self.page.parent(node)
        if isinstance(up, cst.Attribute):
            self.decide(
                up,
                advice_for(kind, up.attr.value, behind(kind, self.page.code(node))),
                comment=False,
            )

    def _look_at_use(self, node: cst.BaseExpression, key: str, kind: str) -> None:
        attribute = self.page.parent(node)
        if not isinstance(attribute, cst.Attribute):
            self.decide(node, "it is passed on, and will be a windlass.TaskManager there, too")
            return
        name = attribute.attr.value
        if name == "windlass":
            self.found(attribute, "the manager itself")
            self.edits.nodes[attribute] = lambda attribute: attribute.value
            return
        up = self.page.parent(attribute)
        if name == "thread_pool" and kind == ALL_AWAITED and isinstance(up, cst.Attribute):
            attribute, kind, name = up, POOL, up.attr.value
            up = self.page.parent(attribute)
        if not (isinstance(up, cst.Call) and up.func is attribute and rule_for(kind, name)):
            self.decide(attribute, advice_for(kind, name, behind(kind, key)))
            return
        use = Use(self.page, kind, key, name, up)
        try:
            edits = RULES[rule_for(kind, name)](use)
        except Undecided as undecided:
            self.decide(attribute, str(undecided))
        else:
            self.found(attribute, advice_for(kind, name, key))
            self.edits.add(edits)
            self.uses.append(use)

    def starts_itself(self, key: str | None = None) -> bool:
        """Whether the file starts a manager before it does anything that needs it open."""
        first = next((u for u in self._in_order(key) if u.attribute in _OPENING), None)
        return first is None or first.attribute == "start"

    def _in_order(self, key: str | None = None) -> list[Use]:
        uses = [use for use in self.uses if key is None or use.key == key]
        return sorted(uses, key=lambda use: self.page.place(use.call))

    def check_order(self) -> None:
        """See that nothing is executed that has run as a dependency of something else by then.

        The older systems let that pass; Windlass says that it has run.
        """
        needs: dict[str, set[str]] = {}
        executed: list[tuple[Use, str]] = []
        clear = True
        for use in self._in_order():
            if use.attribute == "register_task":
                name, given = use.assigned_to, _argument(use.call, "dependencies")
                if given is None:
                    continue
                if name is None or not isinstance(given, cst.List | cst.Tuple):
                    clear = False
                    continue
                texts = {self.page.code(item.value) for item in given.elements}
                needs[name] = texts | {far for text in texts for far in needs.get(text, ())}
            elif use.attribute == "execute_task" and use.kind != UNIFIED:
                executed.append((use, self.page.code(use.call.args[0].value)))
        if clear and not needs:
            return
        done: set[str] = set()
        for use, id in executed:
            looped = self.page.is_in(use.call, cst.For, cst.While, cst.CompFor, cst.GeneratorExp)
            if not clear or looped or id in done:
                self.decide(
                    use.call,
                    "what has run as a dependency of another task is not executed again: "
                    "InvalidTaskStateError. Execute only the last ones, or submit with after=",
                )
            done |= {id, *needs.get(id, ())}


def _argument(call: cst.Call, name: str) -> cst.BaseExpression | None:
    for arg in call.args:
        if arg.keyword is not None and arg.keyword.value == name:
            value = arg.value
            none = isinstance(value, cst.Name) and value.value == "None"
            empty = isinstance(value, cst.List | cst.Tuple) and not value.elements
            return None if none or empty else value
    return None


def _short(text: str) -> str:
    first, *more = text.rstrip(", \n").splitlines()
    return f"{first.rstrip()} ..." if more else first


# -- how managers are made -------------------------------------------------------------------------

_LIMIT = {
    UNIFIED: "max_concurrent_tasks", ASYNC: "max_workers", POOL: "max_workers",
    OLDEST: "history_limit",
}  # fmt: skip
_SIGNATURES = {
    UNIFIED: ("max_concurrent_tasks", "default_executor_type"),
    ASYNC: ("max_workers",),
    POOL: ("min_workers", "max_workers"),
    OLDEST: ("thread_pool", "resource_monitor", "history_limit"),
    ALL_AWAITED: (),
    BRIDGE: (),
}
NEW = "windlass.TaskManager(own_loop=True)"
"""A manager that, like the old ones, serves one event loop after another, and code without any."""


def settings_of(use: Use) -> dict[str, str]:
    """The settings with which the manager is to be made that ``use``, a call of a class, makes."""
    try:
        given = use.arguments(*_SIGNATURES[use.kind])
    except Undecided:
        raise Undecided("which settings it is given cannot be seen") from None
    limit = given.pop(_LIMIT.get(use.kind, ""), None)
    given.pop("min_workers", None)
    executor = given.pop("default_executor_type", None)
    if given or (executor is not None and use.page.code(executor).strip("\"'") != "async"):
        raise Undecided(
            "these settings have no counterpart: name the executor of each task, as in "
            "register_task(..., executor='thread')"
        )
    if limit is not None and not isinstance(limit, cst.Integer | cst.Name | cst.Attribute):
        raise Undecided("give the number a name: it is needed twice")
    number = use.page.code(limit) if limit is not None else "None"
    if number == "None":
        number = "4" if use.kind == UNIFIED else ""
    if not number:
        return {}
    if use.kind == OLDEST:
        return {"retention_count": number}
    return {"max_concurrent_tasks": number, "threads": number}

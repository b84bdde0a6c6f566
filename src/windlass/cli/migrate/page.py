"""One parsed file, and what has to be asked about places in it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import libcst as cst
from libcst.metadata import MetadataWrapper, ParentNodeProvider, PositionProvider

if TYPE_CHECKING:
    from collections.abc import Iterator

Statement = cst.SimpleStatementLine | cst.BaseCompoundStatement

_GIVE_IDS = {"register_task", "submit"}


class Page:
    """A file as LibCST reads it. Raises ``cst.ParserSyntaxError`` if that is no Python."""

    def __init__(self, source: bytes) -> None:
        self._wrapper = MetadataWrapper(cst.parse_module(source))
        self.module = self._wrapper.module
        self._parents = self._wrapper.resolve(ParentNodeProvider)
        self._places = self._wrapper.resolve(PositionProvider)

    def all(self, *kinds: type[cst.CSTNode]) -> Iterator[Any]:
        """All nodes of some kinds, in the order of the text."""
        found = [node for node in self._parents if isinstance(node, kinds)]
        return iter(sorted(found, key=self.place))

    def place(self, node: cst.CSTNode) -> tuple[int, int]:
        """Line and column."""
        start = self._places[node].start
        return start.line, start.column

    def line(self, node: cst.CSTNode) -> int:
        """The line it begins on."""
        return self.place(node)[0]

    def parent(self, node: cst.CSTNode) -> cst.CSTNode | None:
        """What it is a part of."""
        return self._parents.get(node)

    def above(self, node: cst.CSTNode) -> Iterator[cst.CSTNode]:
        """What it is a part of, from the inside out."""
        while (up := self._parents.get(node)) is not None:
            yield up
            node = up

    def statement(self, node: cst.CSTNode) -> Statement:
        """The innermost statement it stands in: the one that a comment goes above."""
        for up in (node, *self.above(node)):
            if isinstance(up, Statement):
                return up
        raise AssertionError(f"{node} stands in no statement")

    def is_in(self, node: cst.CSTNode, *kinds: type[cst.CSTNode]) -> bool:
        """Whether it stands inside a node of one of these kinds."""
        return any(isinstance(up, kinds) for up in self.above(node))

    def on_a_loop(self, node: cst.CSTNode) -> bool | None:
        """Whether an event loop runs where ``node`` is executed; None if that cannot be seen."""
        around = (up for up in self.above(node) if isinstance(up, cst.FunctionDef | cst.Lambda))
        function = next(around, None)
        if function is None or not self._has_coroutines:
            return False
        if not isinstance(function, cst.FunctionDef):
            return None
        if function.asynchronous is not None:
            return True
        # A function that is only called where no function is around, such as main().
        callers = self.loads(function.name.value)
        method = self.is_in(function, cst.ClassDef, cst.FunctionDef)
        inner = any(self.is_in(caller, cst.FunctionDef, cst.Lambda) for caller in callers)
        return None if method or inner or not callers else False

    def code(self, node: cst.CSTNode) -> str:
        """Its text."""
        return self.module.code_for_node(node)

    @cached_property
    def _has_coroutines(self) -> bool:
        """Whether there is an ``async def`` in it, so that plain functions may run on a loop."""
        return any(f.asynchronous is not None for f in self.all(cst.FunctionDef))

    @cached_property
    def bindings(self) -> set[cst.CSTNode]:
        """The nodes of names and attributes that are assigned to, in whatever way."""
        found: set[cst.CSTNode] = set()
        for node in self.all(
            cst.AssignTarget, cst.AnnAssign, cst.AugAssign, cst.For, cst.CompFor, cst.NamedExpr,
            cst.Del, cst.AsName,
        ):  # fmt: skip
            target = node.name if isinstance(node, cst.AsName) else None
            found.update(
                _targets(target or getattr(node, "target", None) or getattr(node, "tars", node))
            )
        for node in self.all(cst.Param, cst.FunctionDef, cst.ClassDef):
            found.add(node.name)
        for node in self.all(cst.Global, cst.Nonlocal):
            found.update(item.name for item in node.names)
        return found

    @cached_property
    def names(self) -> dict[str, list[cst.Name]]:
        """Where each name stands as a name: not as an attribute, a keyword or in an import."""
        found: dict[str, list[cst.Name]] = {}
        for node in self.all(cst.Name):
            up = self.parent(node)
            if isinstance(up, cst.Attribute) and up.attr is node:
                continue
            if isinstance(up, cst.Arg) and up.keyword is node:
                continue
            if self.is_in(node, cst.Import, cst.ImportFrom):
                continue
            found.setdefault(node.value, []).append(node)
        return found

    def imports_of(self, name: str) -> list[cst.ImportAlias]:
        """What is imported under a name."""
        return [
            alias
            for alias in self.all(cst.ImportAlias)
            if name == (alias.evaluated_alias or alias.evaluated_name)
        ]

    def in_class_body(self, node: cst.CSTNode) -> bool:
        """Whether what is assigned here belongs to a class."""
        scopes = (cst.ClassDef, cst.FunctionDef, cst.Lambda)
        around = next((up for up in self.above(node) if isinstance(up, scopes)), None)
        return isinstance(around, cst.ClassDef)

    def loads(self, name: str) -> list[cst.Name]:
        """Where a name is read."""
        return [node for node in self.names.get(name, []) if node not in self.bindings]

    @cached_property
    def ids(self) -> set[str]:
        """The names that stand for the ids of tasks, as far as one can see."""
        found: set[str] = set()
        for node in self.all(cst.Assign):
            value = node.value.expression if isinstance(node.value, cst.Await) else node.value
            if _gives_id(value):
                found.update(_plain_names(*(target.target for target in node.targets)))
        for node in self.all(cst.For, cst.CompFor):
            found.update(_plain_names(node.target))
        return found

    @cached_property
    def given_ids(self) -> set[str]:
        """The texts that are given as ids, as they are written."""
        return {
            self.code(node.value)
            for node in self.all(cst.Arg)
            if node.keyword is not None
            and node.keyword.value == "task_id"
            and isinstance(node.value, cst.SimpleString)
        }

    def is_known_id(self, node: cst.BaseExpression) -> bool:
        """Whether it is the id of a task that this file has registered, as far as one can see."""
        if isinstance(node, cst.Name):
            return node.value in self.ids
        return self.code(node) in self.given_ids or _gives_id(node)


def _gives_id(node: cst.BaseExpression) -> bool:
    """Whether it is a call that returns the id of a task."""
    func = node.func if isinstance(node, cst.Call) else None
    return isinstance(func, cst.Attribute) and func.attr.value in _GIVE_IDS


def _targets(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    """The names and attributes in a target."""
    if isinstance(node, cst.Name | cst.Attribute):
        yield node
    elif isinstance(node, cst.Tuple | cst.List):
        for element in node.elements:
            yield from _targets(element.value)
    elif isinstance(node, cst.AssignTarget | cst.Del):
        yield from _targets(node.target)


def _plain_names(*targets: cst.BaseExpression) -> Iterator[str]:
    for target in targets:
        yield from (node.value for node in _targets(target) if isinstance(node, cst.Name))

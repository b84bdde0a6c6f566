"""One call of a manager's method, and what is to be changed because of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import libcst as cst

from .vocabulary import advice_for, behind

if TYPE_CHECKING:
    from .page import Page  # noqa: TC004  # its name will do

Edit = Callable[[Any], Any]
"""Makes a node another one; given the node with its insides edited already."""


class Undecided(Exception):  # noqa: N818  # an answer
    """A person must decide; the text says what."""


@dataclass(slots=True)
class Edits:
    """What is to be changed in a file."""

    nodes: dict[cst.CSTNode, Edit] = field(default_factory=dict)
    after: dict[cst.CSTNode, list[str]] = field(default_factory=dict)
    """Lines to stand below a statement."""

    def add(self, other: Edits) -> None:
        """Take over what ``other`` changes."""
        self.nodes.update(other.nodes)
        for statement, lines in other.after.items():
            self.after.setdefault(statement, []).extend(lines)


@dataclass(frozen=True, slots=True)
class Use:
    """One call of a manager's method."""

    page: Page
    kind: str
    key: str
    """The manager, as it is written: a name or ``self.name``."""
    attribute: str
    call: cst.Call

    @property
    def awaited(self) -> cst.Await | None:
        """The ``await`` around it."""
        up = self.page.parent(self.call)
        return up if isinstance(up, cst.Await) else None

    @property
    def whole(self) -> cst.CSTNode:
        """The call, with the ``await`` around it."""
        return self.awaited or self.call

    @property
    def is_statement(self) -> bool:
        """Whether nothing is done with what it returns."""
        up = self.page.parent(self.whole)
        if isinstance(up, cst.Expr):
            return True
        name = self.assigned_to
        return name is not None and not self.page.loads(name)

    @property
    def assigned_to(self) -> str | None:
        """The one name that it is assigned to."""
        up = self.page.parent(self.whole)
        if isinstance(up, cst.Assign) and len(up.targets) == 1:
            target = up.targets[0].target
            return target.value if isinstance(target, cst.Name) else None
        return None

    def undecided(self, why: str = "") -> Undecided:
        """What to raise; without a reason the advice says it all."""
        advice = advice_for(self.kind, self.attribute, behind(self.kind, self.key))
        return Undecided(f"{why}: {advice}" if why else advice)

    def arguments(self, *names: str) -> dict[str, cst.BaseExpression]:
        """The call's arguments by name; there must be no others."""
        return self.bind(self.call, names)

    def bind(self, call: cst.Call, names: tuple[str, ...]) -> dict[str, cst.BaseExpression]:
        """The same of ``call``, which is this one, edited inside."""
        bound: dict[str, cst.BaseExpression] = {}
        for position, arg in enumerate(call.args):
            if arg.star or (arg.keyword is None and position >= len(names)):
                raise self.undecided("what is passed cannot be seen")
            name = arg.keyword.value if arg.keyword else names[position]
            if name not in names:
                raise self.undecided(f"{name}= is not known")
            bound[name] = arg.value
        return bound

    def to(
        self, method: str, *args: cst.BaseExpression, **keywords: cst.BaseExpression
    ) -> cst.Call:
        """A call of the same manager's ``method``."""
        passed = [cst.Arg(value) for value in args]
        named = [
            cst.Arg(value, keyword=cst.Name(name), equal=_TIGHT) for name, value in keywords.items()
        ]
        return cst.Call(cst.parse_expression(f"{self.key}.{method}"), [*passed, *named])


_TIGHT = cst.AssignEqual(cst.SimpleWhitespace(""), cst.SimpleWhitespace(""))

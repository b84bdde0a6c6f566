"""What a file imports from old paths, and how its import statements read afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import libcst as cst

from .vocabulary import Entry, entry_of, is_old

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .page import Page


@dataclass(frozen=True, slots=True, eq=False)
class Imported:
    """One name that a file imports from an old path."""

    node: cst.ImportAlias
    statement: cst.SimpleStatementLine
    path: str
    name: str
    local: str
    """What the file calls it."""
    entry: Entry
    at_top: bool
    """Whether it is imported when the file is."""


def old_imports(page: Page, package: str) -> Iterator[Imported]:
    """What ``page``, a file in ``package``, imports from old paths, name by name."""
    for node in page.all(cst.ImportFrom):
        path = _source(node, package)
        statement = page.parent(node)
        assert isinstance(statement, cst.SimpleStatementLine)
        aliases = node.names if not isinstance(node.names, cst.ImportStar) else ()
        for alias in aliases:
            name = str(alias.evaluated_name)
            entry = entry_of(path, name)
            if entry is not None:
                local = alias.evaluated_alias or name
                at_top = isinstance(page.parent(statement), cst.Module)
                yield Imported(alias, statement, path, name, local, entry, at_top)


def whole_modules(page: Page, package: str) -> Iterator[tuple[cst.CSTNode, str]]:
    """The old modules that a file imports as such, or with a star."""
    for node in page.all(cst.Import):
        for alias in node.names:
            if is_old(alias.evaluated_name):
                yield alias, alias.evaluated_name
    for node in page.all(cst.ImportFrom):
        if isinstance(node.names, cst.ImportStar) and is_old(_source(node, package)):
            yield node, _source(node, package)


def _source(node: cst.ImportFrom, package: str) -> str:
    """The path that is imported from; a relative one as seen from ``package``."""
    module = cst.Module([]).code_for_node(node.module) if node.module is not None else ""
    if not node.relative:
        return module
    above = package.split(".")
    base = above[: len(above) - (len(node.relative) - 1)]
    return ".".join([*base, *([module] if module else [])])


def is_import(node: cst.CSTNode, *kinds: type[cst.CSTNode]) -> bool:
    """Whether a statement imports something, in one of these ways, and does nothing else."""
    return isinstance(node, cst.SimpleStatementLine) and all(
        isinstance(part, kinds or (cst.Import, cst.ImportFrom)) for part in node.body
    )


def rewritten(
    statement: cst.SimpleStatementLine, gone: Sequence[Imported], new: Sequence[str]
) -> list[cst.SimpleStatementLine | cst.BaseCompoundStatement]:
    """``statement`` without the names that are ``gone``, and the lines ``new``."""
    node = cst.ensure_type(statement.body[0], cst.ImportFrom)
    assert not isinstance(node.names, cst.ImportStar)
    dropped = {(imported.name, imported.local) for imported in gone}
    left = [
        alias
        for alias in node.names
        if (alias.evaluated_name, alias.evaluated_alias or alias.evaluated_name) not in dropped
    ]
    lines: list[cst.SimpleStatementLine | cst.BaseCompoundStatement] = []
    if left:
        # A comma behind the last name stands only in parentheses.
        comma = left[-1].comma if node.lpar is not None else cst.MaybeSentinel.DEFAULT
        left[-1] = left[-1].with_changes(comma=comma)
        lines.append(statement.with_changes(body=[node.with_changes(names=left)]))
    lines += [cst.parse_statement(line) for line in new]
    if not left and lines:
        lines[0] = lines[0].with_changes(leading_lines=statement.leading_lines)
    return lines


def import_line(names: dict[str, str]) -> str:
    """``from windlass import ...`` of names, each with what the file calls it."""
    parts = [name if name == local else f"{name} as {local}" for local, name in names.items()]
    line = f"from windlass import {', '.join(sorted(parts))}"
    if len(line) <= _WIDTH:
        return line
    listed = "".join(f"    {part},\n" for part in sorted(parts))
    return f"from windlass import (\n{listed})"


_WIDTH = 88

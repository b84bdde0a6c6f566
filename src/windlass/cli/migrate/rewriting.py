"""A file put together again: what is certain rewritten, comments where a person must decide."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

import libcst as cst

from .imports import import_line, is_import, rewritten
from .page import Statement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .files import File

MARK = "# windlass migrate: "


def rewrite(file: File) -> bytes:
    """The text of ``file`` after the migration."""
    module = file.page.module.visit(_Rewriter(file))
    module = module.with_changes(header=_without_marks(module.header))
    return (module if file.has_another_windlass else _with_import(module)).bytes


class _Rewriter(cst.CSTTransformer):
    """Puts the edits of a file into its tree, from the inside out."""

    def __init__(self, file: File) -> None:
        super().__init__()
        self._file = file

    def on_leave(self, original_node: Any, updated_node: Any) -> Any:
        edit = self._file.edits.nodes.get(original_node)
        if edit is not None:
            return edit(updated_node)
        updated_node = super().on_leave(original_node, updated_node)
        if isinstance(original_node, Statement):
            return self._statement(original_node, updated_node)
        return updated_node

    def _statement(self, original: Any, updated: Any) -> Any:
        file = self._file
        said = [
            cst.EmptyLine(comment=cst.Comment(MARK + text))
            for text in file.comments.get(original, ())
        ]
        updated = updated.with_changes(
            leading_lines=[*_without_marks(updated.leading_lines), *said]
        )
        lines = [updated]
        gone = [imported for imported in file.gone if imported.statement is original]
        if gone:
            names = file.same.get(original)
            lines = rewritten(updated, gone, [import_line(names)] if names else [])
        after = [cst.parse_statement(line) for line in file.edits.after.get(original, ())]
        return cst.FlattenSentinel([*lines, *after])


def _without_marks(lines: Sequence[cst.EmptyLine]) -> list[cst.EmptyLine]:
    """``lines`` without the comments of an earlier migration."""
    return [
        line for line in lines if line.comment is None or not line.comment.value.startswith(MARK)
    ]


def _with_import(module: cst.Module) -> cst.Module:
    """``module`` with an ``import windlass``, if it needs one and has none."""
    tree = ast.parse(module.bytes)
    uses = any(isinstance(node, ast.Name) and node.id == "windlass" for node in ast.walk(tree))
    has = any(
        isinstance(node, ast.Import)
        and any(alias.name == "windlass" and alias.asname is None for alias in node.names)
        for node in tree.body
    )
    if not uses or has:
        return module
    at = first_place(module)
    body = list(module.body)
    while at < len(body) and is_import(body[at], cst.Import):
        at += 1
    body.insert(at, cst.parse_statement("import windlass"))
    return module.with_changes(body=body)


def first_place(module: cst.Module) -> int:
    """Where the first statement can go: behind the docstring and what is from the future."""
    at = int(module.get_docstring() is not None)
    while at < len(module.body) and _is_future(module.body[at]):
        at += 1
    return at


def _is_future(node: cst.CSTNode) -> bool:
    if not isinstance(node, cst.SimpleStatementLine):
        return False
    module = node.body[0].module if isinstance(node.body[0], cst.ImportFrom) else None
    return isinstance(module, cst.Name) and module.value == "__future__"

"""The faces are built on what Windlass offers everybody."""

import ast
from pathlib import Path
from types import ModuleType

import windlass

SOURCES = sorted((Path(__file__).parents[1] / "src").rglob("*.py"))


def test_nothing_but_public_names_is_used():
    used = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("windlass"):
                assert node.module == "windlass", f"{path.name} imports from {node.module}"
                used |= {alias.name for alias in node.names}
            elif isinstance(node, ast.Import):
                names = {alias.name for alias in node.names}
                assert not any(name.startswith("windlass.") for name in names), path.name
            elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "windlass":
                used.add(node.attr)
    assert len(used) > 20
    modules = {name for name in used if isinstance(getattr(windlass, name), ModuleType)}
    assert not {name for name in used if name.startswith("_")} | modules

"""A whole program: its files, what they take from each other, and its own packages by old names."""

from __future__ import annotations

import ast
import os
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import libcst as cst

from .files import File, Surroundings
from .findings import Action, Finding
from .rewriting import first_place, rewrite
from .vocabulary import PATHS

_FOREIGN = {"__pycache__", "build", "dist", "node_modules", "site-packages"}
PATH_LINE = '__path__ = __import__("pkgutil").extend_path(__path__, __name__)'
"""What makes a package leave room for modules of the same package elsewhere."""

_OFTEN_OWN = {"core.config", "core.event_system"}
"""Names so common that a program's own module of that name is not the old one."""


class NoProgramError(Exception):
    """There is nothing to migrate under the path that was given."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that could not be read."""

    path: Path
    line: int | None
    why: str


@dataclass(slots=True)
class Program:
    """What was found in a program."""

    findings: dict[Path, list[Finding]] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    texts: dict[Path, bytes] = field(default_factory=dict)
    """How the files read that change when what is certain is rewritten."""

    def write(self) -> None:
        """Rewrite the files."""
        for path, text in self.texts.items():
            path.write_bytes(text)


@dataclass(slots=True)
class _Source:
    """One file before it is looked into."""

    path: Path
    text: bytes
    module: str
    """Its dotted name."""
    names_from: dict[str, set[str]]
    """The names it imports, by the last word of where from."""
    attributes: set[str]
    """The attributes it reads, and does not make itself."""

    @property
    def package(self) -> str:
        return self.module if self.path.name == "__init__.py" else self.module.rpartition(".")[0]

    @property
    def may_be_old(self) -> bool:
        """Whether it is worth a closer look."""
        return (
            b"core" in self.text
            or b"ailf" in self.text
            or self.module.partition(".")[0] in {"core", "ailf"}
        )


def read(path: Path) -> Program:
    """Look through the program at ``path``, a file or a folder."""
    if not path.exists():
        raise NoProgramError(f"there is no file or folder {path}")
    program = Program()
    sources = [source for file in _files(path) if (source := _parsed(file, program)) is not None]
    files: dict[Path, File] = {}
    for shares in (False, True):
        # Whether one file shares the old engine with another is known when both were looked at.
        files = {
            source.path: File(source.text, _surroundings(source, sources, shares=shares))
            for source in sources
            if source.may_be_old
        }
        files = {path: file for path, file in files.items() if file.is_old}
        if sum(file.uses_shared for file in files.values()) <= 1:
            break
    for found, file in files.items():
        program.findings[found] = file.findings
        text = rewrite(file)
        if text != file.page.module.bytes:
            program.texts[found] = text
    left = {name for file in files.values() for name in file.left()}
    _look_at_own(program, sources, left)
    return program


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    found: list[Path] = []
    for folder, folders, names in os.walk(path):
        here = Path(folder)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and name not in _FOREIGN
            and not (here / name / "pyvenv.cfg").exists()
        )
        found += [here / name for name in sorted(names) if name.endswith(".py")]
    return found


def _parsed(path: Path, program: Program) -> _Source | None:
    try:
        text = path.read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the program's style, which is its own
            tree = ast.parse(text)
        source = _Source(path, text, _module_of(path), *_taken_by(tree))
        if source.may_be_old:
            cst.parse_module(text)
    except OSError as error:
        program.skipped.append(Skipped(path, None, error.strerror or str(error)))
    except SyntaxError as error:
        program.skipped.append(Skipped(path, error.lineno, error.msg))
    except cst.ParserSyntaxError as error:
        program.skipped.append(Skipped(path, error.raw_line, error.message))
    except ValueError as error:
        program.skipped.append(Skipped(path, None, str(error)))
    else:
        return source
    return None


def _module_of(path: Path) -> str:
    """The dotted name of a file, from the outermost folder that is a package."""
    whole = path.resolve()
    parts = [] if whole.name == "__init__.py" else [whole.stem]
    for folder in whole.parents:
        if not (folder / "__init__.py").exists():
            break
        parts.insert(0, folder.name)
    return ".".join(parts)


def _surroundings(source: _Source, sources: list[_Source], *, shares: bool) -> Surroundings:
    own = source.module.rpartition(".")[2]
    taken: set[str] = set()
    for other in sources:
        if other is not source:
            taken |= other.names_from.get(own, set()) | other.attributes
    modules = {other.module for other in sources}
    return Surroundings(source.package, frozenset(taken), shares, frozenset(_OFTEN_OWN & modules))


def _taken_by(tree: ast.Module) -> tuple[dict[str, set[str]], set[str]]:
    """What a file imports, by the last word of where from; the attributes it has from elsewhere."""
    names_from: dict[str, set[str]] = {}
    read: set[str] = set()
    assigned: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            last = (node.module or "").rpartition(".")[2]
            names_from.setdefault(last, set()).update(alias.name for alias in node.names)
        elif isinstance(node, ast.Attribute):
            own = isinstance(node.value, ast.Name) and node.value.id == "self"
            (assigned if own and isinstance(node.ctx, ast.Store) else read).add(node.attr)
    return names_from, read - assigned


def _look_at_own(program: Program, sources: list[_Source], left: set[str]) -> None:
    """See whether packages of the program itself hide those that serve the old paths."""
    for source in sources:
        name = source.module
        if name in PATHS and name not in _OFTEN_OWN | {"ailf"}:
            text = "delete it: it is found in place of the package that serves this path"
            program.findings.setdefault(source.path, []).append(
                Finding(1, 0, name, text, Action.DECIDE)
            )
        package = name in {"core", "ailf"} and source.path.name == "__init__.py"
        needed = any(path.partition(".")[0] == name for path in left)
        if package and needed and b"extend_path" not in source.text:
            module = cst.parse_module(program.texts.get(source.path, source.text))
            body = list(module.body)
            at = first_place(module)
            body.insert(at, cst.parse_statement(PATH_LINE))
            program.texts[source.path] = module.with_changes(body=body).bytes
            program.findings.setdefault(source.path, []).append(
                Finding(1, 0, f"the program's own {name}", f"add: {PATH_LINE}", Action.REWRITE)
            )

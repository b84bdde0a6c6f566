"""Run the snippets of a page, in the order in which they stand, and compare what they print.

::

    python docs/run.py docs/tutorial.md

A page is one program, as it would be in a notebook: what one block defines, the next one has. A
block with a bare ``await`` runs on an event loop of its own. What a block prints must be shown:

- by ``# ->`` comments, one for each line: ``print(1 + 1)  # -> 2``;
- or by a block of kind ``text`` that follows it directly.

``...`` stands there for whatever differs from run to run: times, ids, paths.

The title of a block may say more:

- ``title="pages.py"``: it is written to that file, which the blocks after it can import. A file
  called ``test_...`` is given to pytest.
- ``title="not run: why"``: it is only compiled.
"""

from __future__ import annotations

import ast
import asyncio
import doctest
import io
import os
import re
import subprocess
import sys
import tempfile
import textwrap
import tokenize
import types
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<kind>\w+)(?P<more>[^\n]*)\n(?P<body>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_TITLE = re.compile(r'title="([^"]*)"')
_SHOWS = "# ->"


@dataclass
class Block:
    """One fenced block of Python, and what it is said to print."""

    source: str
    line: int
    title: str
    shown: str | None

    @property
    def is_file(self) -> bool:
        """Whether it is written to a file instead of being run."""
        return self.title.endswith(".py")

    @property
    def is_run(self) -> bool:
        """Whether it is more than compiled."""
        return not self.title.startswith("not run")


class Mismatch(Exception):  # noqa: N818  # a report
    """A block prints something else than the page says."""


def blocks_of(page: Path) -> list[Block]:
    """The blocks of Python on ``page``."""
    text = page.read_text(encoding="utf-8")
    fences = list(_FENCE.finditer(text))
    blocks = []
    for fence, following in zip(fences, [*fences[1:], None], strict=True):
        if fence["kind"] != "python":
            continue
        source = textwrap.dedent(fence["body"])
        shown = None
        if (
            following is not None
            and following["kind"] == "text"
            and not text[fence.end() : following.start()].strip()
        ):
            shown = textwrap.dedent(following["body"])
        title = _TITLE.search(fence["more"])
        line = text.count("\n", 0, fence.start("body")) + 1
        blocks.append(Block(source, line, title[1] if title else "", shown))
        in_comments = _shown_in_comments(source)
        if in_comments and shown is not None:
            raise Mismatch(f"{page.name}:{line}: shows what it prints in two ways: choose one")
        if in_comments:
            blocks[-1].shown = in_comments
    return blocks


def _shown_in_comments(source: str) -> str:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = [token.string for token in tokens if token.type == tokenize.COMMENT]
    lines = [text.removeprefix(_SHOWS).strip() for text in comments if text.startswith(_SHOWS)]
    return "".join(f"{line}\n" for line in lines)


def run_page(page: Path) -> None:
    """Run all blocks of ``page`` in the current directory."""
    # What tells a prompt or a notebook from a file is the name that its code has.
    name = f"<{page.name}>"
    names = vars(sys.modules["__main__"])
    out = io.StringIO()
    with redirect_stdout(out):
        for block in blocks_of(page):
            code = compile(
                "\n" * (block.line - 1) + block.source,
                name,
                "exec",
                flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
                dont_inherit=True,
            )
            if block.is_file:
                Path(block.title).write_text(block.source, encoding="utf-8")
                if block.title.startswith("test_"):
                    _run_tests(block.title)
            elif block.is_run:
                _run(code, names)
                _compare(block, out.getvalue(), page)
                out.seek(0)
                out.truncate()


def _run(code: types.CodeType, names: dict[str, Any]) -> None:
    left = types.FunctionType(code, names)()
    if asyncio.iscoroutine(left):
        asyncio.run(left)


def _run_tests(file: str) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", file]
    if not any(plugin.name == "windlass" for plugin in entry_points(group="pytest11")):
        command += ["-p", "windlass.testing.plugin"]  # run from a checkout that is not installed
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # ours
    if done.returncode:
        raise Mismatch(f"the tests of {file} fail:\n{done.stdout}{done.stderr}")


def _compare(block: Block, printed: str, page: Path) -> None:
    shown = block.shown or ""
    checker = doctest.OutputChecker()
    if not checker.check_output(shown, printed, doctest.ELLIPSIS):
        raise Mismatch(
            f"{page.name}:{block.line}: the page shows\n{textwrap.indent(shown, '    ')}"
            f"but the block prints\n{textwrap.indent(printed, '    ')}"
        )


def main(pages: list[str]) -> int:
    """The command: one page in one process, since the snippets are that process's main program."""
    if len(pages) != 1:
        print(__doc__)
        return 2
    page = Path(pages[0]).resolve()
    with tempfile.TemporaryDirectory() as scratch:
        before = Path.cwd()
        os.chdir(scratch)
        sys.path.insert(0, scratch)
        # A page about the older systems imports them, installed or not.
        sys.path.append(str(Path(__file__).resolve().parents[1] / "compat" / "src"))
        try:
            run_page(page)
        except Mismatch as mismatch:
            print(mismatch)
            return 1
        finally:
            os.chdir(before)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

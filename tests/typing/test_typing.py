"""What must check does, and what must not does not: asked of both type checkers.

``must_check.py`` holds calls and the exact types they must have; ``must_not_check.py`` holds
mistakes, each with comments that let it pass. A checker that has nothing to let pass complains.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import windlass

pytestmark = pytest.mark.timeout(240)  # a checker starts by reading the standard library

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CONFIGURATION = HERE / "pyrightconfig.json"


def mypy(*files):
    return run("mypy", "--strict", "--config-file", ROOT / "pyproject.toml", *files)


def basedpyright(*files):
    return run("basedpyright", "-p", CONFIGURATION, "--pythonpath", sys.executable, *files)


def run(checker, *arguments):
    if find_spec(checker) is None:
        pytest.skip(f"{checker} is not installed: pip install 'windlass[test]'")
    source = Path(windlass.__file__).parents[1]
    environment = dict(os.environ)
    if source.name != "site-packages":  # mypy looks there by itself, and wants to be let
        environment["MYPYPATH"] = str(source)
    return subprocess.run(
        [sys.executable, "-m", checker, *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.fixture(params=[mypy, basedpyright], ids=lambda checker: checker.__name__)
def check(request):
    return request.param


def test_what_must_check_does_and_what_must_not_does_not(check):
    done = check(HERE / "must_check.py", HERE / "must_not_check.py")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_comment_that_lets_nothing_pass_is_complained_of(check, tmp_path):
    comments = "# type: ignore[assignment]  # pyright: ignore[reportAssignmentType]"
    for name, value in (("right", "3"), ("wrong", "'3'")):
        (tmp_path / f"{name}.py").write_text(f"number: int = {value}  {comments}\n", "utf-8")
    (tmp_path / CONFIGURATION.name).write_text(CONFIGURATION.read_text("utf-8"), "utf-8")
    done = check(tmp_path / "right.py", tmp_path / "wrong.py")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "right.py:1" in done.stdout
    assert "wrong.py:1" not in done.stdout

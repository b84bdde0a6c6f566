"""The state diagram in the documentation is drawn from the engine's own table."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from windlass._core.states import TRANSITIONS

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def diagram():
    return runpy.run_path(str(DOCS / "diagram.py"))


def test_the_page_is_up_to_date(diagram):
    assert diagram["main"](["--check"]) == 0, "run `python docs/diagram.py`"


def test_every_move_is_drawn(diagram):
    drawn = diagram["diagram"]()
    for before, moves in TRANSITIONS.items():
        for after in moves:
            assert f"    {before or '[*]'} --> {after}: " in drawn


def test_a_page_that_is_out_of_date_is_found_out_and_redrawn(diagram, tmp_path, capsys):
    stale = tmp_path / "states.md"
    page = (DOCS / "states.md").read_text(encoding="utf-8")
    stale.write_text(page.replace("waiting --> pending", "waiting --> running"), encoding="utf-8")
    main = diagram["main"]
    main.__globals__["PAGE"] = stale
    assert main(["--check"]) == 1
    assert "states.md is out of date: run `python docs/diagram.py`" in capsys.readouterr().out
    assert main([]) == 0
    assert stale.read_text(encoding="utf-8") == page
    assert main(["--check"]) == 0

"""The list of faults names tests that there are."""

import re
from pathlib import Path

HERE = Path(__file__).parent


def test_every_fault_names_a_test():
    rows = (HERE.parent / "FAULTS.md").read_text(encoding="utf-8").splitlines()
    rows = [row for row in rows if row.startswith("| ") and "| fault |" not in row]
    assert len(rows) == 22
    for row in rows:
        named = re.findall(r"`(\S+)::(test_\w+)`", row)
        assert named, row
        for file, name in named:
            assert f"def {name}(" in (HERE / file).read_text(encoding="utf-8"), name

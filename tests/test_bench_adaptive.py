"""What is promised of limits that find themselves: nine tenths of the best that could be set."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.timeout(250)
def test_a_limit_that_finds_itself_does_nearly_as_well_as_the_best_one():
    done = subprocess.run(
        [sys.executable, "-m", "bench.adaptive", "--quick"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    shares = [int(share) for share in re.findall(r", +(\d+)%$", done.stdout, re.MULTILINE)]
    assert len(shares) == 2
    assert min(shares) >= 90


def test_its_picture_is_one():
    picture = ET.parse(ROOT / "docs" / "images" / "adaptive.svg").getroot()
    assert picture.tag == "{http://www.w3.org/2000/svg}svg"
    assert "finds itself" in picture.findtext("{*}title")

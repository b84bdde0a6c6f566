"""These tests run wherever what they test is installed, and are left out where it is not."""

from importlib.util import find_spec

# A folder of the name, like those beside this file, would be found too; it has no origin.
_INSTALLED = all(getattr(find_spec(name), "origin", None) for name in ("core", "ailf"))

collect_ignore = [] if _INSTALLED else ["core", "ailf"]


def pytest_report_header():
    if not _INSTALLED:
        return "compat: not installed, so its tests are left out: pip install -e './compat[test]'"
    return None

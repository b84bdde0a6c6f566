"""A file for each test; and nothing is left behind by any."""

import threading

import pytest
from runtime.conftest import nothing_left_behind  # noqa: F401  # holds here as well

from .stage import doors


@pytest.fixture
def jobs(tmp_path):
    """The file of a test."""
    return tmp_path / "jobs.db"


@pytest.fixture(autouse=True)
def no_thread_left_behind():
    before = threading.enumerate()
    yield
    doors.clear()
    ours = [thread for thread in threading.enumerate() if thread not in before]
    for thread in ours:
        if thread.name.startswith("windlass-"):
            thread.join(60)
            assert not thread.is_alive()

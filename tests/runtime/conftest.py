"""Nothing may be left behind by a test: no task that was destroyed, no error nobody heard of."""

import gc
import logging

import pytest

from .stage import Gate


@pytest.fixture
def gate():
    """A gate that is opened in the end, whatever comes."""
    made = Gate()
    yield made
    made.open()


@pytest.fixture(autouse=True)
def nothing_left_behind():
    complaints = []

    class Listener(logging.Handler):
        def emit(self, record):
            complaints.append(record.getMessage())

    listener = Listener(logging.ERROR)
    logging.getLogger("asyncio").addHandler(listener)
    gc.freeze()  # what is there already is not looked through again and again
    yield
    gc.collect()  # what was dropped unfinished complains when it is collected
    gc.unfreeze()
    logging.getLogger("asyncio").removeHandler(listener)
    assert not complaints

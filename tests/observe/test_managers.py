"""Hearing of managers as they open."""

import asyncio
import logging

import pytest

from windlass import TaskManager
from windlass.observe import on_open


@pytest.fixture
def opened():
    """The managers that have opened, and whether they were open by then."""
    heard = []
    listener = on_open(lambda manager: heard.append((manager, manager.is_open)))
    yield heard
    listener.cancel()


def test_each_opening_is_told_before_the_first_task(opened):
    tm = TaskManager()
    assert opened == []
    for _ in range(2):
        with tm:
            tm.start()  # it is open
    assert opened == [(tm, False), (tm, False)]


def test_it_is_an_opening_as_well_when_the_loop_was_closed_under_it(opened):
    tm = TaskManager()
    asyncio.run(tm.__aenter__())
    with tm:
        assert tm.submit(int).result() == 0
    assert [manager for manager, _ in opened] == [tm, tm]


def test_who_subscribes_then_hears_of_everything():
    heard = []
    listener = on_open(lambda manager: manager.subscribe(heard.extend))
    with TaskManager() as tm:
        tm.submit(int)
    listener.cancel()
    listener.cancel()
    with TaskManager() as tm:
        tm.submit(int)
    assert [change.cause for change in heard] == ["submitted", "started", "returned"]


def test_a_listener_that_raises_harms_nobody(opened, caplog):
    def break_() -> None:
        raise RuntimeError("broken")

    listener = on_open(lambda _: break_())
    later = []
    other = on_open(later.append)
    with caplog.at_level(logging.ERROR, "windlass"), TaskManager() as tm:
        assert tm.submit(int).result() == 0
    listener.cancel()
    other.cancel()
    assert later == [tm]
    assert "it goes on listening" in caplog.text

"""A name is one manager's at a time, and free as soon as that is gone, however it went."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os

import pytest
from test_faults import LIMIT, Told

from windlass import TaskError, TaskManager, task
from windlass.executors._celery import holding

HOLDER = "windlass:{}:holder"


@pytest.fixture
def told():
    """Waits for the word that a name is taken."""
    handler = Told("another manager has the name")
    logging.getLogger("windlass").addHandler(handler)
    yield handler
    logging.getLogger("windlass").removeHandler(handler)


@pytest.fixture
def redis(server):
    from redis import Redis

    with Redis(port=server.port) as client:
        yield client


def named(program, name, **settings):
    from windlass.celery import CeleryExecutor

    return TaskManager(executors={"celery": CeleryExecutor(program.app, name=name, **settings)})


def held_by_somebody(redis, name, **who):
    """As a manager on another machine leaves it, but for that it does not expire by itself."""
    other = {"machine": "far", "host": "far", "pid": 7, "process": "x", "life": "x", **who}
    redis.set(HOLDER.format(name), json.dumps(other))


def test_of_two_managers_with_a_name_the_second_is_refused(program, worker):
    with named(program, "both") as first, named(program, "both", patience=0.5) as second:
        assert first.submit(program.add, 1, 2).result(LIMIT) == 3
        expected = (
            rf"could not be handed over: another manager has the name 'both': process {os.getpid()}"
            r" on .*\. Give each its own: CeleryExecutor\(name=\)\. It was tried for 0.5 s$"
        )
        with pytest.raises(TaskError, match=expected):
            second.submit(program.add, 1, 2).result(LIMIT)
        assert first.submit(program.add, 2, 2).result(LIMIT) == 4


def test_the_next_one_has_the_name_when_the_first_gives_it_up(program, worker, told):
    with named(program, "next") as second:
        with named(program, "next") as first:
            assert first.submit(program.add, 1).result(LIMIT) == 1
            handle = second.submit(program.add, 2)
            told.wait()
        assert handle.result(LIMIT) == 2


def test_a_name_that_is_held_elsewhere_is_free_when_nothing_is_heard(program, worker, redis, told):
    held_by_somebody(redis, "far")
    with named(program, "far") as manager:
        handle = manager.submit(program.add, 1)
        assert "process 7 on far" in told.wait()
        redis.expire(HOLDER.format("far"), 1)
        assert handle.result(LIMIT) == 1


def test_who_died_on_this_machine_is_succeeded_at_once(program, worker, redis):
    child = multiprocessing.get_context("spawn").Process(target=os.getpid)
    child.start()
    child.join(LIMIT)
    for who in {"pid": child.pid}, {"pid": os.getpid(), "process": "an earlier one"}:
        held_by_somebody(redis, "dead", machine=holding._machine(), **who)
        with named(program, "dead") as manager:
            assert manager.submit(program.add, 1).result(LIMIT) == 1


def test_a_manager_that_was_out_of_its_mind_for_too_long_has_lost_its_name(
    program, worker, redis, told
):
    with named(program, "lost", patience=0.1) as manager:
        assert manager.submit(program.add, 1).result(LIMIT) == 1
        nobody = task(program.add, metadata={"celery": {"queue": "nobody"}})
        handle = manager.submit(nobody, 1)
        held_by_somebody(redis, "lost")  # what it had has expired, and another was there first
        told.wait()
        with pytest.raises(TaskError, match="another manager has the name 'lost'"):
            handle.result(LIMIT)


def test_who_only_follows_leaves_the_name_to_the_leader(program, worker, redis, tmp_path):
    from windlass.celery import CeleryExecutor

    def open_one():
        executors = {"celery": CeleryExecutor(program.app, name="led", patience=0.5)}
        return TaskManager(tmp_path / "tasks.db", executors=executors)

    with open_one() as leader, open_one() as follower:
        assert follower.submit(program.add, 1).result(LIMIT) == 1
        assert redis.exists(HOLDER.format("led"))
        assert leader.get_metrics() is not None
        assert follower._runtime.executors["celery"]._ear._thread is None


def test_a_name_is_not_held_before_it_is_needed_nor_afterwards(program, worker, redis):
    key = HOLDER.format("thrifty")
    with named(program, "thrifty") as manager:
        assert not redis.exists(key)
        manager.submit(program.add, 1).result(LIMIT)
        assert redis.exists(key)
        ear = manager._runtime.executors["celery"]._ear
    ear._thread.join(LIMIT)
    assert not redis.exists(key)

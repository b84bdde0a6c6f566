"""A task that is driven by hand: each verb tells whether it had an effect; the first end wins."""

import math

import pytest

from windlass import TaskExecutionError, TaskManager, TaskTimeoutError

from .stage import Door, double, on_a_loop


@on_a_loop
async def test_it_is_driven_through_its_life():
    async with TaskManager() as tm:
        ext = tm.external("robot", tags=["arm"], metadata={"n": 1})
        after = tm.submit(double, ext.output)
        assert ext.status == "pending"
        assert "by hand" in ext.explain()
        assert not ext.set_progress(0.5)
        assert ext.start()
        assert not ext.start()
        assert ext.status == "running"
        assert ext.set_progress(0.5, "half")
        assert (ext.info.progress, ext.info.message) == (0.5, "half")
        assert ext.complete(21)
        for verb in (lambda: ext.complete(5), lambda: ext.fail("x"), ext.cancel, ext.start):
            assert not verb()
        assert not ext.set_progress(0.6)
        assert await ext == 21
        assert await after == 42
        assert ext.info.tags == {"arm"}


@on_a_loop
async def test_it_need_not_be_started():
    async with TaskManager() as tm:
        assert tm.external("a").complete()
        failed = tm.external("b")
        assert failed.fail("out of paper")
        with pytest.raises(TaskExecutionError, match="out of paper"):
            await failed
        other = tm.external("c")
        assert other.fail(ValueError("typed"))
        with pytest.raises(ValueError, match="typed"):
            await other


@on_a_loop
async def test_while_dependencies_are_open_only_cancel_has_an_effect():
    async with TaskManager() as tm:
        door = Door()
        first = tm.submit(door)
        ext = tm.external("e", after=[first])
        assert not ext.start()
        assert not ext.complete(1)
        assert not ext.fail("x")
        assert ext.status == "waiting"
        door.open()
        await first
        assert ext.complete(1)
        other = tm.external("f", after=[tm.external("g")])
        assert other.cancel()
        assert other.status == "cancelled"
        tm.cancel_all()


@on_a_loop
async def test_a_timeout_counts_from_its_start():
    async with TaskManager() as tm:
        ext = tm.external("e", timeout=0.01)
        assert ext.start()
        with pytest.raises(TaskTimeoutError):
            await ext
        assert not ext.complete()


@on_a_loop
async def test_it_takes_no_slot_of_others():
    async with TaskManager(max_concurrent_tasks=1) as tm:
        ext = tm.external("e")
        ext.start()
        assert await tm.submit(double, 1) == 2
        ext.complete()


@on_a_loop
async def test_leaving_waits_for_it_and_a_cancel_ends_it():
    async with TaskManager() as tm:
        ext = tm.external("e")

        def drive():
            ext.start()
            ext.complete("done")

        tm.submit(drive)
    assert ext.result() == "done"
    with pytest.raises(KeyError):
        async with tm:
            left = tm.external("e")
            left.start()
            raise KeyError
    assert left.status == "cancelled"


@on_a_loop
async def test_it_can_be_retried_and_is_then_driven_anew():
    async with TaskManager() as tm:
        ext = tm.external("e")
        ext.fail("no")
        again = tm.retry(ext)
        assert again.id == ext.id
        assert again.status == "pending"
        assert ext.status == "failed"
        assert again.complete(1)
        assert await again == 1
        ext.exception()


@on_a_loop
async def test_bad_input_is_refused():
    async with TaskManager() as tm:
        ext = tm.external("e")
        ext.start()
        for bad in (math.nan, "half", None):
            with pytest.raises((ValueError, TypeError), match="progress takes a number"):
                ext.set_progress(bad)
        with pytest.raises(TypeError, match="fail"):
            ext.fail(5)
        with pytest.raises(TypeError, match="colour"):
            tm.external("e", colour="red")
        assert ext.complete()


@on_a_loop
async def test_a_key_makes_it_idempotent():
    async with TaskManager() as tm:
        ext = tm.external("e", key="k")
        assert tm.external("e", key="k").id == ext.id
        ext.complete()


@on_a_loop
async def test_a_registered_task_can_be_done_by_hand_instead():
    async with TaskManager() as tm:
        first = tm.register_task("first", double, 1)
        second = tm.register_task("second", double, 2, dependencies=[first], timeout=60)
        by_hand = tm.drive(second)
        assert not by_hand.start()
        assert tm.get_task_status(first) == "pending", "what it waits for is nobody's yet"
        assert tm.drive(first).complete("one")
        assert by_hand.start()
        assert by_hand.set_progress(0.5, "half")
        assert by_hand.complete("two")
        assert not by_hand.fail("late")
        assert [tm.get_task_result(id) for id in (first, second)] == ["one", "two"]
        failed = tm.register_task("third", double, 3)
        assert tm.drive(failed).fail("no")
        again = tm.retry(failed)
        assert again.complete("now")
        assert await again == "now"


@on_a_loop
async def test_what_was_executed_is_not_driven():
    async with TaskManager() as tm:
        door = Door()
        id = tm.register_task("busy", door, "its own")
        driven = tm.drive(id)
        result = tm.execute_task(id)
        await door.came()
        assert not driven.start()
        assert not driven.complete("not this")
        assert not driven.fail("nor this")
        door.open()
        assert await result == "its own"

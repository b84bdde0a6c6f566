"""Tasks that are driven by hand: `core.task.task_bridge`."""

import asyncio

import pytest

from core._engine import Engine
from core.task import TaskBridge, TaskDependencyError, task_bridge


def add(a, b=0):
    return a + b


def untouched():
    raise AssertionError("start_task does not run the function")


def test_a_task_goes_through_its_life_by_hand(new):
    bridge = new(TaskBridge)
    id = bridge.register_task("x", untouched)
    assert bridge.get_task_status(id) == "pending"
    assert bridge.update_task_progress(id, 0.1) is False
    assert bridge.start_task(id) is True
    assert bridge.start_task(id) is False
    assert bridge.get_task_status(id) == "running"
    assert bridge.update_task_progress(id, 0.5, "half") is True
    assert bridge.update_task_progress(id, 9) is True
    assert bridge.windlass.get_task_progress(id) == (1.0, "half"), "clamped, the message stands"
    assert bridge.complete_task(id, "done") is True
    for late in (
        lambda: bridge.complete_task(id, "twice"),
        lambda: bridge.fail_task(id, "late"),
        lambda: bridge.cancel_task(id),
        lambda: bridge.start_task(id),
        lambda: bridge.update_task_progress(id, 0.6),
    ):
        assert late() is False
    assert (bridge.get_task_result(id), bridge.get_task_error(id)) == ("done", None)


def test_the_ways_to_end(new):
    bridge = new(TaskBridge)
    words, error, gone, silent = (bridge.register_task(name, untouched) for name in "abcd")
    bridge.start_task(words)
    assert bridge.fail_task(words, "out of paper")
    assert bridge.fail_task(error, ValueError("typed")), "nobody started it, and it began"
    assert bridge.cancel_task(gone, reason="not needed")
    assert bridge.cancel_task(silent)
    assert [bridge.get_task_error(id) for id in (words, error, gone, silent)] == [
        "out of paper", "typed", "not needed", "cancelled",
    ]  # fmt: skip
    assert bridge.get_task_status(words) == bridge.get_task_status(error) == "failed"
    assert bridge.get_task_status(gone) == bridge.get_task_status(silent) == "cancelled"


def test_what_waits_for_others_cannot_be_started(new):
    bridge = new(TaskBridge)
    first = bridge.register_task("first", untouched)
    second = bridge.register_task("second", untouched, dependencies=[first])
    assert bridge.start_task(second) is False
    assert bridge.complete_task(second) is False
    assert bridge.get_task_status(second) == "waiting"
    assert bridge.get_task_status(first) == "pending"
    assert bridge.complete_task(first)
    assert bridge.start_task(second) is True
    third = bridge.register_task("third", untouched, dependencies=[second])
    assert bridge.fail_task(second, "no")
    assert bridge.get_task_status(third) == "failed"
    assert "second" in bridge.get_task_error(third)
    with pytest.raises(TaskDependencyError, match="nobody"):
        bridge.register_task("x", untouched, dependencies=["nobody"])
    with pytest.raises(TypeError, match="kwargs= takes a dict"):
        bridge.register_task("x", untouched, (), ["no dict"])


def test_executing_runs_the_function(new):
    bridge = new(TaskBridge)
    id = bridge.register_task("x", add, (1,), {"b": 2}, "HIGH", max_retries=1, use_old_system=False)
    by_keyword = bridge.register_task("y", add, a=3)

    async def main():
        assert await bridge.execute_task(id) == 3
        assert await bridge.execute_task(by_keyword) == 3

    asyncio.run(main())
    assert bridge.execute_task(id) is False
    driven = bridge.register_task("z", add, (1,))
    bridge.start_task(driven)
    assert bridge.execute_task(driven) is False, "it is driven by hand already"


def test_what_is_executed_cannot_be_driven(new, gate):
    bridge = new(TaskBridge)
    id = bridge.register_task("x", gate, ("its own",))
    bridge.execute_task(id)
    gate.wait_for(1)
    assert bridge.start_task(id) is False
    assert bridge.complete_task(id, "another") is False
    assert bridge.fail_task(id, "no") is False
    gate.open()
    bridge.windlass.join().result(60)
    assert bridge.get_task_result(id) == "its own"


def test_the_timeout_counts_from_the_start(new, clock):
    bridge = new(TaskBridge, engine=Engine(clock=clock))
    bridge.start()
    id = bridge.register_task("x", untouched, timeout=0.02)
    clock.ahead = 3600.0
    assert bridge.start_task(id)
    bridge.windlass.join().result(60)
    assert bridge.get_task_status(id) == "failed"
    assert "timeout of 0.02 s" in bridge.get_task_error(id)
    assert bridge.complete_task(id) is False


class Resource:
    def __init__(self, log, name):
        self.log, self.name = log, name


class Closing(Resource):
    def close(self):
        self.log.append(self.name)


class Cleaning(Resource):
    def cleanup(self):
        self.log.append(self.name)


class Context(Resource):
    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.log.append(self.name)


class Stuck(Resource):
    def close(self):
        raise OSError("stuck")


@pytest.mark.parametrize("end", ["complete_task", "fail_task", "cancel_task"])
def test_resources_are_closed_when_the_task_ends(new, end, caplog):
    bridge, log = new(TaskBridge), []
    id = bridge.register_task("x", untouched)
    bridge.start_task(id)
    for kind in (Closing, Cleaning, Stuck, Context):
        assert bridge.register_resource(id, kind(log, kind.__name__))
    with pytest.raises(TypeError, match="close"):
        bridge.register_resource(id, object())
    assert log == []
    assert getattr(bridge, end)(id, "so it is")
    assert log == ["Context", "Cleaning", "Closing"]
    assert "stuck" in caplog.text
    assert bridge.register_resource(id, Closing(log, "late"))
    assert log[-1] == "late", "what comes after the end is closed at once"
    assert bridge.register_resource("nobody", Closing(log, "never")) is False


def test_what_is_cleaned_up_is_unknown(new):
    bridge = new(TaskBridge)
    open_task, done, other = (bridge.register_task(name, untouched) for name in "abc")
    assert bridge.cleanup_task(open_task) is False, "it has not ended"
    bridge.complete_task(done)
    kept = bridge.get_task(done)
    assert bridge.cleanup_task(done) is True
    assert bridge.get_task_status(done) is None
    assert bridge.get_task_result(done) is None
    assert bridge.get_task_error(done) is None
    assert bridge.cleanup_task(done) is False
    assert kept.status == "completed", "who holds the task still sees how it ended"
    bridge.fail_task(other, "x")
    assert bridge.cleanup_completed_tasks() == 0, "a day old, unless said otherwise"
    assert bridge.cleanup_completed_tasks(max_age=0) == 1
    assert bridge.get_task_status(other) is None
    assert bridge.get_task_status(open_task) == "pending"


def test_unknown_ids(new):
    bridge = new(TaskBridge)
    for command in ("start_task", "complete_task", "cancel_task", "cleanup_task", "execute_task"):
        assert getattr(bridge, command)("nobody") is False
    assert bridge.fail_task("nobody", "x") is False
    assert bridge.update_task_progress("nobody", 0.5) is False
    for read in ("get_task_status", "get_task_result", "get_task_error"):
        assert getattr(bridge, read)("nobody") is None


def test_the_global_bridge_works_in_loop_after_loop():
    async def main():
        id = task_bridge.register_task("x", untouched)
        assert task_bridge.start_task(id)
        assert task_bridge.complete_task(id, 1)
        return task_bridge.get_task_result(id)

    assert [asyncio.run(main()), asyncio.run(main())] == [1, 1]
    task_bridge.stop()
    assert asyncio.run(main()) == 1

"""One engine behind all global faces; imports, events, and programs that mix old and new."""

import asyncio
import re
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
import windlass

from core import event_system
from core.event_system import Event, EventType, create_task_event
from core.task import (
    AsyncTaskManager,
    Task,
    TaskBridge,
    TaskMonitor,
    task_bridge,
    task_manager,
    task_monitor,
)
from core.task.unified_manager import unified_task_manager
from core.task_management import Task as UnifiedTask
from core.task_management.task_manager import task_manager as newer

SOON = 60


def double(x):
    return 2 * x


def python(code, *folders, cwd=None):
    """Run ``code`` in a Python of its own, where every warning is an error."""
    prelude = f"import sys; sys.path[:0] = {[str(folder) for folder in folders]!r}\n"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", prelude + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=SOON,
        check=False,
        cwd=cwd,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


# -- one engine ------------------------------------------------------------------------------------


def test_a_task_is_visible_through_every_face(oldest, pool):
    faces = [task_manager, newer, oldest.task_manager, pool.thread_pool_manager, task_bridge]
    assert len({face.windlass for face in [*faces, task_monitor, unified_task_manager]}) == 1
    assert unified_task_manager.thread_pool is pool.thread_pool_manager
    assert unified_task_manager.task_monitor is task_monitor

    async def register_unified():
        return await unified_task_manager.register_task("d", double, (1,))

    tm = task_manager.windlass
    tm.start().result()
    ids = [
        task_manager.register_task("a", double, 1),
        newer.register_task("b", double, 1),
        oldest.task_manager.register_task("c", double, 1),
        asyncio.run(register_unified()),
        str(pool.thread_pool_manager.submit(double, 1)),
        task_bridge.register_task("f", double, (1,)),
        task_monitor.register_task(),
        tm.submit(double, 1).id,
    ]
    for id in ids:
        if tm.get_task(id).held:
            assert task_bridge.complete_task(id, 2)
    tm.join().result(SOON)
    for id in ids:
        for face in (*faces, task_monitor):
            assert face.get_task_status(id) == "completed"
            assert face.get_task_result(id) == 2
        assert asyncio.run(unified_task_manager.get_task_status(id)) == "completed"
        assert tm.get_task_result(id) == 2
        assert isinstance(task_manager.get_task(id), Task)
        assert isinstance(newer.get_task(id), UnifiedTask)
        assert task_manager.get_task(id) == newer.get_task(id), "two windows onto the same task"
    assert list(task_monitor.get_all_tasks()) == ids


def test_faces_depend_on_each_others_tasks_and_on_windlass_itself():
    tm = task_manager.windlass
    tm.start().result()
    native = tm.submit(double, 1)
    old = task_manager.register_task("old", double, 2, dependencies=[native.id])
    by_hand = task_bridge.register_task("by hand", dependencies=[old])
    new = newer.register_task("new", double, 3, dependencies=[by_hand])
    after = tm.submit(windlass.task(double).options(after=[new]), 4)
    tm.get_handle(old).result(SOON)
    assert not after.done(), "nobody can do what is done by hand but whoever does it"
    assert task_bridge.start_task(by_hand)
    assert task_bridge.complete_task(by_hand)
    assert after.result(SOON) == 8
    assert newer.get_task_result(new) == 6


def test_a_global_face_stops_only_what_it_registered(gate):
    mine = task_manager.register_task("mine", gate)
    task_manager.execute_task(mine)
    others = task_bridge.register_task("others")
    task_bridge.start_task(others)
    gate.wait_for(1)
    task_manager.stop()
    assert not task_manager.is_running
    assert task_bridge.is_running
    assert task_manager.get_task_status(mine) == "cancelled"
    assert task_bridge.get_task_status(others) == "running"
    assert task_bridge.complete_task(others)


def test_a_global_face_waits_for_what_was_executed_if_it_is_told_to(gate):
    mine, held = (task_manager.register_task(name, gate, "done") for name in ("mine", "held"))
    task_manager.execute_task(mine)
    gate.wait_for(1)
    threading.Timer(0.05, gate.open).start()
    task_manager.shutdown(wait=True)
    assert task_manager.get_task_result(mine) == "done"
    assert task_manager.get_task_status(held) == "cancelled"


def test_a_task_may_stop_its_own_manager():
    def stop():
        task_manager.stop()
        return "stopped"

    id = task_manager.register_task("x", stop)
    assert task_manager.execute_task(id, wait=True) == "stopped"


def test_what_comes_after_a_task_has_stopped_its_manager_runs(new):
    tm = new(AsyncTaskManager)
    for n in range(5):
        assert tm.execute_task(tm.register_task("stop", tm.stop), wait=True) is None
        assert tm.execute_task(tm.register_task("x", double, n), wait=True) == 2 * n


def test_instances_keep_to_themselves_unless_they_share(new):
    mine, other = new(AsyncTaskManager), new(AsyncTaskManager)
    id = mine.register_task("x", double, 1)
    assert other.get_task(id) is None
    assert task_manager.get_task(id) is None
    sharing = new(TaskMonitor, engine=mine.engine)
    assert sharing.get_task_status(id) == "pending"


def test_windlass_retries_what_an_old_face_registered(new):
    ends = []

    class Counting(AsyncTaskManager):
        def _cleanup_task_resources(self, task):
            ends.append(task.status.value)

    tm, worked = new(Counting), threading.Event()

    def work():
        if not worked.is_set():
            worked.set()
            raise ValueError("first")
        return "second"

    id = tm.register_task("x", work)
    with pytest.raises(ValueError, match="first"):
        tm.execute_task(id, wait=True)
    tm.windlass.retry(id).result(SOON)
    tm.stop()
    assert tm.get_task_result(id) == "second"
    assert ends == ["failed", "completed"], "once for each end"


# -- threads and loops -----------------------------------------------------------------------------


def test_from_threads_and_loops_at_the_same_time(new):
    tm, results = new(AsyncTaskManager), []

    def plain():
        results.append(tm.execute_task(tm.register_task("x", double, 1), wait=True))

    def with_loop():
        async def main():
            here = asyncio.get_running_loop()

            async def where():
                await asyncio.sleep(0)
                return asyncio.get_running_loop() is here

            results.append(await tm.execute_task(tm.register_task("x", where)))

        asyncio.run(main())

    threads = [threading.Thread(target=t) for t in (plain, with_loop, plain, with_loop)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON)
    assert sorted(results) == [True, True, 2, 2]


def test_inside_tasks_other_tasks_are_waited_for(new):
    tm = new(AsyncTaskManager, 1)

    def deep(n):
        return n and tm.execute_task(tm.register_task("deeper", deep, n - 1), wait=True) + 1

    assert tm.execute_task(tm.register_task("deep", deep, 4), wait=True) == 4

    async def hopeless():
        return tm.execute_task(tm.register_task("x", double, 1), wait=True)

    with pytest.raises(windlass.TaskError, match="make it a dependency"):
        tm.execute_task(tm.register_task("x", hopeless), wait=True)


# -- events ----------------------------------------------------------------------------------------


def test_every_change_is_published(new, heard):
    tm = new(AsyncTaskManager)
    good = tm.register_task("good", double, 1)
    assert [event.event_type for event in heard] == [EventType.TASK_CREATED]
    tm.execute_task(good, wait=True)
    bad = tm.register_task("bad", int, "x", max_retries=1, retry_delay=0)
    with pytest.raises(ValueError, match="invalid literal"):
        tm.execute_task(bad, wait=True)
    gone = tm.register_task("gone", double, 1)
    tm.cancel_task(gone)
    told = [(event.event_type.name, event.data["task_id"]) for event in heard]
    assert told == [
        ("TASK_CREATED", good), ("TASK_STARTED", good), ("TASK_COMPLETED", good),
        ("TASK_CREATED", bad), ("TASK_STARTED", bad), ("TASK_STARTED", bad), ("TASK_FAILED", bad),
        ("TASK_CREATED", gone), ("TASK_CANCELLED", gone),
    ]  # fmt: skip
    assert heard[2].data["result"] == 2
    assert "invalid literal" in heard[6].data["error"]
    assert heard[8].data["error"] == "cancelled"


def test_progress_and_tasks_of_windlass_itself_are_published(new, heard):
    monitor = new(TaskMonitor)
    id = monitor.register_task()
    monitor.start_task(id)
    monitor.update_task_progress(id, 2, "far")
    assert heard[-1].event_type is EventType.TASK_PROGRESS
    assert (heard[-1].data["progress"], heard[-1].data["message"]) == (1.0, "far")
    native = monitor.windlass.submit(double, 1)
    native.result(SOON)
    monitor.windlass.stop().result(SOON)
    types = [event.event_type for event in heard if event.data["task_id"] == native.id]
    assert types == [EventType.TASK_CREATED, EventType.TASK_STARTED, EventType.TASK_COMPLETED]


def test_listeners_come_and_go(caplog):
    calls = []

    def broken(event):
        raise RuntimeError("deaf")

    event_system.subscribe(EventType.TASK_FAILED, broken)
    event_system.subscribe(EventType.TASK_FAILED, calls.append)
    event = create_task_event(EventType.TASK_FAILED, "t1", {"error": "no"})
    event_system.publish_sync(event)
    event_system.publish_sync(Event(EventType.TASK_CREATED))
    assert calls == [event]
    assert event.data == {"task_id": "t1", "error": "no"}
    assert event.timestamp is not None
    assert "deaf" in caplog.text
    assert event_system.unsubscribe(EventType.TASK_FAILED, broken)
    assert event_system.unsubscribe(EventType.TASK_FAILED, calls.append)
    assert not event_system.unsubscribe(EventType.TASK_FAILED, broken)


def test_when_there_are_more_events_than_the_observer_can_hold_every_end_is_told(new, gate):
    ended = []

    class Slow(AsyncTaskManager):
        def _cleanup_task_resources(self, task):
            ended.append(task.name)
            if task.name == "first":
                gate()

    tm = new(Slow)
    tm.execute_task(tm.register_task("first", double, 1))
    gate.wait_for(1)  # the thread that tells of everything is held up
    names = [f"task {n}" for n in range(5000)]
    for name in names:
        tm.execute_task(tm.register_task(name, double, 1))
    tm.windlass.join().result(SOON)
    gate.open()
    tm.windlass.stop().result(SOON)
    assert sorted(ended) == sorted(["first", *names])


def test_a_stop_is_over_when_everybody_has_been_told_of_it(new, gate, heard):
    class Slow(AsyncTaskManager):
        def _cleanup_task_resources(self, task):
            gate()

    slow = new(Slow)
    sharing = AsyncTaskManager(engine=slow.engine)
    slow.execute_task(slow.register_task("first", double, 1))
    gate.wait_for(1)  # the thread that tells of everything is held up
    id = sharing.register_task("held", double, 1)
    sharing.stop()
    assert heard[-1].event_type is EventType.TASK_CANCELLED
    assert heard[-1].data["task_id"] == id
    gate.open()


def test_what_is_forgotten_before_it_is_told_of_is_told_of_first(new, gate, heard):
    class Slow(AsyncTaskManager):
        def _cleanup_task_resources(self, task):
            gate()

    tm = new(Slow)
    bridge = new(TaskBridge, engine=tm.engine)
    tm.execute_task(tm.register_task("first", double, 1))
    gate.wait_for(1)  # the thread that tells of everything is held up
    id = bridge.register_task("second", double, (1,))
    bridge.execute_task(id)
    tm.windlass.join().result(SOON)
    assert bridge.cleanup_completed_tasks(0) == 2
    told = [event for event in heard if event.data["task_id"] == id]
    names = [event.event_type.name for event in told]
    assert names == ["TASK_CREATED", "TASK_STARTED", "TASK_COMPLETED"]
    assert told[-1].data["result"] == 2
    gate.open()


def test_one_retry_is_one_retry_however_it_shows(new):
    tm = new(AsyncTaskManager)
    record = tm.engine.records[tm.register_task("x", double, 1)]
    pending, failed = windlass.TaskStatus.PENDING, windlass.TaskStatus.FAILED
    retry = windlass.Change(record.id, "x", "default", failed, pending, 0.0, 1, "explicit retry")
    record.told_end = True
    record.reopen(None, open=True)
    assert not record.told_end, "it is open again"
    record.told_end = True
    record.reopen(retry, open=False)
    assert record.told_end, "that is the same retry, heard of later"
    record.reopen(retry, open=False)
    assert not record.told_end, "and this is another"


# -- imports ---------------------------------------------------------------------------------------


def test_importing_starts_nothing():
    told = python("""
        import asyncio, threading, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        import core, core.config, core.event_system, core.task, core.task.async_task_manager
        import core.task.config, core.task.monitor, core.task.unified_manager
        import core.task_management, core.task_management.exceptions
        import core.task_management.executor, core.task_management.task
        import core.task_management.task_manager, core.task_manager, core.thread_pool_manager
        from core.task import task_manager
        print(threading.active_count(), task_manager.windlass.is_open)
    """)
    assert told == "1 False\n"


def test_the_code_in_the_readme_runs(capsys):
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    first, lines = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)[:2]
    exec(first, {})
    assert capsys.readouterr().out == "pending held until it is executed\n"
    names = {"__path__": [], "__name__": "core"}
    exec(lines, names)
    assert any(folder.endswith("core") for folder in names["__path__"])


def test_modules_of_the_programs_own_package_are_found(tmp_path):
    own = tmp_path / "core"
    own.mkdir()
    (own / "crawler.py").write_text("NAME = 'mine'\n")
    code = """
        from core.crawler import NAME
        from core.task import task_manager
        id = task_manager.register_task("x", len, "ab")
        print(NAME, task_manager.execute_task(id, wait=True))
    """
    assert python(code, tmp_path) == "mine 2\n", "a folder without __init__.py"
    (own / "__init__.py").write_text(
        "from pkgutil import extend_path\n__path__ = extend_path(__path__, __name__)\n"
    )
    assert python(code, tmp_path) == "mine 2\n", "one that comes first and says the line"

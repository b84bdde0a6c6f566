"""The faults of the older systems, each shown to be gone, through every face it could be in."""

import asyncio
import subprocess
import sys
import textwrap
import threading
from itertools import pairwise

import pytest
from windlass import DuplicateTaskError, TaskDependencyError

from core import event_system
from core._engine import Engine
from core.task import AsyncTaskManager, TaskBridge, TaskMonitor
from core.task.unified_manager import UnifiedTaskManager
from core.task_management import SequentialExecutor, Task, TaskManager

SOON = 60


def double(x):
    return 2 * x


def broken():
    raise ValueError("boom")


class Sync:
    """A manager of plain code, or one that is awaited, used from plain code."""

    def __init__(self, face):
        self.face, self.windlass = face, face.windlass

    def _done(self, value):
        return asyncio.run(value) if asyncio.iscoroutine(value) else value

    def register(self, func, *args, **options):
        return self._done(self.face.register_task("x", func, args=args, **options))

    def execute(self, id):
        if isinstance(self.face, TaskManager):
            return self._done(self.face.execute_task(id, wait=False))
        return self._done(self.face.execute_task(id))

    def run(self, func, *args, **options):
        id = self.register(func, *args, **options)
        self.execute(id)
        return id

    def cancel(self, id):
        return self._done(self.face.cancel_task(id))

    def status(self, id):
        return self.windlass.get_task_status(id)

    def settle(self):
        self.windlass.join().result(SOON)


@pytest.fixture(params=["task", "task_management", "unified", "oldest", "bridge"])
def tm(request, new, oldest):
    kinds = {
        "task": AsyncTaskManager,
        "task_management": TaskManager,
        "unified": UnifiedTaskManager,
        "oldest": oldest.TaskManager,
        "bridge": TaskBridge,
    }
    return Sync(new(kinds[request.param]))


def test_a_bad_priority_is_refused_and_hurts_nobody(tm):
    with pytest.raises(ValueError, match="a priority is one of"):
        tm.register(double, 1, priority="the highest")
    id = tm.run(double, 1, priority="critical")
    tm.settle()
    assert tm.windlass.get_task_result(id) == 2


def test_no_deadlock_after_start(tm):
    before = tm.register(double, 1)
    tm.face.start()
    after = tm.run(double, 2, dependencies=[before])
    tm.settle()
    assert tm.windlass.get_task_result(after) == 4


def test_no_dependent_waits_for_ever(tm):
    first = tm.register(broken)
    second = tm.register(double, 1, dependencies=[first])
    third = tm.run(double, 1, dependencies=[second])
    tm.settle()
    assert [tm.status(id) for id in (first, second, third)] == ["failed"] * 3
    late = tm.register(double, 1, dependencies=[first])
    assert tm.status(late) == "failed", "also if the dependency had failed long before"
    gone = tm.register(double, 1)
    after = tm.register(double, 1, dependencies=[gone])
    assert tm.cancel(gone)
    assert tm.status(after) == "cancelled"
    if isinstance(tm.face, TaskManager):
        with pytest.raises(TaskDependencyError):
            asyncio.run(tm.face.execute_task(late))


def test_cancelled_work_neither_completes_nor_is_retried(tm, gate):
    id = tm.run(gate, "late", max_retries=3, retry_delay=0)
    gate.wait_for(1)
    assert tm.cancel(id)
    assert tm.status(id) == "cancelled"
    gate.open()
    tm.settle()
    assert tm.status(id) == "cancelled"
    assert tm.windlass.get_task_result(id) is None
    assert tm.windlass.get_task(id).attempt == 1


def test_a_timed_out_thread_gives_its_slot_back(new, gate):
    tm = Sync(new(AsyncTaskManager, 1))
    slow = tm.run(gate, timeout=0.02)
    gate.wait_for(1)
    quick = tm.run(double, 1)
    tm.settle()
    assert (tm.status(slow), tm.status(quick)) == ("failed", "completed")


@pytest.mark.parametrize(
    "program",
    [
        "tm.execute_task(tm.register_task('x', threading.Event().wait))",
        "tm.execute_task(tm.register_task('x', threading.Event().wait, timeout=0.01))",
        "tm.execute_task(tm.register_task('x', asyncio.sleep, 100)); tm.start()",
        "tm.cancel_task(tm.register_task('x', print))",
        "task_bridge.start_task(task_bridge.register_task('y'))",
    ],
)
def test_the_interpreter_is_never_kept_from_leaving(program):
    code = f"""
        import asyncio, threading
        from core.task import task_manager as tm, task_bridge
        {program}
        print("leaving")
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=SOON,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "leaving\n", "")


def test_what_queues_is_not_called_running_and_limits_hold(new, gate, oldest, pool):
    for make in (
        lambda: new(AsyncTaskManager, 2),
        lambda: new(TaskManager, 2),
    ):
        tm, before = Sync(make()), gate.inside
        ids = [tm.run(gate) for _ in range(5)]
        gate.wait_for(2)
        statuses = [tm.status(id) for id in ids]
        assert sorted(statuses) == ["pending"] * 3 + ["running"] * 2
        assert gate.inside - before == 2


def test_plain_functions_never_run_on_the_event_loop(tm):
    on_loop = []

    def look():
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            on_loop.append(False)
        else:
            on_loop.append(True)

    async def main():
        id = tm.face.register_task("x", look)
        id = await id if asyncio.iscoroutine(id) else id
        executed = tm.face.execute_task(id)
        if not isinstance(tm.face, UnifiedTaskManager):
            await executed
        else:
            await executed
            await tm.windlass.join()

    asyncio.run(main())
    assert on_loop == [False]


def test_the_backoff_between_retries_is_applied(tm):
    times = []
    id = tm.run(lambda: times.append(1) or broken(), max_retries=2, retry_delay=0.05)
    tm.settle()
    attempts = tm.windlass.get_task(id).attempts
    waits = [
        (later.started_at - sooner.ended_at).total_seconds() for sooner, later in pairwise(attempts)
    ]
    assert len(times) == 3
    assert waits[0] >= 0.05 * 0.9
    assert waits[1] >= 0.1 * 0.9, "exponential"


def test_a_managers_arguments_count_although_there_is_a_global_one(new, oldest, pool):
    from core.task import task_manager

    task_manager.register_task("x", double, 1)
    mine = new(AsyncTaskManager, 3)
    assert mine.get_metrics()["max_workers"] == 3
    assert mine.get_all_tasks() == []
    assert new(TaskManager, 7).get_metrics()["max_concurrent_tasks"] == 7
    assert new(pool.ThreadPoolManager, max_workers=5).get_metrics()["max_workers"] == 5
    assert new(TaskMonitor, "elsewhere").log_dir.name == "elsewhere"


def test_an_id_that_is_taken_is_refused(tm, gate):
    id = tm.run(gate, "first", task_id="mine")
    gate.wait_for(1)
    with pytest.raises(DuplicateTaskError, match="mine"):
        tm.register(double, 1, task_id="mine")
    gate.open()
    tm.settle()
    assert tm.windlass.get_task_result(id) == "first"


def test_stop_waits_for_clean_up(tm):
    cleaned, running = threading.Event(), threading.Event()

    async def work():
        running.set()
        try:
            await asyncio.sleep(SOON)
        finally:
            await asyncio.sleep(0.05)
            cleaned.set()

    if isinstance(tm.face, TaskManager | UnifiedTaskManager):

        async def main():
            id = tm.face.register_task("x", work)
            id = await id if asyncio.iscoroutine(id) else id
            await tm.face.execute_task(id, wait=False)
            while not running.is_set():
                await asyncio.sleep(0)
            await tm.face.stop()
            return id

        id = asyncio.run(main())
    else:
        id = tm.run(work)
        assert running.wait(SOON)
        tm.face.stop()
    assert cleaned.is_set()
    assert tm.status(id) == "cancelled"


def test_a_waiters_timeout_leaves_the_task_alone(tm, gate):
    id = tm.register(gate, "there")

    async def main():
        with pytest.raises(asyncio.TimeoutError):
            waiting = (
                tm.face.execute_task(id, wait=True)
                if isinstance(tm.face, UnifiedTaskManager)
                else tm.face.execute_task(id)
            )
            await asyncio.wait_for(waiting, 0.02)

    asyncio.run(main())
    assert tm.status(id) in {"pending", "running"}
    gate.open()
    tm.settle()
    assert tm.windlass.get_task_result(id) == "there"


def test_a_listener_that_raises_hides_nothing(tm, caplog):
    def listen(event):
        raise RuntimeError("listeners")

    event_system.subscribe(event_system.EventType.TASK_FAILED, listen)
    try:
        id = tm.run(broken)
        tm.settle()
        assert type(tm.windlass.get_task(id).error) is ValueError
        tm.windlass.stop().result(SOON)
        assert "listeners" in caplog.text
    finally:
        assert event_system.unsubscribe(event_system.EventType.TASK_FAILED, listen)


def test_finished_tasks_are_not_kept_for_ever(new, oldest):
    tm = Sync(new(oldest.TaskManager, history_limit=20))
    for n in range(5):
        for _ in range(400):
            tm.run(double, n)
        tm.settle()
    assert len(tm.face.get_all_tasks()) <= 20
    assert len(tm.face.engine.records) <= 1600, "nor is what the face knows of them"


def test_no_face_keeps_ended_tasks_for_ever_by_default(new, clock, monkeypatch):
    monkeypatch.setattr("core._engine._REMEMBERED", 50)
    tm = Sync(new(AsyncTaskManager, engine=Engine(clock=clock)))
    for n in range(200):
        tm.run(double, n)
    tm.settle()
    assert len(tm.face.get_all_tasks()) == 50
    clock.ahead = 86_401
    last = tm.run(double, 1)
    tm.settle()
    assert [task.task_id for task in tm.face.get_all_tasks()] == [last]


def test_a_log_never_leaves_its_folder(new, tmp_path):
    monitor = new(TaskMonitor, tmp_path / "logs")
    monitor.register_task("../../x")
    assert monitor.log_task_message("../../x", "hello")
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]


def test_one_at_a_time_means_one_at_a_time(new):
    inside, most = [], []

    def work():
        inside.append(1)
        most.append(len(inside))
        inside.pop()

    async def main():
        executor = SequentialExecutor()
        await asyncio.gather(*(executor.execute(Task(func=work)) for _ in range(10)))
        await executor.shutdown()

    asyncio.run(main())
    assert most == [1] * 10

"""What the contract does not ask: Celery's own ways, errors, batches, and what travels."""

from __future__ import annotations

import threading
from base64 import b64encode
from traceback import format_exception

import pytest

from windlass import SerializationError, TaskError, TaskManager, TaskNotFoundError, TaskStatus, task
from windlass.codecs import MsgpackCodec
from windlass.testing.contracts import errands

LIMIT = 60.0


@pytest.fixture
def executor(program, worker):
    from windlass.celery import CeleryExecutor

    return lambda **settings: CeleryExecutor(program.app, **settings)


@pytest.fixture
def manager(executor):
    with TaskManager(executors={"celery": executor()}) as manager:
        yield manager


class Story:
    """What has happened to the tasks of a manager."""

    def __init__(self, manager):
        self.told, self._news = [], threading.Condition()
        self._subscription = manager.subscribe(self._hear)

    def _hear(self, changes):
        with self._news:
            self.told += changes
            self._news.notify_all()

    def wait_for(self, handle, after):
        """Wait until the task is in the status ``after``."""

        def is_told():
            return any(
                change.task_id == handle.id and change.after is after for change in self.told
            )

        with self._news:
            assert self._news.wait_for(is_told, LIMIT), self.told


def test_many_are_in_flight_and_all_come_back(manager, program):
    handles = manager.map(program.add, range(200))
    assert manager.gather(*handles).result(LIMIT) == list(range(200))


def test_tiny_tasks_share(manager, program):
    assert manager.map(program.add, range(100), chunksize=25).result(LIMIT) == list(range(100))
    assert manager.map(program.add_soon, range(9), chunksize=4)[7].result(LIMIT) == 7
    with pytest.raises(SerializationError, match="decorated with @task"):
        manager.map(task(lambda n: n, executor="celery"), range(9), chunksize=4)


def test_a_task_is_pending_until_a_worker_begins_it(manager, program, gate):
    blockers = [manager.submit(program.visit, gate.address) for _ in range(4)]
    visitors = [gate.arrival() for _ in blockers]
    story = Story(manager)
    waiting = manager.submit(program.visit, gate.address)
    claimed = manager._runtime.engine.claimed
    manager._doors.when(lambda: waiting._job in claimed, "handing over").result(LIMIT)
    assert waiting.status is TaskStatus.PENDING
    for visitor in visitors:
        visitor.let_go()
    last = gate.arrival()
    story.wait_for(waiting, TaskStatus.RUNNING)
    last.let_go()
    assert waiting.result(LIMIT) == "!"


def test_one_that_no_worker_has_begun_is_taken_back_at_once(manager, program, gate):
    blockers = [manager.submit(program.visit, gate.address) for _ in range(4)]
    visitors = [gate.arrival() for _ in blockers]
    waiting = manager.submit(errand(errands.leave_a_trace), gate.address)
    assert waiting.cancel()
    assert waiting.status is TaskStatus.CANCELLED
    flights = manager._runtime.executors["celery"]._flights
    manager._doors.when(lambda: len(flights) == len(blockers), "taking back").result(LIMIT)
    for visitor in visitors:
        visitor.let_go()
    manager.gather(*blockers).result(LIMIT)
    gate._server.settimeout(0.5)
    with pytest.raises(TimeoutError):  # nobody comes
        gate.arrival()


def errand(function):
    return task(function, executor="celery")


def test_the_queue_is_asked_for_by_executor_and_by_task(executor, program, gate, own_worker):
    side = own_worker("-c", "1", "-Q", "side")
    with TaskManager(executors={"celery": executor(), "side": executor(queue="side")}) as manager:
        by_executor = task(program.where.__wrapped__, executor="side")
        by_task = program.where.options(metadata={"celery": {"queue": "side"}})
        parents = {manager.submit(asked).result(LIMIT)[1] for asked in (by_executor, by_task)}
        assert parents == {side.process.pid}
        elsewhere = manager.submit(program.where).result(LIMIT)[1]
        assert elsewhere != side.process.pid
        with pytest.raises(SerializationError, match="takes a dict of Celery's options"):
            manager.submit(program.where.options(metadata={"celery": "gpu"})).result(LIMIT)


def test_options_that_celery_refuses_fail_the_task_at_once(manager, program):
    bad = program.add.options(metadata={"celery": {"serializer": "none"}})
    handles = [manager.submit(asked, 1) for asked in (bad, program.add)]
    with pytest.raises(TaskError, match=r"add \[.*\] cannot be sent to a worker: .*serializer"):
        handles[0].result(60)
    assert handles[1].result(LIMIT) == 1


def test_an_option_that_looks_like_a_slip_is_refused(executor, manager, program):
    for slip, meant in (("qeue", "queue"), ("patiense", "patience")):
        with pytest.raises(TypeError, match=rf"no option '{slip}'. Did you mean '{meant}'\?"):
            executor(**{slip: 1})
    bad = program.add.options(metadata={"celery": {"prioriti": 1}})
    with pytest.raises(TaskError, match=r"of add has no option 'prioriti'. Did you mean 'prio"):
        manager.submit(bad, 1).result(LIMIT)
    assert executor(MessageGroupId="1", queue="a").options == {"MessageGroupId": "1", "queue": "a"}


def test_where_a_worker_raised_an_error_is_seen_by_whoever_prints_it(manager, program):
    with pytest.raises(TaskError) as caught:
        manager.submit(program.large, "wide").result(LIMIT)
    printed = "".join(format_exception(caught.value))
    assert 'return b"x" * size' in printed
    assert printed.count("Raised elsewhere:") == 1


def test_nothing_is_left_behind_in_redis(executor, program, server):
    import redis

    with redis.Redis(port=server.port) as client:
        with TaskManager(executors={"celery": executor()}) as manager:
            assert manager.submit(program.add, 1).result(LIMIT) == 1
            post = manager._runtime.executors["celery"]._post
        post._thread.join(LIMIT)
        assert client.keys(f"windlass:{post._manager}:*") == []


def test_results_and_arguments_have_a_limit(executor, program):
    with TaskManager(executors={"celery": executor(max_bytes=1_000)}) as manager:
        with pytest.raises(SerializationError, match=r"the result of large .* max_bytes is 1,000"):
            manager.submit(program.large, 2_000).result(LIMIT)
        with pytest.raises(SerializationError, match=r"the arguments of add .* max_bytes is 1,000"):
            manager.submit(program.add, 1, b"x" * 2_000).result(LIMIT)
        assert manager.submit(program.add, 1, 2).result(LIMIT) == 3


def test_a_worker_whose_program_does_not_know_the_task_is_named(manager):
    def newer() -> None: ...

    newer.__qualname__ = "newer"
    newer_task = task(newer, id="program.newer", executor="celery")
    with pytest.raises(
        TaskNotFoundError, match=r"shared@here does not know the task 'program.newer'"
    ):
        manager.submit(newer_task).result(LIMIT)


def test_what_is_no_task_is_refused_at_submit(manager):
    with pytest.raises(SerializationError, match="decorated with @task"):
        manager.submit(task(lambda: 1, executor="celery"))


def test_what_is_logged_over_there_names_the_task(manager, program, worker):
    handle = manager.submit(program.speak)
    handle.result(LIMIT)
    assert worker.says("spoken by") == f"spoken by {handle.id}, attempt 1\n"
    assert [line.text for line in manager.get_task_log(handle)] == ["spoken"]


def test_progress_is_told_ten_times_a_second_and_at_the_end(manager, program):
    handle = manager.submit(program.count_to, 5_000)
    assert handle.result(LIMIT) == 5_000
    assert manager.get_task_progress(handle) == (1.0, "5000 of 5000")


def test_steps_are_kept(manager, program, gate):
    handle = manager.submit(program.steps.options(max_retries=1, retry_delay=0), gate.address)
    gate.arrival().let_go("f")
    gate.arrival().let_go()
    assert handle.result(LIMIT) == [2, 2]


def test_nothing_else_can_be_called_through_it(program, worker):
    """The one task opens letters; what it calls is looked up among the decorated functions."""
    from windlass.celery.words import CodecWords

    words = CodecWords(None)
    letter = {"function": "os.system", "name": "x", "task": "x", "parts": ["", "", ""]}
    with pytest.raises(TaskNotFoundError):
        words.parcel(letter, (), "here")
    call = b64encode(MsgpackCodec().encode_call(("os.system", ["true"]), {})).decode()
    letter |= {"function": "windlass.chunk", "parts": [call, "", ""]}
    with pytest.raises(SerializationError, match="made of calls of a task"):
        words.parcel(letter, (), "here")

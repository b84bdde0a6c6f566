"""Circuit breakers: what opens them, who waits or fails meanwhile, and how they close again."""

from __future__ import annotations

import asyncio
import threading

import pytest

from windlass import (
    Breaker,
    Change,
    CircuitOpenError,
    Gate,
    GateChange,
    Retry,
    TaskCancellationError,
    TaskDependencyError,
    TaskManager,
    TaskTimeoutError,
    task,
)

from .stage import SOON, Door, double_async, fail, forever, on_a_loop


class Service:
    """Somebody else's service, which is down for a while."""

    def __init__(self, world):
        self._world = world
        self.calls = []
        self.down = (0.0, 0.0)
        self.error = ConnectionError

    async def __call__(self, result=None):
        now = self._world.elapsed
        self.calls.append(now)
        if self.down[0] <= now < self.down[1]:
            raise self.error("the service is down")
        return result


@pytest.fixture
def service(windlass_world):
    return Service(windlass_world)


def gates_of(breaker, **options):
    return [Gate("api", breaker=breaker, **options)]


async def until_ended(tm, *handles):
    return await tm.gather(*handles, return_errors=True)


def states(world):
    return [
        (event.elapsed, event.change.before, event.change.after)
        for event in world.events
        if isinstance(event.change, GateChange)
    ]


def test_it_opens_probes_and_closes(windlass_world, service):
    service.down = (0, 25)

    async def scenario(tm):
        handles = [tm.submit(task(service, gates=["api"]), n) for n in range(10)]
        return await until_ended(tm, *handles)

    results = windlass_world.run(scenario, gates=gates_of(Breaker(2, reset=10), slots=1))
    # Two fail, then one every ten seconds finds out, and when it is well again all go on at once.
    assert service.calls == pytest.approx([0, 0, 10, 20, *[30] * 6])
    assert all(isinstance(result, ConnectionError) for result in results[:4])
    assert results[4:] == [4, 5, 6, 7, 8, 9]
    assert states(windlass_world) == [
        (0, "closed", "open"),
        (10, "open", "half-open"),
        (10, "half-open", "open"),
        (20, "open", "half-open"),
        (20, "half-open", "open"),
        (30, "open", "half-open"),
        (30, "half-open", "closed"),
    ]


def test_a_success_between_two_failures_keeps_it_closed(windlass_world):
    async def scenario(tm):
        for _ in range(5):
            await until_ended(tm, tm.submit(task(fail, gates=["api"])))
            await tm.submit(task(double_async, gates=["api"]), 1)
        assert tm.gate("api").state == "closed"

    windlass_world.run(scenario, gates=gates_of(Breaker(2, reset=10)))


def test_a_share_of_the_attempts_in_a_window(windlass_world, service):
    async def scenario(tm):
        async def call(*, fails):
            service.down = (0, 1e9) if fails else (0, 0)
            await until_ended(tm, tm.submit(task(service, gates=["api"])))
            await asyncio.sleep(1)
            return tm.gate("api").state

        for fails in (True, False, False, True, False, False, True, False):
            assert await call(fails=fails) == "closed", "less than half, or too few"
        assert await call(fails=True) == "open", "three of the six in the last six seconds"

    breaker = Breaker(0.5, window=6, at_least=5, reset=10)
    windlass_world.run(scenario, gates=gates_of(breaker))


def test_only_the_errors_it_is_about_count(windlass_world):
    async def scenario(tm):
        for error in (ValueError("yours"), FileNotFoundError("mine")):
            for _ in range(5):
                door = Door()
                door.fail(error)
                await until_ended(tm, tm.submit(task(door, gates=["api"])))
            assert tm.gate("api").state == "closed"
        door.fail(ConnectionError("down"))
        for _ in range(2):
            await until_ended(tm, tm.submit(task(door, gates=["api"])))
        assert tm.gate("api").state == "open"

    breaker = Breaker(2, reset=10, on=(OSError,), unless=(FileNotFoundError,))
    windlass_world.run(scenario, gates=gates_of(breaker))


def test_retries_of_one_task_count_and_wait_for_it(windlass_world, service):
    service.down = (0, 5)

    async def scenario(tm):
        patient = task(service, gates=["api"], retry=Retry(5, delay=1, backoff=1, jitter=0))
        assert await tm.submit(patient, "well") == "well"

    windlass_world.run(scenario, gates=gates_of(Breaker(3, reset=60)))
    assert service.calls == pytest.approx([0, 1, 2, 62]), "three of one task are three"


def test_a_timeout_counts(windlass_world):
    async def scenario(tm):
        slow = task(forever, gates=["api"], timeout=2)
        (error,) = await until_ended(tm, tm.submit(slow))
        assert isinstance(error, TaskTimeoutError)
        assert tm.gate("api").state == "open"

    windlass_world.run(scenario, gates=gates_of(Breaker(1, reset=60)))


def test_one_probe_at_a_time_and_a_cancelled_one_says_nothing(windlass_world, service):
    service.down = (0, 5)

    async def scenario(tm):
        await until_ended(tm, tm.submit(task(service, gates=["api"])))
        door, api = Door(), tm.gate("api")
        probes = [tm.submit(task(door, gates=["api"]), n) for n in range(3)]
        await door.came()
        assert windlass_world.elapsed == pytest.approx(10)
        await asyncio.sleep(1)
        assert (api.state, api.held, api.waiting) == ("half-open", 1, 2)
        assert probes[1].explain() == (
            "1st in line at gate `api`, which waits for one task to show whether it works again"
        )
        probes[0].cancel()
        await door.came()
        assert (api.state, api.held, api.waiting) == ("half-open", 1, 1)
        door.open()
        assert await tm.gather(*probes[1:]) == [1, 2]
        assert api.state == "closed"

    windlass_world.run(scenario, gates=gates_of(Breaker(1, reset=10), slots=5))


def test_those_who_were_on_when_it_opened_do_not_close_it(windlass_world, service):
    service.down = (0, 5)

    async def scenario(tm):
        door = Door()
        well = tm.submit(task(door, gates=["api"]))
        await door.came()
        await until_ended(tm, tm.submit(task(service, gates=["api"])))
        door.open()
        await well
        assert tm.gate("api").state == "open"

    windlass_world.run(scenario, gates=gates_of(Breaker(1, reset=10)))


def test_whoever_would_rather_fail_fails(windlass_world, service):
    service.down = (0, 15)

    async def scenario(tm):
        api = tm.gate("api")
        eager = task(service, gates=["api"], when_open="fail")
        patient = tm.submit(task(service, gates=["api"]).options(delay=1), "patient")
        in_line = tm.submit(eager.options(delay=0.5), 1)
        first = tm.submit(task(service, gates=["api"]))
        await until_ended(tm, first)
        with pytest.raises(CircuitOpenError) as caught:
            await in_line
        assert windlass_world.elapsed == pytest.approx(0.5), "not a second later"
        assert str(caught.value).endswith(
            "was not run: the circuit breaker of the gate 'api' is open and tries again in 9.5 s. "
            "Submit it again then, or leave out when_open='fail' and it waits"
        )
        assert caught.value.details == {"gate": "api"}
        assert caught.value.task_id == in_line.id
        with pytest.raises(CircuitOpenError, match="tries again in 9.5 s"):
            await tm.submit(eager, 2)
        follows = tm.submit(double_async, tm.submit(eager, 3).output)
        with pytest.raises(TaskDependencyError, match="failed with CircuitOpenError"):
            await follows
        assert api.metrics().refused == 3
        assert in_line.info.attempt == 0
        assert await until_ended(tm, patient)
        assert service.calls == pytest.approx([0, 10])

    windlass_world.run(scenario, gates=gates_of(Breaker(1, reset=10)))


def test_those_in_line_fail_when_it_opens_if_they_asked_for_it(windlass_world):
    async def scenario(tm):
        door = Door()
        runs = tm.submit(task(door, gates=["api"]))
        await door.came()
        eager = tm.submit(task(double_async, gates=["api"], when_open="fail"), 1)
        patient = tm.submit(task(double_async, gates=["api"]), 1)
        await asyncio.sleep(1)
        assert tm.gate("api").waiting == 2
        door.fail(ConnectionError())
        with pytest.raises(CircuitOpenError):
            await eager
        assert tm.explain(eager).startswith("failed: double_async")
        assert patient.explain().startswith(
            "1st in line at gate `api`, which is open after failures; it tries again "
        )
        await until_ended(tm, runs)
        assert await patient == 2
        assert windlass_world.elapsed == pytest.approx(11)

    windlass_world.run(scenario, gates=gates_of(Breaker(1, reset=10), slots=1))


def test_a_retry_fails_at_once_too(windlass_world):
    async def scenario(tm):
        retry = Retry(5, delay=1, jitter=0)
        eager = task(fail, executor="sequential", gates=["api"], when_open="fail", retry=retry)
        with pytest.raises(CircuitOpenError):
            await tm.submit(eager)
        assert windlass_world.elapsed == pytest.approx(1)

    windlass_world.run(scenario, gates=gates_of(Breaker(1, reset=60)))


def test_who_expires_while_it_is_open_is_cancelled(windlass_world, service):
    service.down = (0, 15)

    async def scenario(tm):
        await until_ended(tm, tm.submit(task(service, gates=["api"])))
        with pytest.raises(TaskCancellationError, match="expired"):
            await tm.submit(task(service, gates=["api"], expires=3))
        assert windlass_world.elapsed == pytest.approx(3)

    windlass_world.run(scenario, gates=gates_of(Breaker(1, reset=10)))


def test_leaving_waits_until_it_has_closed(windlass_world, service):
    service.down = (0, 15)

    async def scenario(tm):
        return [tm.submit(task(service, gates=["api"]), n) for n in range(3)]

    handles = windlass_world.run(scenario, gates=gates_of(Breaker(1, reset=10), slots=1))
    assert [handle.status for handle in handles] == ["failed", "failed", "completed"]


# -- who hears of it -------------------------------------------------------------------------------


@on_a_loop
async def test_a_coroutine_reads_of_it_between_the_tasks():
    async with TaskManager(gates=gates_of(Breaker(1, reset=0.01))) as tm:
        changes = tm.changes()
        failed = tm.submit(task(fail, gates=["api"]))
        await until_ended(tm, failed)
        await tm.submit(task(double_async, gates=["api"]), 1)
        heard = []
        async for change in changes:
            if isinstance(change, GateChange):
                heard.append(change)
                if change.after == "closed":
                    break
        assert [(c.gate, c.before, c.after) for c in heard] == [
            ("api", "closed", "open"),
            ("api", "open", "half-open"),
            ("api", "half-open", "closed"),
        ]
        assert [c.cause for c in heard] == [
            f"ValueError of fail [{failed.id}]",
            "its reset time is over",
            "a probe",
        ]
        assert heard[1].at - heard[0].at >= 0.01
        assert abs(heard[0].at - failed.info.ended_at.timestamp()) < 1


def test_a_subscriber_of_plain_code_hears_of_it():
    heard, closed = [], threading.Event()

    def hear(batch):
        heard.extend(batch)
        if any(isinstance(c, GateChange) and c.after == "closed" for c in batch):
            closed.set()

    with TaskManager(gates=gates_of(Breaker(1, reset=0.01))) as tm:
        tm.subscribe(hear)
        tm.gather(tm.submit(task(fail, gates=["api"])), return_errors=True).result(timeout=SOON)
        assert tm.submit(task(double_async, gates=["api"]), 1).result(timeout=SOON) == 2
        assert closed.wait(SOON)
        assert tm.gate("api").state == "closed"
    circuit = [c.after for c in heard if isinstance(c, GateChange)]
    assert circuit == ["open", "half-open", "closed"]
    assert any(isinstance(c, Change) for c in heard)


def test_it_is_logged(windlass_world, caplog, service):
    service.down = (0, 5)

    async def scenario(tm):
        await until_ended(tm, tm.submit(task(service, gates=["api"])))
        await tm.submit(task(service, gates=["api"]))

    windlass_world.run(scenario, gates=gates_of(Breaker(1, reset=10)))
    said = [(r.levelname, r.getMessage()) for r in caplog.records if "gate" in r.getMessage()]
    assert said == [("WARNING", "gate api is open: ConnectionError of Service [w1-1]")]

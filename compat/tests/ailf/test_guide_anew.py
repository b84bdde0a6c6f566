"""The examples of the older system's guide, by their numbers: the same calls in the same order."""

import asyncio
import json

import pytest

from ailf.async_tasks import TaskManager, TaskStatus
from ailf.messaging.redis import AsyncRedisClient, RedisPubSub


async def step(seconds=1, result="done"):
    await asyncio.sleep(seconds)
    return result


async def test_01_submit_look_and_look_again(virtual_time):
    manager = TaskManager()
    await manager.start()
    said = []

    async def greet():
        said.append("hello")
        await asyncio.sleep(2)
        return "greeted"

    id = await manager.submit(greet())
    assert manager.get_task_info(id).status == TaskStatus.PENDING
    assert said == []
    await asyncio.sleep(3)
    assert manager.get_task_info(id).result == "greeted"
    await manager.stop()


async def test_02_a_result_or_an_error_by_status(virtual_time):
    manager = TaskManager()

    async def refuse():
        raise PermissionError("not today")

    def outcome(id):
        info = manager.get_task_info(id)
        if info.status == TaskStatus.COMPLETED:
            return info.result
        if info.status == TaskStatus.FAILED:
            return info.error
        return None

    ids = [await manager.submit(step()), await manager.submit(refuse())]
    assert [outcome(id) for id in ids] == [None, None]
    await asyncio.sleep(2)
    assert [outcome(id) for id in ids] == ["done", "not today"]
    await manager.stop()


async def test_03_a_timeout(virtual_time):
    manager = TaskManager()
    id = await manager.submit(step(10), timeout=5)
    await asyncio.sleep(6)
    info = manager.get_task_info(id)
    assert info.status == TaskStatus.FAILED
    assert "timed out" in info.error
    assert info.completed_at - info.started_at == pytest.approx(5)
    await manager.stop()


async def test_04_progress_that_is_polled(virtual_time):
    manager = TaskManager()

    async def dig():
        for n in range(10):
            await asyncio.sleep(0.5)
            manager.update_progress(id, (n + 1) * 10)
        return "deep"

    id = await manager.submit(dig())
    seen = []
    for _ in range(5):
        await asyncio.sleep(1)
        seen.append(manager.get_task_info(id).progress)
    # The two clocks agree at every whole second; who of the two comes first then does not matter.
    assert all(abs(percent - 20 * (n + 1)) <= 10 for n, percent in enumerate(seen))
    assert await manager.wait_for_task(id) == "deep"
    await manager.stop()


async def test_05_cancelling_a_running_task(virtual_time):
    manager = TaskManager()
    tidied = []

    async def stay():
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            tidied.append("left")
            raise

    id = await manager.submit(stay())
    await asyncio.sleep(2)
    success = await manager.cancel_task(id)
    assert success
    assert tidied == ["left"]
    assert manager.get_task_info(id).status == TaskStatus.CANCELLED
    await manager.stop()


async def test_06_waiting_with_a_limit(virtual_time):
    manager = TaskManager()
    quick = await manager.submit(step(1))
    assert await manager.wait_for_task(quick, timeout=5) == "done"
    slow = await manager.submit(step(8))
    assert await manager.wait_for_task(slow, timeout=5) is None
    assert await manager.wait_for_task(slow, timeout=5) == "done", "the wait ended, not the task"
    await manager.stop()


async def test_07_metadata(virtual_time):
    manager = TaskManager()
    about = {"owner": "u-7", "priority": "high", "what": "tidy up"}
    id = await manager.submit(step(), metadata=about)
    assert manager.get_task_info(id).metadata == about
    await manager.stop()


async def test_08_lists(virtual_time):
    manager = TaskManager()
    for seconds in (0, 5, 5):
        await manager.submit(step(seconds))
    assert len(manager.list_tasks()) == 3
    assert len(manager.list_tasks(status=TaskStatus.PENDING)) == 3
    await asyncio.sleep(1)
    assert len(manager.list_tasks(status=TaskStatus.RUNNING)) == 2
    assert len(manager.list_tasks(status=TaskStatus.PENDING)) == 0
    await manager.stop()


async def test_09_an_error_is_captured(virtual_time):
    manager = TaskManager()

    async def break_down():
        await asyncio.sleep(1)
        raise ValueError("the axle")

    id = await manager.submit(break_down())
    await asyncio.sleep(2)
    info = manager.get_task_info(id)
    assert info.status == TaskStatus.FAILED
    assert info.error == "the axle"
    await manager.stop()


async def test_10_an_agent_that_answers_through_redis(server, default_port):
    default_port(server.port)

    async def set_up():
        redis = AsyncRedisClient()
        pubsub = RedisPubSub(client=redis)
        manager = TaskManager()
        await redis.connect()
        await manager.start()

        async def on_message(channel, message):
            await manager.submit(answer(json.loads(message)), metadata={"from": channel})

        await pubsub.subscribe("shop:orders", on_message)

        async def answer(order):
            await pubsub.publish("shop:bills", json.dumps({"paid": order["price"]}))

        return redis, pubsub, manager

    redis, pubsub, manager = await set_up()
    customer = RedisPubSub(client=AsyncRedisClient())
    bills = asyncio.Queue()

    async def on_bill(channel, message):
        await bills.put(json.loads(message))

    await customer.subscribe("shop:bills", on_bill)
    for price in range(3):
        await customer.publish("shop:orders", {"price": price})
    paid = [(await bills.get())["paid"] for _ in range(3)]
    assert sorted(paid) == [0, 1, 2]
    assert [info.metadata for info in manager.list_tasks()] == [{"from": "shop:orders"}] * 3
    await pubsub.unsubscribe_all()
    await manager.stop()
    await redis.disconnect()
    await customer.close()
    await customer.client.disconnect()


@pytest.mark.timeout(90)
async def test_11_celery_does_the_work_and_a_task_watches(tasks):
    manager = TaskManager()
    await manager.start()

    async def coordinate(ids):
        sent = [tasks.process_document.delay(id) for id in ids]
        results = []
        for one in sent:
            while not one.ready():
                await asyncio.sleep(0.05)
            results.append(one.get())
        return results

    id = await manager.submit(coordinate(["a", "b", "c"]))
    results = await manager.wait_for_task(id)
    assert [result["document_id"] for result in results] == ["a", "b", "c"]
    assert {result["status"] for result in results} == {"success"}
    await manager.stop()


async def test_12_start_and_stop(virtual_time):
    manager = TaskManager()
    await manager.start()
    id = await manager.submit(step(100))
    await asyncio.sleep(1)
    await manager.stop()
    assert manager.get_task_info(id).status == TaskStatus.CANCELLED


async def test_13_stop_in_finally(virtual_time):
    manager = TaskManager()
    with pytest.raises(KeyError):
        try:
            id = await manager.submit(step(100))
            raise KeyError
        finally:
            await manager.stop()
    assert manager.get_task_info(id).status == TaskStatus.CANCELLED


async def test_14_a_task_that_handles_what_happens_to_it(virtual_time):
    manager = TaskManager()
    story = []

    async def robust(error):
        try:
            await asyncio.sleep(1)
            if error is not None:
                raise error
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            story.append("cancelled")
            raise
        except Exception as raised:
            story.append(str(raised))
            raise

    cancelled = await manager.submit(robust(None))
    failed = await manager.submit(robust(ValueError("no luck")))
    await asyncio.sleep(2)
    assert await manager.cancel_task(cancelled)
    assert story == ["no luck", "cancelled"]
    assert manager.get_task_info(cancelled).status == TaskStatus.CANCELLED
    assert manager.get_task_info(failed).error == "no luck"
    await manager.stop()

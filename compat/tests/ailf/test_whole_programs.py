"""Whole programs: they end when they are done, and have packages of the same names."""

import subprocess
import sys

LEAVING = """
import asyncio, sys
from ailf import TaskManager
from ailf.messaging.redis import *

config = RedisConfig(port=int(sys.argv[1]))
client = RedisClient(config)
lock = RedisLock("job", redis_client=client)
assert lock.acquire()
pubsub = RedisPubSub(client)
pubsub.subscribe("news", print)
pubsub.run_in_thread()
stream = RedisStream("jobs", client)
stream.create_consumer_group("g", "c")
stream.process_in_thread(print)
manager = TaskManager()

async def main():
    redis = AsyncRedisClient(config)
    listener = RedisPubSub(client=redis)
    async def handle(channel, message):
        print(channel, message)
    await listener.subscribe("news", handle)
    id = await manager.submit(asyncio.sleep(3600))
    while manager.get_task_info(id).status.value != "running":
        await asyncio.sleep(0)
    print(manager.get_task_info(id).status.value, flush=True)
    await listener.unsubscribe_all()
    await redis.disconnect()

asyncio.run(main())
print("left", flush=True)
"""


def test_a_program_ends_whatever_it_leaves_behind(server):
    program = [sys.executable, "-c", LEAVING, str(server.port)]
    ran = subprocess.run(program, capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout == "running\nleft\n"
    assert "Traceback" not in ran.stderr


NEIGHBOURS = """
import ailf
import ailf.engine, ailf.messaging.zmq
from ailf.messaging.redis import RedisClient
print(ailf.engine.NAME, ailf.messaging.zmq.NAME, RedisClient.__name__)
"""


def test_other_modules_of_packages_with_our_names_are_found(tmp_path):
    theirs = tmp_path / "ailf"
    (theirs / "messaging").mkdir(parents=True)
    for package in (theirs, theirs / "messaging"):
        (package / "__init__.py").touch()
    (theirs / "engine.py").write_text("NAME = 'an engine'")
    (theirs / "messaging" / "zmq.py").write_text("NAME = 'zmq'")
    program = f"import sys; sys.path.append({str(tmp_path)!r})\n{NEIGHBOURS}"
    ran = subprocess.run(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True
    )
    assert ran.stdout == "an engine zmq RedisClient\n"


EVERYTHING = {
    "ailf": {"TaskManager", "TaskStatus"},
    "ailf.async_tasks": {"TaskInfo", "TaskManager", "TaskStatus"},
    "ailf.messaging.redis": {
        "AsyncRedisClient", "RedisClient", "RedisConfig", "RedisLock", "RedisPubSub",
        "RedisRateLimiter", "RedisStream",
    },
    "ailf.messaging.async_redis": {"AsyncRedisPubSub"},
    "ailf.schemas.redis": {"RedisConfig"},
    "ailf.workers.celery_app": {"app"},
    "ailf.workers.tasks": {
        "analyze_content", "batch_process", "fetch_and_process", "periodic_cleanup",
        "process_document",
    },
}  # fmt: skip


def test_every_path_has_its_names():
    lines = [f"from {module} import {', '.join(names)}" for module, names in EVERYTHING.items()]
    subprocess.run([sys.executable, "-W", "error", "-c", "\n".join(lines)], check=True)

"""The older system's guide itself, if it is at hand: its examples run as they stand.

It is looked for in the folder WINDLASS_SEEDS, or in ``shared/seeds`` beside the repository. What is
no program by itself is repaired by the smallest edit: where a body is nothing but a comment, a
``pass`` is added. ``FREE`` are the names that its examples leave to the reader.
"""

import ast
import asyncio
import inspect
import os
import re
import textwrap
from pathlib import Path

import pytest

from ailf.async_tasks import TaskStatus
from ailf.messaging.redis import AsyncRedisClient, RedisPubSub

FOLDER = Path(os.environ.get("WINDLASS_SEEDS") or Path(__file__).parents[4] / "shared" / "seeds")
GUIDES = sorted(FOLDER.glob("004_*.txt"))
REPAIRED = {13, 14}
EXAMPLES = range(1, 15)

pytestmark = pytest.mark.skipif(
    not GUIDES, reason=f"the guide is not in {FOLDER}: name its folder by WINDLASS_SEEDS"
)


def blocks():
    """The examples by number."""
    found = re.findall(
        r"^ *```python\n(.*?)^ *```", GUIDES[0].read_text(), re.MULTILINE | re.DOTALL
    )
    return dict(enumerate(map(textwrap.dedent, found), start=1))


def compiled(source):
    """The program, and how many times ``pass`` had to be added to it."""
    for added in range(10):
        try:
            return compile(source, "guide", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), added
        except IndentationError as error:
            lines = source.splitlines(keepends=True)
            comment = next(
                n for n in range(error.lineno - 2, -1, -1) if lines[n].lstrip().startswith("#")
            )
            indent = re.match(" *", lines[comment]).group()
            lines.insert(comment + 1, f"{indent}pass\n")
            source = "".join(lines)
    raise AssertionError(f"cannot be repaired by adding pass:\n{source}")


async def run(number, names):
    """Run an example among ``names``, and leave there what it defines."""
    code, _ = compiled(blocks()[number])
    running = eval(code, names)  # with top-level await, a coroutine
    if inspect.iscoroutine(running):
        await running
    return names


def test_all_examples_are_here_and_what_was_repaired():
    sources = blocks()
    assert list(sources) == list(EXAMPLES)
    repairs = {number: compiled(source)[1] for number, source in sources.items()}
    assert {number for number, added in repairs.items() if added} == REPAIRED
    assert repairs[13] == 1
    assert repairs[14] == 1


async def test_the_examples_of_tasks(virtual_time, capsys):
    async def brief(*_):
        await asyncio.sleep(1)
        return "brief"

    names = {
        "asyncio": asyncio,
        "TaskStatus": TaskStatus,
        "some_task": brief,
        "process_user_task": brief,
    }
    await run(1, names)
    assert names["task_info"].status is TaskStatus.COMPLETED
    assert names["task_info"].result in capsys.readouterr().out
    await run(2, names)
    assert names["task_info"].result in capsys.readouterr().out
    await run(3, names)
    assert names["task_info"].status is TaskStatus.FAILED
    assert "timeout" in capsys.readouterr().out
    await run(4, names)
    assert len(re.findall(r"\d+%", capsys.readouterr().out)) == 5
    assert names["info"].progress >= 90
    await run(5, names)
    assert names["success"] is True
    await run(6, names)
    assert names["result"] == "brief"
    await run(7, names)
    manager = names["task_manager"]
    assert manager.get_task_info(names["task_id"]).metadata == names["metadata"]
    await run(8, names)
    assert len(names["all_tasks"]) == 6
    assert [info.metadata for info in names["pending"]] == [names["metadata"]]
    await run(9, names)
    assert names["info"].status is TaskStatus.FAILED
    assert names["info"].error in capsys.readouterr().out
    await run(12, names)
    assert not manager.windlass.is_open
    await run(13, names)
    await run(14, names)
    id = await manager.submit(names["robust_task"]())
    await manager.wait_for_task(id)
    assert manager.get_task_info(id).status is TaskStatus.COMPLETED
    await manager.stop()


async def test_the_example_of_messages(server, default_port):
    default_port(server.port)
    names = await run(10, {"asyncio": asyncio})
    answers = asyncio.Queue()

    async def keep(channel, message):
        await answers.put(message)

    redis = AsyncRedisClient()
    asker = RedisPubSub(client=redis)
    await asker.subscribe("agent:results", keep)
    agent = asyncio.create_task(names["main"]())
    while not await asker.publish("agent:requests", {"n": 1}):
        await asyncio.sleep(0.01)  # the agent is on its way
    assert "completed" in await answers.get()
    agent.cancel()
    with pytest.raises(asyncio.CancelledError):
        await agent
    async with asyncio.timeout(60):
        while await asker.publish("agent:requests", {}):
            await asyncio.sleep(0.01)  # it has left, and the server comes to hear of it
    await asker.close()
    await redis.disconnect()


@pytest.mark.timeout(90)
async def test_the_example_of_celery(tasks, capsys):
    names = await run(11, {"asyncio": asyncio})
    await names["hybrid_processing"]()
    out = capsys.readouterr().out
    assert all(f"'document_id': 'doc{n}', 'status': 'success'" in out for n in (1, 2, 3))

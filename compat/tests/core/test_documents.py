"""The code of the documents that describe the older task managers, run as it stands there.

The documents are looked for in the folder that ``WINDLASS_SEEDS`` names, else in ``shared/seeds``
beside the repository. What the code takes for granted is supplied below. What does not compile is
repaired by the edit that ``REPAIRS`` shows. ``test_documented_calls`` makes the same calls without
the documents.
"""

import asyncio
import os
import re
import textwrap
from pathlib import Path

import pytest
from windlass import TaskError, TaskStatus

import core.task
from core.task.unified_manager import unified_task_manager
from core.task_management import TaskManager

HERE = Path(__file__).resolve()
SEEDS = Path(os.environ.get("WINDLASS_SEEDS") or HERE.parents[4] / "shared" / "seeds")
BLOCKS_OF = {"000": 7, "001": 4, "002": 11, "003": 1}

POSITIONAL_AFTER_KEYWORD = (r"\b(?:name|func)=", "")
"""Python takes no positional argument after a keyword: the name and the function go first."""
REPAIRS = dict.fromkeys([("000", 4), ("000", 7), ("001", 1), ("001", 3)], POSITIONAL_AFTER_KEYWORD)

pytestmark = pytest.mark.filterwarnings("ignore:core[.].* is deprecated:DeprecationWarning")


def blocks(document):
    """The Python in a document, block by block."""
    found = sorted(SEEDS.glob(f"{document}_*")) if SEEDS.is_dir() else []
    if not found:
        pytest.skip(f"no document {document}_* in {SEEDS}: name the folder in WINDLASS_SEEDS")
    text = found[0].read_text(encoding="utf-8")
    return [textwrap.dedent(code) for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL)]


class Resource:
    """What programs acquire and release, in whatever way."""

    def __init__(self, log):
        self.log = log

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.log.append("released")


class Supply(dict):
    """The names that the code takes for granted, and a log of what became of them."""

    def __init__(self):
        log = self.log = []

        def work(*args, **kwargs):
            return args, kwargs

        async def work_async():
            return "awaited"

        def broken():
            raise ValueError("boom")

        class Logger:
            info = error = staticmethod(log.append)

        self.s0 = core.task.task_manager
        self.work = work
        super().__init__(
            arg1=1, arg2=2, value1=3, args=(1, 2), kwargs={"k": 3}, result="the result",
            error="the error", items=[1, 2, 3], concurrency_limit=2, asyncio=asyncio,
            logger=Logger, TaskError=TaskError, TaskPriority=core.task.TaskPriority,
            TaskStatus=TaskStatus, unified_task_manager=unified_task_manager,
            func=work, my_function=work, dependent_function=work, resource_function=work,
            resource_function_with_cleanup=work, cpu_bound_function=work, my_coroutine=work_async,
            handle_error=log.append, handle_exception=log.append, handle_task_error=log.append,
            acquire_resource=lambda: Resource(log), use_resource=lambda resource: "used",
            release_resource=lambda resource: log.append("released"),
        )  # fmt: skip
        self["failed_id"] = self.s0.register_task("failed", broken)


async def run(document, number, supply):
    """Run one block and return its names, or what it returned."""
    code = blocks(document)[number - 1]
    if (document, number) in REPAIRS:
        with pytest.raises(SyntaxError, match="positional argument follows keyword"):
            compile(code, "document", "exec")
        code = re.sub(*REPAIRS[document, number], code)
    names = dict(supply)
    # As at the top of a program, where a name is the same before and after it is assigned.
    supplied = f"global {', '.join(supply)}\n"
    body = textwrap.indent(f"{supplied}{code}\nreturn locals()", "    ")
    exec(compile(f"async def block():\n{body}", f"<{document}, block {number}>", "exec"), names)
    told = await names["block"]()
    await core.task.task_manager.windlass.join()
    return {**names, **told} if isinstance(told, dict) else told


def documented(document, number):
    """Run the test, a coroutine function of what it supplies, on an event loop."""

    def decorate(test):
        def run_test():
            asyncio.run(test(document, number, Supply()))

        run_test.__name__ = f"test_document_{document}_block_{number}"
        globals()[run_test.__name__] = run_test
        return test

    return decorate


@pytest.mark.parametrize(("document", "count"), BLOCKS_OF.items())
def test_every_block_has_a_test(document, count):
    assert len(blocks(document)) == count
    tests = [name for name in globals() if name.startswith(f"test_document_{document}_")]
    assert len(tests) == count


# -- 000: from the old managers to AsyncTaskManager ------------------------------------------------


@documented("000", 1)
async def _imports(document, number, supply):
    names = await run(document, number, supply)
    assert names["task_manager"] is core.task.task_manager


@documented("000", 2)
async def _managers(document, number, supply):
    names = await run(document, number, supply)
    assert names["task_manager"] is core.task.task_manager


@documented("000", 3)
async def _pool(document, number, supply):
    names = await run(document, number, supply)
    assert supply.s0.get_task_result(names["execution_id"].removeprefix("exec_")) == (
        (1, 2),
        {"k": 3},
    )


@documented("000", 4)
async def _arguments(document, number, supply):
    names = await run(document, number, {**supply, "task_manager": supply.s0})
    assert supply.s0.get_task_result(names["task_id"]) == ((1, 2), {"param1": 3})
    assert supply.s0.get_task(names["task_id"]).priority == core.task.TaskPriority.HIGH


@documented("000", 5)
async def _dependencies(document, number, supply):
    first = supply.s0.register_task("first", supply.work)
    names = await run(document, number, {**supply, "task_manager": supply.s0, "task_id1": first})
    assert supply.s0.get_task_status(first) == "completed"
    assert supply.s0.get_task_status(names["task_id2"]) == "completed"


@documented("000", 6)
async def _errors(document, number, supply):
    supply.s0.execute_task(supply["failed_id"])
    await supply.s0.windlass.join()
    await run(
        document,
        number,
        {**supply, "task_manager": supply.s0, "task_id": supply["failed_id"]},
    )
    assert supply.log == ["boom", "boom"]


@documented("000", 7)
async def _resources(document, number, supply):
    names = await run(document, number, {**supply, "task_manager": supply.s0})
    (args, _) = supply.s0.get_task_result(names["task_id"])
    assert isinstance(args[0], Resource)
    assert supply.log == []


# -- 001: the unified task management --------------------------------------------------------------


@documented("001", 1)
async def _usage(document, number, supply):
    names = await run(document, number, supply)
    assert names["result"] == ((1, 2), {"param": "value"})
    assert names["status"] is TaskStatus.COMPLETED
    assert names["cancelled"] is False
    await names["task_manager"].stop()


@documented("001", 2)
async def _unified_imports(document, number, supply):
    names = await run(document, number, supply)
    assert names["TaskManager"] is TaskManager


@documented("001", 3)
async def _registration(document, number, supply):
    tm = TaskManager()
    names = await run(document, number, {**supply, "task_manager": tm})
    assert await tm.execute_task(names["task_id"]) == ((1, 2), {"param": "value"})
    assert [task.task_id for task in tm.get_tasks_by_tag("tag2")] == [names["task_id"]]
    await tm.stop()


@documented("001", 4)
async def _start(document, number, supply):
    tm = TaskManager()
    id = tm.register_task("x", supply.work, 1)
    names = await run(document, number, {**supply, "task_manager": tm, "task_id": id})
    assert names["result"] == ((1,), {})
    await tm.stop()


# -- 002: best practices ---------------------------------------------------------------------------


@documented("002", 1)
async def _register_and_execute(document, number, supply):
    names = await run(document, number, supply)
    assert await unified_task_manager.get_task_result(names["task_id"]) == (
        (1, 2),
        {"param1": 3},
    )


@documented("002", 2)
async def _limited(document, number, supply):
    names = await run(document, number, supply)
    assert len(names["tasks"]) == 3


@documented("002", 3)
async def _cpu_bound(document, number, supply):
    names = await run(document, number, supply)
    assert names["result"] == ((1, 2), {"k": 3})


@documented("002", 4)
async def _try_except(document, number, supply):
    names = await run(document, number, supply)
    assert await names["my_task_function"]() == "the result"


@documented("002", 5)
async def _retries(document, number, supply):
    names = await run(document, number, supply)
    info = core.task.task_manager.get_task(names["task_id"])
    assert (info.max_retries, info.retry_delay) == (3, 5.0)


@documented("002", 6)
async def _finally(document, number, supply):
    assert await run(document, number, supply) == "used"
    assert supply.log == ["released"]


@documented("002", 7)
async def _context(document, number, supply):
    assert await run(document, number, supply) == "used"
    assert supply.log == ["released"]


@documented("002", 8)
async def _timeout(document, number, supply):
    assert await run(document, number, supply) == "awaited"


@documented("002", 9)
async def _clean_up(document, number, supply):
    names = await run(document, number, supply)
    assert names["cleaned_up"] == 0
    assert len(supply.log) == 1


@documented("002", 10)
async def _task_dependencies(document, number, supply):
    first = await unified_task_manager.register_task("first", supply.work)
    names = await run(document, number, {**supply, "dependency_task_id": first})
    assert await unified_task_manager.get_task_status(names["task_id"]) == "waiting"


@documented("002", 11)
async def _configuration(document, number, supply):
    names = await run(document, number, supply)
    assert names["config"] == core.config.config


# -- 003: the bridge -------------------------------------------------------------------------------


@documented("003", 1)
async def _bridge(document, number, supply):
    first = core.task.task_bridge.register_task("first", supply.work)
    core.task.task_bridge.complete_task(first)
    names = await run(document, number, {**supply, "dependency_task_id": first})
    assert names["status"] == "completed"
    assert names["result"] == "the result"
    assert names["error"] is None
    assert core.task.task_bridge.get_task_status(names["task_id"]) is None

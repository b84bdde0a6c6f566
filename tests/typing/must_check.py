"""What must check, and the types it must have: never run, only read by the type checkers."""

import asyncio
import functools
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Literal, Self, assert_type

from windlass import (
    Adaptive,
    Breaker,
    Change,
    CurrentTask,
    ExternalTask,
    Gap,
    Gate,
    GateChange,
    LiveGate,
    Metrics,
    Rate,
    Retry,
    TaskError,
    TaskFunction,
    TaskGroup,
    TaskHandle,
    TaskInfo,
    TaskManager,
    TaskPriority,
    TaskStatus,
    Wait,
    call,
    current_task,
    ref,
    task,
)

# -- functions of every colour ---------------------------------------------------------------------


def length(text: str, *, factor: int = 1) -> int:
    return len(text) * factor


async def fetch(url: str, times: int = 1) -> bytes:
    return url.encode() * times


@task
def plain(text: str, *, factor: int = 1) -> int:
    return len(text) * factor


@task(retry=Retry(retries=3, delay=1.0), timeout=30, tags=["crawl"], priority="high")
async def crawl(url: str, times: int = 1) -> bytes:
    return url.encode() * times


@task(executor="process")
def parse(page: bytes) -> dict[str, str]:
    return {"page": page.decode()}


def later(x: int) -> Awaitable[str]:
    raise NotImplementedError


@task
def decorated_later(x: int) -> Awaitable[str]:
    raise NotImplementedError


def many(*numbers: float, **named: str) -> list[float]:
    return [*numbers, *map(float, named.values())]


def nothing() -> None: ...


class Shop:
    def __init__(self, name: str) -> None:
        self.name = name

    def sell(self, item: str) -> float:
        return float(len(item))

    async def order(self, item: str) -> bool:
        return bool(item)

    @staticmethod
    def rate(currency: str) -> float:
        return float(len(currency))

    @classmethod
    async def found(cls, name: str) -> "Shop":
        return cls(name)

    @task
    def sell_as_task(self, item: str) -> float:
        return float(len(item))

    @task(timeout=5)
    async def order_as_task(self, item: str) -> bool:
        return bool(item)


class Doubler:
    def __call__(self, x: int) -> int:
        return 2 * x


class AsyncDoubler:
    async def __call__(self, x: int) -> int:
        return 2 * x


# -- a decorated function is still the function ----------------------------------------------------


async def called_directly() -> None:
    assert_type(plain("a", factor=2), int)
    coroutine: Coroutine[Any, Any, bytes] = crawl("a")
    assert_type(await coroutine, bytes)
    assert_type(await asyncio.gather(crawl("a"), crawl("b")), tuple[bytes, bytes])
    assert_type(asyncio.create_task(crawl("a")), asyncio.Task[bytes])
    assert_type(await crawl("a", times=2), bytes)
    assert_type(parse(b"x"), dict[str, str])
    assert_type(await decorated_later(1), str)
    assert_type(plain.options(timeout=3)("a"), int)
    assert_type(await crawl.options(key="k", delay=2)("a"), bytes)
    assert_type(plain.id, str)


# -- submitting ------------------------------------------------------------------------------------


def submitted(tm: TaskManager, shop: Shop) -> None:
    assert_type(tm.submit(length, "a"), TaskHandle[int])
    assert_type(tm.submit(length, "a", factor=2), TaskHandle[int])
    assert_type(tm.submit(fetch, "a"), TaskHandle[bytes])
    assert_type(tm.submit(fetch, "a", times=3), TaskHandle[bytes])
    assert_type(tm.submit(plain, "a", factor=2), TaskHandle[int])
    assert_type(tm.submit(crawl, "a", 2), TaskHandle[bytes])
    assert_type(tm.submit(parse, b""), TaskHandle[dict[str, str]])
    assert_type(tm.submit(later, 1), TaskHandle[str])
    assert_type(tm.submit(decorated_later, 1), TaskHandle[str])
    assert_type(tm.submit(many, 1, 2.0, a="3"), TaskHandle[list[float]])
    assert_type(tm.submit(nothing), TaskHandle[None])
    assert_type(tm.submit(shop.sell, "a"), TaskHandle[float])
    assert_type(tm.submit(shop.order, "a"), TaskHandle[bool])
    assert_type(tm.submit(Shop.rate, "a"), TaskHandle[float])
    assert_type(tm.submit(Shop.found, "a"), TaskHandle[Shop])
    assert_type(tm.submit(Shop, "a"), TaskHandle[Shop])
    assert_type(tm.submit(Doubler(), 1), TaskHandle[int])
    assert_type(tm.submit(AsyncDoubler(), 1), TaskHandle[int])
    assert_type(tm.submit(functools.partial(length, factor=2), "a"), TaskHandle[int])
    assert_type(tm.submit(functools.partial(fetch, "a")), TaskHandle[bytes])
    assert_type(tm.submit(lambda: 3), TaskHandle[int])
    assert_type(tm.submit(str.upper, "a"), TaskHandle[str])
    # A method that is decorated is bound when it is taken from its instance.
    assert_type(tm.submit(shop.sell_as_task, "a"), TaskHandle[float])
    assert_type(tm.submit(shop.order_as_task, "a"), TaskHandle[bool])
    assert_type(tm.submit(Shop.sell_as_task, shop, "a"), TaskHandle[float])
    assert_type(shop.sell_as_task("a"), float)


def with_options(tm: TaskManager, before: TaskHandle[int]) -> None:
    assert_type(tm.submit(task(length, timeout=5), "a"), TaskHandle[int])
    assert_type(tm.submit(task(fetch, timeout=5), "a"), TaskHandle[bytes])
    assert_type(tm.submit(task(plain, name="other"), "a"), TaskHandle[int])
    assert_type(tm.submit(task(crawl, name="other"), "a"), TaskHandle[bytes])
    assert_type(tm.submit(plain.options(priority=TaskPriority.LOW), "a"), TaskHandle[int])
    once = crawl.options(
        after=[before, "an id"],
        key="once",
        delay=1.5,
        at=datetime(2030, 1, 1, tzinfo=UTC),
        run_if="all_done",
        name="n",
        type="t",
        description="d",
        tags={"a"},
        metadata={"n": 1},
        owner="me",
        executor="async",
        retry=None,
        timeout=None,
        total_timeout=60,
        expires=5,
        max_crashes=1,
    )
    assert_type(tm.submit(once, "a"), TaskHandle[bytes])
    assert_type(tm.submit(plain.options(max_retries=3, retry_delay=0.1), "a"), TaskHandle[int])


def a_wrapper_keeps_the_types(made: TaskFunction[[str], int]) -> Callable[[str], int]:
    return made


async def enqueued(tm: TaskManager) -> None:
    assert_type(tm.enqueue(length, "a"), Wait[TaskHandle[int]])
    assert_type(await tm.enqueue(fetch, "a"), TaskHandle[bytes])
    assert_type(await tm.enqueue(plain, "a", factor=2), TaskHandle[int])
    assert_type(await tm.enqueue(crawl, "a"), TaskHandle[bytes])
    assert_type(await tm.enqueue(later, 1), TaskHandle[str])
    assert_type(tm.enqueue(plain, "a").result(timeout=3), TaskHandle[int])
    assert_type(await (await tm.enqueue(crawl, "a")), bytes)


def mapped(tm: TaskManager, shop: Shop) -> None:
    assert_type(tm.map(length, ["a"])[0], TaskHandle[int])
    assert_type(tm.map(fetch, ["a"], chunksize=10)[0], TaskHandle[bytes])
    assert_type(tm.map(fetch, ("a", "b"), range(2))[0], TaskHandle[bytes])
    assert_type(tm.map(plain, ["a"])[0], TaskHandle[int])
    assert_type(tm.map(crawl, (url for url in ["a"]))[0], TaskHandle[bytes])
    assert_type(tm.map(lambda n: n + 1, [1])[0], TaskHandle[int])
    assert_type(tm.map(later, [1])[0], TaskHandle[str])
    assert_type(tm.map(shop.order, ["a"])[0], TaskHandle[bool])
    assert_type(tm.map(shop.sell_as_task, ["a"])[0], TaskHandle[float])
    assert_type(
        tm.map(parse, [page.output for page in tm.map(crawl, ["a"])])[0],
        TaskHandle[dict[str, str]],
    )


# -- passing results on, and having them -----------------------------------------------------------


def passed_on(tm: TaskManager) -> None:
    page = tm.submit(crawl, "a")
    assert_type(page.output, bytes)
    assert_type(tm.submit(parse, page.output), TaskHandle[dict[str, str]])
    lengths = [tm.submit(plain, text) for text in ("a", "b")]
    assert_type(tm.submit(sum_up, [one.output for one in lengths]), TaskHandle[int])


def sum_up(numbers: Sequence[int]) -> int:
    return sum(numbers)


async def any_of(a: Wait[bytes], b: TaskHandle[object], c: Awaitable[bytes]) -> object:
    return await a or await b or await c


async def awaited(tm: TaskManager) -> None:
    handle = tm.submit(crawl, "a")
    assert_type(await handle, bytes)
    assert_type(handle.result(), bytes)
    assert_type(handle.result(timeout=1.5), bytes)
    assert_type(handle.exception(), TaskError | None)
    assert_type(handle.status, TaskStatus)
    assert_type(handle.info, TaskInfo)
    assert_type(handle.ended_by, str | None)
    assert_type(handle.cancel(), bool)
    assert_type(handle.done(), bool)
    # A handle is a wait, an awaitable, and only gives: it is covariant.
    assert_type(await any_of(handle, handle, handle), object)


async def gathered(tm: TaskManager) -> None:
    pages = tm.map(crawl, ["a"])
    assert_type(await pages, list[bytes])
    assert_type(pages.result(timeout=1), list[bytes])
    assert_type(tm.gather(*pages), Wait[list[bytes]])
    assert_type(await tm.gather(*pages), list[bytes])
    assert_type(tm.gather(*pages).result(timeout=1), list[bytes])
    assert_type(
        await tm.gather(*pages, return_errors=True),
        list[bytes | BaseException],
    )
    async for done in tm.as_completed(pages):
        assert_type(done, TaskHandle[bytes])
    for done in tm.as_completed(pages):
        assert_type(done.result(), bytes)


# -- groups, children, graphs, hand-driven tasks ---------------------------------------------------


async def grouped(tm: TaskManager, shop: Shop) -> None:
    async with tm.group("crawl") as group:
        assert_type(group, TaskGroup)
        assert_type(group.submit(length, "a", factor=2), TaskHandle[int])
        assert_type(group.submit(fetch, "a"), TaskHandle[bytes])
        assert_type(group.submit(plain, "a"), TaskHandle[int])
        assert_type(group.submit(crawl, "a"), TaskHandle[bytes])
        assert_type(group.submit(later, 1), TaskHandle[str])
        assert_type(group.submit(decorated_later, 1), TaskHandle[str])
        assert_type(group.submit(shop.sell_as_task, "a"), TaskHandle[float])
        assert_type(group.submit(crawl.options(key="k"), "a"), TaskHandle[bytes])
        assert_type(group.map(crawl, ["a"], chunksize=2)[0], TaskHandle[bytes])
        assert_type(group.map(plain, ["a"])[0], TaskHandle[int])
        assert_type(group.handles, tuple[TaskHandle[Any], ...])
    with tm.group() as in_plain_code:
        assert_type(in_plain_code.submit(plain, "a"), TaskHandle[int])


class Connection:
    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


@asynccontextmanager
async def session() -> AsyncGenerator[str]:
    yield "session"


async def inside_a_task() -> None:
    me = current_task()
    assert_type(me, CurrentTask)
    assert_type(me.submit(length, "a", factor=2), TaskHandle[int])
    assert_type(me.submit(fetch, "a"), TaskHandle[bytes])
    assert_type(me.submit(plain, "a"), TaskHandle[int])
    assert_type(me.submit(crawl, "a"), TaskHandle[bytes])
    assert_type(await me.submit(decorated_later, 1), str)
    assert_type(me.id, str)
    assert_type(me.attempt, int)
    assert_type(me.cancelled, bool)
    assert_type(me.enter(Connection()), Connection)
    assert_type(await me.enter(session()), str)
    me.defer(length, "a", factor=2)
    me.progress(0.5, "half")
    me.progress(1)


async def declared_at_once(tm: TaskManager) -> None:
    handles = tm.graph({"a": call(crawl, "a"), "b": call(parse, ref("a"))})
    assert_type(handles, dict[str, TaskHandle[Any]])


def driven_by_hand(tm: TaskManager) -> None:
    outside = tm.external("import", after=[tm.submit(nothing)], timeout=60)
    assert_type(outside, ExternalTask)
    assert_type(outside.complete(3), bool)
    assert_type(outside.fail("no such file"), bool)
    assert_type(outside.result(), Any)


# -- waits, ids, watching --------------------------------------------------------------------------


async def waits() -> None:
    tm = TaskManager(max_concurrent_tasks=4)
    assert_type(tm.start(), Wait[None])
    assert_type(tm.join(), Wait[None])
    assert_type(tm.stop(), Wait[None])
    assert_type(tm.shutdown(wait=True, timeout=3), Wait[None])
    assert_type(await tm.join(), None)
    async with TaskManager() as opened_here:
        assert_type(opened_here, TaskManager)
    with TaskManager() as opened_there:
        assert_type(opened_there, TaskManager)


async def by_id(tm: TaskManager, handle: TaskHandle[int]) -> None:
    id = tm.register_task("n", length, "a", kwargs={"factor": 2}, dependencies=[handle, "x"])
    assert_type(id, str)
    assert_type(await tm.execute_task(id), Any)
    assert_type(tm.cancel_task(handle), bool)
    assert_type(tm.get_task(id), TaskInfo | None)
    assert_type(tm.get_task_status(id), TaskStatus | None)
    assert_type(tm.get_task_error(id), TaskError | None)
    assert_type(tm.get_task_progress(id), tuple[float, str])
    assert_type(tm.list_tasks(status="failed", tag="a"), list[TaskInfo])
    assert_type(tm.get_metrics(), Metrics)
    assert_type(tm.explain(handle), str)
    assert_type(tm.cancel_all(tag="x"), int)


async def watched(tm: TaskManager) -> None:
    def hear(batch: Sequence[Change | GateChange | Gap]) -> None: ...

    subscription = tm.subscribe(hear)
    subscription.cancel()
    async for heard in tm.changes():
        assert_type(heard, Change | GateChange | Gap)
        if isinstance(heard, GateChange):
            assert_type(heard.gate, str)
            assert_type(heard.after, Literal["closed", "open", "half-open"])
    assert_type(tm.draw(format="dot"), str)


# -- flow control ----------------------------------------------------------------------------------


@task(gates=["api"], when_open="fail", owner="tenant 1", expires=60)
async def call_api(url: str) -> bytes:
    return url.encode()


@task(gates={"gpu": 2}, executor="process")
def train(epochs: int) -> float:
    return 1 / epochs


GATES = [
    Gate("api", slots=8, rate=Rate(20, per=1.0, burst=5), breaker=Breaker(5, reset=30)),
    Gate("gpu", slots=2, max_pending=100),
    Gate("db", slots=Adaptive(min=2, max=50, target_latency=0.2)),
    Gate("mail", breaker=Breaker(0.5, window=60, reset=30, on=(OSError,), unless=())),
]


async def flow() -> None:
    tm = TaskManager(gates=GATES, max_concurrent_tasks=Adaptive(max=200, cpu=0.8, memory=None))
    TaskManager(gates=(gate for gate in GATES))
    assert_type(tm.submit(call_api, "a"), TaskHandle[bytes])
    assert_type(tm.submit(train, 3), TaskHandle[float])
    assert_type(tm.submit(task(length, gates="api"), "a"), TaskHandle[int])
    assert_type(tm.submit(call_api.options(gates=(), owner=None), "a"), TaskHandle[bytes])
    tm.max_concurrent_tasks = Adaptive()
    tm.max_concurrent_tasks = 4
    assert_type(tm.max_concurrent_tasks, int)


def steered(tm: TaskManager) -> None:
    tm.gate("gpu").slots = 4
    gate = tm.add_gate(Gate("disk"))
    assert_type(gate, LiveGate)
    gate.slots = Adaptive(max=8)
    assert_type(gate.slots, int | None)
    gate.rate = Rate(5, per=1)
    assert_type(gate.rate, Rate | None)
    assert_type(gate.max_pending, int | None)
    gate.max_pending = None
    assert_type(gate.breaker, Breaker | None)
    assert_type(gate.state, Literal["closed", "open", "half-open"] | None)
    assert_type(gate.held + gate.waiting, int)
    assert_type(tm.get_metrics().gates["api"].held, int)
    assert_type(tm.get_metrics().gates["api"].slots, int | None)


def as_futures(tm: TaskManager) -> None:
    with tm.as_executor() as pool:
        # It also awaits what functions return, which the standard library's signature cannot say.
        assert_type(pool.submit(length, "a", factor=2), Future[Any])
        assert_type(list(pool.map(length, ["a"])), list[int])

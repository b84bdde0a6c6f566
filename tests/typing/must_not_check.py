"""What must not check, each mistake with the comments that let it pass: never run, only read.

A checker complains of an ``ignore`` that lets nothing pass, so a mistake that it misses is found.
"""

from typing import assert_type

from windlass import (
    Adaptive,
    Breaker,
    Gate,
    Rate,
    Retry,
    TaskHandle,
    TaskManager,
    Wait,
    current_task,
    task,
)


def length(text: str, *, factor: int = 1) -> int:
    return len(text) * factor


async def fetch(url: str, times: int = 1) -> bytes:
    return url.encode() * times


@task
def plain(text: str, *, factor: int = 1) -> int:
    return len(text) * factor


@task(timeout=30)
async def crawl(url: str, times: int = 1) -> bytes:
    return url.encode() * times


@task
def parse(page: bytes) -> dict[str, str]:
    return {"page": page.decode()}


def use(*_: object) -> None: ...


class Shop:
    def sell(self, item: str) -> float:
        return float(len(item))

    @task
    def sell_as_task(self, item: str) -> float:
        return float(len(item))


# -- a call that the function does not take --------------------------------------------------------


def called_directly() -> None:
    plain()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    plain(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    plain("a", times=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    parse("a")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Shop().sell_as_task(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def submitted(tm: TaskManager, shop: Shop) -> None:
    tm.submit()  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    tm.submit("length", "a")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    tm.submit(length)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    tm.submit(length, "a", "b")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    tm.submit(length, 3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    tm.submit(length, "a", factor="2")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    tm.submit(length, "a", times=2)  # type: ignore[arg-type, call-arg]  # pyright: ignore[reportCallIssue]
    tm.submit(fetch)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    tm.submit(fetch, 3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    tm.submit(fetch, "a", factor=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    tm.submit(plain)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    tm.submit(plain, 3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    tm.submit(plain, "a", times=2)  # type: ignore[arg-type, call-arg]  # pyright: ignore[reportCallIssue]
    tm.submit(crawl, "a", 2, 3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    tm.submit(crawl, b"a")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    tm.submit(crawl, "a", factor=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    tm.submit(crawl.options(key="k"), b"a")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    tm.submit(task(length, timeout=5), 3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    tm.submit(shop.sell)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    tm.submit(shop.sell, 3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    tm.submit(shop.sell_as_task, 3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    tm.submit(Shop.sell_as_task, "a")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    tm.submit(fetch("a"))  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    tm.submit(length, "a", timeout=5)  # type: ignore[arg-type, call-arg]  # pyright: ignore[reportCallIssue]


async def enqueued(tm: TaskManager) -> None:
    tm.enqueue(length)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    tm.enqueue(fetch, 3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    tm.enqueue(plain, "a", times=2)  # type: ignore[arg-type, call-arg]  # pyright: ignore[reportCallIssue]
    tm.enqueue(crawl, "a", 2, 3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    (await tm.enqueue(fetch, "a")).nothing  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


def mapped(tm: TaskManager) -> None:
    tm.map(length)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    tm.map(length, 3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    tm.map(length, [3])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    tm.map(fetch, [b"a"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    tm.map(plain, [3])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    tm.map(crawl, [b"a"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    tm.map(crawl, ["a"], chunksize="many")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]


async def grouped(tm: TaskManager) -> None:
    async with tm.group() as group:
        group.submit(length, 3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
        group.submit(fetch)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
        group.submit(plain, "a", times=2)  # type: ignore[arg-type, call-arg]  # pyright: ignore[reportCallIssue]
        group.submit(crawl, b"a")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
        group.map(crawl, [b"a"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]


def inside_a_task() -> None:
    me = current_task()
    me.submit(length, 3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    me.submit(fetch)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    me.submit(plain, "a", times=2)  # type: ignore[arg-type, call-arg]  # pyright: ignore[reportCallIssue]
    me.submit(crawl, b"a")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    me.defer(length, 3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    me.progress("half")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    me.id = "other"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


# -- results of another type -----------------------------------------------------------------------


async def passed_on(tm: TaskManager) -> None:
    page = tm.submit(crawl, "a")
    text = tm.submit(plain, "a")
    tm.submit(parse, text.output)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    tm.submit(parse, page)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    tm.map(parse, [text.output])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    wrong: TaskHandle[str] = page  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    wait: Wait[str] = page  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    number: int = await page  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    result: int = page.result()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    both: list[int] = await tm.gather(page, page)  # type: ignore[arg-type]  # pyright: ignore[reportAssignmentType]
    use(wrong, wait, number, result, both)
    assert_type(await page, str)  # type: ignore[assert-type]  # pyright: ignore[reportAssertTypeFailure]


async def waited_for_in_the_wrong_way(tm: TaskManager) -> None:
    handle = tm.submit(plain, "a")
    handle.result(timeout="1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    handle.result("a")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    handle.wait()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    len(handle)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    tm.gather([handle])  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    tm.gather("an id")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    tm.as_completed(handle)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    tm.as_completed(["an id"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    async for done in tm.as_completed([handle]):
        text: bytes = done.result()  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
        use(text)


# -- options ---------------------------------------------------------------------------------------


@task(timeot=5)  # type: ignore[call-overload, untyped-decorator]  # pyright: ignore[reportCallIssue, reportUntypedFunctionDecorator]
async def a_typing_error() -> None: ...


@task(key="k")  # type: ignore[call-overload, untyped-decorator]  # pyright: ignore[reportCallIssue, reportUntypedFunctionDecorator]
async def a_key_is_for_one_call() -> None: ...


@task(delay=5)  # type: ignore[call-overload, untyped-decorator]  # pyright: ignore[reportCallIssue, reportUntypedFunctionDecorator]
async def so_is_a_delay() -> None: ...


@task(retry=3)  # type: ignore[call-overload, untyped-decorator]  # pyright: ignore[reportArgumentType]
async def not_a_retry() -> None: ...


@task(timeout="5")  # type: ignore[call-overload, untyped-decorator]  # pyright: ignore[reportArgumentType]
async def not_a_number() -> None: ...


@task(run_if="sometimes")  # type: ignore[call-overload, untyped-decorator]  # pyright: ignore[reportArgumentType]
async def not_a_condition() -> None: ...


@task("name")  # type: ignore[call-overload, untyped-decorator]  # pyright: ignore[reportArgumentType, reportUntypedFunctionDecorator]
async def options_have_names() -> None: ...


def for_one_call(tm: TaskManager, handle: TaskHandle[int]) -> None:
    crawl.options(timeot=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    crawl.options(after=handle)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    crawl.options(at="tomorrow")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    crawl.options(30)  # type: ignore[arg-type, call-arg]  # pyright: ignore[reportCallIssue]
    task(length, key="k")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    task(length, retires=3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    Retry(retires=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Retry("3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# -- managers --------------------------------------------------------------------------------------


async def managers(tm: TaskManager) -> None:
    TaskManager(max_concurent_tasks=4)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    TaskManager(max_concurrent_tasks="4")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    TaskManager(4)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    tm.shutdown(timeout="1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    tm.subscribe(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    tm.draw(format="png")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    tm.register_task("n", 3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    tm.get_task(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    tm.list_tasks(colour="red")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    tm.max_concurrent_tasks = "4"  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]


# -- flow control ----------------------------------------------------------------------------------


@task(gates=[Gate("api")])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
async def gates_are_named() -> None: ...


@task(when_open="raise")  # type: ignore[call-overload, untyped-decorator]  # pyright: ignore[reportArgumentType]
async def not_what_to_do() -> None: ...


def gates(tm: TaskManager) -> None:
    TaskManager(gates=["api"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    TaskManager(gates=Gate("api"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Gate()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Gate("api", slots="2")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Gate("api", rate=20)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Gate("api", breaker=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Rate(20)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Rate("20", per=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Breaker(5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Breaker(5, reset="soon")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Adaptive(cpu="90 %")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Gate("api").slots = 4  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    tm.gate("api").slots = None  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
    tm.gate("api").slots = "4"  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
    tm.gate("api").rate = None  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
    tm.gate("api").held = 0  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    tm.gate("api").breaker = Breaker(5, reset=1)  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    tm.add_gate("api")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

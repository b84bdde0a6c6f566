"""A handle among the arguments is a dependency, and its result takes its place."""

import copy
import dataclasses
import operator
from collections import OrderedDict, defaultdict, namedtuple
from typing import Any

import pytest

from windlass import TaskDependencyError, TaskError, TaskManager, current_task, ref, task

from .stage import Door, double, double_async, fail, on_a_loop


def same(*args, **kwargs):
    return args, kwargs


@on_a_loop
async def test_a_handle_or_its_output_is_replaced_by_the_result():
    async with TaskManager() as tm:
        one = tm.submit(double, 1)
        args, kwargs = await tm.submit(same, one, one.output, a=one, b=one.output)
        assert args == (2, 2)
        assert kwargs == {"a": 2, "b": 2}


Point = namedtuple("Point", "x y")


@dataclasses.dataclass
class Plain:
    x: Any
    y: Any = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    x: Any
    y: Any = 0


@on_a_loop
async def test_handles_are_found_in_containers_as_deep_as_they_are():
    async with TaskManager() as tm:
        h = tm.submit(double, 1)
        for given, received in [
            ([h, 1], [2, 1]),
            ((h, 1), (2, 1)),
            ({"a": h}, {"a": 2}),
            (Point(h, 1), Point(2, 1)),
            (Plain(h, [h]), Plain(2, [2])),
            (Frozen(h, h.output), Frozen(2, 2)),
            ([({"a": [Frozen(Point(h, (h,)))]},)], [({"a": [Frozen(Point(2, (2,)))]},)]),
            (OrderedDict(a=h), OrderedDict(a=2)),
            (defaultdict(list, a=h), defaultdict(list, a=2)),
        ]:
            (got,), _ = await tm.submit(same, given)
            assert got == received
            assert type(got) is type(received)


@on_a_loop
async def test_the_submitters_containers_are_left_as_they_are():
    async with TaskManager() as tm:
        h = tm.submit(double, 1)
        given, plain = [h], Plain(h)
        (got, got_plain), _ = await tm.submit(same, given, plain)
        assert got == [2]
        assert got_plain.x == 2
        assert given == [h]
        assert plain.x is h


@on_a_loop
async def test_arguments_without_handles_are_passed_as_the_same_objects():
    async with TaskManager() as tm:
        h = tm.submit(double, 1)
        given = ([1, 2], {"a": [3]}, Plain(1), {4}, object())
        args, _ = await tm.submit(same, h, *given)
        assert all(got is one for got, one in zip(args[1:], given, strict=True))


@on_a_loop
async def test_a_container_that_contains_itself_is_no_trap():
    async with TaskManager() as tm:
        loop = [tm.submit(double, 1)]
        loop.append(loop)
        (got,), _ = await tm.submit(same, loop)
        assert got[0] == 2


@pytest.mark.parametrize(
    "place",
    [
        lambda h: {h},
        lambda h: frozenset([h]),
        lambda h: {h: 1},
        lambda h: [{"a": {h}}],
        lambda h: {(1, h)},
        lambda h: {(1, (2, h)): 3},
        lambda h: {frozenset([h]): 3},
    ],
    ids=["set", "frozenset", "key", "nested", "tuple in a set", "tuple as key", "set as key"],
)
def test_where_a_result_could_not_take_its_place_a_handle_is_refused(place):
    with TaskManager() as tm:
        h = tm.submit(double, 1)
        for one in (h, h.output):
            with pytest.raises(TypeError, match=r"a handle cannot be .* in a list, tuple, dict"):
                tm.submit(same, place(one))
        assert len(tm.list_tasks()) == 1


@on_a_loop
async def test_ten_thousand_handles_are_taken_and_more_refused_with_the_remedy():
    async with TaskManager() as tm:
        handles = tm.map(double_async, range(10_001))
        with pytest.raises(ValueError, match="after="):
            tm.submit(same, handles)
        (got,), _ = await tm.submit(same, handles[:-1])
        assert got == [2 * n for n in range(10_000)]
        assert await tm.submit(task(double).options(after=handles), 4) == 8


@on_a_loop
@pytest.mark.parametrize("chunksize", [None, 2])
async def test_what_map_returned_is_passed_on_as_the_list_of_results(chunksize):
    async with TaskManager() as tm:
        handles = tm.map(double_async, range(5), chunksize=chunksize)
        assert await tm.submit(sum, handles) == 20
        (got,), kwargs = await tm.submit(same, {"all": handles}, key=[handles])
        assert (got, kwargs) == ({"all": [0, 2, 4, 6, 8]}, {"key": [[0, 2, 4, 6, 8]]})


@on_a_loop
async def test_after_orders_without_data():
    order = []

    async def note(x):
        order.append(x)

    async with TaskManager() as tm:
        door = Door()
        first = tm.submit(door)
        second = tm.submit(task(note).options(after=[first]), 2)
        third = tm.submit(task(note).options(after=second), 3)
        tm.submit(task(note).options(after=[third.id, first]), 4)
        assert second.status == "waiting"
        assert third.info.dependencies == (second.id,)
        door.open()
        await tm.join()
    assert order == [2, 3, 4]


OPERATORS = [
    operator.not_, operator.neg, operator.pos, operator.invert, operator.index, abs, int, float,
    complex, round, len, iter, next, list, str, "{}".format, reversed, bytes,
    *(
        lambda o, do=do: do(o, 2)
        for do in (
            operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv,
            operator.mod, operator.pow, operator.matmul, operator.and_, operator.or_, operator.xor,
            operator.lshift, operator.rshift, operator.eq, operator.ne, operator.lt, operator.le,
            operator.gt, operator.ge, operator.contains, operator.getitem, operator.delitem, divmod,
            operator.iadd,
        )
    ),
    *(
        lambda o, do=do: do(2, o)
        for do in (
            operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv,
            operator.mod, operator.pow, operator.matmul, operator.and_, operator.or_, operator.xor,
            operator.lshift, operator.rshift, divmod,
        )
    ),
    lambda o: o.attribute, lambda o: o(), lambda o: setattr(o, "a", 1), lambda o: delattr(o, "a"),
    lambda o: operator.setitem(o, 0, 1), lambda o: o.__enter__(), lambda o: 1 if o else 2,
    lambda o: aiter(o),
]  # fmt: skip


@on_a_loop
async def test_an_output_cannot_be_touched_and_says_what_to_do():
    async with TaskManager() as tm:
        output = tm.submit(double, 1).output
        for touch in OPERATORS:
            with pytest.raises(TypeError, match="`await` the handle"):
                touch(output)
        with pytest.raises(TypeError, match="`await` the handle"):
            await output
        with pytest.raises(TypeError, match="`await` the handle"):
            async with output:
                pass
        assert "double" in repr(output)
        assert not hasattr(output, "__fspath__"), "nobody is told that it is something it is not"


@on_a_loop
async def test_an_output_can_be_copied_along_with_what_holds_it():
    async with TaskManager() as tm:
        given = [tm.submit(double, 1).output]
        (got,), _ = await tm.submit(same, copy.copy(given))
        assert got == [2]


@on_a_loop
async def test_a_ref_has_a_meaning_only_inside_a_graph():
    async with TaskManager() as tm:
        with pytest.raises(TypeError, match="only inside manager.graph"):
            tm.submit(same, [ref("a")])


# -- what becomes of dependents ------------------------------------------------------------------


@on_a_loop
async def test_a_failure_runs_downstream_and_names_the_root():
    async with TaskManager() as tm:
        door = Door()

        async def root():
            await door()
            raise ValueError("the cause")

        first = tm.submit(task(root, name="the root"))
        chain = [first]
        for _ in range(50):
            chain.append(tm.submit(double, chain[-1].output))
        door.open()
        with pytest.raises(TaskDependencyError, match="the root.*ValueError") as caught:
            await chain[-1]
        assert caught.value.details["root"] == first.id
        assert isinstance(caught.value.__cause__, ValueError)
        assert {h.status for h in chain} == {"failed"}
        assert chain[-1].ended_by == "dependency"
        assert chain[-1].info.attempt == 0
        first.exception()


@on_a_loop
async def test_what_is_submitted_after_a_failed_task_fails_at_once():
    async with TaskManager() as tm:
        failed = tm.submit(fail)
        failed_error = await tm.gather(failed, return_errors=True)
        assert isinstance(failed_error[0], ValueError)
        late = tm.submit(double, failed.output)
        with pytest.raises(TaskDependencyError, match="fail.*ValueError"):
            await late


@on_a_loop
async def test_a_cancellation_runs_downstream():
    async with TaskManager() as tm:
        door = Door()
        first = tm.submit(door)
        second = tm.submit(double, first.output)
        third = tm.submit(double, second.output)
        await door.came()
        first.cancel()
        await tm.join()
        assert [h.status for h in (first, second, third)] == ["cancelled"] * 3
        assert "Door" in second.ended_by


@on_a_loop
async def test_all_done_runs_whatever_became_of_the_dependencies_and_gets_the_errors():
    def look(results):
        return results

    async with TaskManager() as tm:
        door = Door()
        good, bad, gone = tm.submit(double, 1), tm.submit(fail), tm.submit(door)
        gone.cancel()
        looked = tm.submit(task(look, run_if="all_done"), [good.output, bad.output, gone.output])
        results = await looked
        assert results[0] == 2
        assert isinstance(results[1], TaskError)
        assert isinstance(results[1], ValueError)
        assert results[1].task_id == bad.id
        assert isinstance(results[2], TaskError)
        assert results[2].task_id == gone.id


@on_a_loop
async def test_all_done_waits_for_all_even_if_one_has_failed():
    async with TaskManager() as tm:
        door = Door()
        bad, slow = tm.submit(fail), tm.submit(door, 5)
        cleanup = tm.submit(task(double, run_if="all_done").options(after=[bad, slow]), 1)
        await tm.gather(bad, return_errors=True)
        assert cleanup.status == "waiting"
        door.open()
        assert await cleanup == 2


@on_a_loop
async def test_a_wide_fan_in_gets_all_results_in_order():
    async with TaskManager() as tm:
        handles = tm.map(double_async, range(1000))
        total = tm.submit(sum, [h.output for h in handles])
        assert await total == 999 * 1000


@on_a_loop
async def test_a_long_chain_neither_recurses_nor_stops():
    async with TaskManager() as tm:
        handle = tm.submit(double_async, 0)
        for _ in range(5000):
            handle = tm.submit(double_async, handle.output)
        assert await handle == 0


@on_a_loop
async def test_a_dependency_by_id_must_be_known():
    async with TaskManager() as tm:
        with pytest.raises(TaskDependencyError, match="'nobody', which no task has as its id"):
            tm.submit(task(double).options(after=["nobody"]), 1)
        with pytest.raises(TypeError, match="after= takes handles and ids"):
            tm.submit(task(double).options(after=[5]), 1)
        assert tm.list_tasks() == []


@on_a_loop
async def test_children_and_their_parents_names():
    async def parent():
        return current_task().submit(double, 1).info.parent == current_task().id

    async with TaskManager() as tm:
        assert await tm.submit(parent)

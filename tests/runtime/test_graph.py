"""Many tasks at once, by name and in any order; all of them or none."""

import pytest

from windlass import (
    DuplicateTaskError,
    QueueFullError,
    TaskDependencyError,
    TaskManager,
    call,
    ref,
    task,
)

from .stage import Door, double, double_async, fail, on_a_loop


def add(a, b):
    return a + b


@on_a_loop
async def test_tasks_are_declared_in_any_order():
    async with TaskManager() as tm:
        handles = tm.graph(
            {
                "sum": call(add, ref("twice"), b=ref("once")),
                "twice": call(double, ref("once")),
                "once": call(double_async, 1),
            }
        )
        assert list(handles) == ["sum", "twice", "once"]
        assert await handles["sum"] == 6
        assert await handles["twice"] == 4
        assert {handle.name for handle in handles.values()} == {"sum", "twice", "once"}


@on_a_loop
async def test_refs_are_found_where_handles_are():
    async with TaskManager() as tm:
        outside = tm.submit(double, 5)
        handles = tm.graph(
            {
                "total": call(sum, [ref("a"), ref("b"), outside]),
                "a": call(double, 1),
                "b": call(double, 2),
            }
        )
        assert await handles["total"] == 16


@on_a_loop
async def test_a_name_of_its_own_is_kept_and_options_hold():
    order = []

    async def note(x):
        order.append(x)

    async with TaskManager() as tm:
        handles = tm.graph(
            {
                "b": call(task(note, name="mine", tags=["t"]).options(after=[ref("a")]), "b"),
                "a": call(note, "a"),
            }
        )
        await handles["b"]
        assert order == ["a", "b"]
        assert handles["b"].name == "mine"
        assert handles["b"].info.tags == {"t"}
        assert handles["a"].name == "a"


@pytest.mark.parametrize(
    ("calls", "path"),
    [
        ({"a": "b", "b": "c", "c": "a"}, "a -> b -> c -> a"),
        ({"a": "a"}, "a -> a"),
        ({"x": "a", "a": "b", "b": "a"}, "a -> b -> a"),
    ],
)
@on_a_loop
async def test_a_cycle_is_refused_with_its_path(calls, path):
    async with TaskManager() as tm:
        with pytest.raises(TaskDependencyError, match=path):
            tm.graph({name: call(double, ref(other)) for name, other in calls.items()})
        assert tm.list_tasks() == []


@on_a_loop
async def test_what_is_wrong_with_one_is_wrong_with_all():
    async with TaskManager(max_pending=2) as tm:
        good = call(double, 1)
        with pytest.raises(TaskDependencyError, match="'nobody', which is not in the graph"):
            tm.graph({"good": good, "bad": call(double, ref("nobody"))})
        with pytest.raises(TypeError, match="missing a required argument: 'b'"):
            tm.graph({"good": good, "bad": call(add, 1)})
        with pytest.raises(TypeError, match=r"bad: a graph is made of call\("):
            tm.graph({"good": good, "bad": double})
        with pytest.raises(TypeError, match="function"):
            tm.graph({"good": good, "bad": call(5)})
        with pytest.raises(QueueFullError):
            tm.graph({"a": good, "b": good, "c": good})
        assert tm.list_tasks() == []
        assert tm.graph({}) == {}


@on_a_loop
async def test_a_failure_falls_downstream():
    async with TaskManager() as tm:
        handles = tm.graph({"b": call(double, ref("a")), "a": call(fail)})
        with pytest.raises(TaskDependencyError, match="depends on a "):
            await handles["b"]
        handles["a"].exception()


@on_a_loop
async def test_a_task_of_the_graph_may_be_there_already_by_its_key():
    async with TaskManager() as tm:
        once = task(double_async).options(key="k")
        there = tm.submit(once, 1)
        for _ in range(2):
            handles = tm.graph({"b": call(add, [ref("a")], [ref("a")]), "a": call(once, 99)})
            assert handles["a"].id == there.id
            assert await handles["b"] == [2, 2]
            assert handles["b"].info.dependencies == (there.id,)


@on_a_loop
async def test_one_key_in_one_graph_is_one_task():
    async with TaskManager() as tm:
        once = task(double_async).options(key="k")
        handles = tm.graph(
            {"b": call(add, ref("a1"), ref("a2")), "a1": call(once, 1), "a2": call(once, 1)}
        )
        assert handles["a1"].id == handles["a2"].id
        assert await handles["b"] == 4
        assert len(tm.list_tasks()) == 2


@on_a_loop
async def test_a_graph_of_ten_thousand_in_layers():
    async with TaskManager() as tm:
        calls = {}
        for layer in range(100):
            for n in range(100):
                before = [ref(f"{layer - 1}.{(n + i) % 100}") for i in range(3)] if layer else [1]
                calls[f"{layer}.{n}"] = call(max, before)
        handles = tm.graph(calls)
        assert await handles["99.99"] == 1


@on_a_loop
async def test_a_graph_can_be_drawn_with_its_states():
    async with TaskManager() as tm:
        door = Door()
        handles = tm.graph({"b": call(double, ref('say "a"')), 'say "a"': call(door, 1)})
        await door.came()
        mermaid = tm.draw()
        assert mermaid.startswith("flowchart LR\n")
        assert 'say #quot;a#quot;<br/>running"]:::running' in mermaid
        assert '["b<br/>waiting"]:::waiting' in mermaid
        assert "t0 --> t1" in mermaid
        dot = tm.draw(handles.values(), format="dot")
        assert dot.startswith("digraph")
        assert dot.endswith("}")
        assert 'say \\"a\\"\\nrunning' in dot
        assert "->" in dot
        text = tm.draw([handles["b"].id, handles['say "a"']], format="text")
        first, second = text.splitlines()
        assert "a" in first
        assert "running" in first
        assert second.endswith('b [waiting]  ◀─ say "a"')
        with pytest.raises(ValueError, match="format is one of mermaid, dot, text"):
            tm.draw(format="png")
        door.open()
    assert "completed" in tm.draw()
    assert TaskManager().draw(format="text") == ""


@on_a_loop
async def test_a_duplicate_among_what_was_given_ids_changes_nothing():
    async with TaskManager() as tm:
        tm.external("e", task_id="mine")
        with pytest.raises(DuplicateTaskError):
            tm.external("e", task_id="mine")
        tm.cancel_all()

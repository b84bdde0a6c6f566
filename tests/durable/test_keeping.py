"""What a file forgets, memory forgets as well."""

import pytest
from runtime.stage import on_a_loop

from windlass import TaskDependencyError, TaskManager
from windlass._runtime import keeping

from .stage import Clocked, add, door, read, settled, wait_at


@on_a_loop
async def test_keys_are_forgotten_with_what_had_them(jobs, monkeypatch):
    monkeypatch.setattr(keeping, "_SHRINK_AFTER", 1)
    world = Clocked(jobs)
    async with world.manager(keep_completed=10.0, keep_keys=100.0, retention_count=0) as tm:
        sweeper, keys = tm._runtime.durable.sweeper, tm._runtime.durable._keys
        first = tm.submit(add.options(key="order 1"), 1)
        await first
        await settled(tm)
        assert keys == {"order 1": first.id}
        await world.advance(tm, 50)
        sweeper.look(world.clock.now())
        await settled(tm)
        assert tm.submit(add.options(key="order 1"), 1).id == first.id
        await world.advance(tm, 51)
        for _ in range(2):  # the deletes of the first are on disk by the second
            sweeper.look(world.clock.now())
            await settled(tm)
            await world.advance(tm, keeping.SWEEP_EVERY)
            second = tm.submit(add, 1)
            await second
        await world.advance(tm, 20)
        sweeper.look(world.clock.now())
        assert keys == {}
        assert tm.submit(add.options(key="order 1"), 1).id != first.id


@on_a_loop
async def test_who_gave_way_to_a_key_is_forgotten_with_who_has_it(jobs):
    gave_way = "SELECT name FROM windlass_notes WHERE name LIKE 'alias:%'"
    async with TaskManager(jobs) as tm, TaskManager(jobs, role="client") as client:
        twice = [client.submit(add.options(key="order 1"), 1) for _ in range(2)]
        assert await client.gather(*twice) == [2, 2]
        assert read(jobs, gave_way) == [(f"alias:{twice[1].id}",)]
        await settled(tm)
        assert tm.cleanup() == 1
        await tm.flush()
        assert read(jobs, gave_way) == []


@on_a_loop
async def test_nothing_can_depend_on_what_is_forgotten(jobs):
    hold = door()
    async with TaskManager(jobs, retention_count=0) as tm:
        gone = tm.submit(add, 1)
        await gone
        await settled(tm)
        running = tm.submit(wait_at)
        await hold.came()
        assert tm.cleanup() == 1
        with pytest.raises(TaskDependencyError, match="has been forgotten"):
            tm.submit(add, gone.output)
        hold.open()
        await running

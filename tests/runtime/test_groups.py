"""A group: leaving it waits for all, a failure cancels the rest, and root causes are raised."""

import asyncio
import threading

import pytest

from windlass import (
    InvalidTaskStateError,
    Retry,
    TaskCancellationError,
    TaskDependencyError,
    TaskManager,
    task,
)

from .stage import Door, double, double_async, fail, fail_async, forever, on_a_loop


@on_a_loop
async def test_leaving_waits_for_all():
    async with TaskManager() as tm:
        async with tm.group("g") as g:
            handles = [g.submit(double, n) for n in range(5)]
            handles += g.map(double_async, range(5))
            handles += g.map(double_async, range(5), chunksize=2)
            assert g.handles == tuple(handles)
        assert all(handle.status == "completed" for handle in handles)
        assert [await handle for handle in handles] == [0, 2, 4, 6, 8] * 3


def test_plain_with_in_plain_code():
    with TaskManager() as tm:
        with tm.group() as g:
            handles = g.map(double, range(3))
        assert [handle.result() for handle in handles] == [0, 2, 4]
        with pytest.raises(ExceptionGroup) as caught, tm.group() as g:
            g.submit(fail)
            g.submit(forever)
        assert caught.group_contains(ValueError)
        assert len(caught.value.exceptions) == 1


@on_a_loop
async def test_plain_with_inside_a_loop_is_refused():
    async with TaskManager() as tm:
        with pytest.raises(RuntimeError, match="async with"), tm.group():
            pass


@on_a_loop
async def test_a_failure_cancels_the_rest_and_is_raised_alone():
    async with TaskManager() as tm:
        with pytest.raises(ExceptionGroup, match="1 task of the group crawl failed") as caught:
            async with tm.group("crawl") as g:
                rest = [g.submit(forever) for _ in range(3)]
                waiting = g.submit(double, rest[0].output)
                bad = g.submit(fail_async)
                after = g.submit(double, bad.output)
        (cause,) = caught.value.exceptions
        assert cause.task_id == bad.id
        assert {handle.status for handle in (*rest, waiting)} == {"cancelled"}
        assert after.status in {"failed", "cancelled"}
        assert "fail_async" in rest[0].ended_by


@on_a_loop
async def test_all_root_causes_are_raised_and_nothing_that_followed_from_them():
    async with TaskManager() as tm:
        door = Door()
        outside = tm.submit(door)
        with pytest.raises(ExceptionGroup, match="2 tasks") as caught:
            async with tm.group() as g:
                first, second = g.map(double, [outside, outside])
                followed = g.submit(double, second.output)
                cancelled = g.submit(forever)
                door.fail(ValueError())
        assert {e.task_id for e in caught.value.exceptions} == {first.id, second.id}
        assert followed.status == "failed"
        assert cancelled.status == "cancelled"
        outside.exception()


@on_a_loop
async def test_a_failed_chunk_is_one_failure():
    async with TaskManager() as tm:
        with pytest.raises(ExceptionGroup, match="1 task ") as caught:
            async with tm.group() as g:
                g.map(fail_async, ["a", "b", "c"], chunksize=3)
        assert len(caught.value.exceptions) == 1


@on_a_loop
async def test_a_failed_dependency_outside_of_the_group_is_a_cause():
    async with TaskManager() as tm:
        outside = tm.submit(fail)
        with pytest.raises(ExceptionGroup) as caught:
            async with tm.group() as g:
                g.submit(double, outside.output)
        assert caught.group_contains(TaskDependencyError)
        outside.exception()


@on_a_loop
async def test_retries_finish_first():
    attempts = []

    @task(retry=Retry(retries=2, delay=0))
    async def flaky():
        attempts.append(1)
        if len(attempts) < 3:
            raise ValueError

    async with TaskManager() as tm:
        async with tm.group() as g:
            g.submit(flaky)
            other = g.submit(double, 1)
        assert len(attempts) == 3
        assert other.status == "completed"


@on_a_loop
async def test_a_body_that_raises_cancels_the_group_and_goes_on_its_way():
    async with TaskManager() as tm:
        with pytest.raises(KeyError, match="mine"):
            async with tm.group() as g:
                handle = g.submit(forever)
                raise KeyError("mine")
        assert handle.status == "cancelled"
        assert "KeyError" in handle.ended_by


@on_a_loop
async def test_a_failure_beside_the_bodys_own_error_is_noted_on_it():
    async with TaskManager() as tm:
        with pytest.raises(KeyError) as caught:
            async with tm.group("g") as g:
                bad = g.submit(fail, "noted")
                await tm.gather(bad, return_errors=True)
                raise KeyError("mine")
        assert any("noted" in note for note in caught.value.__notes__)


@on_a_loop
async def test_a_members_failure_that_the_body_met_is_raised_as_the_group():
    async with TaskManager() as tm:
        with pytest.raises(ExceptionGroup) as caught:
            async with tm.group() as g:
                await g.submit(fail)
        assert len(caught.value.exceptions) == 1
        with pytest.raises(ExceptionGroup) as caught:
            async with tm.group() as g:
                rest = g.submit(forever)
                g.submit(fail)
                await rest  # cancelled, which only followed
        assert len(caught.value.exceptions) == 1
        assert caught.group_contains(ValueError)


@on_a_loop
async def test_a_group_that_failed_takes_no_more_and_raises_the_cause():
    async with TaskManager() as tm:
        with pytest.raises(ExceptionGroup) as caught:
            async with tm.group("g") as g:
                await tm.gather(g.submit(fail), return_errors=True)
                with pytest.raises(InvalidTaskStateError, match="takes no more tasks: fail"):
                    g.submit(double, 1)
                g.submit(double, 1)
        assert caught.group_contains(ValueError)
        with pytest.raises(InvalidTaskStateError, match="takes no more"):
            g.submit(double, 1)
        with pytest.raises(InvalidTaskStateError, match="takes no more"):
            g.map(double, [1])


@on_a_loop
async def test_a_group_can_be_cancelled():
    async with TaskManager() as tm:
        async with tm.group("g") as g:
            handles = [g.submit(forever) for _ in range(3)]
            g.cancel()
        assert {handle.status for handle in handles} == {"cancelled"}
        assert "g was cancelled" in handles[0].ended_by


@on_a_loop
async def test_a_member_cancelled_by_hand_cancels_nobody_else():
    async with TaskManager() as tm:
        async with tm.group() as g:
            gone = g.submit(forever)
            other = g.submit(double, 1)
            gone.cancel()
        assert other.status == "completed"
        with pytest.raises(TaskCancellationError):
            await gone


@on_a_loop
async def test_cancelling_whoever_waits_in_a_group_cancels_the_group():
    async with TaskManager() as tm:
        door = Door()
        members = []

        async def waits():
            async with tm.group() as g:
                members.append(g.submit(door))
                members.append(g.submit(forever))

        waiter = asyncio.create_task(waits())
        await door.came()
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        assert [handle.status for handle in members] == ["cancelled"] * 2


@on_a_loop
async def test_a_group_inside_a_task_lends_the_slot():
    async with TaskManager(max_concurrent_tasks=1) as tm:

        async def outer():
            async with tm.group() as g:
                handles = g.map(double_async, range(3))
            return [await handle for handle in handles]

        def in_a_thread():
            with tm.group() as g:
                handles = g.map(double_async, range(3))
            return [handle.result() for handle in handles]

        assert await tm.submit(outer) == [0, 2, 4]
        assert await tm.submit(in_a_thread) == [0, 2, 4]


@on_a_loop
async def test_groups_can_be_nested():
    async with TaskManager() as tm:
        with pytest.raises(ExceptionGroup) as caught:
            async with tm.group("outer") as outer:
                rest = outer.submit(forever)

                async def inner():
                    async with tm.group("inner") as g:
                        g.submit(fail)

                outer.submit(inner)
        assert rest.status == "cancelled"
        (error,) = caught.value.exceptions
        assert isinstance(error.original_error, ExceptionGroup)


@on_a_loop
async def test_tasks_that_ended_before_the_group_was_left_count_too():
    async with TaskManager() as tm:
        with pytest.raises(ExceptionGroup):
            async with tm.group() as g:
                bad = g.submit(fail)
                await tm.gather(bad, return_errors=True)
        async with tm.group() as g:
            await g.submit(double, 1)


def test_a_group_is_used_from_several_threads():
    with TaskManager() as tm:
        with tm.group() as g:
            threads = [
                threading.Thread(target=lambda: [g.submit(double, n) for n in range(50)])
                for _ in range(4)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert len(g.handles) == 200
        assert all(handle.status == "completed" for handle in g.handles)


def test_a_failure_finds_the_members_that_are_only_about_to_start_or_to_join():
    # It is one of the threads that has the turn then: the plain code and the loop go on meanwhile.
    with TaskManager() as tm:
        for _ in range(1000):
            with pytest.raises(ExceptionGroup), tm.group() as g:
                g.submit(fail)
                g.submit(forever)
            assert all(handle.done() for handle in g.handles)

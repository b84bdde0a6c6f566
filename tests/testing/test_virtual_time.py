"""Virtual time by itself: when the loop jumps, when it waits, and how long."""

from __future__ import annotations

import asyncio
import socket
import threading
from functools import partial

import pytest

from windlass._runtime.clock import SystemClock
from windlass.testing import VirtualClock, VirtualLoop

REAL = SystemClock()


def run(main, loop_factory=VirtualLoop):
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(main)


def elapsed():
    return asyncio.get_running_loop().clock.elapsed


def test_a_clock_goes_when_it_is_told_to():
    clock = VirtualClock(wall=0.0)
    began = clock.now()
    clock.advance(2.5)
    assert (clock.now() - began, clock.wall(), clock.elapsed) == (2.5, 2.5, 2.5)


def test_setting_the_wall_clock_leaves_monotonic_time_alone():
    clock = VirtualClock(wall=1000.0)
    clock.advance(5)
    clock.set_wall(10.0)
    clock.advance(1)
    assert (clock.wall(), clock.elapsed) == (11.0, 6.0)


def test_by_default_the_wall_clock_shows_the_present():
    assert VirtualClock().wall() == pytest.approx(REAL.wall(), abs=60)


def test_time_does_not_go_back():
    with pytest.raises(ValueError, match="does not go back"):
        VirtualClock().advance(-1)


def test_a_year_is_slept_through_at_once():
    async def main():
        await asyncio.sleep(365 * 86400)
        return elapsed()

    began = REAL.now()
    assert run(main()) == 365 * 86400
    assert REAL.now() - began < 86400


def test_timers_ring_in_their_order_each_at_its_time():
    rung = []

    async def sleeper(seconds):
        await asyncio.sleep(seconds)
        rung.append((seconds, elapsed()))

    async def main():
        await asyncio.gather(*map(sleeper, (30, 10, 20, 0, 10)))

    run(main())
    assert rung == [(0, 0), (10, 10), (10, 10), (20, 20), (30, 30)]


def test_a_timeout_strikes_before_what_would_take_longer():
    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.sleep(6)
        assert elapsed() == 5

    run(main())


def test_what_is_there_to_be_read_is_read_before_time_passes():
    async def main():
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            theirs.send(b"x")
            async with asyncio.timeout(1):
                assert await loop.sock_recv(ours, 1) == b"x"
        assert elapsed() == 0

    run(main())


def test_the_clock_stands_still_while_a_function_runs_in_the_loops_executor():
    done = threading.Event()

    async def main():
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(1000):
            threading.Timer(0.05, done.set).start()
            assert await loop.run_in_executor(None, done.wait, 20)
        assert elapsed() == 0

    run(main())


def test_the_clock_stands_still_while_it_is_held():
    async def main():
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        with loop.hold():
            threading.Timer(0.05, partial(loop.call_soon_threadsafe, ended.set)).start()
            async with asyncio.timeout(1000):
                await ended.wait()
        assert elapsed() == 0
        await asyncio.sleep(1000)
        assert elapsed() == 1000

    run(main())


def test_held_for_too_long_it_goes_at_the_pace_of_the_real_one():
    async def main():
        loop = asyncio.get_running_loop()
        loop.wait_for(lambda: ["something for ever"], patience=0.1)
        began = REAL.now()
        await asyncio.sleep(0.2)
        assert REAL.now() - began >= 0.3
        assert elapsed() == pytest.approx(0.2)

    run(main())


def test_patience_is_with_each_piece_of_work_not_with_all_of_it(monkeypatch):
    real = VirtualClock()
    monkeypatch.setattr("windlass.testing.virtual_time._REAL", real)

    async def main():
        loop = asyncio.get_running_loop()
        number = 0
        loop.wait_for(lambda: [number], patience=10)
        timer = loop.call_later(1000, lambda: None)

        def work():
            real.advance(8)
            loop.call_soon_threadsafe(woken.set)

        for number in range(6):  # noqa: B007  # the piece of work that is on
            woken = asyncio.Event()
            threading.Timer(0.01, work).start()
            await woken.wait()
        assert elapsed() == 0
        timer.cancel()

    run(main())


def test_pushed_it_goes_on_though_it_is_held_and_no_further():
    rung = []

    async def main():
        loop = asyncio.get_running_loop()
        with loop.hold():
            for seconds in (3, 7, 20):
                loop.call_later(seconds, rung.append, seconds)
            loop.push(10)
            await asyncio.sleep(10)
            assert (elapsed(), rung) == (10, [3, 7])

    run(main())


def test_another_thread_may_push_and_hold():
    async def main():
        loop = asyncio.get_running_loop()
        entered, leave = threading.Event(), threading.Event()

        def holder():
            with loop.hold():
                entered.set()
                leave.wait(20)

        holding = threading.Thread(target=holder)
        holding.start()
        entered.wait(20)
        threading.Timer(0.02, loop.push, [5]).start()
        await asyncio.sleep(5)
        threading.Timer(0.02, leave.set).start()
        await asyncio.sleep(5)
        assert elapsed() == 10
        holding.join()

    run(main())


def test_what_work_says_with_its_last_breath_is_heard_before_time_passes():
    async def main():
        loop = asyncio.get_running_loop()
        said = asyncio.Event()

        def outside():
            if not said.is_set():  # it ends just before anybody looks
                loop.call_soon_threadsafe(said.set)
            return ()

        loop.wait_for(outside)
        async with asyncio.timeout(10):
            await said.wait()
        assert elapsed() == 0

    run(main())

"""The end of a program: nothing keeps the interpreter, and Ctrl-C is heard at any moment."""

import signal
import sys
import threading
import time

import pytest

from windlass import (
    TaskManager,
)

from .stage import double, forever, python


def test_an_import_starts_no_thread_and_no_loop():
    python("""
        import threading, sys
        import windlass
        assert threading.active_count() == 1
        import asyncio
        assert asyncio._get_running_loop() is None
        try:
            asyncio.get_event_loop_policy()._local._loop
        except AttributeError:
            pass
        else:
            assert asyncio.get_event_loop_policy()._local._loop is None
    """)


def test_abandoned_threads_do_not_keep_the_interpreter():
    python("""
        import threading
        from windlass import TaskManager
        never = threading.Event()
        with TaskManager() as tm:
            began = threading.Event()
            def hangs():
                began.set()
                never.wait()
            handle = tm.submit(hangs)
            began.wait()
            handle.cancel()
    """)


def test_a_manager_that_was_never_closed_does_not_keep_the_interpreter():
    python("""
        import threading
        from windlass import TaskManager
        tm = TaskManager()
        tm.start()
        began = threading.Event()
        def hangs():
            began.set()
            threading.Event().wait()
        async def waits():
            import asyncio
            await asyncio.sleep(1000)
        tm.submit(hangs)
        tm.submit(waits)
        tm.subscribe(print)
        began.wait()
    """)


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("where", ["the body", "leaving"])
def test_ctrl_c_in_plain_code_cancels_the_rest_and_ends_the_program(where):
    done = python(
        f"""
        import os, signal, threading
        from windlass import TaskManager, current_task
        never, began, cleaned = threading.Event(), threading.Event(), threading.Event()
        async def forever():
            import asyncio
            current_task().defer(print, "cleaned up")
            began.set()
            await asyncio.sleep(1000)
        try:
            with TaskManager() as tm:
                handle = tm.submit(forever)
                began.wait()
                interrupt = lambda: os.kill(os.getpid(), signal.SIGINT)
                threading.Timer(0.1, interrupt).start()
                if {where == "the body"}:
                    handle.result()
        except KeyboardInterrupt:
            print("interrupted", handle.status)
        """
    )
    assert done.stdout.split("\n")[:2] == ["cleaned up", "interrupted cancelled"]


@pytest.fixture(params=[False, True])
def interrupted(request):
    """Has the next wake-up of a loop by this thread interrupted, just before it or just after."""
    me = threading.get_ident()

    def interrupt(loop):
        wake = loop.call_soon_threadsafe

        def interrupts(*args, **options):
            if threading.get_ident() != me:
                return wake(*args, **options)
            loop.call_soon_threadsafe = wake
            if request.param:
                wake(*args, **options)
            raise KeyboardInterrupt

        loop.call_soon_threadsafe = interrupts

    return interrupt


def test_ctrl_c_in_the_moment_in_which_closing_begins(interrupted):
    tm = TaskManager()
    with pytest.raises(KeyboardInterrupt), tm:
        handle = tm.submit(forever)
        tm.submit(double, 1).result(timeout=60)
        interrupted(tm._runtime.home.loop)
    assert not tm.is_open
    assert handle.status == "cancelled"


def test_ctrl_c_in_the_moment_in_which_the_pump_is_woken(interrupted):
    with TaskManager() as tm:
        tm.submit(double, 1).result(timeout=60)
        while tm._runtime.pump.awake:
            time.sleep(0.001)
        interrupted(tm._runtime.home.loop)
        with pytest.raises(KeyboardInterrupt):
            tm._runtime.pump.wake()
        assert tm.submit(double, 2).result(timeout=60) == 4


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_ctrl_c_that_does_not_wake_the_one_who_waits():
    """As one that comes in the very moment in which the main thread falls asleep."""

    def interrupts():
        while not tm._runtime.asleep:
            time.sleep(0.001)
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    with TaskManager() as tm:
        handle = tm.submit(forever)
        interrupting = threading.Thread(target=interrupts)
        interrupting.start()
        with pytest.raises(KeyboardInterrupt):
            handle.result()
        interrupting.join()
        handle.cancel()


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_ctrl_c_in_a_coroutine_cancels_the_rest_and_ends_the_program():
    done = python(
        """
        import asyncio, os, signal
        from windlass import TaskManager, current_task
        async def forever():
            current_task().defer(print, "cleaned up")
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(1000)
        async def main():
            global handle
            async with TaskManager() as tm:
                handle = tm.submit(forever)
        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            print("interrupted", handle.status)
        """
    )
    assert done.stdout.split("\n")[:2] == ["cleaned up", "interrupted cancelled"]

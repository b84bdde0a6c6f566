"""What tasks in worker processes say in the log."""

from __future__ import annotations

import sys

import chores
import pytest
from office import on_a_loop

from windlass import TaskCrashedError, TaskManager

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX")


@on_a_loop
async def test_what_is_said_in_a_worker_is_kept_with_its_task():
    async with TaskManager() as tm:
        handle = tm.submit(chores.say, "page 1")
        await handle
        (line,) = tm.get_task_log(handle)
        assert line.level == "WARNING"
        assert (line.logger, line.text) == ("chores", "page 1")


@on_a_loop
async def test_the_last_lines_go_with_the_error_of_a_task_whose_worker_died():
    async with TaskManager() as tm:
        handle = tm.submit(chores.say_and_die)
        with pytest.raises(TaskCrashedError) as caught:
            await handle
        assert caught.value.details["log"] == ["WARNING chores: about to die"]
        assert caught.value.message.count("about to die") == 1  # its stderr shows it, too
        assert [line.attempt for line in tm.get_task_log(handle)] == [1, 2, 3]


@on_a_loop
async def test_a_signal_handler_may_speak_whatever_it_interrupts():
    async with TaskManager() as tm:
        handle = tm.submit(chores.say_while_saying, 5_000)
        assert await handle == 5_000
        assert {line.text for line in tm.get_task_log(handle)} == {"tick"}

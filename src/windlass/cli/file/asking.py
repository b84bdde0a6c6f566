"""The commands that change something: ``cancel``, ``retry``, ``purge`` and ``vacuum``.

Whoever leads the file is asked, and its answer waited for. If nobody does, the command leads for a
moment, in which no task runs.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from windlass import TaskError, TaskManager, TaskStatus

from ..marks import count_of
from .command import NOT_DONE, File, Ids, Json, Patience, looking_at, show, show_json
from .words import seconds_of, size

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from windlass import TaskHandle
    from windlass.observe import TaskFile

_PATIENCE = 15.0  # longer than it takes until a silent leader is replaced
_CLEAN_UP = 3.0  # how long a task that is cancelled is waited for
_ENDED = tuple(status for status in TaskStatus if status.finished)


def cancel(file: File, ids: Ids, *, timeout: Patience = _PATIENCE, as_text: Json = False) -> None:
    """Cancel tasks, and with them what depends on them.

    One that runs is stopped by the program that runs it, and may take a moment to clean up. The
    exit code is 1 if a task is not known or had ended.
    """

    def ask(manager: TaskManager, id: str) -> TaskHandle[Any] | None:
        manager.cancel_task(id, "asked on the command line")
        return manager.get_handle(id)

    _each(file, ids, "cancel", ask, timeout, as_text=as_text)


def retry(
    file: File,
    ids: Ids,
    *,
    downstream: Annotated[
        bool, typer.Option("--downstream", help="Also what failed because of them.")
    ] = False,
    timeout: Patience = _PATIENCE,
    as_text: Json = False,
) -> None:
    """Give failed or cancelled tasks another run, in the program that has their functions.

    The exit code is 1 if a task is not known, or has neither failed nor been cancelled.
    """

    def ask(manager: TaskManager, id: str) -> None:
        manager.retry(id, downstream=downstream)  # when it ends is nothing to wait for

    _each(file, ids, "retry", ask, timeout, as_text=as_text)


def purge(
    file: File,
    *,
    older_than: Annotated[
        str | None,
        typer.Option("--older-than", metavar="TIME", help="Ended so long ago: 30m, 12h, 7d, 2w."),
    ] = None,
    status: Annotated[
        list[TaskStatus] | None,
        typer.Option("--status", metavar="STATUS", help="Ended as this; may be repeated."),
    ] = None,
    keep: Annotated[
        int, typer.Option("--keep", metavar="N", min=0, help="But for the newest N.")
    ] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count; change nothing.")] = False,
    timeout: Patience = _PATIENCE,
    as_text: Json = False,
) -> None:
    """Forget tasks that have ended: by age, by status, by number.

    What unfinished tasks depend on stays. Without any of the three, nothing is done.
    """
    seconds = seconds_of(older_than) if older_than is not None else 0.0
    if older_than is None and not status and not keep:
        raise typer.BadParameter(
            "say what is to be forgotten: --older-than 7d, --status completed, --keep 1000, or "
            "several of them (--older-than 0 for all that has ended)"
        )
    statuses = tuple(status or _ENDED)
    if unfinished := [one.value for one in statuses if not one.finished]:
        raise typer.BadParameter(f"{', '.join(unfinished)} tasks have not ended: cancel them first")
    with looking_at(file, "purge") as tasks:
        before = tasks.now - timedelta(seconds=seconds)
        found = tasks.count_ended(before, statuses, keep)
        left = found
        if found and not dry_run:
            with _errand(tasks, "purge", timeout) as manager:
                manager.cleanup((tasks.now - before).total_seconds(), status=statuses, keep=keep)
            left = tasks.count_ended(before, statuses, keep)
    forgotten = found if dry_run else max(0, found - left)
    if as_text:
        show_json({"forgotten": forgotten, "dry_run": dry_run})
    elif dry_run:
        show([Text(f"{count_of(forgotten, 'task')} would be forgotten")])
    else:
        still = f"; {left:,} stay, because unfinished tasks depend on them" if left else ""
        show([Text(f"{count_of(forgotten, 'task')} forgotten{still}")])


def vacuum(file: File, *, timeout: Patience = 600.0, as_text: Json = False) -> None:
    """Give the space of forgotten tasks back to the file system.

    A program may go on working with the file meanwhile. Only files that Windlass made shrink.
    """
    with looking_at(file, "vacuum") as tasks:
        before = tasks.state()
        with _errand(tasks, "vacuum", timeout) as manager:
            manager.shrink_file().result(timeout)
        after = tasks.state()
    given = before.size + before.log_size - after.size - after.log_size
    if as_text:
        show_json({"before": before.size + before.log_size, "after": after.size + after.log_size})
        return
    lines = [Text(f"{size(max(0, given))} given back, {size(after.size + after.log_size)} left")]
    if after.unused and not after.ours:
        lines.append(
            Text(
                f"{size(after.unused)} are unused, and stay: another program made this file. Its "
                "owner can run VACUUM in it, while no program has it open"
            )
        )
    show(lines)


def _each(
    path: File,
    ids: list[str],
    command: str,
    ask: Callable[[TaskManager, str], TaskHandle[Any] | None],
    timeout: float,
    *,
    as_text: bool,
) -> None:
    """Ask for something to be done to each task; tell where they stand after it."""
    told: list[dict[str, Any]] = []
    with looking_at(path, command) as tasks:
        refused: dict[str, str] = {}
        ending: list[TaskHandle[Any]] = []
        with _errand(tasks, command, timeout) as manager:
            for id in dict.fromkeys(ids):
                info = tasks.get_task(id)
                if info is None:
                    refused[id] = "there is no such task"
                elif command == "cancel" and info.status.finished:
                    refused[id] = f"it is {info.status} already"
                else:
                    try:
                        handle = ask(manager, id)
                    except TaskError as error:
                        refused[id] = error.message
                    else:
                        ending += [handle] if handle is not None else []
            manager.flush(handled=True).result(timeout)
            with suppress(TimeoutError):
                manager.gather(*ending, return_errors=True).result(_CLEAN_UP)
        for id in dict.fromkeys(ids):
            info = tasks.get_task(id)
            status = info.status.value if info is not None else None
            told.append({"id": id, "status": status, "refused": refused.get(id)})
    if as_text:
        show_json(told)
    else:
        show([Text(_outcome(one, command)) for one in told])
    raise typer.Exit(NOT_DONE if refused else 0)


def _outcome(one: dict[str, Any], command: str) -> str:
    if one["refused"]:
        return f"{one['id']}: not done: {one['refused']}"
    if command == "cancel" and one["status"] == TaskStatus.RUNNING:
        return f"{one['id']}: being cancelled; it is still cleaning up"
    if command == "retry":
        return f"{one['id']}: given another run; it is {one['status']} now"
    return f"{one['id']}: {one['status']}"


@contextmanager
def _errand(tasks: TaskFile, command: str, timeout: float) -> Generator[TaskManager]:
    """A manager to ask; what it was asked for is done when this is over."""
    manager = TaskManager(tasks.path, role="errand", watchdog=None)
    manager.start().result()
    try:
        yield manager
        manager.flush(handled=True).result(timeout)
    except TimeoutError:
        leader = tasks.state().leader
        who = f"process {leader.pid} on {leader.host}" if leader is not None else "a process"
        print(
            f"windlass {command}: {who} leads {tasks.path}, and has not answered within "
            f"{timeout:g} seconds. What was asked for stays in the file, and is done when it goes "
            "on or another program takes over; `windlass doctor` tells more.",
            file=sys.stderr,
        )
        raise typer.Exit(NOT_DONE) from None
    finally:
        manager.stop().result()

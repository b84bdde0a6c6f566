"""The commands that only look: ``ls``, ``show`` and ``stats``."""

from __future__ import annotations

import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from windlass import StoreError, TaskManager, TaskStatus

from ..marks import COUNTED, MARKS, count_of
from .command import NOT_DONE, File, Json, looking_at, show, show_json
from .page import as_json, lines_of, page_of, traceback_of
from .words import lasting, size

if TYPE_CHECKING:
    from collections.abc import Generator

    from windlass import Metrics, TaskInfo
    from windlass.observe import FileState, Statistics, TaskFile

_MOST = 50
_SPEAKS = 5.0  # seconds since its last sign of life within which a leader is asked
_SPANS = {60: "minute", 3_600: "hour", 86_400: "day"}


def list_tasks(
    file: File,
    *,
    status: Annotated[
        list[TaskStatus] | None,
        typer.Option("--status", metavar="STATUS", help="Only these; may be repeated."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Only those of this function, or so named.")
    ] = None,
    tag: Annotated[str | None, typer.Option("--tag", help="Only those with this tag.")] = None,
    owner: Annotated[str | None, typer.Option("--owner", help="Only those of this owner.")] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=0, help="The newest so many; 0 for all.")
    ] = _MOST,
    as_text: Json = False,
) -> None:
    """List the tasks in a file, the newest last.

    Changes nothing, and needs none of the program's functions: tags and an owner that only the
    function's decorator names are in the program, and not in the file. A program that runs them is
    asked how far they are.
    """
    with looking_at(file, "ls") as tasks:
        found = tasks.list_tasks(
            status=status or (), name=name, tag=tag, owner=owner, limit=limit + 1 if limit else None
        )
        more = bool(limit) and len(found) > limit
        found = found[1:] if more else found
        found = _as_they_run(tasks, found)
        if as_text:
            show_json([as_json(info) for info in found])
            return
        if not found:
            show([Text("no tasks" if not (status or name or tag or owner) else "no such tasks")])
            return
        lines = lines_of(found, tasks.now)
        if more:
            lines.append(Text(f"these are the newest {limit}; --limit 0 lists all", "dim"))
        show(lines, cut=True)


def show_task(
    file: File,
    id: Annotated[str, typer.Argument(metavar="ID", help="The id of a task.")],
    *,
    as_text: Json = False,
) -> None:
    """Show one task: where it stands and why, its attempts, its log, and its error.

    Changes nothing. A program that runs it is asked how far it is. The exit code is 1 if there is
    no such task.
    """
    with looking_at(file, "show") as tasks:
        info = tasks.get_task(id)
        if info is None:
            print(
                f"windlass show: there is no task {id!r} in {tasks.path}: it never existed, or it "
                "ended and was forgotten. `windlass ls` lists those that there are.",
                file=sys.stderr,
            )
            raise typer.Exit(NOT_DONE)
        [info] = _as_they_run(tasks, [info])
        if as_text:
            found = traceback_of(tasks.get_task_error(id))
            log = [line._asdict() for line in tasks.get_task_log(id)]
            told = {"explanation": tasks.explain(id), "traceback": found, "log": log}
            show_json({**as_json(info), **told})
        else:
            show(page_of(tasks, info))


def stats(file: File, *, as_text: Json = False) -> None:
    """Count the tasks in a file, by status and by function, and tell how fast they end.

    The program that leads the file, if one does, is asked for its slots and gates.
    """
    with looking_at(file, "stats") as tasks:
        state, statistics = tasks.state(), tasks.statistics()
        live, silence = _asked(tasks)
        if as_text:
            told = _statistics_as_json(state, statistics)
            show_json({**told, "live": _as_json(live) if live is not None else None})
            return
        lines = _statistics_page(state, statistics)
        if live is not None:
            lines += _live(live)
        elif silence:
            lines.append(Text(f"the program that leads: {silence}", "yellow"))
        show(lines)


def _statistics_as_json(state: FileState, statistics: Statistics) -> dict[str, object]:
    return {
        "counts": {str(status): state.counts.get(status, 0) for status in TaskStatus},
        "functions": {
            function: {
                "counts": {str(status): n for status, n in figures.counts.items()},
                "mean_seconds": figures.seconds / figures.ran if figures.ran else None,
                "longest_seconds": figures.longest if figures.ran else None,
            }
            for function, figures in statistics.functions.items()
        },
        "ended": {
            f"last_{_SPANS[span]}": number for span, number in statistics.ended_within.items()
        },
        "size": state.size,
        "log_size": state.log_size,
        "unused": state.unused,
    }


def _statistics_page(state: FileState, statistics: Statistics) -> list[Text | Table]:
    head = Text(count_of(sum(state.counts.values()), "task"), "bold")
    for status in COUNTED:
        if number := state.counts.get(status, 0):
            head.append(f"   {MARKS[status][0]} {number:,} {status}", MARKS[status][1])
    ended = ", ".join(
        f"{number:,} in the last {_SPANS[span]}" for span, number in statistics.ended_within.items()
    )
    room = f"{size(state.size)}, {size(state.unused)} of it unused"
    log = f"; {size(state.log_size)} of log" if state.log_size else ""
    table: list[Text | Table] = []
    if statistics.functions:
        table = [_functions(statistics), Text("")]
    return [head, Text(""), *table, Text(f"ended: {ended}"), Text(f"size: {room}{log}")]


def _functions(statistics: Statistics) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("function", no_wrap=True, overflow="ellipsis")
    for title in ("tasks", "open", "failed", "mean", "longest"):
        table.add_column(title, justify="right", no_wrap=True)
    most_first = sorted(
        statistics.functions.items(), key=lambda item: -sum(item[1].counts.values())
    )
    for function, figures in most_first:
        opened = sum(n for status, n in figures.counts.items() if not status.finished)
        table.add_row(
            function,
            f"{sum(figures.counts.values()):,}",
            f"{opened:,}",
            f"{figures.counts[TaskStatus.FAILED]:,}",
            lasting(figures.seconds / figures.ran) if figures.ran else "",
            lasting(figures.longest) if figures.ran else "",
        )
    return table


def _asked(tasks: TaskFile) -> tuple[Metrics | None, str]:
    """What the program that leads says of itself; or why it does not, if there is one."""
    if not tasks.is_led:
        return None, ""
    try:
        with _client(tasks) as manager:
            return manager.get_metrics(), ""
    except StoreError as error:
        return None, error.message


def _as_they_run(tasks: TaskFile, found: list[TaskInfo]) -> list[TaskInfo]:
    """What was ``found``, with how far it is where that is known: in the program that leads."""
    leader = tasks.state().leader
    if leader is None or not leader.alive or leader.seen is None:
        return found
    if (tasks.now - leader.seen).total_seconds() > _SPEAKS:
        return found
    if all(info.status is not TaskStatus.RUNNING for info in found):
        return found
    with suppress(StoreError), _client(tasks) as manager:
        running = {info.id: info for info in manager.list_tasks(status=TaskStatus.RUNNING)}
        return [
            info._replace(progress=running[info.id].progress, message=running[info.id].message)
            if info.id in running and info.status is TaskStatus.RUNNING
            else info
            for info in found
        ]
    return found


@contextmanager
def _client(tasks: TaskFile) -> Generator[TaskManager]:
    manager = TaskManager(tasks.path, role="client", watchdog=None)
    try:
        manager.start().result()
        yield manager
    finally:
        manager.stop().result()


def _as_json(live: Metrics) -> dict[str, Any]:
    return {
        "slots": live.slots,
        "taken": live.taken,
        "queued": live.queued,
        "paused": live.paused,
        "executors": {
            name: {"slots": pool.slots, "taken": pool.taken, "queued": sum(pool.queued.values())}
            for name, pool in live.executors.items()
        },
        "gates": {
            name: {
                "slots": gate.slots,
                "held": gate.held,
                "waiting": gate.waiting,
                "refused": gate.refused,
                "state": gate.state,
            }
            for name, gate in live.gates.items()
        },
    }


def _live(live: Metrics) -> list[Text]:
    """The slots and the gates of the program that leads, where anything is to be seen of them."""
    paused = "; paused" if live.paused else ""
    lines = [Text(f"slots: {live.taken} of {live.slots} taken, {live.queued:,} in line{paused}")]
    for name, pool in live.executors.items():
        if queued := sum(pool.queued.values()):
            lines.append(Text(f"  {name}: {pool.taken} of {pool.slots} taken, {queued:,} in line"))
    for name, gate in live.gates.items():
        of = f" of {gate.slots}" if gate.slots is not None else ""
        state = f", {gate.state}" if gate.state is not None else ""
        refused = f", {gate.refused:,} refused" if gate.refused else ""
        lines.append(
            Text(f"gate {name}: {gate.held}{of} taken, {gate.waiting:,} waiting{refused}{state}")
        )
    return lines

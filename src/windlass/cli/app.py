"""The command ``windlass`` and its first word, ``run``."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

import windlass
from windlass.observe import on_open

from .display import Showing, display_for
from .file import asking, looking
from .file.doctor import doctor
from .interrupts import Interrupts
from .migrate.command import migrate
from .program import INTERRUPTED, NoProgramError, exit_code, find
from .summary import say, summary
from .tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

app = typer.Typer(
    add_completion=False,
    rich_markup_mode="markdown",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a traceback is the program's, and python's to show
)


def _show_version(asked: bool) -> None:  # noqa: FBT001  # typer's shape
    if asked:
        print(f"windlass {windlass.__version__}")
        raise typer.Exit


app.command(no_args_is_help=True)(migrate)
for _name, _command in (
    ("ls", looking.list_tasks),
    ("show", looking.show_task),
    ("stats", looking.stats),
    ("cancel", asking.cancel),
    ("retry", asking.retry),
    ("purge", asking.purge),
    ("vacuum", asking.vacuum),
    ("doctor", doctor),
):
    app.command(_name, no_args_is_help=True, rich_help_panel="On a file of tasks")(_command)


@app.callback()
def _windlass(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Tasks with dependencies, priorities, retries, timeouts and progress."""


@app.command(
    no_args_is_help=True,
    # What comes after the program is the program's, options and all.
    context_settings={"allow_interspersed_args": False},
)
def run(
    program: Annotated[
        str, typer.Argument(metavar="PROGRAM", help="FILE.py, or package.module:function.")
    ],
    args: Annotated[
        list[str] | None,
        typer.Argument(metavar="ARGS", help="The program's own."),
    ] = None,
    *,
    plain: Annotated[
        bool, typer.Option("--plain", help="Lines in place of the live view, as in a file.")
    ] = False,
) -> None:
    """Run a program that uses Windlass, and show its tasks while they run.

    FILE.py runs as with python. A function is called without arguments, and awaited if it is
    a coroutine function.

    The view goes to stderr: live if that is a terminal, as lines if not. After the program come
    its slowest and its failed tasks.

    Ctrl-C lets running tasks finish and starts no more; a second one cancels everything.

    The exit code is the program's own; if that is 0, it is 1 if a task failed. After Ctrl-C it
    is 130. 2 means that there was nothing to run.
    """
    try:
        start = find(program)
        code = _run(lambda: start(args or []), program, plain=plain)
    except NoProgramError as error:
        print(f"windlass run: {error}", file=sys.stderr)
        code = 2
    raise typer.Exit(code)


def _run(program: Callable[[], None], title: str, *, plain: bool) -> int:
    console = Console(file=sys.stderr, highlight=False)
    tally = Tally(console.get_time)
    interrupts = Interrupts(tally)

    def watch(manager: windlass.TaskManager) -> None:
        tally.watch(manager)
        interrupts.watch(manager)

    display = display_for(tally, console, title, plain=plain)
    listener = on_open(watch)
    try:
        with interrupts, Showing(tally, interrupts, display), _told_once():
            code = exit_code(program, was_interrupted=lambda: interrupts.presses > 0)
    finally:
        listener.cancel()
    interrupted = interrupts.presses > 0
    failed = tally.counts[windlass.TaskStatus.FAILED] > 0
    code = INTERRUPTED if interrupted else code or int(failed)
    with suppress(OSError, ValueError):  # the program may have closed what we were to print to
        for line in summary(tally, interrupted=interrupted, well=code == 0):
            say(console, line)
    return code


@contextmanager
def _told_once() -> Generator[None]:
    """In a program that has not set up logging, what the view tells is not printed again."""
    last = logging.lastResort

    def is_new(record: logging.LogRecord) -> bool:
        return record.name != "windlass" or not hasattr(record, "task_status")

    if last is not None:
        last.addFilter(is_new)
    try:
        yield
    finally:
        if last is not None:
            last.removeFilter(is_new)

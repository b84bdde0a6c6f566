"""The command ``windlass doctor``: is the file well, and if not, what is to be done?"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer
from rich.text import Text

from windlass import TaskStatus

from ..marks import count_of
from .command import NOT_DONE, File, Json, looking_at, show, show_json
from .words import lasting, size

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from windlass.observe import FileState, TaskFile

_SILENT = 10.0  # seconds, after which a leader is replaced
_QUIET = 5.0  # seconds; usually it is heard of every two
_MUCH = 2**20
_SIGNS = {"well": ("✔", "green"), "note": ("●", "blue"), "ill": ("✘", "bold red")}


class Finding(NamedTuple):
    """One thing about a file."""

    kind: str
    """``well``, ``note`` (nothing is wrong, but good to know) or ``ill``."""
    text: str
    remedy: str = ""


def doctor(
    file: File,
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="Do not read the whole file for damage.")
    ] = False,
    as_text: Json = False,
) -> None:
    """Examine a file of tasks: the file, who leads it, what is left over, and what to do about it.

    Changes nothing. The exit code is 0 if all is well, and 1 if something is to be done.
    """
    with looking_at(file, "doctor") as tasks:
        state = tasks.state()
        findings = list(_examine(tasks, state, quick=quick))
    ill = any(finding.kind == "ill" for finding in findings)
    if as_text:
        leader = state.leader
        seen = leader.seen.isoformat() if leader is not None and leader.seen is not None else None
        show_json(
            {
                "path": state.path,
                "schema": state.schema,
                "epoch": state.epoch,
                "leader": leader and {**leader._asdict(), "seen": seen},
                "requests": dict(state.requests),
                "lacking": dict(state.lacking),
                "findings": [finding._asdict() for finding in findings],
                "well": not ill,
            }
        )
    else:
        show(line for finding in findings for line in _lines(finding))
    raise typer.Exit(NOT_DONE if ill else 0)


def _lines(finding: Finding) -> Iterator[Text]:
    mark, style = _SIGNS[finding.kind]
    yield Text.assemble((f"{mark} ", style), finding.text)
    if finding.remedy:
        yield Text(f"  → {finding.remedy}", "dim" if finding.kind == "note" else "")


def _examine(tasks: TaskFile, state: FileState, *, quick: bool) -> Iterator[Finding]:
    made = "made by Windlass" if state.ours else "shared with another program's tables"
    yield Finding(
        "well", f"{state.path}: tables of version {state.schema}, epoch {state.epoch}, {made}"
    )
    if not quick:
        yield from _damage(tasks)
    yield from _leader(state, tasks.now)
    yield from _work(state)
    yield from _leftovers(state)
    if state.unused > _MUCH and state.unused > state.size // 4:
        yield Finding(
            "note",
            f"{size(state.unused)} of {size(state.size)} are unused",
            f"windlass vacuum {state.path}" if state.ours else "its owner can run VACUUM in it",
        )


def _damage(tasks: TaskFile) -> Iterator[Finding]:
    damage = tasks.damage()
    if not damage:
        yield Finding("well", "the file is whole")
        return
    yield Finding(
        "ill",
        f"the file is damaged: {'; '.join(damage[:3])}",
        f"stop the programs that use it, put it aside together with {tasks.path}-wal, and restore "
        "a backup, or save what can be read with the sqlite3 command '.recover'",
    )


def _leader(state: FileState, now: datetime) -> Iterator[Finding]:
    leader = state.leader
    if leader is None:
        yield Finding("note", "no program has led this file yet")
        return
    who = f"process {leader.pid} on {leader.host}"
    silent = (now - leader.seen).total_seconds() if leader.seen is not None else 0.0
    if not leader.alive:
        yield Finding("note", f"nobody leads; the last who did was {who}")
    elif silent > _SILENT:
        yield Finding(
            "ill",
            f"{who} leads, and has given no sign of life for {lasting(silent)}",
            "it is stopped, or its machine is overloaded: let it go on (kill -CONT), or end it. "
            "Another program that has the file open takes over by itself",
        )
    elif silent > _QUIET:
        yield Finding(
            "note",
            f"{who} leads, and has given no sign of life for {lasting(silent)}",
            f"if it stays silent for {_SILENT:.0f} s, another program that has the file open leads",
        )
    else:
        yield Finding("well", f"{who} leads; last sign of life {lasting(max(0.0, silent))} ago")
    if leader.alive and leader.host != socket.gethostname():
        yield Finding(
            "ill",
            f"it seems to run on another machine than this one, {socket.gethostname()}",
            "keep the file on a local disk: over a network its locks cannot be trusted",
        )


def _work(state: FileState) -> Iterator[Finding]:
    led = state.leader is not None and state.leader.alive
    opened = sum(number for status, number in state.counts.items() if not status.finished)
    running = state.counts.get(TaskStatus.RUNNING, 0)
    if opened and not led:
        yield Finding(
            "note",
            f"{count_of(opened, 'unfinished task')} wait{'s' if opened == 1 else ''}",
            "start the program that runs them",
        )
    if running and not led:
        yield Finding(
            "note",
            f"{running:,} of them ran when the process died",
            "the next program that opens the file runs them again (or fails them: on_crash)",
        )
    if asked := sum(state.requests.values()):
        kinds = ", ".join(f"{number:,} {kind}" for kind, number in state.requests.items())
        when = "the leader should do so at once" if led else "the next program that leads does so"
        yield Finding("note", f"{count_of(asked, 'request')} not handled yet: {kinds}", when)
    for what, number in state.lacking.items():
        yield Finding(
            "ill",
            f"the last program that led had not {what}: {count_of(number, 'task')} needed it",
            "start a program that has it; if a function was renamed, @task(aliases=[...]) "
            "keeps its old name. Or cancel them",
        )


def _leftovers(state: FileState) -> Iterator[Finding]:
    if state.leader is None or not state.leader.alive:
        beside = [name for name in ("-wal", "-shm") if Path(f"{state.path}{name}").exists()]
        if beside:
            names = " and ".join(f"{Path(state.path).name}{name}" for name in beside)
            yield Finding(
                "note",
                f"{names} {'are' if len(beside) > 1 else 'is'} there: a client has the file open, "
                "or a process was killed",
                "leave them: the log is a part of the file, and who opens it next takes it in",
            )
        if Path(f"{state.path}.lock.new").exists():
            yield Finding("note", f"{state.path}.lock.new was left over", "it can be deleted")

"""What the tasks of a program look like: the picture while it runs, and the summary after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from windlass import TaskStatus

from .marks import MARKS, RETRIED

if TYPE_CHECKING:
    from .tally import Attempt, Tally

WAITING, PENDING, RUNNING = TaskStatus.WAITING, TaskStatus.PENDING, TaskStatus.RUNNING
COMPLETED, FAILED, CANCELLED = TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED

_NAMES_SHOWN = 6
_RUNNING_SHOWN = 10
_ASKED_ABOUT = 200
_MINUTES_FROM = 100
_ROUND_FROM = 10


class Glance(NamedTuple):
    """A running task, as it is shown."""

    attempt: Attempt
    seconds: float
    fraction: float
    message: str

    @property
    def reports(self) -> bool:
        """Whether it says how far it is."""
        return self.fraction > 0 or bool(self.message)


def running_tasks(tally: Tally) -> list[Glance]:
    """The running tasks: first those that say how far they are, then the longest running."""
    now = tally.clock()
    with tally.lock:
        attempts = list(tally.running.values())
    attempts.sort(key=lambda attempt: attempt.began)
    seen: list[Glance] = []
    for attempt in attempts[:_ASKED_ABOUT]:
        info = attempt.manager.get_task(attempt.id)
        if info is not None and info.status is RUNNING:  # what we have heard may be out of date
            seen.append(Glance(attempt, now - attempt.began, info.progress, info.message))
    seen.sort(key=lambda glance: not glance.reports)
    return seen


def picture(tally: Tally, *, title: str, notice: str, most: int, least: int = 0) -> Panel:
    """The live view, ``least`` to ``most`` rows high."""
    parts: list[RenderableType] = [_counts(tally)]
    height = 3  # with the frame
    names = _names(tally)
    if names is not None and height + 1 + names.row_count <= most:
        parts += ["", names]
        height += 1 + names.row_count
    glances = running_tasks(tally)
    fitting = max(0, min(most - height - 1, _RUNNING_SHOWN))
    shown = glances[: fitting if len(glances) <= fitting else max(0, fitting - 1)]
    if shown:
        parts += ["", _running(shown)]
        height += 1 + len(shown)
        if more := len(tally.running) - len(shown):
            parts.append(Text(f"  and {more:,} more", style="dim"))
            height += 1
    return Panel(
        Group(*parts),
        box=box.ROUNDED,
        height=max(height, min(least, most)),
        title=Text.assemble(("windlass ", "bold cyan"), (title, "bold default")),
        title_align="left",
        subtitle=Text(notice, style="bold yellow") if notice else None,
        subtitle_align="left",
        border_style="yellow" if notice else "bright_black",
        padding=(0, 1),
    )


def _counts(tally: Tally) -> RenderableType:
    counts = tally.counts
    line = Text(no_wrap=True, overflow="ellipsis")
    for status, (mark, style) in MARKS.items():
        if counts[status] or status in {COMPLETED, RUNNING, PENDING}:
            line.append(f"{mark} {counts[status]:,} ", style=f"bold {style}")
            line.append(f"{status}   ", style="dim")
    if tally.retries:
        mark, style = RETRIED
        line.append(f"{mark} {tally.retries:,} ", style=f"bold {style}")
        line.append("retried", style="dim")
    grid = Table.grid(expand=True, padding=(0, 2, 0, 0))
    grid.add_column(ratio=1)
    grid.add_column(justify="right", no_wrap=True)
    elapsed = _clock(tally.clock() - tally.began)
    right = Text.assemble((f"{_rate(tally.rate())}", "bold"), ("/s  ", "dim"), (elapsed, "bold"))
    grid.add_row(line, right)
    return grid


def _names(tally: Tally) -> Table | None:
    """A line for each name of several, with how many are done."""
    with tally.lock:
        by_name = {name: counts.copy() for name, counts in tally.by_name.items()}
    if len(by_name) <= 1 or tally.missed:
        return None
    grid = Table.grid(expand=True, padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, max_width=28)
    grid.add_column(ratio=1)
    grid.add_column(justify="right", no_wrap=True)
    # The busiest, in the order in which they first came: that of the pipeline, usually.
    unfinished = {name: c[RUNNING] * 1_000 + c[PENDING] + c[WAITING] for name, c in by_name.items()}
    chosen = set(sorted(by_name, key=lambda name: -unfinished[name])[:_NAMES_SHOWN])
    for name, counts in by_name.items():
        if name in chosen:
            total = sum(counts.values())
            ended = sum(count for status, count in counts.items() if status.finished)
            style = "red" if counts[FAILED] else "green" if ended == total else "cyan"
            bar = _bar(total, ended, style)
            done = Text.assemble((f"{ended:,}", "bold"), f"/{total:,}")
            if counts[FAILED]:
                mark, style = MARKS[FAILED]
                done = Text(f"{mark} {counts[FAILED]:,}  ", style=style) + done
            grid.add_row(Text(name), bar, done)
    return grid


def _running(glances: list[Glance]) -> Table:
    grid = Table.grid(expand=True, padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, ratio=3)
    grid.add_column(justify="right", no_wrap=True, min_width=6)
    grid.add_column(no_wrap=True, ratio=4)
    for attempt, seconds, fraction, message in glances:
        what = Text(no_wrap=True, overflow="ellipsis")
        what.append("▶ ", style="cyan")
        what.append(attempt.name, style="bold")
        what.append(f" {attempt.id}", style="dim")
        if attempt.number > 1:
            what.append(f" {RETRIED[0]} attempt {attempt.number}", style=RETRIED[1])
        how: RenderableType = ""
        if fraction > 0 or message:
            how = Table.grid(padding=(0, 1, 0, 0), expand=True)
            how.add_column(width=20)
            how.add_column(justify="right", width=4)
            how.add_column(no_wrap=True, ratio=1)
            how.add_row(
                _bar(1.0, fraction, "cyan"),
                f"{fraction:.0%}",
                Text(message, style="dim", overflow="ellipsis"),
            )
        grid.add_row(what, _seconds(seconds), how)
    return grid


def _bar(total: float, done: float, style: str) -> ProgressBar:
    return ProgressBar(
        total, done, complete_style=style, finished_style=style, style="bright_black"
    )


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < _MINUTES_FROM else _clock(seconds)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


def _rate(per_second: float) -> str:
    return f"{per_second:,.0f}" if per_second >= _ROUND_FROM else f"{per_second:.1f}"

"""What is said about tasks in lines: as things go wrong, and when everything is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from windlass import TaskDependencyError, TaskError, TaskStatus

from .marks import COUNTED, IN_ASCII, MARKS, RETRIED, count_of, first_line

if TYPE_CHECKING:
    from rich.console import Console

    from windlass import Change

    from .tally import Tally

_SLOWEST = 5
_FAILED = 20


def say(console: Console, line: Text) -> None:
    """Print a line, however narrow the terminal, and whatever it can print."""
    if console.options.ascii_only:
        line.plain = line.plain.translate(IN_ASCII)
    console.print(line, soft_wrap=True)


def news_line(change: Change) -> Text:
    """One line about a task that ended, or about an attempt that is to be repeated."""
    mark, style = MARKS[change.after] if change.after.finished else RETRIED
    line = Text.assemble((f"{mark} ", style), (change.name, "bold"), (f" {change.task_id} ", "dim"))
    if change.after is TaskStatus.COMPLETED:
        return line.append("completed", style="green")
    if not change.after.finished:
        line.append(f"attempt {change.attempt} {change.cause}")
    elif change.after is TaskStatus.CANCELLED:
        line.append(f"cancelled ({change.cause})")
    else:
        line.append("failed", style="bold red")
        if change.attempt > 1:
            line.append(f" after {change.attempt} attempts")
    return line.append(f": {_reason(change)}") if change.error is not None else line


def status_line(tally: Tally) -> Text:
    """Where everything stands."""
    counts = tally.counts
    said = [f"{counts[status]:,} {status}" for status in COUNTED if counts[status]]
    if tally.retries:
        said.append(f"{tally.retries:,} retried")
    return Text(", ".join(said) or "no tasks yet", style="dim")


def summary(tally: Tally, *, interrupted: bool, well: bool) -> list[Text]:
    """How it all ended: counts, the slowest tasks, and the failed ones."""
    total, seconds = sum(tally.counts.values()), tally.clock() - tally.began
    mark, style = MARKS[TaskStatus.COMPLETED if well else TaskStatus.FAILED]
    if interrupted:
        mark, style = MARKS[TaskStatus.CANCELLED]
    head = Text.assemble(
        (f"{mark} ", style),
        (count_of(total, "task") if total else "no tasks", "bold"),
        f" in {seconds:.1f} s",
        ", until Ctrl-C" if interrupted else "",
    )
    if total:
        head += Text(": ") + status_line(tally)
    return [head, *_slowest(tally), *_failed(tally)]


def _slowest(tally: Tally) -> list[Text]:
    slowest = sorted(tally.slowest, reverse=True)[:_SLOWEST]
    wide = max((len(slow.change.name) for slow in slowest), default=0)
    lines = [Text("  slowest", style="bold")] if slowest else []
    for seconds, _, change in slowest:
        line = Text.assemble(
            f"    {seconds:7.2f} s  {change.name:<{wide}}", (f"  {change.task_id}", "dim")
        )
        if change.attempt > 1:
            line.append(f"  {change.attempt} attempts", style="yellow")
        lines.append(line)
    return lines


def _failed(tally: Tally) -> list[Text]:
    failed = list(tally.failed.values())
    # What fell with another task is a consequence; the causes come first.
    failed.sort(key=lambda change: isinstance(change.error, TaskDependencyError))
    lines = [Text("  failed", style="bold red")] if failed else []
    for change in failed[:_FAILED]:
        attempts = f"  {change.attempt} attempts" if change.attempt > 1 else ""
        lines.append(
            Text.assemble(
                ("    ✘ ", "red"),
                (change.name, "bold"),
                (f"  {change.task_id}", "dim"),
                (attempts, "yellow"),
                f"  {_reason(change)}",
            )
        )
    left = tally.counts[TaskStatus.FAILED] - min(len(failed), _FAILED)
    if left > 0:
        lines.append(Text(f"    and {left:,} more", style="dim"))
    return lines


def _reason(change: Change) -> str:
    """What went wrong, without what the line has said already."""
    if isinstance(change.error, TaskError):
        text = change.error.message.removeprefix(f"{change.name} [{change.task_id}] ")
        return text.removesuffix(f" (attempt {change.attempt})")
    return first_line(change.error)

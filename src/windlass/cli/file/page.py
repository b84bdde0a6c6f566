"""Tasks of a file as JSON, and as what people read."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.text import Text

from windlass import TaskStatus

from ..marks import MARKS, first_line
from .words import ago, at, lasting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from windlass import LogLine, TaskError, TaskInfo
    from windlass.observe import TaskFile

_RESULT_SHOWN = 2_000


def as_json(info: TaskInfo) -> dict[str, Any]:
    """A task, as programs read it; what JSON has no form for is told in words."""
    return {
        "id": info.id,
        "name": info.name,
        "type": info.type,
        "status": info.status.value,
        "priority": info.priority.name.lower(),
        "description": info.description,
        "tags": sorted(info.tags),
        "metadata": {str(name): _plain(value) for name, value in info.metadata.items()},
        "owner": info.owner,
        "key": info.key,
        "parent": info.parent,
        "dependencies": list(info.dependencies),
        "held": info.held,
        "attempt": info.attempt,
        "created_at": _moment(info.created_at),
        "started_at": _moment(info.started_at),
        "ended_at": _moment(info.ended_at),
        "progress": info.progress,
        "message": info.message,
        "result": _plain(info.result),
        "error": _error(info.error),
        "cause": info.cause,
        "attempts": [
            {
                "number": past.number,
                "started_at": _moment(past.started_at),
                "ended_at": _moment(past.ended_at),
                "ended": past.ended,
                "error": _error(past.error),
            }
            for past in info.attempts
        ],
    }


def lines_of(infos: Sequence[TaskInfo], now: datetime) -> list[Text]:
    """A line for each task; at its end is what a narrow terminal has no room for."""
    head = ("id", "status", "since", "name")
    rows = [(info.id, info.status.value, ago(_since(info), now), info.name) for info in infos]
    wide = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    titles = "  ".join(title.ljust(width) for title, width in zip(head, wide, strict=True))
    lines = [Text(f"   {titles.rstrip()}", "bold")]
    for info, row in zip(infos, rows, strict=True):
        mark, style = MARKS[info.status]
        id, status, since, name = (text.ljust(width) for text, width in zip(row, wide, strict=True))
        line = Text.assemble(
            (f"{mark}  ", style), f"{id}  ", (f"{status}  ", style), (f"{since}  ", "dim"),
            (name, "bold"), f"  {_what(info)}",
        )  # fmt: skip
        line.rstrip()
        lines.append(line)
    return lines


def page_of(file: TaskFile, info: TaskInfo) -> list[Text]:
    """All about one task."""
    mark, style = MARKS[info.status]
    head = Text.assemble((f"{mark} ", style), (info.name, "bold"), (f"  {info.id}", "dim"))
    lines: list[Text] = [head, Text(f"  {file.explain(info.id)}"), Text("")]
    lines += [
        Text.assemble((f"  {title:<13}", "dim"), text) for title, text in _facts(info) if text
    ]
    lines += _dependencies(file, info)
    if info.attempts:
        lines += [Text(""), Text("  attempts", "bold")]
        for past in info.attempts:
            took = lasting((past.ended_at - past.started_at).total_seconds())
            why = f": {first_line(past.error)}" if past.error is not None else ""
            lines.append(
                Text(f"    {past.number}  {at(past.started_at)}  {past.ended} after {took}{why}")
            )
    lines += _log(file.get_task_log(info.id))
    error = file.get_task_error(info.id)
    if error is not None:
        lines += [Text(""), Text("  error", "bold red")]
        lines += [Text(f"    {line}") for line in _told(error)]
    return lines


def traceback_of(error: TaskError | None) -> str | None:
    """Where the task raised it, if the file says so."""
    found = getattr(error, "remote_traceback", None)
    return found if isinstance(found, str) and found.strip() else None


def _since(info: TaskInfo) -> datetime:
    """When a task came to stand where it stands, as far as anybody knows."""
    if info.status is TaskStatus.RUNNING and info.started_at is not None:
        return info.started_at
    return info.ended_at or info.created_at


def _facts(info: TaskInfo) -> list[tuple[str, str]]:
    progress = f"{info.progress:.0%} {info.message}".strip() if info.progress else info.message
    result = ""
    if info.status is TaskStatus.COMPLETED:
        result = repr(info.result)
        if len(result) > _RESULT_SHOWN:
            result = f"{result[:_RESULT_SHOWN]}… ({len(result):,} characters)"
    return [
        ("priority", info.priority.name.lower()),
        ("tags", ", ".join(sorted(info.tags))),
        ("owner", info.owner or ""),
        ("key", info.key or ""),
        ("parent", info.parent or ""),
        ("description", info.description),
        ("metadata", ", ".join(f"{name}={value!r}" for name, value in info.metadata.items())),
        ("submitted", at(info.created_at)),
        ("started", f"{at(info.started_at)}, attempt {info.attempt}" if info.started_at else ""),
        ("ended", at(info.ended_at) if info.ended_at else ""),
        ("ran", lasting(info.ran) if info.ran is not None else ""),
        ("progress", progress),
        ("result", result),
    ]


def _dependencies(file: TaskFile, info: TaskInfo) -> list[Text]:
    lines: list[Text] = []
    for id in info.dependencies:
        other = file.get_task(id)
        title = f"  {'after' if not lines else '':<13}"
        if other is None:
            lines.append(Text.assemble((title, "dim"), id, (" (forgotten)", "dim")))
            continue
        mark, style = MARKS[other.status]
        lines.append(
            Text.assemble(
                (title, "dim"), (f"{mark} ", style), other.name, (f"  {id}", "dim"),
                f"  {other.status}",
            )
        )  # fmt: skip
    return lines


def _log(said: Sequence[LogLine]) -> list[Text]:
    if not said:
        return []
    lines = [Text(""), Text("  log", "bold")]
    if missing := said[0].number - 1:
        lines.append(Text(f"    … {missing:,} earlier lines were not kept", "dim"))
    for line in said:
        first, *rest = line.text.splitlines() or [""]
        when = f"{datetime.fromtimestamp(line.at, UTC).astimezone():%H:%M:%S}"
        attempt = f"  attempt {line.attempt}" if line.attempt > 1 else ""
        lines.append(
            Text.assemble((f"    {when}{attempt}  ", "dim"), f"{line.level} {line.logger}: {first}")
        )
        lines += [Text(f"      {text}") for text in rest]
    return lines


def _what(info: TaskInfo) -> str:
    """What is most worth knowing about a task, in a few words."""
    if info.error is not None:
        return first_line(info.error)
    if info.cause is not None:
        return info.cause
    if info.status is TaskStatus.COMPLETED:
        return lasting(info.ran) if info.ran is not None else ""
    if info.held:
        return "held until it is executed"
    if info.status is TaskStatus.WAITING:
        return f"after {', '.join(info.dependencies)}"
    said = f"{info.progress:.0%} {info.message}".strip() if info.progress else info.message
    if info.attempts:
        past = info.attempts[-1]
        error = f", {first_line(past.error)}" if past.error is not None else ""
        said = f"{said}  (attempt {past.number}: {past.ended}{error})".strip()
    return said


def _told(error: TaskError) -> list[str]:
    return [*error.message.splitlines(), *(traceback_of(error) or "").rstrip().splitlines()]


def _moment(when: datetime | None) -> str | None:
    return when.isoformat() if when is not None else None


def _error(error: BaseException | None) -> dict[str, str] | None:
    if error is None:
        return None
    kind = getattr(error, "type_name", type(error).__name__)
    try:
        return {"type": str(kind), "text": str(error)}
    except Exception:  # noqa: BLE001  # it is somebody else's code
        return {"type": str(kind), "text": "(its __str__ raised)"}


def _plain(value: Any) -> Any:
    """``value``, if JSON has a form for it, or the words that Python has for it."""
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        return repr(value)

"""Pictures of a task graph, with the state each task is in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from .._core.graph import in_order

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .._core.info import TaskInfo

Format: TypeAlias = Literal["mermaid", "dot", "text"]

_COLOURS = {
    "pending": "#e8e8e8",
    "waiting": "#f5e6b8",
    "running": "#b8d8f5",
    "completed": "#c4e8c4",
    "failed": "#f5b8b8",
    "cancelled": "#d8c4e0",
}
_SIGNS = {
    "pending": "·",
    "waiting": "…",
    "running": "▶",
    "completed": "✓",
    "failed": "✗",
    "cancelled": "⊘",
}


def draw(infos: Sequence[TaskInfo], format: Format) -> str:
    """The tasks and the dependencies among them."""
    painters = {"mermaid": _mermaid, "dot": _dot, "text": _text}
    if format not in painters:
        raise ValueError(f"format is one of {', '.join(painters)}, not {format!r}")
    return painters[format](list(infos))


def _edges(infos: list[TaskInfo]) -> list[tuple[int, int]]:
    place = {info.id: number for number, info in enumerate(infos)}
    return [
        (place[other], number)
        for number, info in enumerate(infos)
        for other in info.dependencies
        if other in place
    ]


def _mermaid(infos: list[TaskInfo]) -> str:
    lines = ["flowchart LR"]
    for number, info in enumerate(infos):
        label = info.name.replace('"', "#quot;")
        lines.append(f'    t{number}["{label}<br/>{info.status}"]:::{info.status}')
    lines += [f"    t{before} --> t{after}" for before, after in _edges(infos)]
    lines += [
        f"    classDef {status} fill:{colour},stroke:#666,color:#222"
        for status, colour in _COLOURS.items()
    ]
    return "\n".join(lines)


def _dot(infos: list[TaskInfo]) -> str:
    lines = ["digraph tasks {", "    rankdir=LR;", "    node [shape=box, style=filled];"]
    for number, info in enumerate(infos):
        label = info.name.replace("\\", "\\\\").replace('"', '\\"')
        colour = _COLOURS[info.status.value]
        lines.append(f'    t{number} [label="{label}\\n{info.status}", fillcolor="{colour}"];')
    lines += [f"    t{before} -> t{after};" for before, after in _edges(infos)]
    return "\n".join([*lines, "}"])


def _text(infos: list[TaskInfo]) -> str:
    by_id = {info.id: info for info in infos}
    edges = {info.id: [o for o in info.dependencies if o in by_id] for info in infos}
    lines = []
    for id in in_order(edges):
        info = by_id[id]
        names = _names(edges[id], by_id)
        follows = f"  ◀─ {names}" if names else ""
        lines.append(f"{_SIGNS[info.status.value]} {info.name} [{info.status}]{follows}")
    return "\n".join(lines)


def _names(ids: Sequence[str], by_id: Mapping[str, TaskInfo]) -> str:
    return ", ".join(by_id[id].name for id in ids)

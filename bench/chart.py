"""A line chart as SVG, in plain text: panels below each other that share their time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, PANEL, GAP = 760, 170, 56
LEFT, RIGHT, TOP, BOTTOM = 64, 20, 64, 44

# The picture brings its paper along: it does not know the reader's theme.
INK, GRID, PAPER = "#39424e", "#d8dde3", "#ffffff"


@dataclass(frozen=True)
class Line:
    """One value for each second."""

    name: str
    values: Sequence[float]
    colour: str
    dashed: bool = False
    steps: bool = False
    """Whether it changes at once, and not from one value to the next."""


@dataclass(frozen=True)
class Panel:
    """Lines that share a scale."""

    title: str
    lines: Sequence[Line]


def chart(title: str, panels: Sequence[Panel], step: int = 10) -> str:
    """The whole picture; a mark on the time axis every ``step`` seconds."""
    seconds = max(len(line.values) for panel in panels for line in panel.lines)
    height = TOP + len(panels) * (PANEL + GAP) - GAP + BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{title}</title>",
        f'<g font-family="system-ui, sans-serif" font-size="13" fill="{INK}">',
        f'<rect width="{WIDTH}" height="{height}" rx="8" fill="{PAPER}"/>',
        f'<text x="{LEFT}" y="28" font-size="16" font-weight="600">{title}</text>',
    ]
    for number, panel in enumerate(panels):
        parts += _panel(panel, TOP + number * (PANEL + GAP), seconds)
    for second in range(0, seconds + 1, step):
        x = LEFT + second / seconds * (WIDTH - LEFT - RIGHT)
        parts.append(f'<text x="{x:.1f}" y="{height - 22}" text-anchor="middle">{second}</text>')
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{height - 6}" text-anchor="end">seconds</text>')
    return "\n".join([*parts, "</g>", "</svg>", ""])


def _panel(panel: Panel, top: float, seconds: int) -> list[str]:
    most = max(max(line.values) for line in panel.lines)
    mark = _round_step(most)
    highest = mark * (int(most / mark) + 1)
    across = (WIDTH - LEFT - RIGHT) / seconds

    def y(value: float) -> float:
        return top + PANEL * (1 - value / highest)

    parts = [f'<text x="{LEFT}" y="{top - 10}" font-weight="600">{panel.title}</text>']
    for level in range(int(highest / mark) + 1):
        at = y(level * mark)
        parts += [
            f'<path d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}" stroke="{GRID}"/>',
            f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{level * mark:g}</text>',
        ]
    beside = WIDTH - RIGHT
    for line in reversed(panel.lines):
        path = _path([(LEFT + n * across, y(v)) for n, v in enumerate(line.values)], line.steps)
        dashes = ' stroke-dasharray="6 5"' if line.dashed else ""
        parts += [
            f'<path d="{path}" fill="none" stroke="{line.colour}" stroke-width="2"{dashes}/>',
            f'<text x="{beside}" y="{top - 10}" text-anchor="end">{line.name}</text>',
        ]
        beside -= 7 * len(line.name) + 8
        parts.append(
            f'<path d="M{beside} {top - 14}h-22" stroke="{line.colour}" stroke-width="2"{dashes}/>'
        )
        beside -= 40
    return parts


def _path(points: Sequence[tuple[float, float]], steps: bool) -> str:  # noqa: FBT001  # of a Line
    first, *rest = points
    moves = [f"M{first[0]:.1f} {first[1]:.1f}"]
    for x, y in rest:
        moves.append(f"H{x:.1f}V{y:.1f}" if steps else f"L{x:.1f} {y:.1f}")
    return "".join(moves)


def _round_step(most: float) -> float:
    """A round number that goes into ``most`` three to seven times."""
    step = 1.0
    while True:
        for factor in (1, 2, 5):
            if most / (step * factor) <= 5:
                return step * factor
        step *= 10

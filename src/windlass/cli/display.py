"""Keeping people informed: a thread that looks at the tally a few times a second and shows it.

Whatever goes wrong in here ends the showing and nothing else: no program depends on it.
"""

from __future__ import annotations

import io
import logging
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, Protocol, Self, TypeAlias, cast

from rich.console import Console, ConsoleDimensions
from rich.text import Text

from .screen import Screen
from .summary import news_line, say, status_line
from .view import picture

if TYPE_CHECKING:
    from collections.abc import Callable

    from .interrupts import Interrupts
    from .tally import Tally

    _Colours: TypeAlias = Literal["standard", "256", "truecolor", "windows"] | None

_EVERY = 0.2
_LINES_AT_ONCE = 10
_STATUS_EVERY = 2.0
_PATIENCE = 2.0


class Display(Protocol):
    """One way of showing."""

    def refresh(self, notice: str) -> None:
        """Show what is new; called every now and then."""
        ...

    def close(self) -> None:
        """Show what is left, and make room for what comes after."""
        ...


def display_for(tally: Tally, console: Console, title: str, *, plain: bool) -> Display:
    """The display that suits a terminal, or what is in its place."""
    # Not ``console.is_terminal``, which is also true where colours are forced into a file.
    terminal = console.file.isatty() and not console.is_dumb_terminal
    if plain or not terminal or console.options.ascii_only:
        return Lines(tally, console)
    return Live(tally, console, title, Screen(console.file.fileno()))


class Showing:
    """Shows from ``__enter__`` to ``__exit__``, and sees to what Ctrl-C has asked for."""

    def __init__(self, tally: Tally, interrupts: Interrupts, display: Display) -> None:
        self._tally = tally
        self._interrupts = interrupts
        self._display = display
        self._broken = False
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._show, name="windlass-view", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(_PATIENCE)
        self._broken = self._broken or self._thread.is_alive()
        self._try_to(lambda: self._tally.heal(at_last=True))
        self._try_to(self._display.close)

    def _show(self) -> None:
        while not self._over.wait(_EVERY):
            self._interrupts.tend()
            self._try_to(self._refresh)

    def _refresh(self) -> None:
        self._tally.heal()
        self._display.refresh(self._interrupts.notice)

    def _try_to(self, show: Callable[[], None]) -> None:
        if self._broken:
            return
        try:
            show()
        except Exception:
            self._broken = True
            with suppress(Exception):  # it is beyond repair, and people are told below
                self._display.close()
            logging.getLogger("windlass").exception("the view of the tasks broke; all else goes on")


class Lines:
    """Lines as things happen; for files, pipes and simple terminals."""

    def __init__(self, tally: Tally, console: Console) -> None:
        tally.tell_all = True
        self._tally = tally
        self._console = console
        self._notice = ""
        self._status_at = _STATUS_EVERY

    def refresh(self, notice: str) -> None:
        """See Display."""
        if notice != self._notice:
            self._notice = notice
            self._print(Text(notice, style="bold"))
        news, left_out = self._tally.news(_LINES_AT_ONCE)
        for change in news:
            self._print(news_line(change))
        if left_out:
            self._print(Text(f"… and {left_out:,} more", style="dim"))
        elapsed = self._tally.clock() - self._tally.began
        if elapsed >= self._status_at and self._tally.unfinished:
            self._status_at = elapsed + _STATUS_EVERY
            self._print(status_line(self._tally))

    def close(self) -> None:
        """See Display."""
        self.refresh(self._notice)

    def _print(self, line: Text) -> None:
        elapsed = f"{self._tally.clock() - self._tally.began:7.1f} s  "
        say(self._console, Text.assemble((elapsed, "dim"), line))


class Live:
    """The picture at the bottom of a terminal, and lines above it for what goes wrong."""

    def __init__(self, tally: Tally, console: Console, title: str, screen: Screen) -> None:
        self._tally = tally
        self._console = console
        self._title = title
        self._screen = screen
        self._height = 0
        # The picture is made in memory, to be painted in one piece.
        self._paper = Console(
            file=io.StringIO(), force_terminal=True, color_system=_colours(console)
        )

    def refresh(self, notice: str) -> None:
        """See Display."""
        self._tell()
        columns, rows = self._screen.room()
        lines = self._draw(columns, rows, notice)
        # It never shrinks: that would leave gaps between the program's lines and the picture.
        self._height = len(lines)
        self._screen.paint(lines)

    def close(self) -> None:
        """See Display."""
        self._screen.close()
        self._tell()

    def _tell(self) -> None:
        news, left_out = self._tally.news(_LINES_AT_ONCE)
        for change in news:
            say(self._console, news_line(change))
        if left_out:
            say(self._console, Text(f"… and {left_out:,} more", style="dim"))

    def _draw(self, columns: int, rows: int, notice: str) -> list[str]:
        paper = self._paper
        file = paper.file
        assert isinstance(file, io.StringIO)
        file.seek(0)
        file.truncate()
        paper.size = ConsoleDimensions(columns, rows)
        shown = picture(
            self._tally, title=self._title, notice=notice, most=rows, least=self._height
        )
        paper.print(shown, end="")
        return file.getvalue().rstrip("\n").split("\n")[:rows]


def _colours(console: Console) -> _Colours:
    """What ``console`` is capable of, as the constructor of another takes it."""
    return cast("_Colours", console.color_system)

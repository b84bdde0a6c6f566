"""The lower rows of a terminal, kept for a view, while all above scrolls on as ever.

Theory of operation
-------------------
A terminal can be told to scroll only some of its rows (DECSTBM). The cursor stays above the view,
where the program left it; to paint, it is saved, moved below, and restored. So nobody's output has
to be caught and repeated: prints, logs, prompts, half lines, what worker processes and C libraries
write, all of it comes out above the view and into the scrollback, at no cost to the program.

Rejected: redrawing the view after each line that is printed (``rich.live``). It holds up whoever
prints for as long as a picture takes to make, a program that prints much for most of the time; and
what a worker process prints ends up in the middle of the picture.

Each paint is one write, which terminals take in one piece, and sends only the rows that changed.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_SAVE, _RESTORE = "\x1b7", "\x1b8"
_HIDE_CURSOR, _SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
_DOWN = "\x1bD"  # a line down, scrolling at the end, in the same column
_ALL_ROWS = "\x1b[r"
_CLEAR_BELOW = "\x1b[J"
_CLEAR_LINE = "\x1b[2K"

_ENDINGS = ("SIGTERM", "SIGHUP", "SIGTSTP")
_LEFT_FOR_OTHERS = 6
_ENOUGH = 18  # rows, where that is more than half


class Screen:
    """See the module. ``descriptor`` is that of a terminal, and stays open."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = os.dup(descriptor)
        self._lock = threading.RLock()  # a signal may come while we hold it
        self._painted: list[str] = []
        self._size = os.terminal_size((0, 0))
        self._closed = False
        self._away = False
        for name in _ENDINGS:
            self._leave_on(name)

    def room(self) -> os.terminal_size:
        """How much a view may take: columns, and rows."""
        columns, rows = os.get_terminal_size(self._descriptor)
        return os.terminal_size((columns, max(rows // 2, min(rows - _LEFT_FOR_OTHERS, _ENOUGH))))

    def paint(self, lines: Sequence[str]) -> None:
        """Show ``lines``, which fit into ``room``, in place of what was there."""
        with self._lock:
            if not self._closed and not self._away:
                self._write(self._make_room(len(lines)) + self._changes(lines))
                self._painted = list(lines)

    def close(self) -> None:
        """Give the rows back; the cursor is where the program left it."""
        self.hide()
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._descriptor)

    def hide(self) -> None:
        """Give the rows back until the next paint."""
        with self._lock:
            if self._painted and not self._closed:
                self._write(_SAVE + _ALL_ROWS + _RESTORE + _CLEAR_BELOW)
                self._painted = []

    def _leave_on(self, name: str) -> None:
        """Leave the terminal as it was when a signal that nobody handles ends or stops us."""
        number = getattr(signal, name, None)
        if number is None or signal.getsignal(number) is not signal.SIG_DFL:
            return

        def leave(*_: object) -> None:
            self._away = True
            self.hide()
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
            signal.signal(number, leave)  # it was Ctrl-Z, and we are back
            self._away = False

        signal.signal(number, leave)

    def _make_room(self, height: int) -> str:
        size = os.get_terminal_size(self._descriptor)
        resized = bool(self._painted) and size != self._size
        had = 0 if resized else len(self._painted)
        self._size = size
        if height == had:
            return ""
        more = max(0, height - had)
        margins = f"{_SAVE}\x1b[1;{size.lines - height}r{_RESTORE}"
        self._painted = []  # all rows have moved
        # After a resize, nobody knows what of the old view is where: below the cursor all is ours.
        start = f"{_SAVE}{_ALL_ROWS}{_RESTORE}{_CLEAR_BELOW}" if resized or height < had else ""
        return start + _DOWN * more + (f"\x1b[{more}A" if more else "") + margins

    def _changes(self, lines: Sequence[str]) -> str:
        top = self._size.lines - len(lines) + 1
        old = self._painted or [""] * len(lines)
        rows = [
            f"\x1b[{top + number};1H{_CLEAR_LINE}{line}"
            for number, (line, before) in enumerate(zip(lines, old, strict=True))
            if line != before
        ]
        if not rows:
            return ""
        return _HIDE_CURSOR + _SAVE + "".join(rows) + _RESTORE + _SHOW_CURSOR

    def _write(self, text: str) -> None:
        data = text.encode()
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:  # the terminal is gone, or takes no more: a view is not worth a crash
            self._closed = True

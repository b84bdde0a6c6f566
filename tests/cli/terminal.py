"""A real pseudo-terminal with a program on it, and what somebody who sits there would see."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time

CTRL_C = "\x03"
CTRL_Z = "\x1a"

# Makes the terminal on stdin the one that controls the process, as a login shell does.
_SIT_DOWN = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
_SIT_DOWN += "os.execv(sys.argv[1], sys.argv[1:])"

_now = time.monotonic  # noqa: TID251  # a real terminal is in real time
_SEQUENCE = re.compile(r"\x1b(?:\[([?\d;]*)([A-Za-z])|([78D]))")


class Terminal:
    """Runs a command on a terminal of its own; ``screen`` and ``scrolled`` are what is seen."""

    def __init__(self, *command, cwd=None, rows=24, columns=90, **env):
        self._master, slave = pty.openpty()
        self.resize(rows, columns)
        self.screen = Screen(rows, columns)
        self.raw = ""
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self.process = subprocess.Popen(
            [sys.executable, "-c", _SIT_DOWN, *command],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=cwd,
            env={**os.environ, "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8", **env},
            start_new_session=True,
        )
        os.close(slave)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)

    def resize(self, rows, columns):
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)

    def type(self, text):
        os.write(self._master, text.encode())

    def until(self, wanted, within=60.0):
        """Read on until ``wanted``, a text or a test of this, is there."""
        deadline = _now() + within
        there = wanted if callable(wanted) else lambda seen: wanted in seen.text
        while not there(self):
            if not self._read(deadline - _now()):
                raise AssertionError(f"never came: {wanted!r}; this is what there is:\n{self.text}")
        return self

    def end(self, within=60.0):
        """Read to the end; the exit code."""
        deadline = _now() + within
        while self._read(deadline - _now()):
            pass
        return self.process.wait(max(0.1, deadline - _now()))

    @property
    def text(self):
        """All that can be seen, scrolled off or not."""
        return "\n".join([*self.screen.scrolled, *self.screen.lines()])

    def _read(self, seconds):
        if not select.select([self._master], [], [], max(0.0, seconds))[0]:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # Linux says so when nobody has the other end any more
            return False
        text = self._decode(data)
        self.raw += text
        self.screen.write(text)
        return bool(data)


class Screen:
    """As much of a VT100 as a program that prints lines, and our view, make use of."""

    def __init__(self, rows, columns):
        self.rows, self.columns = rows, columns
        self.scrolled = []
        self.bottom = rows - 1
        self._cells = [[" "] * columns for _ in range(rows)]
        self._row = self._column = 0
        self._saved = (0, 0)
        self._rest = ""

    def lines(self):
        return ["".join(row).rstrip() for row in self._cells]

    def write(self, text):
        text = self._rest + text
        self._rest = ""
        while text:
            if text[0] == "\x1b":
                match = _SEQUENCE.match(text)
                if match is None:
                    if len(text) < 20:  # the rest of it has not come yet
                        self._rest = text
                        return
                    raise AssertionError(f"not known to this terminal: {text[:20]!r}")
                self._obey(*match.groups())
                text = text[match.end() :]
            else:
                self._put(text[0])
                text = text[1:]

    def _put(self, character):
        if character == "\r":
            self._column = 0
        elif character == "\n":
            self._down()
        elif character >= " ":
            if self._column == self.columns:
                self._column = 0
                self._down()
            self._cells[self._row][self._column] = character
            self._column += 1

    def _down(self):
        if self._row == self.bottom:
            self.scrolled.append("".join(self._cells.pop(0)).rstrip())
            self._cells.insert(self.bottom, [" "] * self.columns)
        elif self._row < self.rows - 1:
            self._row += 1

    def _obey(self, numbers, letter, single):
        if single == "7":
            self._saved = (self._row, self._column)
        elif single == "8":
            self._row, self._column = self._saved
        elif single == "D":
            self._down()
        elif letter == "A":
            self._row = max(0, self._row - int(numbers or 1))
        elif letter == "H":
            self._row, self._column = (int(n) - 1 for n in numbers.split(";"))
        elif letter == "r":
            self.bottom = int(numbers.split(";")[1]) - 1 if numbers else self.rows - 1
            self._row = self._column = 0
        elif letter == "K":
            assert numbers == "2"
            self._cells[self._row] = [" "] * self.columns
        elif letter == "J":
            self._cells[self._row][self._column :] = [" "] * (self.columns - self._column)
            for row in range(self._row + 1, self.rows):
                self._cells[row] = [" "] * self.columns
        else:
            assert letter in "mhl", (numbers, letter)

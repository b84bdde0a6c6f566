"""The rows at the bottom of a terminal: what a program prints above them stays whole."""

import fcntl
import os
import pty
import struct
import termios

import pytest
import terminal

from windlass.cli.screen import Screen

PICTURE = ["first of the picture", "second of the picture", "third of the picture"]


class Desk:
    """A terminal, and what is seen on it."""

    def __init__(self):
        self.master, self.slave = pty.openpty()
        self.resize(10, 40)
        self.screen = Screen(self.slave)

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.seen = terminal.Screen(rows, columns)

    def paint(self, *lines):
        self.screen.paint(lines)
        self.look()

    def print(self, text):
        os.write(self.slave, text.encode())
        self.look()

    def look(self):
        os.write(self.slave, b"\0")  # what was written before has come when this has
        data = b""
        while not data.endswith(b"\0"):
            data += os.read(self.master, 1 << 16)
        self.seen.write(data.decode())

    @property
    def printed(self):
        rows = self.seen.lines()[: self.seen.bottom + 1]
        return "\n".join([*self.seen.scrolled, *rows]).rstrip()

    @property
    def picture(self):
        return self.seen.lines()[self.seen.bottom + 1 :]


@pytest.fixture
def desk():
    made = Desk()
    yield made
    made.screen.close()
    os.close(made.master)
    os.close(made.slave)


@pytest.mark.parametrize("lines", [0, 3, 6, 7, 8, 9, 10, 30])
def test_a_picture_makes_room_for_itself(desk, lines):
    text = "".join(f"line {n}\r\n" for n in range(lines))
    desk.print(text + "half ")
    desk.paint(*PICTURE)
    assert desk.picture == PICTURE
    desk.print("a line\r\nnext")
    wanted = text.replace("\r", "") + "half a line\nnext"
    assert desk.printed == wanted
    desk.paint(*PICTURE, "fourth", "fifth")
    assert desk.picture == [*PICTURE, "fourth", "fifth"]
    desk.print(" to come\r\n" * 5)
    assert desk.printed.startswith(wanted + " to come")


def test_a_smaller_picture_leaves_nothing_of_the_larger_one(desk):
    desk.print("above\r\n")
    desk.paint(*PICTURE)
    desk.paint(*PICTURE[:1])
    assert desk.picture == PICTURE[:1]
    assert desk.printed == "above"


def test_only_rows_that_changed_are_sent(desk, monkeypatch):
    desk.paint(*PICTURE)
    sent = []
    monkeypatch.setattr(os, "write", lambda _, data: sent.append(data) or len(data))
    desk.screen.paint(PICTURE)
    desk.screen.paint([PICTURE[0], "changed", PICTURE[2]])
    assert b"".join(sent).count(b"picture") == 0
    assert b"".join(sent).count(b"changed") == 1


def test_a_resized_terminal_is_set_up_anew(desk):
    desk.paint(*PICTURE)
    desk.resize(14, 50)
    desk.paint(*PICTURE)
    desk.print("".join(f"line {n}\r\n" for n in range(30)))
    assert desk.picture == PICTURE
    assert desk.printed.endswith("line 28\nline 29")


def test_closing_gives_all_rows_back(desk):
    desk.print("above\r\nhalf ")
    desk.paint(*PICTURE)
    desk.screen.close()
    desk.look()
    desk.screen.paint(PICTURE)  # too late
    desk.look()
    assert desk.seen.bottom == 9
    desk.print("a line")
    assert desk.printed == "above\nhalf a line"


def test_a_terminal_that_is_gone_is_not_missed():
    master, slave = pty.openpty()
    screen = Screen(slave)
    os.close(slave)
    os.close(master)
    with pytest.raises(OSError, match="."):
        screen.room()
    screen.hide()
    screen.close()


def test_there_is_room_for_the_program(desk):
    assert desk.screen.room() == (40, 5)
    desk.resize(24, 90)
    assert desk.screen.room() == (90, 18)
    desk.resize(80, 90)
    assert desk.screen.room() == (90, 40)

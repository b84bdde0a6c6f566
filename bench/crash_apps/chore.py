"""The task of every system in the crash table: it takes 0.4 s, and notes its start and its end."""

import os
import time

SECONDS = float(os.environ.get("CHORE_SECONDS", "0.4"))
DEADLY = -1


def note(what: str, n: int) -> None:
    line = f"{what} {n} {os.getpid()}\n".encode()
    file = os.open(os.environ["CHORE_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line)
    os.close(file)


def chore(n: int) -> None:
    note("start", n)
    if n == DEADLY:
        os._exit(9)
    time.sleep(SECONDS)
    note("end", n)

"""A consumer, as people would write one: it listens until its standard input is closed.

``agent_program.py URL FILE RECORD``: FILE is a file of tasks, or ``-`` for none; every run of a
task is a line of RECORD, which is all that is known of it outside of Redis and the file.
"""

import os
import sys
from time import sleep

from windlass import TaskManager, task
from windlass.messaging import listen

url, file, record = sys.argv[1:]


@task(id="agent.on_request", max_crashes=1_000_000)
def on_request(number: int) -> int:
    sleep(number % 7 / 40)
    line = f"{number}\n".encode()
    descriptor = os.open(record, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)
    return 2 * number


def main() -> None:
    with (
        TaskManager(None if file == "-" else file, durability="normal") as manager,
        listen(
            manager,
            stream="requests",
            task=on_request,
            reply="results",
            url=url,
            idle=0.6,
            in_flight=20,
            tries=1_000,
        ),
    ):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()

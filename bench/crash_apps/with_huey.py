import os
import sys

import chore
from huey import SqliteHuey

huey = SqliteHuey(filename=os.environ["STORE"])


@huey.task()
def work(n: int) -> None:
    chore.chore(n)


if __name__ == "__main__":
    import app  # tasks are known by their module

    for n in map(int, sys.argv[1:]):
        app.work(n)

import os
import sys

import chore
from celery import Celery

app = Celery("app", broker=os.environ["REDIS_URL"], backend=os.environ["REDIS_URL"])


@app.task(name="work")
def work(n: int) -> None:
    chore.chore(n)


if __name__ == "__main__":
    for n in map(int, sys.argv[1:]):
        work.delay(n)

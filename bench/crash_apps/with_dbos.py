import os
import sys
import threading

import chore
from dbos import DBOS, Queue

DBOS(config={"name": "crash", "system_database_url": f"sqlite:///{os.environ['STORE']}"})
queue = Queue("work", concurrency=2)


@DBOS.workflow()
def work(n: int) -> None:
    chore.chore(n)


if __name__ == "__main__":
    DBOS.launch()
    for n in map(int, sys.argv[1:]):
        queue.enqueue(work, n)
    threading.Event().wait()

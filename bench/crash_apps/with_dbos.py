import os
import sys
import threading

import chore
from dbos import DBOS

DBOS(config={"name": "crash", "system_database_url": f"sqlite:///{os.environ['STORE']}"})


@DBOS.workflow()
def work(n: int) -> None:
    chore.chore(n)


if __name__ == "__main__":
    DBOS.launch()
    queue = DBOS.register_queue("work", global_concurrency=2)
    for n in map(int, sys.argv[1:]):
        queue.enqueue(work, n)
    threading.Event().wait()

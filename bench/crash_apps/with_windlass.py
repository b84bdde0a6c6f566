import os
import sys

import chore

from windlass import TaskManager, task


@task
def work(n: int) -> None:
    chore.chore(n)


if __name__ == "__main__":
    with TaskManager(os.environ["STORE"], max_concurrent_tasks=2) as tm:
        if sys.argv[1:2] == ["and-wait"]:
            tm.gather(*[tm.submit(work, n) for n in map(int, sys.argv[2:])]).result()
        elif sys.argv[1:]:
            tm.pause()
            for n in map(int, sys.argv[1:]):
                tm.enqueue(work, n).result()
            tm.stop().result()

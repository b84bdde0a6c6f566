import os
import sys

import chore
from redis import Redis
from rq import Queue

if __name__ == "__main__":
    queue = Queue(connection=Redis.from_url(os.environ["REDIS_URL"]))
    for n in map(int, sys.argv[1:]):
        queue.enqueue(chore.chore, n)

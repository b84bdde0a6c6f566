"""The program of the workers, and the tasks that they run: those of the newsroom next door."""

import os
import sys
from pathlib import Path

from celery import Celery

from windlass import task
from windlass.celery import install

sys.path.insert(0, str(Path(__file__).parents[1]))
import newsroom  # the same functions; all that changes is where they run

app = Celery("press", broker=os.environ["PRESS_REDIS"])
app.conf.worker_prefetch_multiplier = 1  # or whoever is up first takes all there is
app.conf.broker_connection_retry_on_startup = True
install(app)

fetch = newsroom.fetch.options(executor="celery")
parse = newsroom.parse.options(executor="celery")
score = task(newsroom.score, executor="celery", priority="HIGH")
dedupe = task(newsroom.dedupe, executor="celery")

"""The program of the workers that ``bench.cluster`` measures: the same work, twice."""

from __future__ import annotations

import os
import time

from celery import Celery

from windlass import task
from windlass.celery import install

app = Celery("bench", broker=os.environ["BENCH_REDIS"], backend=os.environ["BENCH_REDIS"])
app.conf.broker_connection_retry_on_startup = True
install(app)


@task(executor="celery", id="bench.noop")
def noop(_: int = 0) -> None:
    """The work, for us."""


@app.task
def empty(_: int = 0) -> None:
    """The work, for Celery alone."""


@task(executor="celery", id="bench.linger")
def linger() -> None:
    """Take a second."""
    time.sleep(1.0)


@app.task
def linger_there() -> None:
    """Take a second."""
    time.sleep(1.0)

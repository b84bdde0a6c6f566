"""A worker's program that knows nothing of Windlass."""

import os

from celery import Celery

app = Celery("plain", broker=os.environ["WINDLASS_TEST_REDIS"])
app.conf.broker_connection_retry_on_startup = True

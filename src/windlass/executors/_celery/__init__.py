"""The manager's side of the protocol by which tasks run on Celery workers; see ``wire``."""

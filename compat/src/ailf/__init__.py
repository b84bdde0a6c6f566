"""The paths of an older agent framework, served by Windlass; see the README of this distribution.

Nothing starts on import, and nothing heavy is imported: Redis and Celery are asked for by what
uses them.
"""

from pkgutil import extend_path

from .async_tasks import TaskManager as TaskManager
from .async_tasks import TaskStatus as TaskStatus

# A program may have a package of this name as well: its modules are found beside ours.
__path__ = extend_path(__path__, __name__)

"""Watching: what is built on changes and the read API alone, and knows nothing of the engine."""

from .file import Figures as Figures
from .file import FileState as FileState
from .file import Leader as Leader
from .file import Statistics as Statistics
from .file import TaskFile as TaskFile
from .managers import on_open as on_open

"""``python -m windlass.cli`` is ``windlass``."""

from . import main

main()

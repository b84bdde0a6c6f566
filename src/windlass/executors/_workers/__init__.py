"""Worker processes and all that it takes to have them.

::

    crew.py     the workers of one executor, minded from the manager's event loop
    ahead.py    to whom calls are sent while it is busy
    member.py   one of them, as the manager sees it
    spawn.py    starting and burying a process; all that is particular to POSIX
    wire.py     the frames in between
    worker.py   the program that a worker runs: it imports as little as it can
"""

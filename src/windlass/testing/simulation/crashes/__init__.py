"""Whole histories of several processes on one store, some of which die.

Theory of operation
-------------------
A ``Life`` is one process: the real runtime, pump, journal, desk, follower, records and recovery,
with the real codec, but without threads, sockets and time of its own. What its threads would do
(commit, look at requests, follow) are steps of the history, in any order. Its executors do nothing
but remember which runs are on.

All lives share one ``Disk``: a real store, in memory or in a SQLite file, behind a wire that can be
cut before or after any write, that can be full, and that can be locked; and one clock on the wall,
which anybody may set. A crash throws away everything of a life. Who leads is told by a lock that
the death of its holder frees, and that can be taken from a holder of which nothing is heard, while
that one lives on and knows nothing.

The ``Account`` is kept by hand from what passes the wire, what the executors are given, and what
people are told. It never asks the code that it judges. Its laws stand in ``account``, ``starting``,
``timing``, ``forgetting`` and ``verdicts``.

Histories are drawn, played, shrunk and told like those of the engine; see the package above.
"""

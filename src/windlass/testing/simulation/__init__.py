"""Whole histories of the engine, drawn from a seed and checked after every step.

Theory of operation
-------------------
A ``History`` is plain data: a ``Setting`` and a list of steps. It is
drawn step by step by ``drawing``, which looks at the ``World`` to choose what
could matter now; once drawn it stands alone, so it can be replayed, printed, and cut down.

The World holds a real engine, a clock that only moves when told to, and executors that do nothing
but remember which attempts are on. ``Laws`` watches: it keeps its own, naive account of
what may happen and compares after every step. One of the executors is a queue far away: a task is
handed over, and that it has begun is heard late, twice or never. And the process may die, and the
next one take over what had not ended. At the end the World winds down, and nothing may be
left over.

A step that makes no sense any more does nothing. That is what lets ``shrinking`` throw steps
out of a history that fails, one after another, for as long as it still fails.
"""

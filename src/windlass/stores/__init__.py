"""Where tasks are kept: behind the port ``Store``, and none of them decides anything."""

NEWS_KEPT = 256
"""How many news a store keeps: a client that is further behind sees a gap in the numbers."""

"""Where tasks are kept: behind the port ``Store``, and none of them decides anything."""

"""What helps to test tasks, and the engine that runs them."""

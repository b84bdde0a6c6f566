"""The shell around the pure core: threads, event loops, user code. It decides nothing."""

"""Executors: where calls run. Each is a small adapter of the port in ``windlass.ports``."""

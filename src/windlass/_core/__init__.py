"""The pure core: what a task is, and every decision about it.

Nothing in here reads a clock, draws a random number, starts a thread, touches a file, logs, or
runs a user's function. Time comes in as an argument; decisions come out as transitions.
"""

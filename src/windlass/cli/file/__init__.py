"""The commands on a file of tasks, whether a program runs on it or not."""

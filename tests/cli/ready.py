"""A process that has the command line imported, and forks one for each command it is told.

Nearly all of what a command takes is importing. What was forked is a process as any other: with its
own folder, environment, output and exit code, and the only one that opens the file of tasks.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import io
import json
import multiprocessing
import os
import pkgutil
import subprocess
import sys


def _start():
    return subprocess.Popen(
        [sys.executable, __file__],
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


class Ready:
    """The process, from the first command to the end of the tests."""

    def __init__(self):
        self._process = None

    def run(self, *args, output, cwd, env):
        """The exit code of ``windlass args``, whose output and errors go to two files."""
        if self._process is None:
            self._process = _start()
            atexit.register(self._process.communicate)
        request = {"args": args, "output": output, "cwd": cwd, "env": env}
        print(json.dumps(request, default=str), file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())


def _serve():
    cli = importlib.import_module("windlass.cli")
    for module in pkgutil.walk_packages(cli.__path__, "windlass.cli."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    with contextlib.suppress(SystemExit), contextlib.redirect_stderr(io.StringIO()):
        sys.argv = ["windlass", "ls", os.devnull]  # which brings what is imported when it is used
        cli.main()
    fork = multiprocessing.get_context("fork")
    for line in sys.stdin:
        command = fork.Process(target=_command, kwargs=json.loads(line))
        command.start()
        command.join(60)
        command.kill()  # which nobody notices who has ended
        command.join()
        print(command.exitcode, flush=True)  # noqa: T201


def _command(args, output, cwd, env):
    os.chdir(cwd)
    os.environ.update(env)
    sys.argv = ["windlass", *args]
    for number, name in enumerate(output, start=1):
        opened = os.open(name, os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    importlib.import_module("windlass.cli").main()


if __name__ == "__main__":
    _serve()
